"""Runs the program and takes down what came of it, as text: one record per base and group of commands."""
import json
import mmap
import os
import pty
import re
import shlex
import stat
import subprocess
import tarfile
import tempfile

import ext4
import inputs
import parts
import shorter
from iso import Iso
from masks import Masks

SECTOR, PIECE, RANGES = 512, 1 << 20, 24
LONGEST_TEXT, FEW = 8 << 10, 6


class Record:
    """What a group of commands does with one base, in a folder of its own."""

    def __init__(self, remaster, version, base, folder, texts):
        self.remaster, self.folder, self.texts = remaster, folder, texts
        self.masks = Masks(version)
        self.items, self.seen = [], {}
        self.base = "base.img" if base.path.endswith(".img") else "base.iso"
        inputs.make(folder, base.arch)
        subprocess.run(["cp", "--reflink=auto", base.path, self.at(self.base)], check=True)
        os.chmod(self.at(self.base), 0o644)
        self.facts = base
        self.before = set(self.names())

    def at(self, name):
        return os.path.join(self.folder, name)

    def names(self):
        return sorted(os.path.relpath(os.path.join(top, name), self.folder) for top, _, files in os.walk(self.folder) for name in files)

    def say(self, *lines):
        self.items.append(lambda: [self.masks.text(line) for line in lines])

    def run(self, *args, out=None, terminal=False, whole=False):
        """One run of the program; standard output to a file if `out` names one, standard error to a terminal if that is wanted."""
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC", "HOME": self.folder, "XDG_CACHE_HOME": self.at(".cache"), "TMPDIR": tempfile.gettempdir()}
        with open(self.at(out), "wb") if out else tempfile.TemporaryFile() as stdout:
            status, err = self.started(["remaster", *args], stdout, environment, terminal)
            text = b""
            if not out:
                stdout.seek(0)
                text = stdout.read()
        where = f" > {out}" if out else " 2> /dev/tty" if terminal else ""
        self.items.append(lambda: self.told(f"$ remaster {shlex.join(args)}{where}", status, text, err, whole))
        return status

    def started(self, command, stdout, environment, terminal):
        if not terminal:
            done = subprocess.run(command, executable=self.remaster, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, cwd=self.folder, env=environment, timeout=300, check=False)
            return done.returncode, done.stderr
        ours, theirs = pty.openpty()
        with subprocess.Popen(command, executable=self.remaster, stdin=subprocess.DEVNULL, stdout=stdout, stderr=theirs, cwd=self.folder, env=environment) as process:
            os.close(theirs)
            err = b""
            try:
                while piece := os.read(ours, 1 << 16):
                    err += piece
            except OSError:
                pass  # the other end is closed
        os.close(ours)
        return process.returncode, err

    def told(self, command, status, text, err, whole):
        lines = ["", command, *([f"  exit status {status}"] if status else [])]
        for title, raw in (("out", text), ("err", err)):
            said = raw.decode("utf-8", "replace")
            if title == "out" and shorter.is_json(said):
                depth, found = 1, [part for document in self.masks.json(self.masks.text(said)) for part in shorter.shown(shorter.value(document, whole))]
            else:
                depth, found = 0, shorter.lines(self.masks.text(said), whole)
            for part in shorter.groups(found, depth):
                lines += shared([f"  {title}| {line}".rstrip() for line in part]) if isinstance(part, list) else [f"  {title}| {part}"]
        return lines

    # What was made.

    def head(self, name, unpacked=None):
        """The line of a file, and its bytes; none if it is not there or was listed before."""
        if not os.path.exists(self.at(name)):
            self.say(f"{name}: not there")
            return None
        data = opened(self.at(name))
        digest = self.masks.digest(unpacked(data), data) if unpacked else self.masks.digest(data)
        again = self.seen.setdefault(digest, name)
        same = f", the same bytes as {again}" if again != name else ""
        self.say(f"{name}: {len(data)} bytes, mode {mode(self.at(name)):04o}, SHA-256 {digest}{same}")
        return None if same else data

    def image(self, name, brief=False):
        """An image, as it differs from its base."""
        data = self.head(name)
        if data is None or brief:
            return
        if data == self.facts.data:
            self.say("  the base")
        elif self.facts.is_raw:
            self.raw(name, data)
        else:
            self.iso(name, data)

    def listed(self, title, before, after):
        lines = [f"  - {line}" for line in before if line not in after] + [f"  + {line}" for line in after if line not in before]
        if lines:
            self.say(f" {title}:", *lines)

    def iso(self, name, data):
        new, old = Iso(self.at(name), data), self.facts.iso
        self.listed("partitions", parts.partitions(self.facts.data), parts.partitions(data))
        self.listed("records", old.records(), new.records())
        self.menus(old.menus(), new.menus())
        for path, content in new.files("/"):
            if old.content(path) == content:
                continue
            self.say(f" {path}: {len(content)} bytes, SHA-256 {self.masks.digest(content)}")
            if path.endswith("/manifest.json"):
                self.manifest(content)
            elif path.endswith(".img") and content[:6] in (b"070701", bytes(6)):
                self.archive(content)
            elif path.endswith("/initrd"):
                stays = self.facts.iso.content(path) or b""
                self.say(f"  begins with the base's: {content.startswith(stays)}")
                self.archive(content[len(stays):])
        self.ranges(data, new.owner)

    def raw(self, name, data):
        offset = ext4.root_at(data)
        new, old = ext4.Root(self.at(name), offset), self.facts.root
        self.listed("partitions", parts.partitions(self.facts.data), parts.partitions(data))
        self.say(f" {new.clean(data, offset)}")
        digests, before = new.digests(), self.facts.digests
        links = new.links([path for path, node in new.nodes.items() if node[1].startswith("12")])

        def line(path, node, found):
            inode, bits, owner, size = node
            what = f"SHA-256 {found[path]}" if path in found else ""
            return f"{path}: inode {inode} mode {bits} owner {owner} {size} bytes {what}".rstrip()
        for path in new.nodes:
            if before.get(path) != digests.get(path):
                self.file(path, new.content(path), digests)
        changed = [path for path, node in new.nodes.items() if old.nodes.get(path) != node]
        self.listed("files", [line(p, n, before) for p, n in old.nodes.items()],
                    [line(p, n, digests) + (f" -> {links[p]}" if p in links and p in changed else "") for p, n in new.nodes.items()])
        menu = "/boot/extlinux/extlinux.conf"
        self.menus({menu: (old.content(menu) or b"").decode()}, {menu: (new.content(menu) or b"").decode()})
        found = next((path for path in new.nodes if path.endswith("/remaster/manifest.json")), None)
        if found:
            self.manifest(new.content(found))
        self.ranges(data, lambda at: "root" if at >= offset else "before the root")

    def file(self, path, content, digests):
        digests[path] = self.masks.digest(content)
        self.text(path, content)

    def menus(self, before, after):
        for place, text in after.items():
            if text != before.get(place, ""):
                self.say(f" menu {place}:", *(f"  {line}" for line in shorter.words(before.get(place, ""), text)))

    def manifest(self, content):
        def lines():
            found = json.loads(self.masks.text(content.decode()))
            files = ["  | " + " ".join(str(part) for part in file.values()) for file in found.pop("files")]
            files[:0] = ["  | files: path kind mode owner sha256"] if files else []
            return [*(f"  | {line}" for line in shorter.shown(found)), *shared(files)]
        self.items.append(lines)

    def archive(self, content):
        outside, inside = [], []
        for line, path, bytes_ in parts.members(content):
            (inside if path and path.startswith("remaster/root") else outside).append(f"  {line}" + (f" SHA-256 {self.masks.digest(bytes_)}" if bytes_ else ""))
            if bytes_:
                self.text(path, bytes_)
        self.say(*outside)
        self.items.append(lambda: shared([self.masks.text(line) for line in inside]))

    def text(self, path, content):
        """Keeps a text for all records, once."""
        path = "/" + path.removeprefix("remaster/root/").lstrip("/")
        if path.endswith("_key") or path.startswith("/boot/remaster/") or len(content) > LONGEST_TEXT or b"\0" in content:
            return
        try:
            text = content.decode()
        except UnicodeDecodeError:
            return
        self.texts[path, self.masks.digest(content)] = text

    def ranges(self, data, owner):
        """Which sectors are not the base's, and whose they are."""
        found = []
        for start, end in runs(self.facts.data, data):
            at = start
            while at < end:
                whose, stop = owner(at), at
                while stop < end and owner(stop) == whose:
                    stop += SECTOR
                found.append(f"  {at:#x} {min(stop, end) - at} {whose}")
                at = stop
        self.say(" sectors that are not the base's:", *found[:RANGES], *([f"  {shorter.left_out(found[RANGES:], 'ranges')}"] if found[RANGES:] else []))

    def patch(self, name):
        # Packed bytes, their size and digest depend on the version that is in them.
        data = self.head(name, unpacked)
        if data is not None:
            lines, literals = parts.patch(data)
            self.say(*(f"  {line}" for line in lines), f"  literals: SHA-256 {self.masks.digest(literals)}")

    def show(self, name, whole=True):
        """A file of text."""
        data = self.head(name)
        if data is not None:
            text = data[:].decode("utf-8", "replace")
            self.items.append(lambda: ["  | " + line for document in self.masks.json(self.masks.text(text)) for line in shorter.shown(shorter.value(document, whole))]
                              if shorter.is_json(text) else ["  | " + line for line in shorter.lines(self.masks.text(text), whole)])

    def netboot(self, folder, stays=b""):
        for name in sorted(os.listdir(self.at(folder)) if os.path.isdir(self.at(folder)) else []):
            if name.endswith(".ipxe"):
                self.show(f"{folder}/{name}")
                continue
            data = self.head(f"{folder}/{name}")
            if name == "initrd" and data is not None:
                self.say(f"  begins with the base's: {data[:len(stays)] == stays}")
                self.archive(data[len(stays):])

    def tar(self, name, stays):
        data = self.head(name)
        if data is None:
            return
        with tarfile.open(self.at(name)) as tar:
            for member in tar.getmembers():
                content = tar.extractfile(member).read() if member.isfile() else b""
                self.say(f"  {member.mode:04o} {member.uid}:{member.gid} time {member.mtime} {member.size} bytes {member.name} SHA-256 {self.masks.digest(content)}")
                if member.name.endswith("/initrd"):
                    self.archive(content[len(stays):])

    def oci(self, folder):
        """A layout: blobs that name no other first, so that what names them can be told without their version."""
        blobs = f"{folder}/blobs/sha256"
        if not os.path.isdir(self.at(blobs)):
            self.say(f"{folder}: not there")
            return
        contents = {name: opened(self.at(f"{blobs}/{name}"))[:] for name in os.listdir(self.at(blobs))}
        done = []
        while rest := [name for name in contents if name not in done]:
            ready = [name for name in rest if not any(other.encode() in contents[name] for other in rest if other != name)]
            done += ready or rest
            for name in ready:
                self.told_apart(contents[name])
        for name in sorted(done, key=lambda name: (not shorter.is_json(contents[name][:2].decode("latin-1")), self.masks.known.get(name, name))):
            if contents[name].startswith(b"remaster patch"):
                self.patch(f"{blobs}/{name}")
            elif shorter.is_json(contents[name][:2].decode("latin-1")):
                self.show(f"{blobs}/{name}")
            else:
                self.head(f"{blobs}/{name}")
        self.show(f"{folder}/index.json")
        self.show(f"{folder}/oci-layout")

    def told_apart(self, content):
        if content.startswith(b"remaster patch"):
            self.masks.digest(unpacked(content), content)
        else:
            self.masks.digest(content)

    def end(self):
        """All of it as lines, and the files that are there now."""
        made = [name for name in self.names() if name not in self.before]
        gone = sorted(self.before - set(self.names()))
        told = [line for item in self.items for line in item()]
        made = sorted((self.masks.text(name), mode(self.at(name))) for name in made)
        return [*told, "", "files that were made:", *(f"  {bits:04o} {name}" for name, bits in made), *(f"  gone: {name}" for name in gone)]


