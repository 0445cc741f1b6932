#!/usr/bin/env python3
"""Names of directories that make both path tables of an image end with a block. Usage: path-table.py IMAGE [--full]

With --full: whether a record for one directory more would begin a new block in each of them.
"""
import itertools
import sys

BLOCK, LENGTHS = 2048, (8, 11, 14)  # of the names: a record has 8 bytes and the name, in Joliet twice as long


def sizes(path):
    """Bytes of the primary and of the Joliet path table."""
    with open(path, "rb") as f:
        for number in (16, 18):  # with a boot record between them
            f.seek(number * BLOCK)
            yield int.from_bytes(f.read(BLOCK)[132:136], "little")


def full(primary, joliet):
    """Whether records for /remaster, of 16 and 24 bytes, begin new blocks."""
    return -primary % BLOCK < 16 and -joliet % BLOCK < 24


def main():
    primary, joliet = sizes(sys.argv[1])
    if "--full" in sys.argv:
        if not full(primary, joliet):
            sys.exit(f"{sys.argv[1]}: the path tables have {primary} and {joliet} bytes")
        return
    for counts in itertools.product(range(300), range(20), range(20)):
        one = primary + sum(n * (8 + length + length % 2) for n, length in zip(counts, LENGTHS))
        two = joliet + sum(n * (8 + 2 * length) for n, length in zip(counts, LENGTHS))
        if full(one, two):
            for n, length in zip(counts, LENGTHS):
                print("".join(f"d{length:02}-{i:03}".ljust(length, "x") + "\n" for i in range(n)), end="")
            return
    sys.exit("no names fill both path tables")


if __name__ == "__main__":
    main()
