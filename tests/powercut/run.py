#!/usr/bin/env python3
"""Power cuts: what each kind of writing leaves on a disk that loses, at any moment, what it was not told to flush.

Usage: run.py REMASTER [STATES]. A guest writes once in each kind, and QEMU records every block and flush (`blklogwrites`, in the
format of Linux's dm-log-writes). Then states of the disk are put together as a cut may leave them (STATES of each kind, 100 by
default): all that was flushed, and of what came later the first writes or some of them. Each is mounted and looked at. Needs root.
Prints a line per check and ends with `N passed, N failed`.
"""
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from checks import Checks, fast_folder  # noqa: E402

MIB = 1 << 20
PAGE = 4096
SECTOR = 512
FLUSH, DISCARD = 1, 4  # flags of an entry
SEED = 15
PATIENCE = 600  # seconds for the guest, as an emulator shares its processors
FILES, DISK = 16 * MIB, 9 * MIB  # sizes of disks with a file system, and without


class Kind:
    """One way of writing: the command, what stands on the disk before, and what is right afterwards."""

    def __init__(self, name, command, content, look):
        self.name, self.command, self.content, self.look = name, command, content, look
        self.on_files = isinstance(content, dict)
        # Where the mark goes: behind the file system; on disks, between the image and the end.
        self.mark = (FILES if self.on_files else 6 * MIB) // PAGE

    def make(self, c):
        """The disk before."""
        self.disk, self.log = c.path(f"{self.name}.disk"), c.path(f"{self.name}.log")
        with open(self.disk, "wb") as disk:
            disk.truncate(FILES + 16 * PAGE if self.on_files else DISK)
            if not self.on_files:
                disk.write(self.content)
        if self.on_files:
            folder = c.path(f"{self.name}.files")
            os.mkdir(folder)
            for name, source in self.content.items():
                shutil.copy(source, os.path.join(folder, name))
            subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-d", folder, self.disk, f"{FILES // 1024}k"], check=True)
        with open(self.log, "wb") as log:
            log.truncate(256 * MIB)
        with open(self.disk, "rb") as disk:
            self.before = disk.read()

    def read_log(self):
        """The entries (place, bytes, whether it is a flush), in their order."""
        self.entries, self.marked = [], None
        with open(self.log, "rb") as log:
            magic, version, count, size = struct.unpack("<QQQI", log.read(28))
            assert (magic, version) == (0x6A736677736872, 1), (magic, version)
            log.seek(size)
            for number in range(count):
                sector, sectors, flags, _ = struct.unpack("<QQQQ", log.read(size)[:32])
                data = b"" if flags & (FLUSH | DISCARD) and not sectors or flags & DISCARD else log.read(sectors * size)
                if sector * size == self.mark * PAGE and data.startswith(b"mark"):
                    self.marked = number
                self.entries.append((sector * size, data, bool(flags & FLUSH)))
        assert self.marked is not None, f"{self.name}: no mark among {count} entries"

    def states(self, count, heeds=True):
        """Disks as a cut leaves them: how many entries had begun, whether the command had ended, the bytes. One that does not heed
        what it is told to flush loses more."""
        chance = random.Random(SEED)
        cuts = [(self.marked + 1, 0), (self.marked + 1, 0.5), (len(self.entries), 1)]
        cuts += [(chance.randint(0, len(self.entries)), 1 if n % 2 else chance.choice((0, 0.3, 0.7))) for n in range(count - len(cuts))]
        disk, flushed = bytearray(self.before), 0
        for cut, survive in sorted(cuts):
            last = max((n for n in range(cut) if heeds and self.entries[n][2]), default=0)
            while flushed < last:
                self.put(disk, flushed)
                flushed += 1
            state = bytearray(disk)
            for n in range(last, cut):
                # The mark itself says how far the command came.
                if chance.random() < survive or n == self.marked:
                    self.put(state, n)
            yield cut, cut > self.marked, bytes(state)

    def put(self, disk, number):
        at, data, _ = self.entries[number]
        disk[at : at + len(data)] = data

    def without_mark(self, state):
        return bytes(state[: self.mark * PAGE]) + bytes(state[(self.mark + 1) * PAGE :])


def initramfs(c, program, kinds):
    """Busybox, the program with its libraries, the drivers and the commands."""
    kernel = subprocess.run([os.path.join(HERE, "..", "rig", "kernel.sh")], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    version = os.listdir(f"{kernel}/lib/modules")[0]
    root, modules = c.path("root"), f"lib/modules/{version}"
    for folder in ("bin", "proc", "sys", "dev", "files", modules):
        os.makedirs(f"{root}/{folder}")
    for part in ("drivers/block", "drivers/virtio", "fs/ext4", "fs/jbd2", "fs/mbcache.ko", "lib", "crypto", "arch/x86/crypto"):
        source, place = f"{kernel}/{modules}/kernel/{part}", f"{root}/{modules}/kernel/{part}"
        os.makedirs(os.path.dirname(place), exist_ok=True)
        (shutil.copytree if os.path.isdir(source) else shutil.copy)(source, place)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        shutil.copy(f"{kernel}/{modules}/{name}", f"{root}/{modules}/")
    subprocess.run(["depmod", "-b", root, version], check=True)
    shutil.copy(shutil.which("busybox"), f"{root}/bin/busybox")
    shutil.copy(program, f"{root}/bin/remaster")
    libraries = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
    for library in (word for word in libraries.split() if word.startswith("/")):
        os.makedirs(root + os.path.dirname(library), exist_ok=True)
        shutil.copy(library, root + library)
    shutil.copy(os.path.join(HERE, "guest-init"), f"{root}/init")
    os.chmod(f"{root}/init", 0o755)
    shutil.copy(c.path("stamped.iso"), f"{root}/files/stamped.iso")
    with open(f"{root}/commands", "w", encoding="utf-8") as commands:
        for number, kind in enumerate(kinds):
            disk = f"vd{chr(ord('a') + number)}"
            command = kind.command.replace("DISK", f"/dev/{disk} --yes --allow-fixed --expect-size {DISK}")
            commands.write(f"{disk} {kind.mark} {'files' if kind.on_files else 'disk'} {command}\n")
    subprocess.run(f"cd {root} && find . | cpio -o -H newc --quiet | gzip -1 > {c.path('initramfs')}", shell=True, check=True)
    return next(f"{kernel}/boot/{name}" for name in os.listdir(f"{kernel}/boot") if name.startswith("vmlinuz"))


def record(c, program, kinds):
    """Lets a guest do all of it, with a record of what each disk is told."""
    kernel = initramfs(c, program, kinds)
    command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "512", "-nographic", "-no-reboot", "-nodefaults",
               "-serial", "stdio", "-kernel", kernel, "-initrd", c.path("initramfs"), "-append", "console=ttyS0 quiet panic=-1 no_timer_check"]
    for number, kind in enumerate(kinds):
        command += ["-blockdev", f"driver=blklogwrites,node-name=log{number},log-super-update-interval=1,"
                    f"file.driver=file,file.filename={kind.disk},log.driver=file,log.filename={kind.log}",
                    "-device", f"virtio-blk-pci,drive=log{number}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace", timeout=PATIENCE, check=False)
    for number, kind in enumerate(kinds):
        disk = f"vd{chr(ord('a') + number)}"
        c.check(f"{kind.name}: done in the guest", f"@ended {disk} 0" in done.stdout, done.stdout)
        kind.read_log()


def on_files(what):
    """Mounts a state and looks at its files."""
    def look(c, kind, state, done):
        with open(c.path("state"), "wb") as disk:
            disk.write(state)
        folder = c.path("mounted")
        os.makedirs(folder, exist_ok=True)
        mounted = subprocess.run(["mount", "-o", "loop", "-t", "ext4", c.path("state"), folder], stderr=subprocess.PIPE, text=True, check=False)
        if mounted.returncode != 0:
            return f"not mounted: {mounted.stderr}"
        try:
            found = set(os.listdir(folder)) - {"lost+found"}
            try:
                return what(c, kind, folder, found, done)
            except OSError as why:
                return f"a file cannot be read: {why}"
        finally:
            subprocess.run(["umount", folder], check=True)
    return look


def new_files(c, kind, folder, found, done):
    """Files of their own: each is there and whole, or not there; nothing else is, and what was there stays."""
    for name, source in kind.content.items():
        if name not in found or c.digest(os.path.join(folder, name)) != c.digest(source):
            return f"{name} changed"
    made = {os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names} - set(kind.content)
    if made - set(kind.made):
        return f"{made - set(kind.made)} are left"
    wrong = [name for name in made if c.digest(os.path.join(folder, name)) != c.digest(kind.made[name])]
    if wrong:
        return f"half of {wrong}"
    if done and made != set(kind.made):
        return f"told to be done, but only {made} are there"
    return True, f"{len(made)} of {len(kind.made)}"


def edited(c, kind, folder, _, done):
    """An image that is changed in place: the old or the new one, after a journal that is found is done."""
    image, journal = os.path.join(folder, "image.iso"), os.path.join(folder, ".image.iso.remaster-journal")
    old, new = c.digest(kind.content["image.iso"]), c.digest(kind.after)
    interrupted = os.path.exists(journal)
    if interrupted and c.call("inspect", image)[0] == 0:
        return "half of an edit was taken for an image"
    if done and (interrupted or c.digest(image) != new):
        return "told to be done, but it is not"
    if not interrupted and c.digest(image) not in (old, new):
        return "neither the old image nor the new one, and no journal"
    code, _, err = c.call("edit", "--recover", image)
    now = c.digest(image)
    if code != 0 or now not in ((new,) if interrupted else (old, new)) or os.path.exists(journal):
        return f"not repaired: code {code}, {err}"
    return True, "a journal" if interrupted else "old" if now == old else "new"


def on_disks(what):
    """Shows a state as a disk."""
    def look(c, kind, state, done):
        c.file("state", state)
        device = subprocess.run(["losetup", "-f", "--show", c.path("state")], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        try:
            return what(c, kind, state, done, device)
        finally:
            subprocess.run(["losetup", "-d", device], check=True)
    return look


def flashed(c, kind, state, done, device):
    """A disk: what it was, the image, or one that says that it is half written."""
    code, _, err = c.call("verify", device, "--against", c.path("stamped.iso"))
    if code == 0:
        return True, "whole"
    if done:
        return f"told to be done, but verify says {code}: {err}"
    if state[:SECTOR] == kind.before[:SECTOR]:
        return True, "old"
    code, _, told = c.call("inspect", device)
    if "half written" not in told or "half written" not in err:
        return f"not recognised: inspect says {code}: {told}; verify says {err}"
    return True, "half"


def put_back(c, kind, state, done, device):
    """A disk that is reset: the old image, the base, or one that says that it is interrupted; then the base again."""
    code, out, err = c.call("inspect", "--json", device)
    now = ("old" if json.loads(out)["injected"] else "new") if code == 0 else "half"
    if now == "half" and "interrupted" not in err:
        return f"not recognised: {err}"
    if done and now != "new":
        return f"told to be done, but it is {now}"
    if now != "new":
        code, _, err = c.call("reset", "--in-place", device, "--yes", "--allow-fixed", "--expect-size", str(DISK))
        if code != 0:
            return f"not finished: {code}, {err}"
    with open(device, "rb") as disk:
        whole = kind.without_mark(disk.read()) == kind.without_mark(kind.last)
    return (True, now) if whole else f"from {now}, another disk than the reset makes"


def kinds_of(c):
    """The kinds, with what they start from and what they make."""
    tiny, stamped = c.path("tiny.iso"), c.path("stamped.iso")
    subprocess.run(["zstd", "-dq", os.path.join(HERE, "..", "tiny", "tiny.iso.zst"), "-o", tiny], check=True)
    noise = c.file("noise", random.Random(SEED).randbytes(MIB))
    keys = {}
    for name in ("one", "two"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", c.path(name)], check=True)
        keys[f"{name}.pub"] = c.path(f"{name}.pub")
    rows = [f"{name},{open(path, encoding='utf-8').read()}" for name, path in keys.items()]
    users = c.file("users.csv", "".join(["name,key\n", *rows]))
    made = [(tiny, "--key", keys["one.pub"], "--file", f"{noise}:/srv/noise", "-o", stamped),
            (tiny, "--key", keys["two.pub"], "-o", c.path("second.iso")),
            ("stamp", tiny, users, "-o", c.path("batch"))]
    for args in made:
        code, _, err = c.call(*args)
        assert code == 0, err
    files = {"tiny.iso": tiny, "noise": noise, **keys}
    batch = {os.path.join("out", name): os.path.join(c.path("batch"), name) for name in os.listdir(c.path("batch"))}
    old, image = random.Random(SEED).randbytes(DISK), open(stamped, "rb").read()
    kinds = [
        Kind("stamp", "remaster tiny.iso --key one.pub --file noise:/srv/noise -o new.iso", files, on_files(new_files)),
        Kind("batch", "remaster stamp tiny.iso users.csv -o out", {**files, "users.csv": users}, on_files(new_files)),
        Kind("edit", "remaster edit --in-place image.iso --replace --key two.pub", {"image.iso": stamped, **keys}, on_files(edited)),
        Kind("reset of a file", "remaster reset --in-place image.iso", {"image.iso": stamped}, on_files(edited)),
        Kind("flash", "remaster flash stamped.iso DISK --no-eject", old, on_disks(flashed)),
        Kind("reset of a disk", "remaster reset --in-place DISK", image, on_disks(put_back)),
    ]
    kinds[0].made, kinds[1].made = {"new.iso": stamped}, batch
    kinds[2].after, kinds[3].after = c.path("second.iso"), tiny
    return kinds


def cut_off(c, kind, states):
    """Looks at what cuts leave of one kind."""
    wrong, seen = [], {}
    kind.last = bytearray(kind.before)
    for number in range(len(kind.entries)):
        kind.put(kind.last, number)
    for cut, done, state in kind.states(states):
        found = kind.look(c, kind, state, done)
        if isinstance(found, str):
            wrong.append(f"cut at {cut} of {len(kind.entries)}: {found}")
        else:
            seen[found[1]] = seen.get(found[1], 0) + 1
    flushes = sum(flush for _, _, flush in kind.entries)
    writes = f"{len(kind.entries) - flushes} writes and {flushes} flushes"
    found = ", ".join(f"{count} {what}" for what, count in sorted(seen.items()))
    c.check(f"{kind.name}: {writes}, cut at {states} points: {found}", not wrong, wrong[:3])
    c.check(f"{kind.name}: some cuts came before it and some after", len(seen) > 1, seen)
    told = (kind.look(c, kind, state, done) for _, done, state in kind.states(states, heeds=False))
    c.check(f"{kind.name}: a disk that does not heed a flush is told by these checks", any(isinstance(found, str) for found in told))


def main():
    program, states = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100
    scratch = tempfile.mkdtemp(prefix="remaster-powercut-", dir=fast_folder(1 << 30))
    try:
        c = Checks(program, scratch)
        kinds = kinds_of(c)
        for kind in kinds:
            kind.make(c)
        record(c, program, kinds)
        for kind in kinds:
            cut_off(c, kind, states)
        return c.end()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
