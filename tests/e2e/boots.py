#!/usr/bin/env python3
"""Boots stamped images and logs in: the proof that the key lets in. Usage: boots.py REMASTER KEYS LOGS [--all] [--only TEXT]

REMASTER is the program, KEYS a folder for the ssh keys of this run (made if missing), LOGS keeps what failed.
Prints a line per check and ends with `N passed, N failed`.
"""
import argparse
import contextlib
import dataclasses
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "rig")]
import boot  # noqa: E402
import checks  # noqa: E402

COPY, SERIAL = "copytoram", "console=ttyS0,115200n8"


@dataclasses.dataclass(frozen=True)
class Boot:
    """One start of a machine: which base, how stamped, which firmware and medium, which menu entry."""

    base: str
    firmware: str
    medium: str
    merge: bool = False
    option: str | None = None
    kernel: int = 1
    stamped: bool = True
    flashed: bool = False
    tar: bool = False  # the keys come in an archive, with modes and owners that sshd refuses

    def __str__(self):
        words = [self.base, self.firmware, self.medium]
        words += ["merged"] * self.merge + [self.option or ""] + [f"kernel {self.kernel}"] * (self.kernel > 1)
        return " ".join(w for w in words + ["not stamped"] * (not self.stamped) + ["flashed"] * self.flashed + ["keys in a tar"] * self.tar if w)


# What custom.py and try_image.py do not boot: the other firmware or medium of each generation, both kernels, a submenu entry,
# copytoram, merged with either kind of stage 1, and archives behind an initrd
# that is packed by lz4, joined by GRUB (two_sticks.py does so by -kernel).
# The one of aarch64 is put on a disk by `flash`, which has no partition table then.
# "fat" shows that the menu in efi.img is right, which had to grow there: QEMU's firmware has GRUB read the one in the ISO's tree otherwise.
SOME = [
    Boot("23.11", "uefi", "usb", tar=True),
    Boot("24.05", "uefi", "cd", merge=True),
    Boot("24.11-lz4", "uefi", "usb"),
    Boot("24.11-full-esp", "uefi", "fat"),
    Boot("25.11", "bios", "usb", option=SERIAL, kernel=2),
    Boot("26.05", "bios", "cd", merge=True, option=COPY, kernel=2),
    Boot("24.11-aarch64", "uefi", "usb", flashed=True),
]


def everything():
    """SOME and all that is left of the matrix."""
    boots = list(SOME)
    for base in ("23.11", "24.05", "24.11", "25.11", "26.05"):
        two = base in ("25.11", "26.05")
        for firmware in ("bios", "uefi"):
            for medium in ("cd", "usb"):
                boots.append(Boot(base, firmware, medium))
                boots += [Boot(base, firmware, medium, kernel=2)] * two
            boots.append(Boot(base, firmware, "usb", merge=True))
            boots.append(Boot(base, firmware, "cd", option=COPY))
            boots.append(Boot(base, firmware, "usb", option=SERIAL, kernel=1 + two))
        boots += [Boot(base, "uefi", "fat", kernel=1 + two), Boot(base, "uefi", "cd", stamped=False)]
    boots += [Boot("26.05", "bios", "usb", merge=True, kernel=2), Boot("26.05", "uefi", "cd", option=COPY, kernel=2)]
    for base in ("24.11-lz4", "24.11-none", "24.11-microcode", "24.11-label", "23.11-layout"):
        boots += [Boot(base, "bios", "cd"), Boot(base, "uefi", "usb", merge=True)]
    boots += [Boot("24.11-full-esp", "uefi", medium) for medium in ("cd", "usb")]
    for base in ("24.11-aarch64", "26.05-aarch64"):
        two = base.startswith("26.05")
        boots += [Boot(base, "uefi", medium, merge=medium == "usb", kernel=1 + two) for medium in ("cd", "usb")]
        boots += [Boot(base, "uefi", "cd", option=COPY), Boot(base, "uefi", "usb", flashed=True)]
    return list(dict.fromkeys(boots))


