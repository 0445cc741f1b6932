#!/usr/bin/env python3
"""Shows that check-image.py can fail: damages a stamped image in many ways and expects the right complaint each time.

Usage: self-test.py BASE REMASTER, with a small x86 base. Ends with `N passed, N failed`.
"""
import concurrent.futures
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("check_image", os.path.join(HERE, "check-image.py"))
check_image = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_image)
BLOCK = 2048


def patch(path, at, new):
    with open(path, "r+b") as f:
        f.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        f.write(new)


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        old = f.read(1)
        f.seek(at)
        f.write(bytes([old[0] ^ 0x55]))


def record(path, descriptor, name):
    """Offset of a directory record of a root directory, by its identifier."""
    with open(path, "rb") as f:
        f.seek(descriptor * BLOCK + 158)
        start = int.from_bytes(f.read(4), "little") * BLOCK
        f.seek(start + 10)
        length = int.from_bytes(f.read(4), "little")
        f.seek(start)
        data = f.read(length)
    at = 0
    while at < len(data):
        if data[at] == 0:
            at = (at // BLOCK + 1) * BLOCK
        elif data[at + 33:at + 33 + data[at + 32]] == name:
            return start + at
        else:
            at += data[at]
    raise LookupError(name)


def damages(_, out):
    """(what is done, how, the complaint to expect) for an image."""
    image = check_image.Image(out)
    number = {image.head[n * BLOCK]: n for n in range(30, 15, -1) if image.head[n * BLOCK + 1:n * BLOCK + 6] == b"CD001"}
    primary, joliet = number[1], number[2]
    fat, _ = image.efi()
    place = lambda p: image.extents[p][0][0] * BLOCK  # noqa: E731
    ours = next(p for p in image.extents if check_image.OURS.match(p) and image.sizes[p])
    table = int.from_bytes(image.primary[140:144], "little") * BLOCK

    def version(path, tree, field, new):
        name = b"VERSION.TXT;1" if tree == primary else "version.txt".encode("utf-16-be")
        patch(path, record(path, tree, name) + field, new)
    return [
        ("primary volume size", lambda p: patch(p, primary * BLOCK + 80, b"\1\0\0\0\0\0\0\1"), "primary volume size is the file's"),
        ("Joliet volume size", lambda p: patch(p, joliet * BLOCK + 80, b"\1\0\0\0\0\0\0\1"), "Joliet volume size"),
        ("label", lambda p: patch(p, primary * BLOCK + 40, b"X"), "primary: label"),
        ("Joliet label", lambda p: patch(p, joliet * BLOCK + 41, b"X"), "Joliet: label"),
        ("a byte of the kernel", lambda p: flip(p, place("/boot/bzImage") + 5000), "sha256 of every other file"),
        ("a byte of the initrd", lambda p: flip(p, place("/boot/initrd") + 5000), "sha256 of every other file"),
        ("isolinux.bin", lambda p: flip(p, place("/isolinux/isolinux.bin") + 3000), "sha256 of every other file"),
        ("a file moved in the primary tree", lambda p: version(p, primary, 2, b"\x20\0\0\0\0\0\0\x20"), "no file of the base moved"),
        ("a file moved in the Joliet tree", lambda p: version(p, joliet, 2, b"\x20\0\0\0\0\0\0\x20"), "both trees name the same blocks"),
        ("a file's size in the Joliet tree", lambda p: version(p, joliet, 10, b"\1\0\0\0\0\0\0\1"), "both trees name the same blocks"),
        ("a name lost in the Joliet tree", lambda p: patch(p, record(p, joliet, "version.txt".encode("utf-16-be")) + 34, b"w"), "every Joliet name"),
        ("a mode", lambda p: mode(p, primary), "modes, owners, times"),
        ("path table", lambda p: flip(p, table + 10 + 2), "primary path tables agree"),
        ("MBR code", lambda p: flip(p, 100), "MBR code unchanged"),
        ("MBR partition 1", lambda p: flip(p, 446 + 13), "MBR partition 1 covers the image"),
        ("MBR partition 1, end", lambda p: flip(p, 446 + 5), "ends at the last head and sector"),
        ("MBR partition 2", lambda p: flip(p, 462 + 9), "MBR partition 2 is where efi.img is"),
        ("GPT header", lambda p: flip(p, 512 + 57), "primary header and entries have right CRCs"),
        ("GPT entries", lambda p: flip(p, 1024 + 130), "primary header and entries have right CRCs"),
        ("backup GPT", lambda p: patch(p, -512, bytes(8)), "backup header in the last block"),
        ("a block more at the end", lambda p: os.truncate(p, image.size + BLOCK), "multiple of xorriso's cylinder"),
        ("a block less at the end", lambda p: os.truncate(p, image.size - BLOCK), "primary volume size is the file's"),
        ("El Torito catalog", lambda p: flip(p, catalog(image) + 40), "El Torito report unchanged"),
        ("FAT: tables differ", lambda p: flip(p, fat + BLOCK + 700), "fsck.vfat|mdir|mtype|could be made"),
        ("FAT: serial", lambda p: flip(p, fat + 39), "volume id, label, type and geometry"),
        ("FAT: loader", lambda p: loader(p, fat), "mtype: other files"),
        ("FAT: menu is the base's", lambda p: menu(p, fat), r"efi.img .*grub.cfg: only initrd lines differ"),
        ("isolinux.cfg: a kernel argument", lambda p: replace(p, place("/isolinux/isolinux.cfg"), b"loglevel=4", b"loglevel=7"), r"isolinux.cfg: only initrd lines differ"),
        ("grub.cfg: an initrd line", lambda p: replace(p, place("/EFI/BOOT/grub.cfg"), b"initrd /boot/initrd", b"initrd /boot/xnitrd"), r"grub.cfg: only initrd lines differ"),
        ("archive", lambda p: patch(p, place(ours), b"1"), "cpio -it"),
        ("archive trailer", lambda p: replace(p, place(ours), b"TRAILER!!!", b"TRAILER!!?", image.sizes[ours]), "cpio -it"),
        ("archive owner", lambda p: patch(p, place(ours) + 6 + 16, b"000003e8"), "belongs to|cpio -it"),
    ]


def mode(path, primary):
    """Changes the PX mode of a file, both byte orders."""
    at = record(path, primary, b"VERSION.TXT;1")
    with open(path, "rb") as f:
        f.seek(at)
        px = at + f.read(250).index(b"PX") + 4
    patch(path, px, b"\xff\x81\0\0\0\0\x81\xff")


def catalog(image):
    out = check_image.text(check_image.call("xorriso", "-indev", image.path, "-report_el_torito", "plain"))
    return int(re.search(r"El Torito catalog\s*:\s*(\d+)", out)[1]) * BLOCK


def replace(path, at, old, new, length=1 << 20):
    with open(path, "r+b") as f:
        f.seek(at)
        data = f.read(length)
        patch(path, at + data.index(old), new)


def loader(path, fat):
    """Another program under the loader's name."""
    with tempfile.NamedTemporaryFile() as t:
        t.write(b"MZ" * 1000)
        t.flush()
        subprocess.run(["mcopy", "-D", "o", "-i", f"{path}@@{fat}", t.name, "::/EFI/BOOT/BOOTX64.EFI"], check=True, stdin=subprocess.DEVNULL)


def menu(path, fat):
    """One entry that boots without the archive."""
    where = f"{path}@@{fat}"
    text = subprocess.run(["mtype", "-i", where, "::/EFI/BOOT/grub.cfg"], capture_output=True, check=True).stdout
    with tempfile.NamedTemporaryFile() as t:
        t.write(re.sub(rb"(initrd /boot/initrd)[^\n]*", rb"\1", text, count=1))
        t.flush()
        subprocess.run(["mcopy", "-D", "o", "-i", where, t.name, "::/EFI/BOOT/grub.cfg"], check=True, stdin=subprocess.DEVNULL)


def moved(base, out):
    """The same where efi.img is a larger copy."""
    was, image = check_image.Image(base), check_image.Image(out)
    (old, _), (fat, _) = was.efi(), image.efi()
    sectors = [check_image.esp_blocks(x)[1].to_bytes(2, "little") for x in (was, image)]
    return [
        ("MBR partition 2 where it was", lambda p: patch(p, 462 + 8, (old // 512).to_bytes(4, "little")), "MBR partition 2 is where efi.img is"),
        ("GPT partition 2 where it was", lambda p: patch(p, 1024 + 128 + 32, (old // 512).to_bytes(8, "little")), "GPT: partition 2 is where efi.img is"),
        ("El Torito entry where it was", lambda p: replace(p, catalog(image), (fat // BLOCK).to_bytes(4, "little"), (old // BLOCK).to_bytes(4, "little")), "El Torito report names"),
        ("El Torito sectors as before", lambda p: replace(p, catalog(image), sectors[1], sectors[0]), "El Torito report names"),
        ("the old efi.img", lambda p: flip(p, old + 2000), "still stands where it was"),
        ("a time in the larger FAT", lambda p: time(p, fat), "same sizes and times"),
    ]


def time(path, fat):
    """Another date for the loader."""
    with open(path, "rb") as f:
        f.seek(fat)
        at = fat + f.read(1 << 22).index(b"BOOTX64 EFI")
    flip(path, at + 24)


def failures_of(base, out, *flags):
    """What check-image complains about."""
    said = subprocess.run([os.path.join(HERE, "check-image.py"), base, out, *flags], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    lines = said.stdout.splitlines()
    if not lines or not re.fullmatch(r"\d+ passed, \d+ failed", lines[-1]):
        return {f"check-image did not come to an end: {said.stderr[-500:]}"}
    return {x for x in lines if x.startswith("FAIL")}


def tried(base, out, number, damage, before, *flags):
    """What check-image complains about in a damaged copy."""
    hurt = f"{out}.{number}"
    shutil.copyfile(out, hurt)
    damage(hurt)
    failures = failures_of(base, hurt, *flags) - before
    os.remove(hurt)
    return failures


def main():
    small, remaster = sys.argv[1:3]
    passed = failed = 0

    def verdict(name, right, detail):
        nonlocal passed, failed
        passed, failed = passed + bool(right), failed + (not right)
        print(f"{'ok   ' if right else 'FAIL '} self-test: {name}{'' if right else f': {detail}'}", flush=True)
    with tempfile.TemporaryDirectory(prefix="remaster-self-", dir=os.environ.get("TMPDIR", "/var/tmp")) as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        out, key = f"{folder}/out.iso", f"{folder}/key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        made = subprocess.run([os.path.join(HERE, "odd.sh"), small, folder, "full-fat16"], capture_output=True, text=True, check=True)
        full = made.stdout.strip()
        for base, all_damages, flags in ((small, damages, []), (full, moved, ["--grown-esp"])):
            done = subprocess.run([remaster, base, "--key", key + ".pub", "-f", "-o", out], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            if not (done.returncode == 0 and os.path.exists(out)):
                verdict("an image to damage", False, done.stderr)
                continue
            before = failures_of(base, out, *flags)  # so that only what the damage adds counts
            verdict(f"{os.path.basename(base)}: an image to damage", not before, before)
            each = [(number, *x) for number, x in enumerate(all_damages(base, out))]
            results = pool.map(lambda x: tried(base, out, x[0], x[2], before, *flags), each)
            for (_, name, _, complaint), failures in zip(each, results):
                verdict(f"damaged {name}", any(re.search(complaint, x) for x in failures), sorted(x[:200] for x in failures))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
