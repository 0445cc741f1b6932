#!/usr/bin/env python3
"""Has foreign programs read a stamped image and compares it with its base. Usage: check-image.py BASE OUT [--merged] [--grown-esp]

Prints a line per check and ends with `N passed, N failed`. A program that is missing fails. What differs between BASE and
OUT may only be: menus, what is under /remaster (or /EFI/remaster), efi.img (its grub.cfg), and with --merged the initrds, which
must begin with the base's bytes. With --grown-esp efi.img is behind the base and larger, and everything points there.
"""
import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from checks import Checks  # noqa: E402

BLOCK = 2048
MENU = re.compile(r"^/(EFI/[^/]+/grub\.cfg|isolinux/isolinux\.cfg)$", re.I)
OURS = re.compile(r"^(/EFI)?/remaster(/|$)", re.I)  # below /EFI where the root directory has no room


def call(*args, **kw):
    """Runs a program; its output and errors are one text, unless bytes are wanted."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    env = {**os.environ, "LC_ALL": "C.UTF-8", "PATH": path, "MTOOLS_SKIP_CHECK": "0"}
    try:
        return subprocess.run(args, stdin=kw.pop("stdin", subprocess.DEVNULL), stdout=subprocess.PIPE,
                              stderr=kw.pop("stderr", subprocess.STDOUT), env=env, check=False, **kw)
    except FileNotFoundError:
        return subprocess.CompletedProcess(args, 127, f"{args[0]} is missing".encode())


def text(done):
    return done.stdout.decode("utf-8", "replace")


def digest(path, length=None):
    """sha256 of a file, or of its first bytes."""
    h = hashlib.sha256()
    with open(path, "rb") as f:
        left = length
        while left is None or left > 0:
            piece = f.read(1 << 20 if left is None else min(1 << 20, left))
            if not piece:
                break
            h.update(piece)
            left = None if left is None else left - len(piece)
    return h.hexdigest()


class Image:
    """An image as xorriso sees it."""

    def __init__(self, path):
        self.path, self.size = path, os.path.getsize(path)
        with open(path, "rb") as f:
            self.head = f.read(40 * BLOCK)
        self.primary, self.joliet = self.descriptor(1), self.descriptor(2)
        self.report = call("xorriso", "-abort_on", "NEVER", "-return_with", "WARNING", "32", "-indev", path, "-find", "/", "-exec", "report_lba", "--")
        # one file may have several extents, as one over 4 GiB has
        self.extents, self.sizes = {}, {}
        for m in re.finditer(r"^File data lba:\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*'(.*)'$", text(self.report), re.M):
            self.extents.setdefault(m[5], []).append((int(m[2]), int(m[3])))
            self.sizes[m[5]] = int(m[4])
        self.tree = {}
        self.listing = call("xorriso", "-abort_on", "NEVER", "-return_with", "WARNING", "32", "-indev", path, "-find", "/", "-exec", "lsdl", "--")
        for line in text(self.listing).splitlines():
            m = re.match(r"^([-dlbcps][-rwxsStT]{9})\s+(\d+)\s+(\S+)\s+(\S+)\s+(\d+)\s+(.+?) '(.*?)'(?: -> '(.*)')?$", line)
            if m:
                self.tree[m[7]] = m
        self.el_torito = [x for x in text(call("xorriso", "-indev", path, "-report_el_torito", "plain")).splitlines() if x.startswith("El Torito")]
        self.system_area = [x for x in text(call("xorriso", "-indev", path, "-report_system_area", "plain")).splitlines()
                            if re.match(r"System area|ISO image|MBR|GPT|APM|partition", x, re.I)]
        self.has_mbr = self.head[510:512] == b"\x55\xaa"
        self.has_gpt = self.head[512:520] == b"EFI PART"

    def descriptor(self, kind):
        """The first volume descriptor of a kind: 1 primary, 2 supplementary."""
        for number in range(16, 32):
            d = self.head[number * BLOCK:(number + 1) * BLOCK]
            if d[:6] == bytes([kind]) + b"CD001":
                return d
            if d[0] == 255:
                break
        return b""

    def efi(self):
        """(offset, length) of efi.img."""
        (lba, _), = self.extents["/boot/efi.img"]
        return lba * BLOCK, self.sizes["/boot/efi.img"]

    def initrds(self):
        return self.with_bytes_of(p for p in self.sizes if re.fullmatch(r"(/boot(/.*)?)?/initrd", p))

    def menus(self):
        return self.with_bytes_of(p for p in self.sizes if MENU.match(p))

    def with_bytes_of(self, paths):
        """These paths and all others of the same files: several names may have the same bytes."""
        places = [self.extents.get(p) for p in paths]
        return sorted(p for p in self.sizes if self.extents.get(p) in places)


def space(descriptor):
    """Volume space size: both byte orders, or None if they differ."""
    little, big = int.from_bytes(descriptor[80:84], "little"), int.from_bytes(descriptor[84:88], "big")
    return little if little == big else None


def esp_blocks(image):
    """First block of 512 bytes of efi.img, and how many a partition of it has."""
    offset, length = image.efi()
    return offset // 512, -(-length // BLOCK) * 4


def check_tree(c, base, out, merged, grown):
    """Names, attributes, places."""
    c.check("xorriso reads the tree without a warning", out.report.returncode == 0 and out.listing.returncode == 0,
            "\n".join(x for x in text(out.report).splitlines() if re.search("WARNING|FAILURE|SORRY|MISHAP|FATAL|NOTE : Found", x)) or text(out.report)[:400])
    c.check("xorriso: the base has files", len(base.sizes) > 7, len(base.sizes))
    gone = sorted(base.tree.keys() - out.tree.keys())
    c.check("xorriso: every name of the base is there", not gone, gone)
    new = sorted(p for p in out.tree.keys() - base.tree.keys() if not OURS.match(p))
    c.check("xorriso: no other new name than below remaster/", not new, new)
    if merged is False:
        c.check("xorriso: /remaster is there", any(OURS.match(p) for p in out.tree), "")
    differ = []
    for path, was in base.tree.items():
        now = out.tree.get(path)
        # the size of a directory may grow, of a rewritten file as well, and a directory has one more link
        if now and (was[1], was[3], was[4], was[6], was[8]) != (now[1], now[3], now[4], now[6], now[8]) and path not in base.menus():
            differ.append(f"{was[0]} became {now[0]}")
    c.check("xorriso: modes, owners, times of the base's files", not differ, differ[:5])
    ours = [m[0] for p, m in out.tree.items() if OURS.match(p) and (m[3], m[4]) != ("0", "0")]
    c.check("xorriso: new files belong to root", not ours, ours)
    moved, menus = [], base.menus()
    for path, was in base.extents.items():
        rewritten = path in menus or merged and path in base.initrds() or grown and path == "/boot/efi.img"
        if out.extents.get(path) != was and not rewritten:
            moved.append(f"{path} {was} -> {out.extents.get(path)}")
    c.check("xorriso: no file of the base moved", not moved, moved[:5])
    overlaps = []
    runs = sorted((lba, lba + blocks, p) for p, parts in out.extents.items() for lba, blocks in parts if blocks and out.sizes[p])
    shared = {(lba, end) for lba, end, _ in runs}
    last_end, last = 0, None
    for lba, end in sorted(shared):
        if lba < last_end:
            overlaps.append(f"{last} {(lba, end)}")
        last_end, last = end, (lba, end)
    c.check("xorriso: files do not overlap", not overlaps, overlaps[:5])
    beyond = [p for _, end, p in runs if end * BLOCK > out.size]
    c.check("xorriso: all files end inside the image", not beyond, beyond)


def check_volume(c, base, out):
    """Descriptors and sizes."""
    blocks = out.size // BLOCK
    c.check("primary volume size is the file's", out.size % BLOCK == 0 and space(out.primary) == blocks, f"{space(out.primary)} and {out.size / BLOCK}")
    c.check("the base has Joliet and so has the output", bool(out.joliet) == bool(base.joliet))
    if out.joliet:
        c.check("Joliet volume size is the file's", space(out.joliet) == blocks, f"{space(out.joliet)} and {blocks}")
    for name, was, now in (("primary", base.primary, out.primary), ("Joliet", base.joliet, out.joliet)):
        c.check(f"{name}: label, system, set, application, publisher unchanged", was[8:72] == now[8:72] and was[190:813] == now[190:813])
    plain = text(call("isoinfo", "-d", "-i", out.path))
    label = re.search(r"Volume id: (.*)", text(call("isoinfo", "-d", "-i", base.path)))
    c.check("isoinfo -d: label unchanged", label and f"Volume id: {label[1]}\n" in plain, plain[:300])
    c.check("isoinfo -d: volume size", f"Volume size is: {blocks}\n" in plain, re.findall("Volume size.*", plain))


def names_of(image, flag):
    """The paths that isoinfo -f finds through Rock Ridge (-R), Joliet (-J) or neither."""
    done = call("isoinfo", *([flag] if flag else []), "-f", "-i", image)
    return done.returncode, [x for x in text(done).splitlines() if x]


def check_isoinfo(c, base, out):
    """All three trees by another program than xorriso."""
    flags = (("-R", "Rock Ridge"), ("-J", "Joliet"), (None, "plain"))
    for flag, tree in (pair for pair in flags if base.joliet or pair[0] != "-J"):
        code, now = names_of(out.path, flag)
        was = names_of(base.path, flag)[1]
        complaints = [x for x in now if not x.startswith("/")]
        c.check(f"isoinfo reads the {tree} tree", code == 0 and now and complaints == [x for x in was if not x.startswith("/")], complaints[:3] or code)
        gone = sorted(set(was) - set(now))
        c.check(f"isoinfo: every {tree} name of the base is there, once", not gone and len(now) == len(set(now)), gone[:5])
    if not base.joliet:
        return
    joliet = {p.lower() for p in names_of(out.path, "-J")[1]}
    ridge = {p.lower() for p in names_of(out.path, "-R")[1]}
    hidden = sorted(p for p in ridge ^ joliet if OURS.match(p))
    c.check("isoinfo: both trees have the same below remaster/", not hidden, hidden)
    # where the files are that both trees name: read from the two long listings
    # (Joliet has 64 characters of a name)
    lists = [{re.sub(r"([^/]{64})[^/]*", r"\1", path): at for path, at in long_listing(out.path, flag)} for flag in ("-R", "-J")]
    c.check("isoinfo: both trees name the same blocks and sizes", lists[0] and lists[0] == {**lists[0], **lists[1]} and len(lists[0]) == len(lists[1]),
            [(p, v, lists[1].get(p)) for p, v in lists[0].items() if lists[1].get(p) != v][:5])


def long_listing(image, flag):
    """(path, (block, size)) of every file of isoinfo -l."""
    folder = ""
    for line in text(call("isoinfo", flag, "-l", "-i", image)).splitlines():
        if line.startswith("Directory listing of "):
            folder = line[len("Directory listing of "):].rstrip("/")
            continue
        m = re.search(r"\s(\d+)\s+\S+\s+\d+\s+\d+\s+\[\s*(\d+)\s[^]]*\]\s+(.*?)\s*$", line)
        if m and not line.startswith("d") and m[3] not in (".", ".."):
            yield f"{folder}/{m[3]}", (int(m[2]), int(m[1]))


def check_path_tables(c, out):
    """The path tables name the same directories as the trees: no reader above uses them."""
    for name, descriptor in (("primary", out.primary), ("Joliet", out.joliet)):
        if not descriptor:
            continue
        size = int.from_bytes(descriptor[132:136], "little")
        both = size == int.from_bytes(descriptor[136:140], "big")
        with open(out.path, "rb") as f:
            tables = []
            for at, order in ((140, "little"), (148, "big")):
                f.seek(int.from_bytes(descriptor[at:at + 4], order) * BLOCK)
                tables.append(path_table(f.read(size), order))
            problems = [] if both else ["sizes differ"]
            if tables[0] != tables[1]:
                problems.append("types L and M differ")
            root = (int.from_bytes(descriptor[158:162], "little"), int.from_bytes(descriptor[166:170], "little"))
            found = directories(f, root)
            listed = {lba for lba, _, _ in tables[0]}
            if listed != found:
                problems.append(f"in the table {sorted(listed - found)}, in the tree {sorted(found - listed)}")
            order = [(parent, name) for _, parent, name in tables[0][1:]]
            if order != sorted(order):
                problems.append("not in order")
        c.check(f"{name} path tables agree with the tree", not problems, problems)


def path_table(data, order):
    records, at = [], 0
    while at < len(data) and data[at]:
        length = data[at]
        records.append((int.from_bytes(data[at + 2:at + 6], order), int.from_bytes(data[at + 6:at + 8], order), data[at + 8:at + 8 + length]))
        at += 8 + length + length % 2
    return records


def directories(f, root):
    """The blocks of all directories below (block, length) of the root; relocated ones are not followed twice."""
    found, todo = set(), [root]
    while todo:
        lba, length = todo.pop()
        if lba in found:
            continue
        found.add(lba)
        f.seek(lba * BLOCK)
        data = f.read(length)
        for start in range(0, len(data), BLOCK):
            at = start
            while at < start + BLOCK and data[at]:
                record = data[at:at + data[at]]
                if record[25] & 2 and record[33:33 + record[32]] not in (b"\0", b"\1"):
                    todo.append((int.from_bytes(record[2:6], "little"), int.from_bytes(record[10:14], "little")))
                at += data[at]
    return found


def uefi_entry(lba, blocks):
    """A line of xorriso's report becomes that of an image of so many blocks of 512 bytes at this block."""
    count = blocks if blocks < 1 << 16 else 0
    return lambda line: re.sub(r"( UEFI .* 0x00) +\d+ +\d+$", rf"\1 {count} {lba}", line) if " UEFI " in line else line


