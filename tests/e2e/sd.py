#!/usr/bin/env python3
"""Boots a stamped image for SD cards on an emulated aarch64 board: U-Boot reads the menu from the ext4 root itself, and a key lets in.
Usage: sd.py REMASTER KEYS LOGS ISO [--all]

ISO is the base 24.11-aarch64 of tests/rig. With --all the same card, whose root stays, is booted once more and must be as before, and an
image that nothing was put into must let nobody in. Ends with `N passed, N failed`.
"""
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "rig")]
import boot  # noqa: E402
import checks  # noqa: E402

U_BOOT = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"
FACTS = r"""
echo "system=$(@SETTLED@)"
echo "failed=$(systemctl --failed --plain --no-legend | tr '\n' ' ')"
echo "cmdline=$(cat /proc/cmdline)"
echo "root=$(findmnt -no FSTYPE,LABEL /)"
echo "hostname=$(hostname)"
echo "zone=$(readlink /etc/localtime)"
echo "file=$(stat -c '%a %u:%g' /srv/note) $(cat /srv/note)"
echo "program=$(su - nixos -c hello-rig)"
echo "ran=$(cat /var/lib/ran 2>/dev/null | wc -l)"
echo "shadow=$(grep -c '^root:\$y\$' /etc/shadow)"
echo "sshd=$(sshd -T -f /etc/ssh/sshd_config | grep -E '^(passwordauthentication|permitrootlogin)' | tr '\n' ' ')"
echo "hostkey=$(cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub)"
echo "greeting=$(systemctl is-active remaster-greeting.service)"
echo "journal=$(dmesg | grep -ciE 'ext4.*(error|warning|corrupt)')"
""".replace("@SETTLED@", boot.SETTLED)


class Board(boot.Machine):
    """A board with the image as its only disk."""

    def arguments(self, image, *_):
        return ["qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a72", "-accel", "tcg,thread=multi", "-smp", "2", "-m", "1024", "-display", "none",
                "-no-reboot", "-bios", U_BOOT, "-serial", f"file:{self.serial}", "-monitor", f"unix:{self.control}/monitor,server,nowait",
                "-netdev", f"user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22", "-device", "virtio-net-pci,netdev=n0", "-device", "virtio-rng-pci",
                "-drive", f"if=none,id=card,format=raw,cache=unsafe,file={image}", "-device", "virtio-blk-device,drive=card"]


def key(folder, name):
    path = os.path.join(folder, name)
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(path):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{name}@test", "-f", path], check=True)
    return path


def facts(c, name, board, own):
    """What the machine says of itself, and whether it is right."""
    login = board.ssh("root", own, FACTS)
    found = dict(line.split("=", 1) for line in login.out.splitlines() if "=" in line)
    with open(own + "_host.pub", encoding="utf-8") as f:
        host_key = " ".join(f.read().split()[:2])
    wanted = {
        "system": "running", "failed": "", "root": "ext4   NIXOS_SD", "hostname": "card", "zone": "/etc/zoneinfo/Europe/Berlin", "file": "640 0:0 hello",
        "program": "hello from the rig", "shadow": "1", "sshd": "permitrootlogin without-password passwordauthentication no ", "hostkey": host_key,
        "greeting": "active", "journal": "0"}
    for fact, value in wanted.items():
        got = re.sub(r"\s+", " ", found.get(fact, login.err[-300:]))
        c.check(f"{name}: {fact} is {value!r}", got.strip() == re.sub(r"\s+", " ", value).strip(), got)
    words = found.get("cmdline", "").split()
    c.check(f"{name}: the kernel has the argument that came, and not the one that went", "rig.test=1" in words and "loglevel=4" not in words, words)
    return found


def booted(c, name, card, logs):
    """A running board with a greeting sshd, or None."""
    board = Board(card, "uefi", "usb", os.path.join(logs, "sd"))
    took = board.wait_for_ssh()
    if not c.check(f"{name}: U-Boot starts it and sshd answers", took is not None, board.serial_tail()):
        board.stop()
        return None
    print(f"      after {took} s", flush=True)
    return board


def powered_off(board, own):
    board.ssh("root", own, "systemctl poweroff", seconds=60)
    with contextlib.suppress(subprocess.TimeoutExpired):
        board.process.wait(boot.PATIENCE)
    board.stop()


def main():
    remaster, keys, logs, iso = sys.argv[1:5]
    with tempfile.TemporaryDirectory(prefix="remaster-sd-", dir="/var/tmp") as scratch:
        c = checks.Checks(os.path.abspath(remaster), scratch)
        built = subprocess.run([os.path.join(HERE, "..", "rig", "sd-image.sh"), iso], capture_output=True, text=True, check=False)
        if not c.check("the image for SD cards is built", built.returncode == 0, built.stderr[-500:]):
            return c.end()
        base = built.stdout.split()[-1]
        own, other = key(keys, "own"), key(keys, "other")
        shutil.copy(key(keys, "own_host"), c.path("host"))
        os.chmod(c.path("host"), 0o600)
        note, password = c.file("note", "hello"), c.file("password", "secret of the rig\n")
        script = c.file("hello-rig", "#!/bin/sh\necho hello from the rig\n")
        once = c.file("once.sh", "#!/bin/sh\nmkdir -p /var/lib\necho ran >> /var/lib/ran\n")
        flags = ["--key", own + ".pub", "--hostname", "card", "--timezone", "Europe/Berlin", "--file", f"{note}:/srv/note:0640", "--script", script, "--run", once,
                 "--host-key", c.path("host"), "--root-password-file", password, "--karg", "rig.test=1", "--karg-delete", "loglevel=4"]
        packed, card = c.path("sd.img.zst"), c.path("card")
        subprocess.run(["zstd", "-q", "-1", base, "-o", packed], check=True)
        code, _, err = c.call(packed, *flags, "-o", card, seconds=600)
        if not c.check("the packed image is stamped", code == 0, err):
            return c.end()
        print(subprocess.run([remaster, "inspect", card], capture_output=True, text=True, check=False).stdout[:600], flush=True)
        ran = []
        names = ["first boot", "second boot"][:2 if "--all" in sys.argv else 1]
        for name in names:
            board = booted(c, name, card, logs)
            if board is None:
                return c.end()
            found = facts(c, name, board, own)
            ran.append(found.get("ran"))
            if name == "first boot":
                c.check("another key is refused", board.ssh("root", other, "true").refused)
                c.check("the key lets in as nixos", board.ssh("nixos", own, "id -un").out.strip() == "nixos")
            powered_off(board, own)
        c.check("what is to be run is run at each boot", ran == ["1", "2"][:len(names)], ran)
        root = c.path("root")
        subprocess.run(["dd", f"if={card}", f"of={root}", "bs=1M", "skip=38", "conv=sparse", "status=none"], check=True)
        env = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
        done = subprocess.run(["e2fsck", "-f", "-p", root], capture_output=True, text=True, check=False, env=env)
        c.check("after that e2fsck has nothing but a journal to play", done.returncode == 0, done.stdout)
        if "--all" in sys.argv:
            shutil.copy(base, card)
            board = booted(c, "stock", card, logs)
            if board:
                c.check("stock: the key does not let in", board.ssh("root", own, "true").refused)
                board.stop()
        return c.end()


if __name__ == "__main__":
    sys.exit(main())
