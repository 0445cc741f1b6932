#!/usr/bin/env python3
"""Stamps images that are odd but legal, or sees them refused by name. Usage: odd.py REMASTER BASE

BASE is 24.11-gzip of tests/rig. What is stamped is read by check-image.py; the two that its programs cannot read are looked
at here; several at a time. Ends with `N passed, N failed`.
"""
import concurrent.futures
import os
import re
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from checks import ED25519, Checks  # noqa: E402 (the path comes first)

UNSUPPORTED = 4
WAYS = ([], ["--merge-initrd"])
# What is refused, for which way, and what is said.
REFUSED = {("appended-esp", 0): "partitions.*none behind the volume.*GPT partition 2", ("appended-esp", 1): "partitions.*none behind the volume.*GPT partition 2",
           ("largest-fat12", 0): "no room in .*the UEFI boot image, a Fat12 filesystem that cannot have more clusters.*--merge-initrd",
           ("partition-offset", 0): "a volume of its own.*MBR partition 1", ("partition-offset", 1): "a volume of its own.*MBR partition 1",
           ("kept", 0): "is wrong: .*UEFI boot image: boot catalog at byte .*, partition at", ("kept", 1): "is wrong: .*UEFI boot image: boot catalog at byte .*, partition at"}
# Whose UEFI boot image is moved to a larger copy. Merged, its menu stays, as it does in all others.
GROWN = {"full-fat16", "full-fat32"}