# One login answers everything: a line `NAME=VALUE` per fact.
FACTS = r"""
show() { echo "$1=$(stat -c '%a %u:%g' "$2" 2>&1)"; }
show root /; show root-home /root; show root-ssh /root/.ssh; show root-keys /root/.ssh/authorized_keys
show nixos-home /home/nixos; show nixos-ssh /home/nixos/.ssh; show nixos-keys /home/nixos/.ssh/authorized_keys
show etc-ssh /etc/ssh; show etc-dir /etc/ssh/authorized_keys.d
show etc-root /etc/ssh/authorized_keys.d/root; show etc-nixos /etc/ssh/authorized_keys.d/nixos
for f in /root/.ssh/authorized_keys /home/nixos/.ssh/authorized_keys /etc/ssh/authorized_keys.d/root /etc/ssh/authorized_keys.d/nixos; do
  echo "keys-in=$f $(sha256sum < "$f" | cut -c1-64)"; done
echo "running=$(@SETTLED@)"
echo "failed=$(systemctl --failed --plain --no-legend | tr '\n' ' ')"
echo "cmdline=$(cat /proc/cmdline)"
echo "system=$(readlink /run/current-system)"
echo "initrd=$(cat /run/rig-initrd)"
echo "iso-type=$(findmnt -no FSTYPE /iso)"
echo "store-mode=$(stat -c %a /nix/store)"
cd /iso && find . -type f -size -3000k ! -name '*.c32' ! -name unicode.pf2 -exec md5sum {} + | sed 's/^/md5=/'
find . | LC_ALL=C sort | md5sum | sed 's/^/tree=/'
dmesg | grep -iE 'isofs|rock ridge|joliet' | grep -iE 'error|corrupt|invalid|bad' | sed 's/^/isofs-complaint=/'
echo end=end
""".replace("@SETTLED@", boot.SETTLED)


def ssh_key(folder, name):
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{name}@test", "-f", path], check=True)
    return path


def key_tar(path, keys):
    """The keys where sshd looks for them, as `tar` packs what belongs to some user of the host, open to everybody."""
    lines = b"".join(open(k + ".pub", "rb").read() for k in keys)
    with tarfile.open(path, "w") as tar:
        for name in ("root", "root/.ssh", "home", "home/nixos", "home/nixos/.ssh", "etc", "etc/ssh", "etc/ssh/authorized_keys.d", "root/.ssh/authorized_keys",
                     "home/nixos/.ssh/authorized_keys", "etc/ssh/authorized_keys.d/root", "etc/ssh/authorized_keys.d/nixos"):
            member = tarfile.TarInfo(name)
            is_file = name.endswith(("_keys", "d/root", "d/nixos"))
            member.type, member.mode = (tarfile.REGTYPE, 0o666) if is_file else (tarfile.DIRTYPE, 0o777)
            member.uid, member.gid, member.size = 1001, 1001, len(lines) * is_file
            tar.addfile(member, io.BytesIO(lines) if is_file else None)
    return path