def check_boot(c, base, out, grown):
    """El Torito, MBR, GPT, hybrid sizes."""
    was, now = base.el_torito, out.el_torito
    if grown:
        entry = uefi_entry(out.efi()[0] // BLOCK, esp_blocks(out)[1])
        was, now = [entry(x) for x in was], [re.sub(r" +(\d+) +(\d+)$", r" \1 \2", x) if " UEFI " in x else x for x in now]
    c.check("xorriso: El Torito report " + ("names the larger image" if grown else "unchanged"), was and was == now, set(was) ^ set(now))
    c.check("MBR and GPT where the base has them, none elsewhere", (base.has_mbr, base.has_gpt) == (out.has_mbr, out.has_gpt))

    def kinds(report):
        # (what grows ends with a cylinder, although the base need not)
        return [re.sub("cyl-align-(on|off)", "cyl-align", re.sub(r" *\d+", " #", x)) for x in report]
    c.check("xorriso: system area report has the same shape", kinds(base.system_area) == kinds(out.system_area),
            [x for x in out.system_area if kinds([x])[0] not in kinds(base.system_area)])
    if not out.has_mbr:
        c.check("system area is empty as in the base", not any(base.head[:16 * BLOCK]) and not any(out.head[:16 * BLOCK]))
        return
    c.check("MBR code unchanged", base.head[:446] == out.head[:446])
    entries = [out.head[446 + 16 * i:462 + 16 * i] for i in range(4)]
    starts = [(int.from_bytes(e[8:12], "little"), int.from_bytes(e[12:16], "little")) for e in entries]
    c.check("MBR partition 1 covers the image", starts[0] == (0, out.size // 512), f"{starts[0]}, image has {out.size // 512} blocks")
    second = base.head[462:478]
    if grown:
        place = b"".join(x.to_bytes(4, "little") for x in esp_blocks(out))
        second = second[:8] + place
    c.check("MBR partition 2 is where efi.img is, 3 and 4 unchanged", second + base.head[478:512] == out.head[462:512], out.head[462:512].hex())
    heads, per_track = xorriso_geometry(out.size)
    cylinder = heads * per_track * 512
    c.check(f"size is a multiple of xorriso's cylinder ({heads} heads of {per_track})", out.size % cylinder == 0, f"{out.size} % {cylinder} = {out.size % cylinder}")
    chs = [e[5:8] for e in entries]
    c.check("MBR partition 1 ends at the last head and sector", chs[0] == last_chs(out.size, heads, per_track), f"{chs[0].hex()} not {last_chs(out.size, heads, per_track).hex()}")
    if out.has_gpt:
        check_gpt(c, base, out, grown)


def xorriso_geometry(size):
    """Heads and sectors per track that xorriso (libisofs) would have taken for an isohybrid image of this size."""
    heads = max(64, -(-size // (1024 * 32 * 512)))
    return (heads, 32) if heads <= 255 else (255, 63)


def last_chs(size, heads, per_track):
    """The three bytes of the last block's cylinder, head and sector."""
    cylinder = min(size // (heads * per_track * 512) - 1, 1023)
    return bytes([heads - 1, (cylinder >> 8) << 6 | per_track, cylinder & 255])


def check_gpt(c, base, out, grown):
    problems = re.compile(r"^(Warning|Caution|Problem|Error|Partitions? .* overlap|.*CRC|.*corrupt|Identified|The backup|.*secondary|No problems).*", re.I | re.M)
    def verify(image):
        done = call("sgdisk", "-v", image)
        return done.returncode, [re.sub(r"\d+", "#", m[0]) for m in problems.finditer(text(done))], re.findall(r"Identified (\d+) problems", text(done))
    was, now = verify(base.path), verify(out.path)
    c.check("sgdisk -v: no other problem than the base's", was[0] == now[0] and set(now[1]) <= set(was[1]) and [int(n) for n in now[2]] <= [int(n) for n in was[2]], [x for x in now[1] if x not in was[1]] or now[2])
    shown = text(call("sgdisk", "-p", out.path))
    c.check("sgdisk -p: both partitions", len(re.findall(r"^ +\d+ ", shown, re.M)) == len(re.findall(r"^ +\d+ ", text(call("sgdisk", "-p", base.path)), re.M)), shown[-300:])
    blocks = out.size // 512
    with open(out.path, "rb") as f:
        head = f.read(34 * 512 + 64 * 512)[512:1024]
        f.seek(-512, os.SEEK_END)
        tail = f.read()
        c.check("GPT: backup header in the last block", tail[:8] == b"EFI PART", tail[:8])
        sides = []
        for side, header, lba in (("primary", head, 1), ("backup", tail, blocks - 1)):
            from zlib import crc32
            size = int.from_bytes(header[12:16], "little")
            zeroed = header[:16] + bytes(4) + header[20:size]
            at, count, each = (int.from_bytes(header[a:b], "little") for a, b in ((72, 80), (80, 84), (84, 88)))
            f.seek(at * 512)
            array = f.read(count * each)
            sides.append(array)
            mine, other = int.from_bytes(header[24:32], "little"), int.from_bytes(header[32:40], "little")
            first, last = int.from_bytes(header[40:48], "little"), int.from_bytes(header[48:56], "little")
            c.check(f"GPT: {side} header and entries have right CRCs", crc32(zeroed) == int.from_bytes(header[16:20], "little")
                    and crc32(array) == int.from_bytes(header[88:92], "little"))
            c.check(f"GPT: {side} header places", mine == lba and other == (blocks - 1 if lba == 1 else 1) and first < last < blocks, f"{mine} {other} {first} {last}")
        c.check("GPT: both entry arrays are one", sides[0] == sides[1])
        first = sides[0][:128]
        end = int.from_bytes(first[40:48], "little")
        old = base_gpt_first(base)
        # partition 1 reaches to the last whole block of the volume before the backup, whatever stood behind it in the base
        last = int.from_bytes(head[48:56], "little")
        c.check("GPT: partition 1 grew with the image", (end + 1) % 4 == 0 and 0 <= last - end < 4 and first[:32] == old[1], f"{end} of {last}, was {old[0]}")
        f.seek(0)
    second = base_gpt_second(base)
    if grown:
        start, blocks = esp_blocks(out)
        second = second[:32] + b"".join(x.to_bytes(8, "little") for x in (start, start + blocks - 1)) + second[48:]
    c.check("GPT: partition 2 is where efi.img is", second == sides[0][128:256], sides[0][160:176].hex())
    def table(image):
        done = call("sfdisk", "--verify", image)
        return done.returncode, sorted(re.sub(r"\d+", "#", x.replace(image, "IMAGE")) for x in text(done).splitlines())
    c.check("sfdisk --verify: as the base", table(base.path) == table(out.path), table(out.path))


def gpt_array(image):
    at = int.from_bytes(image.head[512 + 72:512 + 80], "little")
    return image.head[at * 512:at * 512 + 256]


def base_gpt_first(base):
    entry = gpt_array(base)[:128]
    return int.from_bytes(entry[40:48], "little"), entry[:32]


def base_gpt_second(base):
    return gpt_array(base)[128:256]


def check_contents(c, base, out, merged, grown, scratch):
    """Every file's bytes, by bsdtar and 7z."""
    sums = {}
    for image, folder in ((base, "base"), (out, "out")):
        target = os.path.join(scratch, folder)
        os.mkdir(target)
        done = call("bsdtar", "-xf", image.path, "-C", target, "--no-same-owner", "--no-same-permissions")
        if image is out:
            c.check("bsdtar extracts everything without a word", done.returncode == 0 and not done.stdout, text(done))
        call("chmod", "-R", "u+rwX", target)
        sums[folder] = {"/" + os.path.relpath(os.path.join(top, n), target): os.path.join(top, n) for top, _, files in os.walk(target) for n in files}
    listed = call("bsdtar", "-tvf", out.path)
    c.check("bsdtar -tv lists without a word", listed.returncode == 0 and not re.search(r"^bsdtar:", text(listed), re.M), re.findall("^bsdtar:.*", text(listed), re.M))
    gone = sorted(sums["base"].keys() - sums["out"].keys())
    c.check("bsdtar: every file of the base", sums["base"] and not gone, gone)
    differ = []
    for path, was in sums["base"].items():
        now = sums["out"].get(path)
        if now is None or path in base.menus() or path == "/boot/efi.img" or grown and path == "/.boot.cat":
            continue
        if merged and path in base.initrds():
            size = os.path.getsize(was)
            if os.path.getsize(now) <= size or digest(now, size) != digest(was):
                differ.append(f"{path} does not begin with the base's")
        elif os.path.getsize(was) != os.path.getsize(now) or digest(was) != digest(now):
            differ.append(path)
    # isolinux.bin carries a boot-info-table, which holds only its own place and size: it must not change either
    c.check("sha256 of every other file of the base", not differ, differ[:8])
    changed = [p for p in sums["base"] if p in base.menus() and p in sums["out"]]
    if not merged:
        same = [p for p in changed if digest(sums["base"][p]) == digest(sums["out"][p])]
        c.check("menus did change", changed and not same, same)
    for path in changed:
        check_menu(c, path, open(sums["base"][path], "rb").read(), open(sums["out"][path], "rb").read(), merged)
    for args in (["t"], ["l", "-slt"]):
        done = call("7z", *args, out.path)
        c.check(f"7z {args[0]}", done.returncode == 0 and not re.search(r"^(WARNING|ERROR)", text(done), re.M) and not re.search(r"(Warnings|Errors): [1-9]", text(done)),
                text(done)[-500:])
    return sums


def check_menu(c, path, was, now, merged):
    """A menu differs in nothing but the names behind initrd."""
    old, new = was.decode().splitlines(), now.decode().splitlines()
    wrong, named = [], 0
    for a, b in zip(old, new):
        word = (a.split() or [""])[0].lower()
        if word == "initrd":
            named += b != a
            if not b.startswith(a):
                wrong.append(f"{a!r} became {b!r}")
            elif not merged and a == b:
                wrong.append(f"{a!r} stayed")
            elif merged and a != b:
                wrong.append(f"{a!r} became {b!r}")
        elif a != b:
            wrong.append(f"{a!r} became {b!r}")
    c.check(f"{path}: only initrd lines differ, and {'none' if merged else 'all of them do'} ({named})", not wrong and len(old) == len(new), wrong[:3] or f"{len(old)} and {len(new)} lines")


def without_sizes(path):
    """The fields of a boot sector but for those that say how large the filesystem and its FAT are."""
    with open(path, "rb") as f:
        head = bytearray(f.read(90))
    for start, end in ((19, 21), (22, 24), (32, 36), *([(36, 40)] if head[22:24] == bytes(2) else [])):
        head[start:end] = bytes(end - start)
    return bytes(head[:90 if head[17:19] == bytes(2) else 62])


def fat_listing(path):
    """Names, sizes and times of all files of a FAT, without those of the menu."""
    return [x for x in text(call("mdir", "-/", "-i", path)).splitlines() if not re.search(r"^grub +cfg |bytes|^Volume in", x, re.I)]


def check_fat(c, base, out, merged, grown, scratch):
    """The FAT inside."""
    offset, length = out.efi()
    if grown:
        c.check("efi.img is behind the base and larger", offset >= base.size and length > base.efi()[1], f"{base.efi()} and {(offset, length)}")
        with open(base.path, "rb") as f, open(out.path, "rb") as g:
            f.seek(base.efi()[0])
            g.seek(base.efi()[0])
            c.check("the base's efi.img still stands where it was", f.read(base.efi()[1]) == g.read(base.efi()[1]))
    else:
        c.check("efi.img has the base's place and size", (offset, length) == base.efi(), f"{base.efi()} and {(offset, length)}")
    for image, name in ((base, "base-efi.img"), (out, "out-efi.img")):
        at, size = image.efi()
        with open(image.path, "rb") as f, open(os.path.join(scratch, name), "wb") as g:
            f.seek(at)
            g.write(f.read(size))
    img, old = os.path.join(scratch, "out-efi.img"), os.path.join(scratch, "base-efi.img")
    was, done = call("fsck.vfat", "-n", "-v", old), call("fsck.vfat", "-n", "-v", img)
    def findings(d, path):
        lines = text(d).replace(path, "IMAGE").splitlines()
        return [x for x in lines if not re.search(r"files, .* clusters|Boot sector|Media byte|bytes per|sector|Reserved|FAT|root|Root|Data area|Heads|hidden|Logical|data clusters|First", x)]
    c.check("fsck.vfat -n: clean", done.returncode == 0 and findings(done, img) == findings(was, old), text(done))
    tree = [text(call("mdir", "-/", "-b", "-i", p)) for p in (old, img)]
    c.check("mdir: same names", tree[0] and tree[0] == tree[1], tree[1])
    c.check("mdir: same sizes and times, but for the menu's", len(fat_listing(old)) > 3 and fat_listing(old) == fat_listing(img), fat_listing(img))
    c.check("volume id, label, type and geometry unchanged", without_sizes(img) == without_sizes(old), without_sizes(img).hex())
    differ = []
    for line in (x for x in tree[0].splitlines() if not x.endswith("/")):
        a, b = (call("mtype", "-i", p, line, stderr=subprocess.DEVNULL) for p in (old, img))
        if line.lower().endswith("/grub.cfg"):
            check_menu(c, "efi.img " + line.replace("::", ""), a.stdout, b.stdout, merged)
        elif a.returncode or b.returncode or a.stdout != b.stdout:
            differ.append(line)
    c.check("mtype: other files of efi.img unchanged", not differ, differ)
    if merged:
        c.check("efi.img unchanged", digest(img) == digest(old))


def archive_problems(data):
    """What is wrong with a newc archive, and its members; as the kernel and GNU cpio see it."""
    done = subprocess.run(["cpio", "-itvn", "-H", "newc"], input=data, capture_output=True, check=False, env={**os.environ, "LC_ALL": "C"})
    err = done.stderr.decode("utf-8", "replace")
    wrong = [] if done.returncode == 0 and re.fullmatch(r"\d+ blocks?\n", err) else [err or f"exit code {done.returncode}"]
    members, at = [], 0
    while at < len(data):
        if data[at:at + 1] == b"\0":
            at += 1
            continue
        head = data[at:at + 110]
        if head[:6] != b"070701" or at % 4:
            wrong.append(f"no header at {at}")
            break
        field = [int(head[6 + 8 * i:14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110:at + 110 + field[11] - 1].decode("utf-8", "replace")
        members.append((name, field))
        at = (at + 110 + field[11] + 3) & ~3
        at = (at + field[6] + 3) & ~3
    names = [n for n, _ in members]
    if not names or names[-1] != "TRAILER!!!":
        wrong.append("no trailer at the end")
    seen = set()
    for name, field in members:
        if name == "TRAILER!!!":
            continue
        if field[2:4] != [0, 0] and not ("/home/nixos" in name and field[2:4] == [1000, 100]):
            wrong.append(f"{name} belongs to {field[2]}:{field[3]}")
        parent = os.path.dirname(name)
        if parent and parent not in seen and parent not in ("nix/store", "nix", "etc", "etc/systemd"):
            wrong.append(f"{name} comes before its directory")
        seen.add(name)
    return wrong, names


def check_archives(c, base, out, merged, sums):
    """cpio on what goes into the initrd, without the zeros that let an lz4 stream in front of it end."""
    found, seams = {}, {}
    if merged:
        for path in base.initrds():
            size = os.path.getsize(sums["base"][path])
            with open(sums["out"][path], "rb") as f:
                f.seek(size)
                tail = f.read()
            found[path + " (what was added)"] = tail.lstrip(b"\0")
            at = len(tail) - len(tail.lstrip(b"\0"))
            c.check(f"{path}: what was added is at a multiple of 4", tail and (size + at) % 4 == 0, size + at)
            seams[path] = at
    else:
        named = {w for p, f in sums["out"].items() if MENU.match(p) for line in open(f, encoding="utf-8") if line.split()[:1] in (["initrd"], ["INITRD"])
                 for w in re.split(r"[ ,\n]+", line)[1:] if OURS.match(w)}
        for path, file in sums["out"].items():
            if OURS.match(path):
                with open(file, "rb") as f:
                    data = f.read()
                if path in named or data.lstrip(b"\0")[:6] == b"070701":
                    found[path] = data.lstrip(b"\0")
                    seams[path] = len(data) - len(found[path])
        c.check("every archive that a menu names is there", named and named <= found.keys(), sorted(named - found.keys()))
        c.check("archives below remaster/", found, [p for p in sums["out"] if OURS.match(p)])
    short = {path: zeros for path, zeros in seams.items() if zeros < 4}
    c.check("at least 4 zeros in front of every archive", seams and not short, short)
    c.check("one archive at least brings keys", any(b"authorized_keys" in d for d in found.values()))
    for path, data in found.items():
        wrong, names = archive_problems(data)
        c.check(f"cpio -it {path}: {len(names)} members", not wrong, wrong[:4])
        c.check(f"{path}: no member replaces a directory link of the initrd", not set(names) & {"bin", "sbin", "lib", "lib64", "etc/systemd/system", "run"}, names)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("base")
    p.add_argument("out")
    p.add_argument("--merged", action="store_true")
    p.add_argument("--grown-esp", action="store_true", dest="grown")
    a = p.parse_args()
    c = Checks()
    missing = [t for t in ("xorriso", "isoinfo", "bsdtar", "7z", "fsck.vfat", "mdir", "mtype", "sgdisk", "sfdisk", "cpio") if not shutil.which(t, path=os.environ["PATH"] + ":/usr/sbin:/sbin")]
    c.check("programs are there", not missing, missing)
    base, out = Image(a.base), Image(a.out)
    steps = [lambda: check_tree(c, base, out, a.merged, a.grown), lambda: check_volume(c, base, out), lambda: check_isoinfo(c, base, out),
             lambda: check_path_tables(c, out), lambda: check_boot(c, base, out, a.grown)]
    with tempfile.TemporaryDirectory(prefix="remaster-foreign-", dir=os.environ.get("TMPDIR", "/var/tmp")) as scratch:
        sums = {}
        steps += [lambda: sums.update(check_contents(c, base, out, a.merged, a.grown, scratch)), lambda: check_fat(c, base, out, a.merged, a.grown, scratch),
                  lambda: check_archives(c, base, out, a.merged, sums)]
        for step in steps:
            try:
                step()
            except (LookupError, ValueError, OSError) as e:  # the image is so broken that a check cannot be made
                c.check("check could be made", False, f"{type(e).__name__}: {e}")
    return c.end()


if __name__ == "__main__":
    sys.exit(main())
