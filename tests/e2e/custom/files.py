"""Overlays, single files, scripts, programs, units, what is run at boot, and store paths, seen from inside."""
import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile

STORE = "0c1v2b3n4m5a6s7d8f9g0h1j2k3l4z5x-rig-tool-1.0"
LARGE = 18 << 20
UNIT = """[Unit]
Description=A unit of the user's
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c "echo started by $$0 > /var/lib/rig-unit" unit
[Install]
WantedBy=multi-user.target
Alias=rig-alias.service
"""


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w" if isinstance(text, str) else "wb") as f:
        f.write(text)
    os.chmod(path, mode)
    return path


def large():
    """Bytes that do not compress, the same each time."""
    return b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(LARGE // 32))


def overlay(folder, base):
    """A folder; from 25.11 on with a file that is too large for an initrd."""
    top = os.path.join(folder, "overlay")
    write(f"{top}/srv/rig/plain", "plain\n", 0o640)
    write(f"{top}/home/nixos/.config/rig", "of nixos\n", 0o600)
    os.symlink("/srv/rig/plain", f"{top}/srv/rig/absolute")
    os.symlink("plain", f"{top}/srv/rig/relative")
    os.chmod(f"{top}/srv/rig", 0o750)
    if base in ("25.11", "26.05"):
        write(f"{top}/srv/large", large(), 0o604)
    return top


def archive(folder):
    path = os.path.join(folder, "overlay.tar.gz")
    with tarfile.open(path, "w:gz") as tar:
        for name, mode, text in (("srv/tar", 0o711, None), ("srv/tar/a", 0o604, b"in a tar\n")):
            member = tarfile.TarInfo(name)
            member.mode, member.uid, member.gid = mode, 4321, 8765
            if text is None:
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            else:
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text))
        member = tarfile.TarInfo("srv/tar/b")
        member.type, member.linkname = tarfile.LNKTYPE, "srv/tar/a"
        member.mode, member.uid, member.gid = 0o604, 4321, 8765
        tar.addfile(member)
    return path


def store(folder, below):
    """A squashfs of one store path with a static program, at its top or below /nix/store."""
    top = os.path.join(folder, "store")
    bin_ = os.path.join(top, below, STORE, "bin")
    os.makedirs(bin_)
    shutil.copy(shutil.which("busybox"), f"{bin_}/busybox")
    os.symlink(f"/nix/store/{STORE}/bin/busybox", f"{bin_}/rig-store-tool")
    write(f"{bin_}/rig-store-script", f"#!/nix/store/{STORE}/bin/busybox sh\necho a script of the store\n", 0o755)
    # what `nix-store --dump-db` writes of it: path, hash and size of its contents, no recipe, no references
    contents = subprocess.run(["nix-store", "--dump", os.path.dirname(bin_)], stdout=subprocess.PIPE, check=True).stdout
    write(f"{top}/nix-path-registration", f"/nix/store/{STORE}\n{hashlib.sha256(contents).hexdigest()}\n{len(contents)}\n\n0\n")
    out = os.path.join(folder, "store.squashfs")
    subprocess.run(["mksquashfs", top, out, "-comp", "zstd", "-all-root", "-no-progress", "-quiet"], check=True, stdout=subprocess.DEVNULL)
    return out


def flags(folder, base):
    script = write(f"{folder}/rig-install", "#!/usr/bin/env bash\necho installed by $(id -un)\n", 0o600)
    tool = write(f"{folder}/busybox-rig", open(shutil.which("busybox"), "rb").read(), 0o600)
    unit = write(f"{folder}/rig-unit.service", UNIT)
    run = write(f"{folder}/first.sh", "#!/bin/sh\necho ran as $(id -un) in $PWD, online: $(systemctl is-active network-online.target), addresses: $(ip -4 -o address show scope global | wc -l)\necho once >> /var/lib/rig-run\nrig-install\n", 0o600)
    one = write(f"{folder}/one", "one file\n")
    return ["--overlay", overlay(folder, base), "--overlay", archive(folder), "--file", f"{one}:/srv/one:0460:nixos",
            "--script", script, "--bin", tool, "--unit", unit, "--enable", "--run", run,
            "--store", store(folder, "nix/store" if base in ("24.11", "26.05") else "."), "--path"]


