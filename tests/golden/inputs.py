"""The folder that the program is run in: keys, recipes, files; the same bytes, modes and times for everybody."""
import io
import os
import shutil
import struct
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
TIME = 1_000_000_000
MACHINES = {"x86_64": 62, "aarch64": 183}


def make(folder, arch):
    """Fills a folder for a base of this architecture."""
    os.makedirs(folder)
    for name in sorted(os.listdir(f"{HERE}/inputs")):
        shutil.copyfile(f"{HERE}/inputs/{name}", f"{folder}/{name}")
        os.chmod(f"{folder}/{name}", 0o600 if name in ("seed", "wifi") else 0o644)
    write(f"{folder}/overlay/srv/golden/plain", b"plain\n", 0o640)
    write(f"{folder}/overlay/home/nixos/.config/golden", b"of nixos\n", 0o600)
    os.symlink("plain", f"{folder}/overlay/srv/golden/link")
    os.chmod(f"{folder}/overlay/srv/golden", 0o750)
    archive(f"{folder}/overlay.tar")
    write(f"{folder}/tool", program(arch), 0o755)
    for top, folders, files in os.walk(folder, topdown=False):
        for name in files + folders:
            os.utime(f"{top}/{name}", (TIME, TIME), follow_symlinks=False)


def write(path, content, mode):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, mode)


def archive(path):
    """An overlay with an owner of its own and a hard link."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, kind, mode, content in (("srv/tar", tarfile.DIRTYPE, 0o711, b""), ("srv/tar/a", tarfile.REGTYPE, 0o604, b"in a tar\n"), ("srv/tar/b", tarfile.LNKTYPE, 0o604, b"")):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.mtime, member.size, member.uid, member.gid = kind, mode, TIME, len(content), 4321, 8765
            member.linkname = "srv/tar/a" if kind == tarfile.LNKTYPE else ""
            tar.addfile(member, io.BytesIO(content))


def program(arch):
    """A static ELF program that does nothing: a header, one segment, a loop."""
    header = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, MACHINES[arch], 1, 0x400078, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, 0x80, 0x80, 0x1000) + b"\xeb\xfe" + bytes(6)


def kexec(path, kernel, initrd):
    """A tar archive as nixos-images makes it for kexec, with this kernel's and this initrd's bytes."""
    run = b"#!/bin/sh\ninit=\"/nix/store/0-nixos-system-nixos-installer-25.11.1.golden/init\"\nkernelParams=\"'loglevel=4' nohibernate\"\nkexec --command-line 'init=$init $kernelParams'\n"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, mode, content in (("kexec/bzImage", 0o444, kernel), ("kexec/initrd", 0o644, initrd), ("kexec/run", 0o755, run), ("kexec/ip", 0o555, bytes([7]) * 3000)):
            member = tarfile.TarInfo(name)
            member.mode, member.mtime, member.size = mode, TIME, len(content)
            tar.addfile(member, io.BytesIO(content))
