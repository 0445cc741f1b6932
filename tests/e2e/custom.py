#!/usr/bin/env python3
"""Boots images with everything that a recipe can say, and looks from inside. Usage: custom.py REMASTER KEYS LOGS [--base B] [--only GROUP] [--all]

Each file of custom/ is a group: its flags, what must be seen in the guest, and what must be refused. One image per
generation has the flags of all groups, and is booted by BIOS or by UEFI. With --all, every one is booted by both, and looks
the same both times, but for what a table of the recipe says of one machine. Prints a line per check and ends with `N passed, N failed`.
"""
import argparse
import importlib.util
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
import checks  # noqa: E402

# Firmware, medium, and which of the machines of the recipe it is: the first, or another one.
CD, STICK, OTHER_CD = ("bios", "cd", 0), ("uefi", "usb", 0), ("bios", "cd", 1)
# 23.11 is like 24.11 here, and boots with --all only.
GENERATIONS = {"23.11": [], "24.11": [OTHER_CD], "25.11": [CD], "26.05": [STICK]}


class Guest:
    """A booted image, the key that opens it, and what a table of the recipe says of this machine."""

    def __init__(self, machine, key, base, own):
        self.machine, self.key, self.base, self.own = machine, own.get("key", key), base, own

    def run(self, command, user="root"):
        """What a command says that is run over ssh, in a connection that stays open."""
        return self.machine.ssh(user, self.key, command, shared=True)


class Named:
    """Checks whose names begin with where they were made."""

    def __init__(self, c, prefix):
        self.c, self.prefix = c, prefix

    def check(self, name, right, detail=""):
        return self.c.check(f"{self.prefix}: {name}", right, detail)


def groups(only):
    """The groups by name."""
    folder = os.path.join(HERE, "custom")
    found = {}
    for name in sorted(n.removesuffix(".py") for n in os.listdir(folder) if n.endswith(".py")):
        if only and name != only:
            continue
        spec = importlib.util.spec_from_file_location(f"custom_{name}", os.path.join(folder, f"{name}.py"))
        found[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found[name])
    return found


def stamp(remaster, base, flags, out):
    """Runs the program."""
    return subprocess.run([remaster, base, *flags, "-f", "-o", out], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def qemu(found, generation, turn, logs):
    """What the groups add to the machine of one boot, and what the recipe says of it alone."""
    os.makedirs(logs, exist_ok=True)
    added = [group.machine(generation, turn, logs) for group in found.values() if hasattr(group, "machine")]
    return [a for arguments, _ in added for a in arguments], {k: v for _, own in added for k, v in own.items()}


def run(c, remaster, generation, base, found, key, scratch, logs, boots):
    """One generation: what is refused, then boots of one image."""
    image, flags = os.path.join(scratch, "image.iso"), ["--key", key + ".pub"]
    for name, group in found.items():
        folder = os.path.join(scratch, f"{name}-{generation}")
        os.makedirs(folder)
        flags += group.flags(folder, generation)
        for bad, text in getattr(group, "refused", lambda *_: [])(folder, generation):
            done = stamp(remaster, base, ["--key", key + ".pub", *bad], os.path.join(scratch, "refused.iso"))
            c.check(f"{generation} {name}: {' '.join(bad)} is refused", done.returncode in (2, 4) and text in done.stderr and not os.path.exists(os.path.join(scratch, "refused.iso")),
                    f"exit code {done.returncode}: {done.stderr[-500:]}")
    done = stamp(remaster, base, flags, image)
    if not c.check(f"{generation}: stamped", done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-800:]}"):
        return
    for firmware, medium, turn in boots:
        where = f"{generation} {firmware} {medium}"
        kept = os.path.join(logs, where.replace(" ", "_"))
        extra, own = qemu(found, generation, turn, kept)
        machine = boot.Machine(image, firmware, medium, kept, mac=own.get("mac", boot.FIRST_MAC), extra=extra)
        failed = c.failed
        try:
            waited = machine.wait_for_ssh()
            if c.check(f"{where}: ssh after {waited} s", waited is not None, f"nothing after {boot.PATIENCE} s, logs in {kept}"):
                guest = Guest(machine, key, generation, own)
                state = guest.run(f"{boot.SETTLED}; systemctl --failed --plain --no-legend | cut -d' ' -f1").out.split()
                failing = [unit for group in found.values() for unit in getattr(group, "failed", lambda _: [])(generation)]
                c.check(f"{where}: no unit fails but {failing}", state == ["degraded" if failing else "running", *failing], state)
                for name, group in found.items():
                    group.check(Named(c, f"{where} {name}"), guest, generation)
            if c.failed > failed:
                machine.screenshot()
                print("\n".join("  serial| " + line for line in machine.serial_tail().splitlines()), flush=True)
        finally:
            machine.stop()
        if c.failed == failed:
            shutil.rmtree(kept)
    os.remove(image)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("remaster")
    p.add_argument("keys")
    p.add_argument("logs")
    p.add_argument("--base", action="append", choices=GENERATIONS)
    p.add_argument("--only", help="one group")
    p.add_argument("--all", action="store_true", help="boot every image twice")
    a = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no machine outlives this program
    names = a.base or list(GENERATIONS)
    paths = subprocess.run([os.path.join(HERE, "..", "rig", "bases.sh"), *names], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    os.makedirs(a.keys, exist_ok=True)
    key = os.path.join(a.keys, "custom")
    if not os.path.exists(key):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "custom@test", "-f", key], check=True)
    c, found = checks.Checks(), groups(a.only)
    with tempfile.TemporaryDirectory(prefix="remaster-custom-", dir=os.environ.get("TMPDIR", "/var/tmp")) as scratch:
        for generation, base in zip(names, paths, strict=True):
            run(c, os.path.abspath(a.remaster), generation, base, found, key, scratch, a.logs, [STICK, OTHER_CD] if a.all else GENERATIONS[generation])
    return c.end()


if __name__ == "__main__":
    sys.exit(main())
