#!/usr/bin/env python3
"""Stamps raw images whose root is an ext4 filesystem of every usual make; e2fsck, debugfs and the kernel read the results.

Usage: raw.py REMASTER. Needs mkfs.ext4, e2fsck, debugfs, tune2fs, resize2fs, mkfs.vfat, sfdisk and zstd; as root the kernel mounts the
results, too. Ends with `N passed, N failed`.
"""
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
os.environ["PATH"] += ":/usr/sbin:/sbin"

from checks import ED25519, Checks  # noqa: E402 (the path comes first)

MIB = 1 << 20
ROOT_AT = 4 * MIB
HASH = "0123456789abcdfghijklmnpqrsvwxyz"
SYSTEM = f"/nix/store/{HASH}-nixos-system-nixos-25.11.20251126.abcdef"
EXTLINUX = f"""# Generated file, all changes will be lost on nixos-rebuild!

# Change this to e.g. nixos-42 to temporarily boot to an older configuration.
DEFAULT nixos-default

MENU TITLE ------------------------------------------------------------
TIMEOUT 50

LABEL nixos-default
  MENU LABEL NixOS - Default
  LINUX ../nixos/{HASH}-linux-6.12.58-Image
  INITRD ../nixos/{HASH}-initrd-linux-6.12.58-initrd
  APPEND init={SYSTEM}/init console=ttyS0,115200n8 console=tty0 loglevel=4
  FDTDIR ../nixos/{HASH}-device-tree-overlays

LABEL nixos-1-default
  MENU LABEL NixOS - Configuration 1-default (2025-11-26 01:02 - 25.11)
  LINUX ../nixos/{HASH}-linux-6.12.58-Image
  INITRD ../nixos/{HASH}-initrd-linux-6.12.58-initrd
  APPEND init={SYSTEM}/init console=ttyS0,115200n8 console=tty0 loglevel=4
  FDTDIR ../nixos/{HASH}-device-tree-overlays
"""
# Filesystems that are written to: what mkfs.ext4 is told, and what is done to the tree or the filesystem before.
MAKES = {
    "usual": ["-b", "4096"],
    "1k": ["-b", "1024"],
    "2k": ["-b", "2048"],
    "no-checksums": ["-b", "4096", "-O", "^metadata_csum"],
    "gdt-checksums": ["-b", "1024", "-O", "^metadata_csum,uninit_bg"],
    "32-bit": ["-b", "4096", "-O", "^64bit"],
    "32-bit-gdt": ["-b", "1024", "-O", "^64bit,^metadata_csum,uninit_bg"],
    "bare": ["-b", "1024", "-O", "^64bit,^metadata_csum,^flex_bg,^resize_inode,^dir_index,^has_journal"],
    "no-flex": ["-b", "1024", "-O", "^flex_bg"],
    "small-inodes": ["-b", "1024", "-I", "128"],
    "large-inodes": ["-b", "4096", "-I", "1024"],
    "seed": ["-b", "4096", "-O", "metadata_csum_seed"],
    "orphan-file": ["-b", "4096", "-O", "orphan_file"],
    "sparse-super2": ["-b", "1024", "-O", "sparse_super2"],
    "odd-groups": ["-b", "1024", "-g", "2048", "-N", "2000"],
    "full-groups": ["-b", "1024", "-g", "2048", "-N", "2000"],
}
# Filesystems with a file that fills the first groups, so that what is put in lies in others.
FILLED = {"full-groups"}
# Filesystems that are refused, and what is said.
REFUSED = {
    "no extents": (["-O", "^extent,^64bit"], "found no extents"),
    "inline data": (["-O", "inline_data"], "found the features inline_data"),
    "bigalloc": (["-O", "bigalloc"], "found the features bigalloc"),
    "quota": (["-O", "quota"], "found the features quota"),
    "casefold": (["-E", "encoding=utf8"], "found the features casefold"),
    "meta_bg": (["-O", "meta_bg,^resize_inode"], "found the features meta_bg"),
    "encrypt": (["-O", "encrypt"], "found the features encrypt"),
    "verity": (["-O", "verity"], "found the features verity"),
    "project": (["-O", "project,quota"], "found the features quota, project"),
    "large blocks": (["-b", "65536"], "found blocks of 65536 bytes"),
}
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def run(*args, **kw):
    return subprocess.run(args, capture_output=True, text=True, check=True, **kw).stdout


