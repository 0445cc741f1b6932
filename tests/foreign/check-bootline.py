#!/usr/bin/env python3
"""Has foreign programs read what stamping did to the menus of an image. Usage: check-bootline.py BASE REMASTER

isoinfo and mtype bring out the three menus, grub-script-check reads the GRUB ones, blkid the label, systemd-tmpfiles makes the
files of a credential. Prints a line per check and ends with `N passed, N failed`.
"""
import base64
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from checks import Checks  # noqa: E402

ADDED = "foreign.test=a;b{c}$d"
LABEL = "foreign-label_1.0"


def out(*args, data=None):
    """What a program says, and its exit code."""
    env = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(args, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, check=False)
    return done.stdout, done.returncode


def menus(path):
    """The menus by their place."""
    names = out("isoinfo", "-R", "-f", "-i", path)[0].splitlines()
    grub = next(n for n in names if n.lower() == "/efi/boot/grub.cfg")
    found = {"volume": out("isoinfo", "-R", "-x", grub, "-i", path)[0]}
    if "/isolinux/isolinux.cfg" in names:
        found["isolinux"] = out("isoinfo", "-R", "-x", "/isolinux/isolinux.cfg", "-i", path)[0]
    place = re.search(r"\[\s*(\d+)\s[^]]*\]\s+efi\.img", out("isoinfo", "-R", "-l", "-i", path)[0])
    fat = f"{path}@@{int(place[1]) * 2048}"
    name = next(n for n in out("mdir", "-/", "-b", "-i", fat)[0].splitlines() if n.lower().endswith("/grub.cfg"))
    found["fat"] = out("mtype", "-i", fat, name)[0]
    return found


def kernel_lines(text):
    return [x.rstrip() for x in text.splitlines() if x.split()[:1] in (["linux"], ["APPEND"]) and " init=/nix/store/" in x]


def check_lines(c, was, now):
    for where, text in now.items():
        old, new = kernel_lines(was[where]), kernel_lines(text)
        quoted = ADDED if where == "isolinux" else f"'{ADDED}'"
        # everything else of the line stays
        expected = [re.sub(r"(root=LABEL=)\S+", rf"\g<1>{LABEL}", a).replace(" loglevel=4", " loglevel=5") + f" {quoted}" for a in old]
        wrong = [b for a, b in zip(expected, new) if a != b]
        bare = [x for x in new if not x.endswith(f" {quoted}") or "loglevel=4" in x.split()]
        c.check(f"{where}: all {len(new)} entries have the argument and the label", old and len(old) == len(new) and not bare and not wrong, (bare + wrong)[:2])
        if where != "isolinux":
            said, code = out("grub-script-check", data=text)
            c.check(f"{where}: grub-script-check", code == 0, said)


def check_credential(c, image, scratch):
    """What is on every line, as systemd-tmpfiles takes it."""
    found = {w for text in menus(image).values() for x in kernel_lines(text) for w in x.split() if w.startswith("systemd.set_credential_binary=")}
    bare = [x for text in menus(image).values() for x in kernel_lines(text) if "systemd.set_credential_binary=" not in x]
    if not c.check("one credential, on every line", len(found) == 1 and not bare, (found, bare[:1])):
        return
    name, value = found.pop().split("=", 1)[1].split(":", 1)
    folder, root = os.path.join(scratch, "credentials"), os.path.join(scratch, "root")
    os.makedirs(folder)
    os.makedirs(os.path.join(root, "home/nixos"))
    with open(os.path.join(folder, name), "wb") as f:
        f.write(base64.b64decode(value, validate=True))
    env = {**os.environ, "CREDENTIALS_DIRECTORY": folder}
    done = subprocess.run(["systemd-tmpfiles", "--create", f"--root={root}", "--prefix=/root", "--prefix=/home"], env=env, capture_output=True, text=True, check=False)
    for home, owner in (("root", 0), ("home/nixos", 1000)):
        path = os.path.join(root, home, ".ssh/authorized_keys")
        state = os.stat(path) if os.path.exists(path) else None
        right = state and state.st_mode & 0o7777 == 0o600 and (state.st_uid == owner or os.geteuid() != 0) and "ssh-ed25519 " in open(path, encoding="utf-8").read()
        c.check(f"systemd-tmpfiles makes /{home}/.ssh/authorized_keys", right, done.stderr or state)


def main():
    base, remaster = sys.argv[1:]
    c = Checks()
    with tempfile.TemporaryDirectory(prefix="remaster-bootline-", dir=os.environ.get("TMPDIR", "/var/tmp")) as scratch:
        key, image = os.path.join(scratch, "key"), os.path.join(scratch, "out.iso")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        flags = ["--karg", ADDED, "--karg-replace", "loglevel=4=5", "--label", LABEL, "--timeout", "7", "--default-entry", "copytoram"]
        said, code = out(remaster, base, "--key", key + ".pub", *flags, "-o", image)
        if c.check("stamped", code == 0, said):
            check_lines(c, menus(base), menus(image))
            c.check("blkid: label", out("blkid", "-p", "-o", "value", "-s", "LABEL", image)[0].strip() == LABEL, out("blkid", "-p", image)[0])
            c.check("isoinfo: label", f"Volume id: {LABEL}\n" in out("isoinfo", "-d", "-i", image)[0], "")
            with open(image, "rb") as f:
                f.seek(18 * 2048)
                joliet = f.read(72)
            c.check("Joliet label is the same, cut", joliet[:6] != b"\x02CD001" or joliet[40:].decode("utf-16-be") == LABEL[:16], joliet)
        said, code = out(remaster, base, "--key", key + ".pub", "--inject", "credential", "-f", "-o", image)
        if c.check("stamped with a credential", code == 0, said):
            check_credential(c, image, scratch)
    return c.end()


if __name__ == "__main__":
    sys.exit(main())
