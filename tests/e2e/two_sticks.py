#!/usr/bin/env python3
"""Starts one of two stamped sticks in one machine. Usage: two_sticks.py REMASTER KEYS LOGS [--all] [--only TEXT]

Sticks with images of one base have one label, and which of them the system mounts at /iso is chance. Here it is always the
other one, as the one that is started has another label. The system must take what was put into the image that was started,
and must say so when some of that is on no device. QEMU loads kernel and
initrds (`-kernel`, `-initrd`), joined as loaders join them; those of one base are packed by lz4.
Prints a line per check and ends with `N passed, N failed`.
"""
import argparse
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "rig")]
import boot  # noqa: E402
import boots  # noqa: E402
import checks  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Start:
    """One start: which base, and what is added to its command line."""

    base: str
    option: str | None = None

    def __str__(self):
        return " ".join([self.base, *[self.option] * bool(self.option)])


# Both kinds of stage 1.
SOME = [Start("24.11-lz4"), Start("26.05")]
ALL = [*SOME, Start("24.11-lz4", "copytoram"), Start("26.05", "copytoram"), Start("23.11"), Start("25.11")]

STORES = {2: "is-there", 3: "is-lost"}

FACTS = r"""
echo "running=$(@SETTLED@)"
echo "failed=$(systemctl --failed --plain --no-legend | tr '\n' ' ')"
echo "host=$(hostname)"
echo "files=$(cat /srv/whose)"
echo "large=$(sha256sum < /srv/large | cut -c1-64)"
for name in is-there is-lost; do echo "$name=$(cat /nix/store/*-"$name"/whose 2>&1)"; done
echo "mounted=$(ls /iso/remaster | tr '\n' ' ')"
echo "medium=$(findmnt -rno SOURCE,OPTIONS /nix/.remaster-store/medium)"
journalctl -b -t remaster -o cat | sed 's/^/journal=/'
echo end=end
""".replace("@SETTLED@", boot.SETTLED)


class Machine(boot.Machine):
    """A QEMU that is given kernel and initrd, with two sticks."""

    def __init__(self, started, sticks, logs):
        self.started_files, self.sticks = started, sticks
        super().__init__(started["kernel"], "bios", "cd", logs)

    def arguments(self, image, firmware, medium, memory, mac, extra):
        args = super().arguments("/dev/null", firmware, "cd", memory, mac, extra)
        at = args.index("-cdrom")
        args[at:at + 4] = ["-nodefaults", "-vga", "std", "-device", "qemu-xhci"]
        for number, path in enumerate(self.sticks):
            args += ["-drive", f"if=none,id=stick{number},format=raw,readonly=on,file={path}", "-device", f"usb-storage,drive=stick{number},removable=on"]
        return [*args, "-kernel", image, "-initrd", self.started_files["initrd"], "-append", self.started_files["line"]]


def squashfs(scratch, whose, name, digit):
    """A store path that says whose it is."""
    top = os.path.join(scratch, f"{whose}-{name}")
    path = os.path.join(top, f"{digit * 32}-{name}")
    os.makedirs(path)
    with open(os.path.join(path, "whose"), "w", encoding="ascii") as f:
        f.write(f"{whose}\n")
    subprocess.run(["mksquashfs", top, f"{top}.squashfs", "-all-root", "-no-progress", "-quiet"], stdout=subprocess.DEVNULL, check=True)
    return f"{top}.squashfs"


def stamp(c, start, base, whose, key, scratch):
    """An image with an overlay that is too large for an initrd, and two stores; and the overlay's digest."""
    top, image = os.path.join(scratch, f"overlay-{whose}"), os.path.join(scratch, f"{whose}.iso")
    os.makedirs(f"{top}/srv")
    with open(f"{top}/srv/whose", "w", encoding="ascii") as f:
        f.write(f"{whose}\n")
    with open(f"{top}/srv/large", "wb") as f:
        f.write(os.urandom(17 << 20))
    stores = [squashfs(scratch, whose, name, str(number)) for number, name in STORES.items()]
    code, _, err = c.call(base, "--key", key + ".pub", "--hostname", f"box-{whose}", "--overlay", top, *[a for s in stores for a in ("--store", s)], "-o", image, seconds=300)
    return c.check(f"{start}: stamped for {whose}", code == 0, err) and image, c.digest(f"{top}/srv/large")


def extract(image, path, out):
    """A file of the image; its bytes."""
    subprocess.run(["osirrox", "-indev", image, "-extract", path, out], capture_output=True, check=True)
    with open(out, "rb") as f:
        data = f.read()
    os.remove(out)
    return data


def loaded(c, image, option, scratch):
    """What a loader hands to the kernel for the first entry: the initrds with zeros up to a multiple of 4 behind each."""
    _, out, _ = c.call("inspect", "--json", image)
    entry = json.loads(out)["menus"][0]["entries"][0]
    files = {"kernel": os.path.join(scratch, "kernel"), "initrd": os.path.join(scratch, "initrd")}
    piece = os.path.join(scratch, "piece")
    with open(files["kernel"], "wb") as f:
        f.write(extract(image, entry["kernel"], piece))
    with open(files["initrd"], "wb") as f:
        for path in entry["initrds"]:
            data = extract(image, path, piece)
            f.write(data + bytes(-len(data) % 4))
    words = [word for word in entry["arguments"] if "isoboot" not in word]
    files["line"] = " ".join([*words, "console=ttyS0,115200", *[option] * bool(option)])
    return files


