"""Forms of our own and of initrds, read apart from the program: newc archives, patch files (see src/format/patch_file.rs), tables of partitions."""
import struct
import subprocess
import uuid

KINDS = {0o040000: "folder", 0o100000: "file", 0o120000: "link", 0o020000: "device", 0: "end"}


def members(data):
    """Position, path, mode, owner, time and bytes of what is in newc archives, one after the other; zeros between them are counted."""
    at = 0
    while at < len(data):
        zeros = at
        while at < len(data) and data[at] == 0:
            at += 1
        if at > zeros:
            yield f"{at - zeros} zeros", None, None
        if at >= len(data):
            return
        if data[at:at + 6] != b"070701":
            yield f"at {at}: {data[at:at + 4].hex()}…, no newc archive", None, None
            return
        fields = [int(data[at + 6 + 8 * n:at + 14 + 8 * n], 16) for n in range(13)]
        name = data[at + 110:at + 110 + fields[11] - 1].decode("utf-8", "replace")
        start = (at + 110 + fields[11] + 3) // 4 * 4
        content = data[start:start + fields[6]]
        at = (start + fields[6] + 3) // 4 * 4
        kind = KINDS.get(fields[1] & 0o170000, "?")
        target = f" -> {content.decode('utf-8', 'replace')}" if kind == "link" else ""
        usual = (2 if kind == "folder" else 1, 0)
        odd = "" if (fields[4], fields[5]) == usual else f" links {fields[4]} time {fields[5]}"
        size = f" {fields[6]} bytes" if kind == "file" else ""
        yield f"{kind} {fields[1] & 0o7777:04o} {fields[2]}:{fields[3]}{odd}{size} {name}{target}", name, content if kind == "file" else None


def patch(data):
    """Base, size and runs of a patch file, and its literals; lines, bytes."""
    head = data[:17].decode("latin-1").strip()
    base_size, base_sha, size, runs, literals = struct.unpack_from("<Q32sQIQ", data, 17)
    body = subprocess.run(["zstd", "-dqc"], input=data[77:-32], capture_output=True, check=True).stdout
    lines = [f"{head!r}: base of {base_size} bytes, SHA-256 {base_sha.hex()}; image of {size} bytes; {runs} runs, {literals} bytes of literals"]
    at = 0
    for number in range(runs):
        kind, length, start = struct.unpack_from("<BQQ", body, 17 * number)
        if kind != 1 or start != at:
            lines.append(f"  at {at:#x}: {length} bytes {['of the patch', f'of the base from {start:#x}', 'zero'][kind]}")
        at += length
    return lines, body


def partitions(data):
    """Entries of MBR and GPT as lines."""
    lines = []
    if data[510:512] == b"\x55\xaa":
        for n in range(4):
            entry = data[446 + 16 * n:462 + 16 * n]
            if any(entry):
                lines.append(f"MBR {n + 1}: flag {entry[0]:02x} type {entry[4]:02x} from {struct.unpack_from('<I', entry, 8)[0]}, {struct.unpack_from('<I', entry, 12)[0]} sectors")
    if data[512:520] == b"EFI PART":
        own, backup, first, last = struct.unpack_from("<QQQQ", data, 512 + 24)
        array, count, size = struct.unpack_from("<QII", data, 512 + 72)
        lines.append(f"GPT: header at {own}, backup at {backup}, sectors {first} to {last}, {count} entries of {size} at {array}, disk {uuid.UUID(bytes_le=data[568:584])}")
        for n in range(min(count, 256)):
            entry = data[512 * array + size * n:512 * array + size * (n + 1)]
            if any(entry[:16]):
                start, end, flags = struct.unpack_from("<QQQ", entry, 32)
                lines.append(f"GPT {n + 1}: type {uuid.UUID(bytes_le=entry[:16])} unique {uuid.UUID(bytes_le=entry[16:32])} sectors {start} to {end} flags {flags:x} {entry[56:128].decode('utf-16-le').rstrip(chr(0))!r}")
    return lines