class Shared:
    """Lines that many records have; one tells them, the others where they are told."""

    def __init__(self, lines):
        self.lines = lines

    def told(self, where, seen):
        digest = shorter.digest("\n".join(self.lines))
        if digest not in seen:
            seen[digest] = where
            return self.lines
        first = "above" if seen[digest] == where else f"in {seen[digest]}"
        return [f"  ({len(self.lines)} lines, SHA-256 {digest}, as {first})"]


def shared(lines):
    return [Shared(lines)] if len(lines) >= FEW else lines


def text(lines, where, seen):
    """A record as text; digests by their beginnings."""
    found = [part for line in lines for part in (line.told(where, seen) if isinstance(line, Shared) else [line])]
    return re.sub(r"\b([0-9a-f]{16})[0-9a-f]{48}\b", r"\1", "".join(line.rstrip() + "\n" for line in found))


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def unpacked(patch):
    """What is in a patch file."""
    lines, literals = parts.patch(patch)
    return "".join(lines).encode() + literals


def opened(path):
    """A file's bytes, which may be many."""
    if os.path.getsize(path) == 0:
        return b""
    with open(path, "rb") as file:
        if os.path.getsize(path) < 64 << 20:
            return file.read()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def runs(before, after):
    """Begin and end of what differs, in sectors; all that is behind the old end."""
    found = []
    for piece in range(0, len(after), PIECE):
        if before[piece:piece + PIECE] == after[piece:piece + PIECE]:
            continue
        for at in range(piece, min(piece + PIECE, len(after)), SECTOR):
            new, old = after[at:at + SECTOR], before[at:at + SECTOR]
            if new == old or (not old and not any(new)):
                continue
            if found and found[-1][1] == at:
                found[-1][1] = at + SECTOR
            else:
                found.append([at, at + SECTOR])
    return found