def lose(image, number):
    """Gives a file of the image another name, as Rock Ridge has it: then it is not there any more."""
    listed = subprocess.run(["xorriso", "-indev", image, "-find", "/remaster", "-name", f"files{number}*"], capture_output=True, text=True, check=True).stdout
    name = listed.strip().strip("'").rsplit("/", 1)[1].encode()
    with open(image, "r+b") as f:
        data, at = f.read(), 0
        # (NM, its length, version 1, no flags)
        field = b"NM" + bytes([len(name) + 5, 1, 0]) + name
        if data.count(field) != 1:
            raise ValueError(f"{name} is {data.count(field)} times in {image}")
        at = data.index(field) + 5
        f.seek(at)
        f.write(b"gone" + name[4:])


def relabel(image):
    """Gives the volume another label, in both hierarchies, so that no system looks for it."""
    with open(image, "r+b") as f:
        for number, name in ((16, b"other"), (17, "other".encode("utf-16-be"))):
            f.seek(number * 2048 + 40)
            f.write(name)


def check_facts(c, start, out, console, digest):
    """What the machine says of itself, and what it said on its console."""
    journal, facts = [], {}
    for line in out.splitlines():
        key, _, value = line.partition("=")
        if key == "journal":
            journal.append(value)
        facts[key] = value
    c.check(f"{start}: all facts came", facts.get("end") == "end", out[-300:])
    c.check(f"{start}: system runs without failed units", facts.get("running") == "running", f"{facts.get('running')} {facts.get('failed')}")
    c.check(f"{start}: the settings are those of the image that was started", facts.get("host") == "box-a", facts.get("host"))
    c.check(f"{start}: so is the overlay", (facts.get("files"), facts.get("large")) == ("a", digest), f"{facts.get('files')} {facts.get('large')} from {facts.get('mounted')}")
    c.check(f"{start}: so is the store", facts.get("is-there") == "a", facts.get("is-there"))
    c.check(f"{start}: no store of the other image", facts.get("is-lost") != "b" and "No such file" in facts.get("is-lost", ""), facts.get("is-lost"))
    for where, lines in (("on the console", console.replace("\r", "").splitlines()), ("in the journal", journal)):
        said = [line for line in lines if "MISSING: a squashfs of --store of this image" in line]
        c.check(f"{start}: what is missing is told {where}", said, lines[-5:])
        c.check(f"{start}: and nothing else {where}", not [line for line in lines if "MISSING" in line and line not in said], lines[-5:])
    c.check(f"{start}: /iso is the other stick", "files3" in facts.get("mounted", ""), facts.get("mounted"))
    kept = facts.get("medium", "").startswith("/dev/")
    c.check(f"{start}: the stick that was started is in use, but for copytoram", kept == (start.option is None), facts.get("medium"))


def run(c, start, base, key, scratch, logs):
    """Makes two images, starts one and checks it."""
    (a, digest), (b, _) = (stamp(c, start, base, whose, key, scratch) for whose in "ab")
    if not a or not b:
        return
    started = loaded(c, a, start.option, scratch)
    lose(a, 3)
    relabel(a)
    failed = c.failed
    machine = Machine(started, [b, a], logs)
    try:
        waited = machine.wait_for_ssh()
        if c.check(f"{start}: ssh after {waited} s", waited is not None, f"nothing after {boot.PATIENCE} s, logs in {logs}"):
            login = machine.ssh("root", key, FACTS)
            if c.check(f"{start}: root logs in by key", login.code == 0, f"{login.code} {login.err}"):
                check_facts(c, start, login.out, machine.serial_tail(1 << 20), digest)
        if c.failed > failed:
            machine.screenshot()
            print("\n".join("  serial| " + line for line in machine.serial_tail().splitlines()), flush=True)
    finally:
        machine.stop()
    if c.failed == failed:
        shutil.rmtree(logs)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("remaster")
    p.add_argument("keys")
    p.add_argument("logs")
    p.add_argument("--all", action="store_true")
    p.add_argument("--only", help="the starts whose name has this text")
    a = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no machine outlives this program
    starts = [start for start in (ALL if a.all else SOME) if not a.only or a.only in str(start)]
    names = list(dict.fromkeys(start.base for start in starts))
    paths = subprocess.run([os.path.join(HERE, "..", "rig", "bases.sh"), *names], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    bases = dict(zip(names, paths, strict=True))
    os.makedirs(a.keys, exist_ok=True)
    c, key = checks.Checks(os.path.abspath(a.remaster)), boots.ssh_key(a.keys, "first")
    for start in starts:
        with tempfile.TemporaryDirectory(prefix="remaster-sticks-", dir=os.environ.get("TMPDIR", "/var/tmp")) as scratch:
            run(c, start, bases[start.base], key, scratch, os.path.join(a.logs, f"two-sticks {start}".replace(" ", "_")))
    return c.end()


if __name__ == "__main__":
    sys.exit(main())
