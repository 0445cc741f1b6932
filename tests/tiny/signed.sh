#!/usr/bin/env bash
# Makes signed.efi: a UEFI program of placeholders, signed by a certificate made for the occasion. Usage: signed.sh [FILE]
# Needs python3, openssl and sbsign. The key is thrown away, and a signature has a time in it: each run makes other bytes.
set -euo pipefail
out=$(realpath "${1:-$(dirname "$0")/signed.efi}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 - "$work/plain.efi" <<'P'
import struct, sys
# DOS header, PE signature, COFF header, optional header of PE32+, one section; nothing in it runs
coff = struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 112 + 16 * 8, 0x0206)
optional = struct.pack("<HBBIIIIIQIIHHHHHHIIIIHHQQQQII", 0x20B, 1, 0, 0x200, 0, 0, 0x1000, 0x1000, 0x10000000, 0x1000, 0x200,
                       0, 0, 0, 0, 0, 0, 0, 0x2000, 0x400, 0, 10, 0, 0, 0, 0, 0, 0, 16) + bytes(16 * 8)
section = struct.pack("<8sIIIIIIHHI", b".text", 0x200, 0x1000, 0x200, 0x400, 0, 0, 0, 0, 0x60000020)
head = b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + coff + optional + section
text = (b"placeholder for a loader of the tiny image\n" * 20)[:0x200]
open(sys.argv[1], "wb").write(head.ljust(0x400, b"\0") + text)
P
openssl req -x509 -newkey rsa:2048 -nodes -days 36500 -subj "/O=remaster tests/CN=remaster test signer" -keyout "$work/key" -out "$work/certificate" 2> /dev/null
sbsign --key "$work/key" --cert "$work/certificate" --output "$out" "$work/plain.efi"
