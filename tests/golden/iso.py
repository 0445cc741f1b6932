"""What stands in an ISO, read apart from the program: records of both hierarchies, partitions, menus. ECMA-119, Rock Ridge 1.12."""
import re
import struct
import subprocess

BLOCK = 2048
LABELS = {1: "primary", 2: "joliet"}


class Iso:
    def __init__(self, path, data):
        self.path, self.data = path, data
        self.nodes, self.volumes = {}, {}
        for block in range(16, 32):
            at = block * BLOCK
            if data[at + 1:at + 6] != b"CD001" or data[at] == 255:
                break
            if data[at] in LABELS:
                self.volume(LABELS[data[at]], data[at:at + BLOCK])

    def volume(self, tree, d):
        text = (lambda b: b.decode("utf-16-be")) if tree == "joliet" else (lambda b: b.decode("ascii", "replace"))
        extent, = struct.unpack_from("<I", d, 158)
        self.volumes[tree] = {"volume": text(d[40:72]).rstrip("\0 "), "blocks": struct.unpack_from("<I", d, 80)[0], "path table bytes": struct.unpack_from("<I", d, 132)[0],
                              "path tables at": [struct.unpack_from("<I", d, 140)[0], struct.unpack_from(">I", d, 148)[0]], "root at": extent}
        self.walk(tree, "", extent, struct.unpack_from("<I", d, 166)[0], set())

    def walk(self, tree, path, extent, size, seen):
        if extent in seen:
            return
        seen.add(extent)
        at, end = extent * BLOCK, extent * BLOCK + size
        while at < end:
            length = self.data[at]
            if length == 0:
                at = (at // BLOCK + 1) * BLOCK
                continue
            self.record(tree, path, self.data[at:at + length], seen)
            at += length

    def record(self, tree, parent, r, seen):
        raw = r[33:33 + r[32]]
        if raw in (b"\0", b"\1"):
            return
        extent, size, flags = struct.unpack_from("<I", r, 2)[0], struct.unpack_from("<I", r, 10)[0], r[25]
        name, mode = (raw.decode("utf-16-be"), "") if tree == "joliet" else self.rock_ridge(raw, r[33 + len(raw) + (1 - len(raw) % 2):])
        path = f"{parent}/{name}"
        date = "%d-%02d-%02d %02d:%02d:%02d" % (1900 + r[18], *r[19:24])
        kind = "folder" if flags & 2 else "file"
        self.nodes[tree, path] = (kind, extent, size, f"{tree} {path}: {kind} flags {flags:02x} {mode} block {extent}, {size} bytes, {date}")
        if flags & 2:
            self.walk(tree, path, extent, size, seen)

    @staticmethod
    def rock_ridge(raw, area):
        name, mode = raw.decode("ascii", "replace"), ""
        while len(area) >= 4 and area[2] >= 4:
            entry, area = area[:area[2]], area[area[2]:]
            if entry[:2] == b"NM":
                name = entry[5:].decode("utf-8", "replace")
            elif entry[:2] == b"PX":
                bits, _, links, _, uid, _, gid, _ = struct.unpack_from("<I4sI4sI4sI4s", entry, 4)
                mode = f"mode {bits:o} links {links} owner {uid}:{gid}"
        return name, mode

    def content(self, path, tree="primary"):
        """A file's bytes; the case of names is a matter of the hierarchy."""
        for (where, name), (kind, extent, size, _) in self.nodes.items():
            if where == tree and name.lower() == path.lower() and kind == "file":
                return self.data[extent * BLOCK:extent * BLOCK + size]
        return None

    def files(self, below):
        """Path and bytes of all files below a folder."""
        for (tree, path), (kind, extent, size, _) in self.nodes.items():
            if tree == "primary" and kind == "file" and path.startswith(below):
                yield path, self.data[extent * BLOCK:extent * BLOCK + size]

    def menus(self):
        """The menus by place."""
        found = {path: content.decode("utf-8", "replace") for path, content in self.files("/") if re.search(r"(grub|isolinux|loopback)\.cfg$", path)}
        place = next((extent for (_, path), (_, extent, _, _) in self.nodes.items() if path == "/boot/efi.img"), None)
        if place is not None:
            shown = subprocess.run(["mtype", "-i", f"{self.path}@@{place * BLOCK}", "::/EFI/BOOT/grub.cfg"], capture_output=True, check=False)
            found["esp:/EFI/BOOT/grub.cfg"] = shown.stdout.decode("utf-8", "replace")
        return found

    def records(self):
        facts = [f"{tree} {key}: {value}" for tree, volume in self.volumes.items() for key, value in volume.items()]
        return facts + [line for *_, line in self.nodes.values()]

    def owner(self, at):
        """What a byte belongs to."""
        block = at // BLOCK
        if block < 16:
            return "system area"
        if block < 32 and self.data[block * BLOCK + 1:block * BLOCK + 6] == b"CD001":
            return "volume descriptor"
        for (tree, path), (kind, extent, size, _) in self.nodes.items():
            if extent <= block < extent + (size + BLOCK - 1) // BLOCK:
                return path if kind == "file" else f"folder {tree}:{path}"
        for tree, volume in self.volumes.items():
            if block in volume["path tables at"]:
                return f"path table of {tree}"
        return "between files"
