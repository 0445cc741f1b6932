#!/usr/bin/env python3
"""Records all that the program makes of the tiny images, and compares it with what was recorded before.

Usage: tests/golden/run.py REMASTER [--update]
       tests/golden/run.py REMASTER --old OLD_REMASTER --bases ISO… [--only GROUP…]

There is a record per image and group of commands (cases.py): how each command ended, what it said, and what it wrote, read
apart from the program: a digest, records, modes, menus, members of archives, the manifest. texts.txt has the texts that are put into live systems.
The version, times and places are masked; keys come from the seed in inputs/. --update writes the records anew: look at the difference, then commit it.
--bases compares two programs on bases that boot, in one run. Ends with `N passed, N failed`.
"""
import argparse
import concurrent.futures
import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import cases  # noqa: E402 (the path comes first)
import ext4  # noqa: E402
import record  # noqa: E402
from checks import Checks  # noqa: E402
from iso import Iso  # noqa: E402

SHOWN = 60
TINY = {"tiny": "x86_64", "tiny-systemd": "x86_64", "tiny-aarch64": "aarch64", "tiny-sd": "aarch64", "tiny-sd-old": "aarch64"}


class Base:
    """An image that is changed, and what was found in it."""

    def __init__(self, name, path, arch):
        self.name, self.path, self.arch = name, path, arch
        self.data = record.opened(path)
        self.is_raw = path.endswith(".img")
        if self.is_raw:
            self.root = ext4.Root(path, ext4.root_at(self.data))
            self.digests = self.root.digests()
        else:
            self.iso = Iso(path, self.data)


def tiny(folder):
    """The tiny images, unpacked."""
    for name, arch in TINY.items():
        suffix = ".img" if name.startswith("tiny-sd") else ".iso"
        path = os.path.join(folder, name + suffix)
        subprocess.run(["zstd", "-dqf", os.path.join(HERE, "..", "tiny", f"{name}{suffix}.zst"), "-o", path], check=True)
        yield Base(name, path, arch)


def named(paths):
    for path in paths:
        name = os.path.splitext(os.path.basename(path))[0]
        yield Base(name, os.path.abspath(path), "aarch64" if "aarch64" in name else "x86_64")


def records(remaster, bases, only, scratch):
    """Name of a record to its text."""
    said = subprocess.run([remaster, "--version"], capture_output=True, text=True, check=True).stdout.split()
    texts, found = {}, {}

    def one(base, group):
        folder = os.path.join(scratch, base.name, group)
        kept = record.Record(remaster, said[1], base, folder, texts)
        kept.say(f"{base.name}, {group}: {cases.GROUPS[group].__doc__.strip()}")
        cases.GROUPS[group](kept)
        found[f"{base.name}/{group}.txt"] = kept.end()
        shutil.rmtree(folder)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in [pool.submit(one, base, group) for base in bases for group in only]:
            done.result()
    seen = {}
    order = [f"{base.name}/{group}.txt" for group in only for base in bases]
    found = {path: record.text(found[path], path, seen) for path in order}
    shown = (f"== {path} {digest[:16]}\n{text if text.endswith(chr(10)) else text + chr(10) + '(no line feed at the end)' + chr(10)}" for (path, digest), text in sorted(texts.items()))
    found["texts.txt"] = "\n".join(shown)
    return found


def kept():
    """The records of the repository."""
    found = {}
    for top, _, files in os.walk(HERE):
        for name in files:
            path = os.path.relpath(os.path.join(top, name), HERE)
            if re.fullmatch(r"texts\.txt|tiny[^/]*/[^/]+\.txt", path):
                with open(os.path.join(HERE, path), encoding="utf-8") as file:
                    found[path] = file.read()
    return found


def update(new, old):
    for path in old.keys() - new.keys():
        os.remove(os.path.join(HERE, path))
    for path, text in new.items():
        os.makedirs(os.path.dirname(os.path.join(HERE, path)), exist_ok=True)
        with open(os.path.join(HERE, path), "w", encoding="utf-8") as file:
            file.write(text)


def compare(c, old, new):
    for path in sorted(old.keys() | new.keys()):
        lines = list(difflib.unified_diff(old.get(path, "").splitlines(), new.get(path, "").splitlines(), f"kept/{path}", f"now/{path}", lineterm="", n=2))
        right = c.check(path, not lines and path in old and path in new, f"{len(lines)} lines of difference" if lines else "only on one side")
        if not right:
            print("\n".join(lines[:SHOWN] + (["…"] if len(lines) > SHOWN else [])), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("remaster")
    p.add_argument("--update", action="store_true")
    p.add_argument("--only", nargs="+", choices=cases.GROUPS, default=list(cases.GROUPS))
    p.add_argument("--bases", nargs="+")
    p.add_argument("--old")
    a = p.parse_args()
    if (a.bases is None) != (a.old is None) or (a.bases and a.update) or (a.only != list(cases.GROUPS) and not a.bases):
        p.error("--bases and --old belong together; --only is for them, and --update is not")
    os.umask(0o022)
    c = Checks()
    with tempfile.TemporaryDirectory(prefix="remaster-golden-", dir=os.environ.get("TMPDIR", "/var/tmp")) as scratch:
        bases = list(named(a.bases) if a.bases else tiny(scratch))
        new = records(os.path.abspath(a.remaster), bases, a.only, f"{scratch}/new")
        old = records(os.path.abspath(a.old), bases, a.only, f"{scratch}/old") if a.old else kept()
        if a.update:
            update(new, old)
            old = kept()
        compare(c, old, new)
    return c.end()


if __name__ == "__main__":
    sys.exit(main())