def stamp(remaster, base, out, keys, merge, tar):
    given = ["--overlay", key_tar(out + ".tar", keys)] if tar else [a for k in keys for a in ("--key", k + ".pub")]
    args = [remaster, base, *given, "-o", out, *["--merge-initrd"] * merge]
    return subprocess.run(args, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


@contextlib.contextmanager
def stick(c, name, remaster, base, image, keys, scratch):
    """A file with what `flash` wrote to it as a disk: the base with the keys, which is what stamping gives."""
    path = os.path.join(scratch, "stick")
    size = (os.path.getsize(image) // 1048576 + 100) * 1048576
    with open(path, "wb") as f:
        f.truncate(size)
    device = subprocess.run(["losetup", "--find", "--show", path], capture_output=True, text=True, check=True).stdout.strip()
    try:
        flags = [device, "--yes", "--allow-fixed", "--expect-size", str(size)]
        for what, args in (("flashed", ["flash", base, *[a for k in keys for a in ("--key", k + ".pub")], *flags]), ("verified", ["verify", device, "--against", image])):
            done = subprocess.run([remaster, *args], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
            c.check(f"{name}: {what}", done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-500:]}")
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
    yield path
    os.remove(path)


def host_view(image, folder):
    """What isofs should show: md5 of the files that FACTS reads, and the md5 of the listing."""
    os.makedirs(folder)
    subprocess.run(["osirrox", "-indev", image, "-extract", "/", folder], capture_output=True, check=True)
    subprocess.run(["chmod", "-R", "u+rwX", folder], check=True)
    names, sums = ["."], {}
    for top, dirs, files in os.walk(folder):
        for name in dirs + files:
            path = os.path.join(top, name)
            shown = "./" + os.path.relpath(path, folder)
            names.append(shown)
            if os.path.isfile(path) and -(-os.path.getsize(path) // 1024) < 3000 and not name.endswith(".c32") and name != "unicode.pf2":
                with open(path, "rb") as f:
                    sums[shown] = hashlib.md5(f.read()).hexdigest()
    shutil.rmtree(folder)
    tree = hashlib.md5("".join(n + "\n" for n in sorted(names, key=os.fsencode)).encode()).hexdigest()
    return sums, tree


def check_facts(c, name, b, out, image, scratch, keys):
    """Every fact of one login."""
    facts, keys_in, sums, complaints = {}, {}, {}, []
    for line in out.splitlines():
        key, _, value = line.partition("=")
        if key == "md5":
            digest, _, path = value.partition("  ")
            sums[path] = digest
        elif key == "keys-in":
            path, _, digest = value.partition(" ")
            keys_in[path] = digest
        elif key == "isofs-complaint":
            complaints.append(value)
        else:
            facts[key] = value
    c.check(f"{name}: all facts came", facts.get("end") == "end", out[-300:])
    want = {"root-home": "700 0:0", "root-ssh": "700 0:0", "root-keys": "600 0:0", "nixos-home": "700 1000:100", "nixos-ssh": "700 1000:100",
            "nixos-keys": "600 1000:100", "root": "755 0:0", "etc-ssh": "755 0:0", "etc-dir": "755 0:0", "store-mode": "1775"}
    wrong = [f"{k} is {facts.get(k)}, not {v}" for k, v in want.items() if facts.get(k) != v]
    # sshd reads these as the user, so others must be able to read them and nobody but root to write
    wrong += [f"{k} is {facts.get(k)}" for k in ("etc-root", "etc-nixos") if facts.get(k) not in ("444 0:0", "644 0:0")]
    c.check(f"{name}: owners and modes", not wrong, "; ".join(wrong))
    lines = b"".join(open(k + ".pub", "rb").read() for k in keys)
    digest = hashlib.sha256(lines).hexdigest()
    c.check(f"{name}: all four key files hold the keys given", len(keys_in) == 4 and set(keys_in.values()) == {digest}, keys_in)
    c.check(f"{name}: system runs without failed units", facts.get("running") == "running", f"{facts.get('running')} {facts.get('failed')}")
    cmdline = facts.get("cmdline", "").split()
    c.check(f"{name}: the entry asked for booted", (b.option is None or b.option in cmdline) and facts.get("initrd") == str(b.kernel)
            and f"init={facts.get('system')}/init" in cmdline, f"initrd {facts.get('initrd')}, system {facts.get('system')}, {' '.join(cmdline)}")
    if b.option is None:
        c.check(f"{name}: no option that was not asked for", COPY not in cmdline and SERIAL not in cmdline, " ".join(cmdline))
    c.check(f"{name}: /iso is {'RAM' if b.option == COPY else 'isofs'}", facts.get("iso-type") == ("tmpfs" if b.option == COPY else "iso9660"), facts.get("iso-type"))
    host, tree = host_view(image, os.path.join(scratch, "tree"))
    differ = sorted(p for p in host.keys() | sums.keys() if host.get(p) != sums.get(p))
    c.check(f"{name}: the kernel reads the same files from /iso ({len(sums)} compared)", sums and not differ, differ[:5])
    c.check(f"{name}: the kernel lists the same names in /iso", facts.get("tree", "").split(" ")[0] == tree, facts.get("tree"))
    c.check(f"{name}: isofs did not complain", not complaints, complaints[:3])


def run(c, b, remaster, bases, keys, scratch, logs):
    """Stamps, boots and checks one machine."""
    name, image = str(b), os.path.join(scratch, "image.iso")
    if b.stamped:
        done = stamp(remaster, bases[b.base], image, keys["given"], b.merge, b.tar)
        if not c.check(f"{name}: stamped", done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-500:]}"):
            return
        if b.tar:
            told = [line for line in done.stderr.splitlines() if "sshd would not take /" in line]
            c.check(f"{name}: a line for each key file that sshd would not take", len(told) == 4, done.stderr)
    else:
        shutil.copyfile(bases[b.base], image)
    failed = c.failed
    with contextlib.ExitStack() as media:
        if b.flashed:
            medium = media.enter_context(stick(c, name, remaster, bases[b.base], image, keys["given"], scratch))
        else:
            boot.preselect(image, b.option, b.kernel)
            medium = image
        start(c, b, medium, image, keys, scratch, logs)
    os.remove(image)
    if c.failed == failed:
        shutil.rmtree(logs)


def start(c, b, medium, image, keys, scratch, logs):
    """Boots a medium, which holds the image, and checks the machine."""
    name, failed = str(b), c.failed
    machine = boot.Machine(medium, b.firmware, b.medium, logs)
    try:
        waited = machine.wait_for_ssh()
        if c.check(f"{name}: ssh after {waited} s", waited is not None, f"nothing after {boot.PATIENCE} s, logs in {logs}"):
            if b.stamped:
                login = machine.ssh("root", keys["given"][0], FACTS)
                if c.check(f"{name}: root logs in by key", login.code == 0, f"{login.code} {login.err}"):
                    check_facts(c, name, b, login.out, image, scratch, keys["given"])
                login = machine.ssh("nixos", keys["given"][1], "id -un")
                c.check(f"{name}: nixos logs in by the other key", login.code == 0 and login.out == "nixos\n", f"{login.code} {login.err}")
                login = machine.ssh("root", keys["wrong"], "true")
                c.check(f"{name}: another key is refused", login.refused, f"{login.code} {login.err}")
            else:
                for user in ("root", "nixos"):
                    login = machine.ssh(user, keys["given"][0], "true")
                    c.check(f"{name}: {user} is refused", login.refused, f"{login.code} {login.err}")
        if c.failed > failed:
            machine.screenshot()
            print("\n".join("  serial| " + line for line in machine.serial_tail().splitlines()), flush=True)
    finally:
        machine.stop()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("remaster")
    p.add_argument("keys")
    p.add_argument("logs")
    p.add_argument("--all", action="store_true")
    p.add_argument("--only", help="the boots whose name has this text")
    p.add_argument("--list", action="store_true")
    a = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no machine outlives this program
    boots = [b for b in (everything() if a.all else SOME) if not a.only or a.only in str(b)]
    if a.list:
        print("\n".join(map(str, boots)))
        return 0
    names = list(dict.fromkeys(b.base for b in boots))
    paths = subprocess.run([os.path.join(HERE, "..", "rig", "bases.sh"), *names], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    bases = dict(zip(names, paths, strict=True))
    os.makedirs(a.keys, exist_ok=True)
    keys = {"given": [ssh_key(a.keys, "first"), ssh_key(a.keys, "second")], "wrong": ssh_key(a.keys, "wrong")}
    c = checks.Checks()
    with tempfile.TemporaryDirectory(prefix="remaster-e2e-", dir=os.environ.get("TMPDIR", "/var/tmp")) as scratch:
        for b in boots:
            run(c, b, os.path.abspath(a.remaster), bases, keys, scratch, os.path.join(a.logs, str(b).replace(" ", "_").replace(",", "_")))
    return c.end()


if __name__ == "__main__":
    sys.exit(main())
