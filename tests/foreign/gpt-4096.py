#!/usr/bin/env python3
"""Gives a hybrid image a GPT for blocks of 4096 bytes instead of the one for 512. Usage: gpt-4096.py IMAGE

By UEFI 2.10 §5.3: the same partitions, table in block 1 and on, backup in the last blocks. The MBR's partitions go, as their blocks have
512 bytes: a protective one stands for all.
"""
import struct
import sys
import zlib

OLD, NEW, ENTRIES = 512, 4096, 128


def header(mine, other, last_usable, array_at, array, guid):
    head = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, mine, other, 6, last_usable, guid, array_at, ENTRIES, 128, zlib.crc32(array))
    return (head[:16] + struct.pack("<I", zlib.crc32(head)) + head[20:]).ljust(NEW, b"\0")


def main():
    with open(sys.argv[1], "r+b") as f:
        f.seek(OLD)
        old = f.read(OLD)
        array_at, count, size = struct.unpack_from("<QII", old, 72)
        f.seek(array_at * OLD)
        entries = [e for e in (f.read(size) for _ in range(count)) if any(e[:16])]
        blocks = f.seek(0, 2) // NEW
        last_usable = blocks - 6
        new = b""
        for number, entry in enumerate(entries):
            first, last = struct.unpack_from("<QQ", entry, 32)
            start, end = first * OLD // NEW, (last + 1) * OLD // NEW - 1
            if number == 0:  # the volume's own, which reaches as far as it may
                start, end = 0, last_usable
            elif first * OLD % NEW:
                sys.exit(f"partition {number + 1} does not start at a block of {NEW}")
            new += entry[:32] + struct.pack("<QQ", start, end) + entry[48:]
        new = new.ljust(ENTRIES * 128, b"\0")
        guid = old[56:72]
        f.seek(0)
        protective = struct.pack("<B3sB3sII", 0, b"\x00\x02\x00", 0xEE, b"\xff" * 3, 1, 0xFFFFFFFF)
        f.write(bytes(446) + protective + bytes(48) + b"\x55\xaa" + bytes(NEW - OLD))
        f.write(header(1, blocks - 1, last_usable, 2, new, guid) + new)
        f.seek((blocks - 5) * NEW)
        f.write(new + header(blocks - 1, 1, last_usable, blocks - 5, new, guid))


main()
