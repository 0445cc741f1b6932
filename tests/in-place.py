#!/usr/bin/env python3
"""Kills edits in place, 200 times: afterwards the image is the old one or the new one. Then resets, of files and of sticks, which are
killed as well. Usage: in-place.py REMASTER BASE…

The tiny image is edited and killed, at points all over an edit, and the first BASE a few times; each BASE is stamped with nothing but
a key and with every customisation there is, both ways, and reset, and must be itself again. Sticks are loop devices (needs root).
Prints a line per check and ends with `N passed, N failed`.
"""
import filecmp
import importlib.util
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from checks import Checks, fast_folder  # noqa: E402

KILLS, LARGE_KILLS, STICK_KILLS = 180, 20, 60
SECRET = "$6$saltsalt$" + "s3cretHash." * 7 + "abcdefghi"
MIB = 1 << 20


def key(c, name):
    path = c.path(name)
    if not os.path.exists(path):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path], check=True)
    return path + ".pub"


def same(one, other):
    return filecmp.cmp(one, other, shallow=False)


def kill(command, seconds, until=lambda: False):
    """Starts the program and kills it after seconds, or once something is so."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
        end = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < end and not until():
            pass
        process.kill()


def kills(c, base, count):
    name = os.path.basename(base)
    keys = [key(c, "one"), key(c, "two")]
    image, made = c.path("image.iso"), {}
    for pub in keys:
        code, _, err = c.call(base, "--key", pub, "-f", "-o", image)
        c.check(f"{name}: stamped with {os.path.basename(pub)}", code == 0, err)
        made[pub] = c.digest(image)
    began = time.monotonic()
    c.call("edit", "--in-place", image, "--replace", "--key", keys[0])
    took = time.monotonic() - began
    now = c.digest(image)
    c.check(f"{name}: an edit gives the image that stamping gives", now == made[keys[0]])
    journal = os.path.join(c.scratch, ".image.iso.remaster-journal")
    wrong, half, old, new = [], 0, 0, 0
    for n in range(count):
        pub, before = keys[(n + 1) % 2], now
        # Every third one in the middle of it.
        middle = (lambda: os.path.exists(journal)) if n % 3 == 2 else (lambda: False)
        kill([c.remaster, "edit", "--in-place", image, "--replace", "--key", pub], 60 if n % 3 == 2 else random.uniform(0, took * 1.1), middle)
        interrupted = os.path.exists(journal)
        half += interrupted
        if interrupted and c.call("inspect", image)[0] == 0:
            wrong.append(f"{n}: half of an edit was taken for an image")
        code, _, err = c.call("edit", "--recover", image)
        now = c.digest(image)
        old, new = old + (now == before), new + (now == made[pub] != before)
        if code != 0 or now not in (before, made[pub]) or os.path.exists(journal):
            wrong.append(f"{n}: code {code}, {err}")
    c.check(f"{name}: after {count} kills the image is the old one ({old}) or the new one ({new}); {half} left a journal", not wrong, wrong[:3])
    if count >= 100:
        c.check(f"{name}: some kills came too early, some too late, and some in between", min(old, new, half) > count // 40, (old, new, half))
    left = [name for name in os.listdir(c.scratch) if name.startswith(".")]
    c.check(f"{name}: nothing is left beside the image", not left, left)


def everything(c, generation):
    """Flags for all that a recipe can say: those of the tests that boot, and what these leave out."""
    spec = importlib.util.spec_from_file_location("custom", os.path.join(HERE, "e2e", "custom.py"))
    custom = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(custom)
    flags = []
    for name, group in custom.groups(None).items():
        folder = c.path(f"{name}-{generation}")
        if not os.path.isdir(folder):
            os.makedirs(folder)
            group.made = group.flags(folder, generation)
            with open(os.path.join(folder, "flags.json"), "w", encoding="utf-8") as file:
                json.dump(group.made, file)
        with open(os.path.join(folder, "flags.json"), encoding="utf-8") as file:
            flags += json.load(file)
    # Large for every generation, so that it stands on the volume.
    return [*flags, "--file", f"{c.file('large', os.urandom(18 * MIB))}:/srv/larger:0600"]


def modes(image, path):
    """The modes that xorriso reads of files of a name on the volume."""
    # Without `stdio:` it takes what is in /dev/shm for a drive.
    listed = subprocess.run(["xorriso", "-indev", f"stdio:{image}", "-find", "/", "-name", path, "-exec", "lsdl", "--"], capture_output=True, text=True, check=False).stdout
    return {line.split()[0] for line in listed.splitlines() if line.startswith("-")}


def resets(c, base):
    name = os.path.basename(base)
    generation = re.match(r"base-(\d+\.\d+)", name)[1]
    want, pub = c.digest(base), key(c, "one")
    image, back = c.path("image.iso"), c.path("back.iso")
    every = everything(c, generation)
    variants = {"key": [], "key, merged": ["--merge-initrd"], "everything": every, "everything, merged": [*every, "--merge-initrd"],
                "credential": ["--inject", "credential"]}
    for title, more in variants.items():
        code, _, err = c.call(base, "--key", pub, *more, "-f", "-o", image)
        if not c.check(f"{name}, {title}: stamped", code == 0, err):
            continue
        if "merged" in title:
            secret = "everything" in title
            found = modes(image, "initrd")
            c.check(f"{name}, {title}: xorriso shows an initrd that {'only root' if secret else 'everyone'} may read", found == {"-r--------" if secret else "-r--r--r--"}, found)
        if title.startswith("everything"):
            code, _, err = c.call("reset", image, "--sha256", want, "-f", "-o", back)
            c.check(f"{name}, {title}: reset gives the base", code == 0 and same(back, base), err)
            os.remove(back)
        code, _, err = c.call("reset", "--in-place", image)
        c.check(f"{name}, {title}: and in place", code == 0 and same(image, base) and want in err, err)
    os.remove(image)


class Stick:
    """A loop device over a file, longer than what goes onto it."""

    def __init__(self, c, size):
        self.c, self.path = c, c.path("disk")
        with open(self.path, "wb") as disk:
            disk.truncate(size)
        self.device = subprocess.run(["losetup", "-f", "--show", self.path], capture_output=True, text=True, check=True).stdout.strip()
        self.yes = ["--yes", "--allow-fixed", "--expect-size", str(size)]

    def call(self, *args):
        return self.c.call(*args, *self.yes)

    def read(self, start, size):
        with open(self.path, "rb") as disk:
            disk.seek(start)
            return disk.read(size)

    def holds(self, text):
        return text.encode() in self.read(0, os.path.getsize(self.path))

    def drop(self):
        subprocess.run(["losetup", "-d", self.device], check=True)
        os.remove(self.path)


def len_of(stick):
    return os.path.getsize(stick.path) // 512


def gpts(stick):
    """Where the GPT headers (UEFI 2.10 §5.3.2) that should be there say that they are; none of one whose checksums are wrong."""
    def at(lba):
        header = stick.read(512 * lba, 512)
        size, crc, _, own, _ = struct.unpack_from("<IIIQQ", header, 12)
        array, count, each, sum_of = struct.unpack_from("<QIII", header, 72)
        right = zlib.crc32(header[:16] + bytes(4) + header[20:size]) == crc and zlib.crc32(stick.read(512 * array, count * each)) == sum_of
        return own if header.startswith(b"EFI PART") and right else None
    return at(1), at(struct.unpack_from("<Q", stick.read(512, 512), 32)[0])


def reset_stick(c, base, flags, title):
    """One reset, looked at closely: the base, its hash, zeros behind, the backup GPT, no secret."""
    image, want, size = c.path("stamped.iso"), c.digest(base), os.path.getsize(base)
    code, _, err = c.call(base, "--key", key(c, "one"), *flags, "--root-password-hash", SECRET, "--file", f"{c.file('large', os.urandom(24 * MIB))}:/srv/large", "-f", "-o", image)
    if not c.check(f"stick, {title}: stamped", code == 0, err):
        return
    stamped = os.path.getsize(image)
    for exact in ([], ["--exact"]):
        where = f"stick, {title}{' --exact' if exact else ''}"
        stick = Stick(c, stamped + 37 * MIB)
        try:
            behind = stick.read(stamped, 36 * MIB)
            code, _, err = stick.call("flash", image, stick.device)
            c.check(f"{where}: written, secret and all", code == 0 and stick.holds(SECRET), err)
            code, _, err = c.call("reset", "--in-place", stick.device, "--allow-fixed", "--expect-size", str(stamped + 37 * MIB))
            c.check(f"{where}: nobody confirmed", code == 2 and "there is no terminal to confirm on" in err, err)
            code, _, err = c.call("reset", "--in-place", stick.device, "--yes", "--allow-fixed", "--expect-size", "7MiB")
            c.check(f"{where}: another disk", code == 5 and "expected 7MiB" in err, err)
            code, _, err = stick.call("reset", "--in-place", stick.device, "--sha256", "0" * 64)
            c.check(f"{where}: another base", code == 3 and stick.holds(SECRET), err)
            code, out, err = stick.call("reset", "--in-place", stick.device, "--sha256", want, *exact)
            c.check(f"{where}: reset tells the base's SHA-256", code == 0 and want in err, err)
            kept = 0 if exact else 64 * 512
            end = stamped if exact else min(stamped, os.path.getsize(stick.path) - kept)
            c.check(f"{where}: nothing of ours is left behind the base", not stick.holds(SECRET) and not any(stick.read(size, end - size)))
            c.check(f"{where}: what was behind the image is as it was", stick.read(stamped, 36 * MIB) == behind)
            code, _, err = c.call("verify", stick.device, "--against", base)
            c.check(f"{where}: verify finds the base", code == 0, err)
            faults = [subprocess.run(["sgdisk", "-v", path], capture_output=True, text=True, check=False).stdout.count("Problem:") for path in (base, stick.path)]
            if exact:
                with open(base, "rb") as file:
                    c.check(f"{where}: the very bytes", stick.read(0, size) == file.read())
            else:
                c.check(f"{where}: sgdisk finds no more faults than in the base", faults[1] <= faults[0], faults)
                c.check(f"{where}: both GPTs are whole, the backup at the end", gpts(stick) == (1, len_of(stick) - 1), gpts(stick))
            code, _, err = stick.call("reset", "--in-place", stick.device)
            c.check(f"{where}: a second one has nothing to do", code == 2 and "nothing was put into" in err, err)
        finally:
            stick.drop()
    os.remove(image)


def stick_of_patch(c, base):
    """What is flashed by a patch is what stamping gives, and goes again; programs are told."""
    image, patch = c.path("patched.iso"), c.path("patched.remaster")
    for output, form in ((image, "image"), (patch, "patch")):
        c.call(base, "--key", key(c, "one"), "--as", form, "-f", "-o", output)
    stick = Stick(c, os.path.getsize(image) + 9 * MIB)
    try:
        code, _, err = stick.call("flash", base, "--patch", patch, stick.device)
        c.check("stick: flashed by a patch, it holds the stamped image", code == 0 and c.call("verify", stick.device, "--against", image)[0] == 0, err)
        code, out, err = stick.call("reset", "--in-place", stick.device, "--json")
        events = [json.loads(line) for line in out.splitlines()] or [{}]
        last = {"v": 1, "event": "reset", "target": stick.device, "size": os.path.getsize(base), "sha256": c.digest(base), "known_by": "head"}
        c.check("stick: programs are told of a reset", code == 0 and events[-1] == last and events[-2]["event"] == "result" and events[-2]["ok"], events[-2:])
        code, out, err = stick.call("reset", "--in-place", stick.device, "--json")
        c.check("stick: and of one that is refused", code == 2 and json.loads(out.splitlines()[-1])["event"] == "error", out)
    finally:
        stick.drop()


def kill_resets(c, base):
    image, want = c.path("stamped.iso"), c.digest(base)
    stick_of_patch(c, base)
    c.call(base, "--key", key(c, "one"), "--file", f"{c.file('large', os.urandom(40 * MIB))}:/srv/large", "-f", "-o", image)
    stick = Stick(c, os.path.getsize(image) + 9 * MIB)
    wrong, states = [], {"old": 0, "new": 0, "half": 0}
    try:
        stick.call("flash", image, stick.device)
        full = c.path("full")
        shutil.copy(stick.path, full)
        began = time.monotonic()
        stick.call("reset", "--in-place", stick.device)
        took = time.monotonic() - began
        reset = c.digest(stick.path)
        for n in range(STICK_KILLS):
            subprocess.run(["dd", f"if={full}", f"of={stick.device}", "bs=1M", "status=none", "conv=fsync"], check=True)
            marked = (lambda: stick.read(0, 8) == b"remaster") if n % 2 else (lambda: False)
            command = [c.remaster, "reset", "--in-place", stick.device, *stick.yes]
            kill(command, 60 if n % 2 else random.uniform(0, took * 1.1), marked)
            code, out, err = c.call("inspect", "--json", stick.device)
            state = ("old" if json.loads(out)["injected"] else "new") if code == 0 else "half"
            states[state] += 1
            if state == "half" and "interrupted" not in err:
                wrong.append(f"{n}: {err}")
            if state == "half" and n % 4 == 3:
                code, _, err = stick.call("flash", base, stick.device)
                done, right = "flash", code == 0 and c.call("verify", stick.device, "--against", base)[0] == 0
            elif state == "new":
                done, right = "nothing", c.digest(stick.path) == reset
            else:
                code, _, err = stick.call("reset", "--in-place", stick.device, "--sha256", want)
                done, right = "reset", code == 0 and c.digest(stick.path) == reset
            if not right:
                wrong.append(f"{n}, {state}, {done}: {err}")
        c.check(f"resets of a stick killed at {STICK_KILLS} points: {states['old']} old, {states['new']} new, {states['half']} half; all can be finished", not wrong, wrong[:3])
        c.check("some kills left half", states["half"] > STICK_KILLS // 4, states)
    finally:
        stick.drop()


def sticks(c, tiny, base):
    reset_stick(c, tiny, [], "tiny")
    reset_stick(c, base, ["--merge-initrd"], "merged")
    kill_resets(c, tiny)


def main():
    remaster, *bases = sys.argv[1:]
    scratch = tempfile.mkdtemp(prefix="remaster-in-place-", dir=fast_folder(2 << 30))
    try:
        c = Checks(os.path.abspath(remaster), scratch)
        tiny = c.path("tiny.iso")
        subprocess.run(["zstd", "-dq", os.path.join(HERE, "tiny", "tiny.iso.zst"), "-o", tiny], check=True)
        # On a disk, where a sync takes as long as it takes.
        with tempfile.TemporaryDirectory(prefix="remaster-edits-", dir=os.environ.get("TMPDIR", "/var/tmp")) as c.scratch:
            kills(c, tiny, KILLS)
            kills(c, bases[0], LARGE_KILLS)
        c.scratch = scratch
        sticks(c, tiny, bases[-1])
        for base in bases:
            resets(c, base)
        return c.end()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