def read(c, name, label, image, out, flags):
    """Has check-image read what was stamped."""
    more = [*["--merged"] * bool(flags), *["--grown-esp"] * (name in GROWN)]
    done = subprocess.run([f"{HERE}/check-image.py", image, out, *more], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    counts = re.fullmatch(r"(\d+) passed, (\d+) failed", lines[-1] if lines else "")
    c.verdict(f"{label}: read by foreign programs", [x for x in lines if x.startswith("FAIL")] if counts else ["check-image came to no end", done.stderr[-300:]])


def verified(c, name, image):
    """What sgdisk says of an image whose blocks have 4096 bytes: the kernel makes it a disk of such."""
    def call(*args):
        return subprocess.run(args, capture_output=True, text=True, check=False, env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
    loop = call("losetup", "--find", "--show", "--read-only", "--sector-size", "4096", image)
    if loop.returncode != 0:
        c.verdict(f"{name}: a loop device", [loop.stderr])
        return None
    try:
        return call("sgdisk", "-v", loop.stdout.strip()).stdout
    finally:
        call("losetup", "--detach", loop.stdout.strip())


def gpt_4096(c, name, image, out):
    """sgdisk has no more to say than of the base, whose first partition begins in block 0 as on every NixOS image."""
    blocks = os.stat(out).st_size // 4096
    with open(out, "rb") as f:
        f.seek(2 * 4096)
        first = struct.unpack_from("<QQ", f.read(128), 32)
    c.verdict(f"{name}: the first partition reaches to the backup", [] if first == (0, blocks - 6) else [first, blocks])
    if os.getuid() != 0:
        print(f"note: {name}: not root, so no loop device reads it")
        return
    was, now = verified(c, name, image), verified(c, name, out)
    c.verdict(f"{name}: sgdisk finds it as sound as the base", [] if was == now and "1 problems" in now else [was, now])


def multi_extent(c, name, image, out):
    """Foreign readers would take minutes for every byte of it: the tree is enough, the rest are holes."""
    def listed(path):
        text = subprocess.run(["xorriso", "-indev", path, "-find", "/", "-type", "f", "-exec", "report_lba", "--"], capture_output=True, text=True, check=False).stdout
        return re.findall(r"^File data lba:\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*'(.*)'", text, re.M)
    before, after = listed(image), listed(out)
    parts = [x for x in before if x[4] == "/nix-store.squashfs"]
    c.verdict(f"{name}: the store has several extents", [] if len(parts) > 1 and sum(int(x[3]) for x in parts) > 4 << 30 else [parts])
    menus = re.compile(r"(grub|isolinux)\.cfg$|initrd$")
    gone = [x for x in before if x not in after and not menus.search(x[4])]
    c.verdict(f"{name}: xorriso finds every file where it was", gone)
    c.verdict(f"{name}: and what was put in", [] if any(x[4].endswith("/payload.img") for x in after) else [after])
    done = subprocess.run(["isoinfo", "-l", "-R", "-i", out], capture_output=True, text=True, check=False)
    c.verdict(f"{name}: isoinfo lists it", [] if done.returncode == 0 and "nix-store.squashfs" in done.stdout and "payload.img" in done.stdout else [done.stderr])


def one(c, name, folder, base):
    made = subprocess.run([f"{HERE}/odd.sh", base, folder, name], capture_output=True, text=True, check=False)
    image = f"{folder}/odd-{name}.iso"
    if made.returncode != 0:
        c.verdict(f"{name}: made", [made.stdout[-500:], made.stderr[-500:]])
        return
    code, _, err = c.call("inspect", image)
    c.verdict(f"{name}: inspected", [] if code == (3 if name == "kept" else 0) else [code, err])
    for number, flags in enumerate(WAYS):
        if flags and (name == "multi-extent" or name in GROWN):
            continue  # the same tree, and again gigabytes; nothing grows
        label, out = " ".join([name, *flags]), f"{folder}/out.iso"
        code, _, err = c.call(image, "--key", c.key, *flags, "-o", out, seconds=300)
        said = REFUSED.get((name, number))
        if said:
            one_line = err.replace("\n", " ")
            c.verdict(f"{label}: refused by name", c.complaints(code, UNSUPPORTED, err) + ([] if re.search(said, one_line) else [err]))
            c.verdict(f"{label}: no output", [out] if os.path.exists(out) else [])
            continue
        c.verdict(f"{label}: stamped", [] if code == 0 else [code, err])
        if code == 0:
            if name == "gpt-4096":
                gpt_4096(c, label, image, out)
            elif name == "multi-extent":
                multi_extent(c, label, image, out)
            else:
                read(c, name, label, image, out, flags)
            code, _, err = c.call("inspect", out)
            c.verdict(f"{label}: inspected, stamped", [] if code == 0 else [code, err])
            if name in GROWN:
                back = f"{folder}/back.iso"
                code, _, err = c.call("reset", out, "-o", back)
                c.verdict(f"{label}: reset gives the base", [] if code == 0 and c.digest(back) == c.digest(image) else [code, err])
                os.unlink(back)
            os.unlink(out)
    os.unlink(image)


def alone(remaster, base, name):
    """The lines of this program for one image."""
    done = subprocess.run([sys.executable, __file__, remaster, base, name], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.stdout.splitlines(), done.stderr


def main():
    remaster, base = map(os.path.abspath, sys.argv[1:3])
    names = sys.argv[3:] or subprocess.run([f"{HERE}/odd.sh", "--list"], capture_output=True, text=True, check=True).stdout.split()
    with tempfile.TemporaryDirectory(prefix="remaster-odd-", dir=os.environ.get("TMPDIR", "/var/tmp")) as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        c = Checks(remaster, folder)
        c.key = c.file("key.pub", ED25519)
        if len(names) == 1:
            one(c, names[0], folder, base)
            return c.end()
        for name, (lines, err) in zip(names, pool.map(lambda name: alone(remaster, base, name), names)):
            print("\n".join(lines[:-1]), flush=True)
            counts = re.fullmatch(r"(\d+) passed, (\d+) failed", lines[-1] if lines else "")
            if c.check(f"{name}: came to an end", counts, err[-500:]):
                c.passed, c.failed = c.passed + int(counts[1]), c.failed + int(counts[2])
    return c.end()


if __name__ == "__main__":
    sys.exit(main())