def check(c, guest, base):
    def says(name, command, expected, user="root"):
        done = guest.run(command, user=user)
        c.check(name, done.out == expected and done.code == 0, f"{done.code}: {done.out!r} {done.err!r}")

    stat = "stat -c '%n %a %u:%g %F'"
    says("a folder's modes and owners", f"{stat} /srv/rig /srv/rig/plain /home/nixos/.config/rig; cat /srv/rig/plain",
         "/srv/rig 750 0:0 directory\n/srv/rig/plain 640 0:0 regular file\n/home/nixos/.config/rig 600 1000:100 regular file\nplain\n")
    says("links are kept", "readlink /srv/rig/absolute /srv/rig/relative", "/srv/rig/plain\nplain\n")
    says("NixOS's folders keep their modes", "stat -c '%n %a %u:%g' / /root /home/nixos /etc /srv",
         "/ 755 0:0\n/root 700 0:0\n/home/nixos 700 1000:100\n/etc 755 0:0\n/srv 755 0:0\n")
    says("a tar's modes and owners", f"{stat} /srv/tar /srv/tar/a /srv/tar/b; cat /srv/tar/b",
         "/srv/tar 711 4321:8765 directory\n/srv/tar/a 604 4321:8765 regular file\n/srv/tar/b 604 4321:8765 regular file\nin a tar\n")
    says("one file", f"{stat} /srv/one; cat /srv/one", "/srv/one 460 1000:100 regular file\none file\n")
    for user in ("root", "nixos"):
        says(f"script on the PATH of {user} by ssh", "rig-install", f"installed by {user}\n", user)
        says(f"script on the PATH of {user} in a login shell", "env -i HOME=$HOME USER=$USER $(command -v bash) -lc rig-install", f"installed by {user}\n", user)
        says(f"program on the PATH of {user}", "busybox-rig echo it runs", "it runs\n", user)
        says(f"store's program on the PATH of {user}", "rig-store-script; command -v rig-store-tool",
             f"a script of the store\n/etc/profiles/per-user/{user}/bin/rig-store-tool\n", user)
    says("sudo finds programs of the image and of its stores", "sudo rig-install; sudo rig-store-script; sudo -i rig-install",
         "installed by root\na script of the store\ninstalled by root\n", "nixos")
    says("unit is enabled and ran", "systemctl is-active rig-unit.service rig-alias.service; cat /var/lib/rig-unit", "active\nactive\nstarted by unit\n")
    if "run" not in guest.own:
        run_at_boot(c, guest)
    says("store path in the store", f"cd /nix/store/{STORE}/bin && ls && /nix/store/{STORE}/bin/busybox echo from the store",
         "busybox\nrig-store-script\nrig-store-tool\nfrom the store\n")
    done = guest.run(f"touch /nix/store/{STORE}/bin/x")
    c.check("the store cannot be written to", done.code != 0, done)
    registered(c, guest)
    if base in ("25.11", "26.05"):
        says("large file is there", f"{stat} /srv/large; md5sum < /srv/large", f"/srv/large 604 0:0 regular file\n{hashlib.md5(large()).hexdigest()}  -\n")
        done = guest.run("ls -l --block-size=1 /iso/remaster | awk '{print $9, $5}'; mount | grep -c /remaster/mounted")
        sizes = dict(line.split(" ") for line in done.out.splitlines()[1:] if line.count(" ") == 1)
        files = [int(size) for name, size in sizes.items() if re.fullmatch(r"files1-[0-9a-f]{16}\.img", name)]
        c.check("large file is on the medium and not in the initrd", files and files[0] >= LARGE and 0 < int(sizes.get("payload.img", 0)) < 1 << 20 and done.out.endswith("\n0\n"), done.out)


def registered(c, guest):
    """Whether Nix knows the path, and copies it to a disk as `nixos-install --system` has it done, without a network."""
    path = f"/nix/store/{STORE}"
    done = guest.run(f"nix-store --check-validity {path} && nix-store --verify-path {path} && nix-store --check-validity /nix/store/0c1v2b3n4m5a6s7d8f9g0h1j2k3l4z5x-other")
    c.check("Nix knows the path and that it is whole, and no other", done.code == 1 and f"'{path}'" not in done.err and "-other' is not valid" in done.err, done.out + done.err)
    done = guest.run(f"mkdir -p /mnt/disk && nix-env --store /mnt/disk --extra-substituters 'auto?trusted=1' -p /mnt/disk/nix/var/nix/profiles/system --set {path}"
                     f" && readlink -f /mnt/disk/nix/var/nix/profiles/system; /mnt/disk{path}/bin/busybox echo from the disk; rm -rf /mnt/disk")
    c.check("it is installed to a disk without a network", done.code == 0 and done.out.endswith(f"{path}\nfrom the disk\n"), done.out + done.err)


def run_at_boot(c, guest):
    ran = "for n in $(seq 300); do [ -s /var/lib/rig-run ] && break; sleep 1; done; systemctl is-active remaster-run-first.service; cat /var/lib/rig-run; journalctl -o cat -u remaster-run-first.service"
    done = guest.run(ran)
    lines = done.out.splitlines()
    # (not for all interfaces: NetworkManager counts as online before one that appears late, dhcpcd when it goes into the background)
    ran = re.compile("ran as root in /root, online: active, addresses: [1-9]")
    c.check("what is run at boot ran once, with its log in the journal", lines[:2] == ["active", "once"] and "installed by root" in lines, done.out)
    c.check("what is run at boot waited for the network", any(ran.match(line) for line in lines), done.out)


def refused(folder, base):
    shutil.copy(shutil.which("bash"), f"{folder}/dynamic")
    bad = write(f"{folder}/bad/etc/hostname", "name\n")
    found = [(["--bin", f"{folder}/dynamic"], "wants a loader and libraries"),
             (["--overlay", os.path.dirname(os.path.dirname(bad))], "NixOS puts its own in this place"),
             (["--store", f"{folder}/one"], "not a squashfs")]
    return found
