"""What stands in the ext4 root of a raw image, as debugfs reads it: modes, owners, inodes, sizes and digests."""
import hashlib
import os
import re
import subprocess
import tempfile

os.environ["PATH"] += ":/usr/sbin:/sbin"
TEXT = {"LC_ALL": "C", "PATH": os.environ["PATH"]}


def root_at(data):
    """Where the partition of type 83 begins."""
    for entry in range(446, 510, 16):
        if data[entry + 4] == 0x83:
            return int.from_bytes(data[entry + 8:entry + 12], "little") * 512
    return None


class Root:
    def __init__(self, path, offset):
        self.where = f"{path}?offset={offset}"
        self.nodes = {}
        folders = ["/"]
        while folders:
            folders = [path for folder, listed in zip(folders, self.ask([f'ls -p "{folder}"' for folder in folders])) for path in self.listed(folder, listed)]

    def ask(self, commands):
        """What debugfs answers, per command."""
        with tempfile.NamedTemporaryFile("w", suffix=".debugfs") as file:
            file.write("".join(command + "\n" for command in commands))
            file.flush()
            done = subprocess.run(["debugfs", "-f", file.name, self.where], capture_output=True, text=True, check=False, env=TEXT)
        return re.split(r"^debugfs: .*\n", done.stdout, flags=re.M)[1:]

    def listed(self, folder, listed):
        """Takes down the entries of a folder; the folders among them."""
        for line in listed.splitlines():
            parts = line.split("/")
            if len(parts) < 7 or not parts[1] or parts[5] in (".", "..", ""):
                continue
            _, inode, mode, uid, gid, name, size, *_ = parts
            path = folder.rstrip("/") + "/" + name
            self.nodes[path] = (int(inode), mode, f"{int(uid)}:{int(gid)}", int(size or 0))
            if mode.startswith("04"):
                yield path

    def contents(self, paths):
        """The bytes of regular files."""
        with tempfile.TemporaryDirectory() as folder:
            self.ask([f'dump "{path}" {folder}/{number}' for number, path in enumerate(paths)])
            for number, path in enumerate(paths):
                with open(f"{folder}/{number}", "rb") as file:
                    yield path, file.read()

    def content(self, path):
        return dict(self.contents([path]))[path] if path in self.nodes else None

    def links(self, paths):
        """Where symbolic links point."""
        said = self.ask([f'stat "{path}"' for path in paths])
        found = (re.search(r'Fast link dest: "(.*)"', text) for text in said)
        return {path: match[1] if match else "(long)" for path, match in zip(paths, found)}

    def digests(self):
        """Path to digest, of all regular files."""
        return {path: hashlib.sha256(content).hexdigest() for path, content in self.contents([p for p, node in self.nodes.items() if node[1].startswith("10")])}

    def clean(self, data, offset):
        """What e2fsck says of it."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(data[offset:])
            file.flush()
            done = subprocess.run(["e2fsck", "-fn", file.name], capture_output=True, text=True, check=False, env=TEXT)
        return f"e2fsck: exit status {done.returncode}"
