#!/usr/bin/env python3
"""Counts instructions of survey, plan and compose on the tiny image, and compares them with those in instructions.txt.

Usage: instructions.py REMASTER [--update]. A count does not depend on what else the machine does. It does depend on how the program is built:
the figures are those of the build of .ci/run, which is without LTO. More than 15 % either way fails.
Mend what became slower; record with --update what is meant.
The last line is `N passed, N failed`."""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from checks import ED25519, Checks  # noqa: E402 (the path comes first)

FIGURES = f"{HERE}/instructions.txt"
TOLERANCE = 0.15
RUNS = {
    "survey": ["inspect", "tiny.iso"],
    "survey and plan": ["tiny.iso", "--key", "key.pub", "--dry-run"],
    "survey, plan and compose": ["tiny.iso", "--key", "key.pub", "--force", "--no-sync", "-o", "out.iso"],
}



def counted(remaster, words, folder):
    """Instructions in millions, and what the program said if it failed."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", remaster, *words]
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env={**os.environ, "HOME": folder, "TZ": "UTC"})
    found = re.search(r"Collected : (\d+)", done.stderr)
    return (int(found.group(1)) / 1e6 if found and done.returncode == 0 else None), done.stderr


def recorded():
    """The figures: {name: millions}."""
    with open(FIGURES) as file:
        lines = [line.strip().split(" ", 1) for line in file if not line.startswith("#")]
    return {name: float(count) for count, name in lines}


def record(figures):
    with open(FIGURES, "w") as file:
        file.write("# Millions of instructions, what: by tests/instructions.py REMASTER --update.\n")
        file.writelines(f"{count:.1f} {name}\n" for name, count in figures.items())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("remaster")
    parser.add_argument("--update", action="store_true")
    given = parser.parse_args()
    remaster = os.path.abspath(given.remaster)
    with tempfile.TemporaryDirectory() as folder:
        c = Checks(remaster, folder)
        subprocess.run(["zstd", "-qd", f"{HERE}/tiny/tiny.iso.zst", "-o", f"{folder}/tiny.iso"], check=True)
        with open(f"{folder}/key.pub", "w") as file:
            file.write(ED25519)
        found = {name: counted(remaster, words, folder) for name, words in RUNS.items()}
        if given.update:
            record({name: count for name, (count, _) in found.items()})
        known = recorded()
        for name, (count, said) in found.items():
            c.check(f"{name}: it runs", count is not None, said)
            within = count is not None and abs(count / known[name] - 1) <= TOLERANCE
            c.check(f"{name}: {count or 0:.1f} million instructions, {known[name]} are recorded", within)
        return c.end()


if __name__ == "__main__":
    sys.exit(main())