def write(path, content, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(content)
    os.chmod(path, mode)


def tree(folder):
    """What the root of a NixOS image for SD cards holds before it is booted."""
    write(f"{folder}/boot/extlinux/extlinux.conf", EXTLINUX, 0o644)
    write(f"{folder}/boot/nixos/{HASH}-linux-6.12.58-Image", "a kernel\n" * 500)
    write(f"{folder}/boot/nixos/{HASH}-initrd-linux-6.12.58-initrd", "an initrd\n" * 500)
    write(f"{folder}/boot/nixos/{HASH}-device-tree-overlays/a.dtb", "a tree\n")
    write(f"{folder}{SYSTEM}/init", "#!/bin/sh\n", 0o755)
    write(f"{folder}{SYSTEM}/nixos-version", "25.11.20251126.abcdef")
    write(f"{folder}{SYSTEM}/system", "aarch64-linux")
    write(f"{folder}/nix-path-registration", "paths\n")
    for number in range(40):
        write(f"{folder}/nix/store/{HASH[:-2]}{number:02}-package/bin/program", "program\n" * 100)
    return folder


def image(root, path, table="dos"):
    """A disk with a FAT firmware partition and this root."""
    size = os.path.getsize(root)
    with open(path, "wb") as f:
        f.truncate(ROOT_AT + size + (MIB if table == "gpt" else 0))
    kinds = ("b", "83") if table == "dos" else ("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "0FC63DAF-8483-4772-8E79-3D69D8477DE4")
    ident = "label-id: 0x2178694e\n" if table == "dos" else ""
    script = f"label: {table}\n{ident}unit: sectors\nstart=2048, size=4096, type={kinds[0]}\nstart={ROOT_AT // 512}, size={size // 512}, type={kinds[1]}\n"
    subprocess.run(["sfdisk", "--quiet", path], input=script, text=True, check=True, **QUIET)
    fat = path + ".fat"
    run("mkfs.vfat", "--invariant", "-i", "2178694e", "-n", "FIRMWARE", "-C", fat, "2048")
    for part, at in ((fat, MIB), (root, ROOT_AT)):
        subprocess.run(["dd", f"if={part}", f"of={path}", "bs=1M", f"seek={at // MIB}", "conv=notrunc,sparse", "status=none"], check=True)
    os.unlink(fat)
    return path


class Raw(Checks):
    def make(self, name, options, size=24, before=None, table="dos"):
        """An image with a filesystem made like this."""
        folder = self.path(f"{name}.tree")
        tree(folder)
        if before:
            before(folder)
        root = self.path(f"{name}.ext4")
        with open(root, "wb") as f:
            f.truncate(size * MIB)
        run("mkfs.ext4", "-q", "-F", "-L", "NIXOS_SD", "-U", "44444444-4444-4444-8888-888888888888", "-E", "root_owner=0:0", *options, "-d", folder, root)
        shutil.rmtree(folder)
        return image(root, self.path(f"{name}.img"), table)

    def root_of(self, path):
        """The root filesystem of an image, in a file of its own."""
        out = path + ".root"
        size = int(re.search(r"size= *(\d+), type=(83|0FC)", run("sfdisk", "--dump", path)).group(1)) * 512
        subprocess.run(["dd", f"if={path}", f"of={out}", "bs=1M", f"skip={ROOT_AT // MIB}", f"count={size}", "iflag=count_bytes", "conv=sparse", "status=none"], check=True)
        return out

    def sound(self, name, path, listed=()):
        """e2fsck finds nothing, debugfs shows what was put in, the kernel mounts it and sees the same."""
        root = self.root_of(path)
        done = subprocess.run(["e2fsck", "-f", "-n", root], capture_output=True, text=True, check=False)
        self.verdict(f"{name}: e2fsck finds nothing", [] if done.returncode == 0 else [done.returncode, done.stdout[-1200:]])
        problems = []
        for file, mode, owner, content in listed:
            shown = subprocess.run(["debugfs", "-R", f"stat {file}", root], capture_output=True, text=True, check=False).stdout
            found = re.search(r"Mode:\s+(\d+).*?User:\s+(\d+)\s+Group:\s+(\d+)", shown, re.S)
            if not found or (int(found[1], 8), (int(found[2]), int(found[3]))) != (mode, owner):
                problems.append(f"{file}: {shown[:200]!r}")
            text = subprocess.run(["debugfs", "-R", f"cat {file}", root], capture_output=True, check=False).stdout
            if content is not None and text != content:
                problems.append(f"{file}: {text[:60]!r}")
        self.verdict(f"{name}: debugfs shows files, modes and owners", problems)
        if os.getuid() == 0:
            self.mounted(name, root, listed)
        os.unlink(root)

    def mounted(self, name, root, listed):
        at = self.path("mounted")
        os.makedirs(at, exist_ok=True)
        done = subprocess.run(["mount", "-o", "loop,ro,noload", root, at], capture_output=True, text=True, check=False)
        if done.returncode:
            self.verdict(f"{name}: the kernel mounts it", [done.stderr])
            return
        problems = []
        try:
            for file, mode, owner, content in listed:
                about = os.lstat(at + file)
                if (stat.S_IMODE(about.st_mode), (about.st_uid, about.st_gid)) != (mode, owner):
                    problems.append(f"{file}: {about}")
                if content is not None and open(at + file, "rb").read() != content:
                    problems.append(f"{file}: other bytes")
            for folder, _, files in os.walk(at):
                for one in files:
                    path = os.path.join(folder, one)
                    if os.path.isfile(path) and not os.path.islink(path):
                        open(path, "rb").read()
        except OSError as fault:
            problems.append(fault)
        finally:
            subprocess.run(["umount", at], check=True)
        self.verdict(f"{name}: the kernel mounts it and reads every file", problems)

    def grown(self, path):
        """The first boot grows partition and filesystem (sd-image.nix, postBootCommands)."""
        root = self.root_of(path)
        with open(root, "ab") as f:
            f.truncate(os.path.getsize(root) + 300 * MIB)
        grown = subprocess.run(["resize2fs", root], capture_output=True, text=True, check=False)
        done = subprocess.run(["e2fsck", "-f", "-n", root], capture_output=True, text=True, check=False)
        self.check("it can be grown", grown.returncode == done.returncode == 0, grown.stderr + done.stdout)
        os.unlink(root)

    def lived_in(self, name, path):
        """The kernel writes to it, also into folders that were changed."""
        if os.getuid() != 0:
            return
        root, at = self.root_of(path), self.path("mounted")
        subprocess.run(["mount", "-o", "loop", root, at], check=True)
        try:
            for number in range(2000):
                write(f"{at}/srv/many/{number}", "new")
            os.unlink(f"{at}/root/.ssh/authorized_keys")
            shutil.rmtree(f"{at}/etc")
        finally:
            subprocess.run(["umount", at], check=True)
        done = subprocess.run(["e2fsck", "-f", "-n", root], capture_output=True, text=True, check=False)
        self.check(f"{name}: the kernel writes to it, and e2fsck finds nothing", done.returncode == 0, done.stdout)
        os.unlink(root)

    def stamp(self, name, base, *flags, want=0, say=()):
        """Stamps a base; the path of the result."""
        out = self.path(f"{name}.out.img")
        if os.path.exists(out):
            os.unlink(out)
        code, _, err = self.call(base, *flags, "-o", out)
        if want:
            self.verdict(f"{name}: refused", self.complaints(code, want, err, say))
            self.check(f"{name}: nothing is left of it", not os.path.exists(out))
            return None
        return out if self.check(f"{name}: stamped", code == 0 and os.path.exists(out), err) else None

    def back(self, name, base, out):
        """The way back leads to the base, byte for byte."""
        reset = self.path(f"{name}.reset.img")
        code, _, err = self.call("reset", out, "-o", reset)
        self.check(f"{name}: reset gives the base", code == 0 and self.digest(reset) == self.digest(base), err or "other bytes")
        if os.path.exists(reset):
            os.unlink(reset)


def edits(c):
    """An overlay with everything there is, and the flags for it."""
    folder = c.path("overlay")
    write(f"{folder}/etc/motd.txt", "hello\n", 0o640)
    write(f"{folder}/srv/large", "0123456789abcdef" * 16384)
    write(f"{folder}/srv/empty", "")
    write(f"{folder}/home/nixos/note", "x" * 5000, 0o600)
    for number in range(300):
        write(f"{folder}/srv/many/a-name-that-is-long-enough-to-fill-the-blocks-of-a-folder-{number:04}", f"{number}\n")
    os.symlink("/srv/large", f"{folder}/srv/link")
    os.symlink("/" + "long/" * 40 + "end", f"{folder}/srv/long-link")
    key = c.file("key.pub", ED25519)
    listed = [("/root/.ssh/authorized_keys", 0o600, (0, 0), ED25519.encode()), ("/home/nixos/.ssh/authorized_keys", 0o600, (1000, 100), ED25519.encode()),
              ("/etc/motd.txt", 0o640, (0, 0), b"hello\n"), ("/srv/large", 0o644, (0, 0), b"0123456789abcdef" * 16384), ("/srv/empty", 0o644, (0, 0), b""),
              ("/home/nixos/note", 0o600, (1000, 100), b"x" * 5000), ("/root/.ssh", 0o700, (0, 0), None), ("/home/nixos", 0o700, (1000, 100), None),
              ("/srv/many/a-name-that-is-long-enough-to-fill-the-blocks-of-a-folder-0299", 0o644, (0, 0), b"299\n"),
              ("/boot/remaster/undo.bin", 0o600, (0, 0), None)]
    flags = ["--key", key, "--overlay", folder, "--hostname", "box", "--karg", "quiet", "--karg-delete", "loglevel=4"]
    return flags, listed


def every_make(c, flags, listed):
    for name, options in MAKES.items():
        fill = (lambda folder: write(f"{folder}/a-fill", "x" * (9 * MIB))) if name in FILLED else None
        base = c.make(name, options, before=fill)
        before = c.digest(base)
        out = c.stamp(name, base, *flags)
        if out:
            c.sound(name, out, listed)
            c.back(name, base, out)
            again = c.stamp(f"{name}, again", out, "--key", c.path("key.pub"))
            once = c.stamp(f"{name}, once", base, "--key", c.path("key.pub"))
            if again and once:
                c.check(f"{name}: stamped twice is stamped once", c.digest(again) == c.digest(once))
        c.check(f"{name}: the base stays", c.digest(base) == before)
        for left in os.listdir(c.scratch):
            if left.startswith(name):
                os.unlink(c.path(left))


def refused_makes(c, key):
    for name, (options, say) in REFUSED.items():
        try:
            base = c.make(name, options)
        except subprocess.CalledProcessError as fault:
            c.verdict(f"{name}: mkfs.ext4 makes it", [fault.stderr])
            continue
        c.stamp(name, base, *key, want=4, say=[say])
        os.unlink(base)


def debug(root, *commands):
    for command in commands:
        run("debugfs", "-w", "-R", command, root)


def odd(c, flags, listed):
    """Filesystems in states that others are in."""
    key = ["--key", c.path("key.pub")]

    # Populated as nixpkgs does it: made, shrunk, 16 MiB more (nixos/lib/make-ext4-fs.nix).
    base = c.make("nixpkgs", ["-b", "4096"], size=200)
    root = c.root_of(base)
    subprocess.run(["e2fsck", "-fy", root], check=False, **QUIET)
    run("resize2fs", "-M", root)
    with open(root, "ab") as f:
        f.truncate((os.path.getsize(root) // MIB + 17) * MIB)
    run("resize2fs", root)
    base = image(root, c.path("nixpkgs.img"))
    if out := c.stamp("as nixpkgs makes it", base, *flags):
        c.sound("as nixpkgs makes it", out, listed)
        c.grown(out)
        c.back("as nixpkgs makes it", base, out)

    # A folder that e2fsck has hashed, with thousands of names, that gets more.
    def thousands(folder):
        os.makedirs(f"{folder}/srv/many")
        for number in range(6000):
            write(f"{folder}/srv/many/{'n' * 60}{number:05}", "")
    for name, options in (("hashed", ["-b", "1024", "-N", "12000"]), ("hashed-plain", ["-b", "1024", "-N", "12000", "-O", "^metadata_csum"])):
        base = c.make(name, options, size=48, before=thousands)
        root = c.root_of(base)
        subprocess.run(["e2fsck", "-fyD", root], check=False, **QUIET)
        flagged = run("debugfs", "-R", "htree_dump /srv/many", root)
        c.check(f"{name}: the folder is hashed", "Indirect levels: 1" in flagged, flagged[:300])
        base = image(root, c.path(f"{name}.img"))
        if out := c.stamp(name, base, *flags):
            c.sound(name, out, [*listed, (f"/srv/many/{'n' * 60}03333", 0o644, (0, 0), b"")])
            c.lived_in(name, out)
            c.back(name, base, out)

    # Full folder blocks, hard links, a link in the way, files to be replaced.
    def linked(folder):
        write(f"{folder}/etc/motd.txt", "old\n" * 3000, 0o600)
        write(f"{folder}/srv/empty", "not empty")
        os.link(f"{folder}/srv/empty", f"{folder}/srv/hard")
        os.symlink("elsewhere", f"{folder}/srv/large")
        os.makedirs(f"{folder}/srv/many")
        for number in range(500):
            write(f"{folder}/srv/many/a-name-that-is-long-enough-to-fill-the-blocks-of-a-folder-{number:04}", "old")
    base = c.make("replaced", ["-b", "1024"], before=linked)
    if out := c.stamp("replaced", base, *flags):
        c.sound("replaced", out, [*listed, ("/srv/hard", 0o644, (0, 0), b"not empty"),
                                  ("/srv/many/a-name-that-is-long-enough-to-fill-the-blocks-of-a-folder-0499", 0o644, (0, 0), b"old")])
        c.back("replaced", base, out)

    base = c.make("linked", [], before=lambda folder: os.symlink("/elsewhere", f"{folder}/srv"))
    c.stamp("below a link", base, *flags, want=4, say=["/srv in the image.*a folder.*found a symbolic link"])
    base = c.make("folder", [], before=lambda folder: os.makedirs(f"{folder}/etc/motd.txt"))
    c.stamp("a folder in the way", base, *flags, want=4, say=["/etc/motd.txt in the image.*found a folder"])

    # Hardly any room, in one piece or in many; no inodes.
    base = c.make("full", ["-b", "1024", "-m", "0"], size=8, before=lambda folder: write(f"{folder}/fill", "x" * (6 * MIB - 300_000)))
    c.stamp("full", base, *flags, want=4, say=["no room in .*the root filesystem of the image.*bytes needed, \\d+ free"])
    base = c.make("few-inodes", ["-b", "1024", "-N", "168"])
    c.stamp("no inodes", base, *flags, want=4, say=["no room in .*the inode tables"])

    def crumbs(root):
        names = [f"/crumbs/{number:04}" for number in range(0, 1500, 2)]
        script = c.file("crumbs", "".join(f"rm {name}\n" for name in names))
        run("debugfs", "-w", "-f", script, root)
    base = c.make("crumbs", ["-b", "1024", "-N", "4000", "-m", "0"], size=10,
                  before=lambda folder: [write(f"{folder}/crumbs/{number:04}", "\0" * 1024) for number in range(1500)] and write(f"{folder}/fill", "x" * 4_650_000))
    root = c.root_of(base)
    crumbs(root)
    base = image(root, c.path("crumbs.img"))
    small = c.file("pieces", "y" * 60_000)
    if out := c.stamp("in many pieces", base, "--file", f"{small}:/srv/pieces"):
        c.sound("in many pieces", out, [("/srv/pieces", 0o644, (0, 0), b"y" * 60_000)])
        c.back("in many pieces", base, out)

    # Not unmounted; broken checksums of what is changed; a count that is wrong.
    base = c.make("states", ["-b", "1024"])
    for name, command, say in (("needs recovery", "feature needs_recovery", "needs_recovery"), ("with faults", "ssv state 2", "not unmounted, or has faults")):
        root = c.root_of(base)
        debug(root, command)
        c.stamp(name, image(root, c.path("state.img")), *key, want=4, say=[say])
    for name, block in (("block bitmap", r"Block bitmap at (\d+)"), ("inode bitmap", r"Inode bitmap at (\d+)")):
        root = c.root_of(base)
        at = int(re.search(block, run("dumpe2fs", root)).group(1))
        with open(root, "r+b") as f:
            f.seek(at * 1024 + 100)
            f.write(b"\x55")
        c.stamp(f"a broken {name}", image(root, c.path("state.img")), *key, want=4, say=[f"{name} of group 0"])

    # By GPT.
    base = c.make("gpt", [], table="gpt")
    if out := c.stamp("by GPT", base, *flags):
        c.sound("by GPT", out, listed)
        c.back("by GPT", base, out)


def commands(c, flags):
    """What is typed: packed bases, dry run, patches, in place, inspect, diff, verify."""
    base = c.make("sd", ["-b", "4096"])
    run("zstd", "-q", "-f", base, "-o", c.path("sd.img.zst"))
    key = ["--key", c.path("key.pub")]
    plain, packed = c.stamp("plain", base, *flags), c.stamp("packed", c.path("sd.img.zst"), *flags)
    if not plain or not packed:
        return
    c.check("packed or not, the same bytes", c.digest(plain) == c.digest(packed))
    code, out, _ = c.call(base, *flags, "-n")
    text = out.decode()
    c.check("a dry run tells what it would do", code == 0 and "NixOS 25.11.20251126.abcdef, NIXOS_SD" in text and "into partition 2 (NIXOS_SD)" in text and "change /boot/extlinux/extlinux.conf" in text, text)
    code, out, err = c.call(base, *flags, "-o", "-")
    c.check("a pipe gets the same bytes", code == 0 and out == open(plain, "rb").read(), err)
    root = c.root_of(plain)
    menu = run("debugfs", "-R", "cat /boot/extlinux/extlinux.conf", root)
    wanted = EXTLINUX.replace(" console=tty0 loglevel=4\n", " console=tty0 quiet\n")
    c.check("the menu has the arguments in every entry, and nothing else changes", menu == wanted, menu)
    os.unlink(root)

    patch = c.path("sd.remaster")
    code, _, err = c.call(base, *flags, "--as", "patch", "-o", patch)
    code2, _, err2 = c.call("apply", base, patch, "-o", c.path("applied.img"))
    c.check("a patch makes the same image", code == code2 == 0 and c.digest(c.path("applied.img")) == c.digest(plain), err + err2)
    shutil.copy(base, c.path("edited.img"))
    code, _, err = c.call("edit", "--in-place", c.path("edited.img"), *flags)
    c.check("an edit in place gives the same image", code == 0 and c.digest(c.path("edited.img")) == c.digest(plain), err)
    code, _, err = c.call("reset", "--in-place", c.path("edited.img"))
    c.check("a reset in place gives the base", code == 0 and c.digest(c.path("edited.img")) == c.digest(base), err)

    code, out, err = c.call("inspect", "--all", plain)
    text = out.decode()
    wanted = ["NixOS 25.11.20251126.abcdef for aarch64", "raw image of", 'root in partition 2: ext4 "NIXOS_SD"', "put in as files in the root filesystem", "key for root: ssh-ed25519", "hostname: box", "/srv/large", "menu /boot/extlinux/extlinux.conf"]
    c.verdict("inspect shows what it is and what was put in", [x for x in wanted if x not in text] + ([err] if code else []))
    code, out, err = c.call("inspect", "--kargs", plain)
    c.check("inspect shows the arguments", code == 0 and f"init={SYSTEM}/init console=ttyS0,115200n8 console=tty0 quiet" in out.decode(), err)
    code, out, err = c.call("inspect", base)
    c.check("inspect tells a stock image", code == 0 and "nothing was put in" in out.decode(), err)
    code, out, err = c.call("diff", "--all", base, plain)
    c.check("diff shows keys and arguments", code == 1 and all(x in out.decode() for x in ("+ root and nixos with ssh-ed25519 SHA256:", "+ quiet", "- loglevel=4", "+ /srv/large:")), out.decode() + err)

    signed = c.path("signed.img")
    code, _, err = c.call(base, *key, "--manifest-digests", "-o", signed)
    code2, _, err2 = c.call("verify", signed)
    c.check("an image is verified by its manifest", code == code2 == 0, err + err2)
    with open(signed, "r+b") as f:
        f.seek(ROOT_AT + 3 * MIB)
        f.write(b"!")
    code, _, err = c.call("verify", signed)
    c.check("and another byte is noticed", code == 3, err)

    # Written to by somebody else since: it cannot be undone.
    booted = c.path("booted.img")
    root = c.root_of(plain)
    debug(root, "mkdir /var")
    image(root, booted)
    for name, args in (("reset", ["reset", booted, "-o", c.path("x.img")]), ("stamped", [booted, *key, "-o", c.path("x.img")])):
        code, _, err = c.call(*args)
        c.verdict(f"a booted image is not {name}", c.complaints(code, 4, err, ["it was booted or written to since"]))

    for flag, say in ((["--label", "other"], "--label is for ISOs"), (["--merge-initrd"], "--merge-initrd is for ISOs")):
        code, _, err = c.call(base, *key, *flag, "-o", c.path("x.img"))
        c.verdict(f"{flag[0]}: refused with a hint", c.complaints(code, 2, err, [say, "hint: leave it out"]))
    code, _, err = c.call("stamp", base, c.file("users.csv", f"name,key\na,{c.path('key.pub')}\n"), "-o", c.path("batch"))
    c.verdict("a batch: refused with a hint", c.complaints(code, 2, err, ["`remaster stamp` works with ISOs", "one image at a time"]))
    large = c.path("large")
    write(f"{large}/srv/large", "z" * (30 * MIB))
    code, _, err = c.call(base, *key, "--overlay", large, "-o", c.path("x.img"))
    c.verdict("an overlay that does not fit: refused", c.complaints(code, 4, err, ["no room in .*the root filesystem of the image.*bytes needed, \\d+ free", "hint: give fewer or smaller edits"]))
    with open(c.path("none.img"), "wb") as f:
        f.truncate(8 * MIB)
    subprocess.run(["sfdisk", "--quiet", c.path("none.img")], input="label: dos\nstart=2048, size=2048, type=83\n", text=True, check=True, **QUIET)
    code, _, err = c.call(c.path("none.img"), *key, "-o", c.path("x.img"))
    c.verdict("a disk without a root: refused", c.complaints(code, 4, err, ["/boot/extlinux/extlinux.conf", "found partition 1 of type 83 without ext4"]))

    if os.getuid() == 0:
        flashed(c, base, plain, key, flags)


def flashed(c, base, plain, key, flags):
    """One pass onto a disk, then another key: only what differs."""
    disk = c.path("disk")
    with open(disk, "wb") as f:
        f.truncate(os.path.getsize(base) + 3 * MIB)
    loop = run("losetup", "--find", "--show", disk).strip()
    try:
        to = ["--yes", "--allow-fixed", "--expect-size", str(os.path.getsize(disk)), loop]
        code, _, err = c.call("flash", c.path("sd.img.zst"), *flags, *to)
        same = open(disk, "rb").read(os.path.getsize(plain)) == open(plain, "rb").read()
        c.check("flash stamps and writes in one pass", code == 0 and same, err)
        once = c.stamp("once more", base, *key)
        code, _, err = c.call("flash", base, *key, *to)
        same = bool(once) and open(disk, "rb").read(os.path.getsize(base)) == open(once, "rb").read()
        c.check("flash writes another key over it", code == 0 and same, err)
    finally:
        run("losetup", "--detach", loop)


def main():
    with tempfile.TemporaryDirectory(prefix="remaster-raw-") as scratch:
        c = Raw(os.path.abspath(sys.argv[1]), scratch)
        flags, listed = edits(c)
        every_make(c, flags, listed)
        refused_makes(c, flags[:2])
        odd(c, flags, listed)
        commands(c, flags)
        return c.end()


if __name__ == "__main__":
    sys.exit(main())
