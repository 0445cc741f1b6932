#!/usr/bin/env python3
"""Prints the bytes that are free in the last block of an ISO's root directories. Usage: root-slack.py IMAGE"""
import sys

BLOCK = 2048


def slack(image, descriptor):
    """Bytes free behind the last record of the root directory that a volume descriptor names."""
    root = descriptor[156:190]
    start, length = int.from_bytes(root[2:6], "little"), int.from_bytes(root[10:14], "little")
    image.seek(start * BLOCK + length - BLOCK)
    last = image.read(BLOCK)
    at = 0
    while at < BLOCK and last[at]:
        at += last[at]
    return BLOCK - at


with open(sys.argv[1], "rb") as image:
    number = 16
    while True:
        image.seek(number * BLOCK)
        descriptor = image.read(BLOCK)
        if descriptor[0] == 255:
            break
        if descriptor[0] in (1, 2):
            print({1: "primary", 2: "joliet"}[descriptor[0]], slack(image, descriptor))
        number += 1
