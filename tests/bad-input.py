#!/usr/bin/env python3
"""Gives the program what it must refuse. Usage: bad-input.py REMASTER BASE BIG_BASE

BASE is a small base, BIG_BASE one that takes long enough to write to be interrupted. Every case wants a clear error, its
exit code, no panic, no output, no temporary file and an unchanged base. Ends with `N passed, N failed`.
"""
import contextlib
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

from checks import ED25519, Checks

OS, USAGE, MALFORMED = 1, 2, 4
BLOCK = 2048


class Suite(Checks):
    """Runs the program in a scratch folder and judges what it did."""

    def __init__(self, remaster, base, big, scratch):
        super().__init__(remaster, scratch)
        self.base, self.big = base, big
        self.key = self.file("good.pub", ED25519)
        self.sums = {p: self.digest(p) for p in (base, big)}

    def refused(self, name, want, *args, say=(), out="out.iso", **kw):
        """One run that has to fail, with output in a folder of its own."""
        folder = tempfile.mkdtemp(dir=self.scratch)
        target = os.path.join(folder, out)
        args = [target if a == "OUT" else a for a in args]
        code, _, err = self.call(*args, **kw)
        problems = self.complaints(code, want, err, say)
        left = os.listdir(folder)
        if left:
            problems.append(f"left behind: {left}")
        shutil.rmtree(folder)
        self.verdict(name, problems)
        return err

    def stamp(self, name, want, base, **kw):
        return self.refused(name, want, base, "--key", self.key, "-o", "OUT", **kw)


def not_an_image(s):
    """Things that are no ISO at all."""
    s.stamp("no such file", OS, s.path("nothing.iso"), say=["nothing.iso"])
    s.stamp("empty file", MALFORMED, s.file("empty.iso", ""), say=["empty.iso"])
    s.stamp("text file", MALFORMED, s.file("text.iso", "no image\n" * 20000), say=["text.iso"])
    s.stamp("one byte", MALFORMED, s.file("one.iso", "x"))
    s.stamp("zeros", MALFORMED, s.file("zeros.iso", bytes(1 << 20)))
    s.stamp("noise", MALFORMED, s.file("noise.iso", random.Random(1).randbytes(1 << 20)))
    disk = s.path("disk.img")
    with open(disk, "wb") as f:
        f.truncate(32 << 20)
    subprocess.run(["sfdisk", "-q", disk], input=b"label: gpt\n,8M,U\n,,L\n", check=True, capture_output=True, env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
    s.stamp("raw disk image", MALFORMED, disk)
    folder = s.path("folder.iso")
    os.mkdir(folder)
    s.stamp("directory", USAGE, folder, say=["folder.iso"])
    fifo = s.path("fifo.iso")
    os.mkfifo(fifo)
    s.stamp("FIFO", USAGE, fifo, seconds=15)
    s.stamp("/dev/null", USAGE, "/dev/null")
    tree = s.path("debian")
    os.makedirs(f"{tree}/isolinux")
    os.makedirs(f"{tree}/install.amd")
    s.file("debian/isolinux/isolinux.cfg", "DEFAULT install\nLABEL install\nKERNEL /install.amd/vmlinuz\nAPPEND initrd=/install.amd/initrd.gz --- quiet\n")
    s.file("debian/install.amd/vmlinuz", b"MZ" * 1000)
    s.file("debian/install.amd/initrd.gz", b"\x1f\x8b" * 1000)
    shutil.copy("/usr/lib/ISOLINUX/isolinux.bin", f"{tree}/isolinux/")
    subprocess.run(["xorriso", "-as", "mkisofs", "-V", "Debian 12.0.0 amd64 n", "-r", "-J", "-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-no-emul-boot",
                    "-boot-load-size", "4", "-boot-info-table", "-isohybrid-mbr", "/usr/lib/ISOLINUX/isohdpfx.bin", "-o", s.path("debian.iso"), tree],
                   check=True, capture_output=True)
    err = s.stamp("Debian ISO", MALFORMED, s.path("debian.iso"))
    s.verdict("Debian ISO: the error names what NixOS has", [] if re.search("nixos|nix-store", err, re.I) else [err])


def places(base):
    """Offsets of the structures of a base, by what its own descriptors say and what xorriso reports."""
    with open(base, "rb") as f:
        head = f.read(64 * BLOCK)
    primary, joliet = (next((n for n in range(16, 32) if head[n * BLOCK] == kind), None) for kind in (1, 2))
    found = {"MBR": 446, "GPT header": 512, "GPT entries": 1024, "primary descriptor": primary * BLOCK, "Joliet descriptor": joliet * BLOCK}
    for name, number in (("primary", primary), ("Joliet", joliet)):
        d = head[number * BLOCK:(number + 1) * BLOCK]
        found[f"{name} root directory"] = struct.unpack("<I", d[158:162])[0] * BLOCK
        found[f"{name} path table"] = struct.unpack("<I", d[140:144])[0] * BLOCK
    out = subprocess.run(["xorriso", "-indev", base, "-find", "/", "-type", "f", "-exec", "report_lba", "--"], capture_output=True, text=True, check=True).stdout
    for m in re.finditer(r"^File data lba:\s*\d+\s*,\s*(\d+)\s*,\s*\d+\s*,\s*(\d+)\s*,\s*'(.*)'", out, re.M):
        if re.search(r"efi\.img|/initrd|isolinux\.(cfg|bin)|grub\.cfg|squashfs|version", m[3]):
            found[m[3]] = int(m[1]) * BLOCK
    catalog = subprocess.run(["xorriso", "-indev", base, "-report_el_torito", "plain"], capture_output=True, text=True, check=True).stdout
    found["boot catalog"] = int(re.search(r"El Torito catalog\s*:\s*(\d+)", catalog)[1]) * BLOCK
    found["FAT"] = found["/boot/efi.img"]
    return found


def broken_images(s):
    """Cut off and changed bases."""
    size = os.path.getsize(s.base)
    where = places(s.base)
    cuts = sorted({1, 511, 512, 2047, 16 * BLOCK, 16 * BLOCK + 6, 17 * BLOCK, 18 * BLOCK - 1, size // 2, size - 2048, size - 512, size - 1,
                   *(p for at in where.values() for p in (at, at + 1, at + 1000))})
    copy = s.path("broken.iso")
    for cut in reversed([c for c in cuts if c < size]):
        if not os.path.exists(copy):
            shutil.copyfile(s.base, copy)
        os.truncate(copy, cut)
        s.stamp(f"cut off at {cut} of {size}", MALFORMED, copy)
    shutil.copyfile(s.base, copy)

    def change(name, at, new, want=MALFORMED):
        with open(copy, "r+b") as f:
            f.seek(at)
            old = f.read(len(new))
            f.seek(at)
            f.write(new)
        s.stamp(name, want, copy)
        with open(copy, "r+b") as f:
            f.seek(at)
            f.write(old)
    p, j, fat, gpt = where["primary descriptor"], where["Joliet descriptor"], where["FAT"], where["GPT header"]
    change("primary descriptor: CD001 lost", p + 1, b"CD000")
    change("primary descriptor: volume size, byte orders differ", p + 80, b"\1")
    change("primary descriptor: block size 0", p + 128, bytes(4))
    change("primary descriptor: root directory far outside", p + 158, b"\xff\xff\xff\x7f\x7f\xff\xff\xff")
    change("primary descriptor: root directory huge", p + 166, b"\xff\xff\xff\xff" * 2)
    change("Joliet descriptor: root directory far outside", j + 158, b"\xff\xff\xff\x7f\x7f\xff\xff\xff")
    for tree in ("primary", "Joliet"):
        root = where[f"{tree} root directory"]
        change(f"{tree} root directory: zeros", root, bytes(BLOCK))
        change(f"{tree} root directory: record of 255 bytes", root, b"\xff")
        change(f"{tree} root directory: record of 1 byte", root, b"\1")
        change(f"{tree} root directory: name longer than its record", root + 32, b"\xff")
    change("boot catalog: zeros", where["boot catalog"], bytes(64))
    change("boot catalog: checksum", where["boot catalog"] + 28, b"\x5a\xa5")
    change("FAT: no signature and no sizes", fat, bytes(512))
    change("FAT: block size 0", fat + 11, bytes(2))
    change("FAT: cluster size 0", fat + 13, b"\0")
    change("FAT: tables longer than the image", fat + 22, b"\xff\xff")
    change("FAT: root directory gone", fat, b"\0" * 20000)
    change("FAT: a chain that runs in circles or outside", fat + 2048, b"\x02\x20\x00" * 2000)
    change("GPT: header CRC", gpt + 16, b"\0\1\2\3")
    change("GPT: entries CRC", where["GPT entries"] + 40, b"\x55" * 8)
    change("GPT: 4 billion entries", gpt + 80, b"\xff\xff\xff\xff")
    change("isolinux.cfg: noise", where["/isolinux/isolinux.cfg"], random.Random(2).randbytes(2000))
    initrd = next(v for k, v in where.items() if k.endswith("/initrd"))
    change("initrd: no archive", initrd, b"nonsense" * 4)
    change("initrd: broken in the middle", initrd + 100_000, bytes(100_000))

    # anywhere in what is read: refused or done, but never worse
    rng, bad, codes = random.Random(3), [], {}
    spots = [(p, 200), (j, 200), (gpt, 92), (size - 512, 92), (where["GPT entries"], 256), (446, 66), (fat, 9000), (where["boot catalog"], 128),
             (where["primary root directory"], 2048), (where["Joliet root directory"], 2048), (where["primary path table"], 200),
             (where["/isolinux/isolinux.cfg"], 2000), (initrd, 300), (initrd, 100_000)]
    for n in range(104):
        at, length = spots[n % len(spots)]
        at += rng.randrange(length)
        with open(copy, "r+b") as f:
            f.seek(at)
            old = f.read(1)
            f.seek(at)
            f.write(bytes([old[0] ^ 1 << rng.randrange(8)]))
        folder = tempfile.mkdtemp(dir=s.scratch)
        code, _, err = s.call(copy, "--key", s.key, "-o", f"{folder}/out.iso")
        left = os.listdir(folder)
        codes[code] = codes.get(code, 0) + 1
        if code != 0:
            bad += [f"byte {at}: {x}" for x in s.complaints(code, MALFORMED, err)] + [f"byte {at}: left {left}"] * bool(left)
        elif left != ["out.iso"]:
            bad.append(f"byte {at}: {left}")
        shutil.rmtree(folder)
        with open(copy, "r+b") as f:
            f.seek(at)
            f.write(old)
    s.verdict(f"104 flipped bits, exit codes {codes}", bad[:6])
    os.remove(copy)


def keys(s):
    """Keys that are none, or the wrong half."""
    def refused(name, content, say=(), secret=None):
        err = s.refused(f"key: {name}", USAGE, s.base, "--key", s.file("key", content), "-o", "OUT", say=say)
        if secret:
            body = re.sub(r"\s", "", "".join(x for x in secret.splitlines() if not re.match(r"-----|[A-Z][\w-]*: ", x)))
            echoed = [body[i:i + 16] for i in range(0, len(body) - 16, 8) if body[i:i + 16] in err]
            s.verdict(f"key: {name}: nothing of it is echoed", echoed and ["echoed"])
    folder = s.path("keys")
    os.mkdir(folder)

    def made(name, *args):
        subprocess.run(args, check=True, capture_output=True, cwd=folder, stdin=subprocess.DEVNULL)
        with open(f"{folder}/{name}") as f:
            return f.read()
    private = {
        "OpenSSH private": made("ed", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "ed"),
        "OpenSSH private with a passphrase": made("enc", "ssh-keygen", "-q", "-t", "ed25519", "-N", "secret!", "-f", "enc"),
        "PEM RSA private": made("pem", "ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f", "pem"),
        "PEM EC private": made("ec", "openssl", "ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", "ec"),
        "PKCS#8 private": made("p8", "openssl", "genpkey", "-algorithm", "ed25519", "-out", "p8"),
        "PKCS#8 encrypted private": made("p8e", "openssl", "genpkey", "-algorithm", "ed25519", "-aes-256-cbc", "-pass", "pass:x", "-out", "p8e"),
        "PuTTY private, version 3": made("ppk3", "puttygen", "ed", "-O", "private", "-o", "ppk3"),
        "PuTTY private, version 2": made("ppk2", "puttygen", "ed", "-O", "private", "--ppk-param", "version=2", "-o", "ppk2"),
    }
    for name, content in private.items():
        refused(name, content, [r"private", r"\.pub"], content)
        refused(f"{name}, CRLF", content.replace("\n", "\r\n"), [r"private"], content)
    content = private["OpenSSH private"]
    refused("a public key and then a private one", ED25519 + content, ["private"], content)
    err = s.refused("key: private, given literally", USAGE, s.base, "--key", content, "-o", "OUT", say=["private"])
    s.verdict("key: private, given literally: nothing echoed", [x for x in content.splitlines()[1:-1] if x[:16] in err][:1])
    code, _, err = pipe_in(s, content)
    s.verdict("key: private, on standard input", s.complaints(code, USAGE, err, ["private"]) + [x for x in content.splitlines()[1:-1] if x[:16] in err][:1])
    s.refused("key: missing file", (OS, USAGE), s.base, "--key", s.path("no-key.pub"), "-o", "OUT", say=["no-key.pub"])
    refused("empty file", "", ["key"])
    refused("only comments", "# nothing\n\n")
    refused("bad line is named", ED25519 + "\nssh-ed25519 AAAAnonsense\n", [r"key\b.*\b3\b|line 3"])
    refused("noise", random.Random(4).randbytes(3000))
    refused("RSA of 1024 bits", made("r1.pub", "ssh-keygen", "-q", "-t", "rsa", "-b", "1024", "-N", "", "-f", "r1"), ["1024|2048"])
    dsa = "ssh-dss AAAAB3NzaC1kc3MAAACBAP" + "A" * 300 + " dsa\n"
    refused("DSA", dsa)
    s.refused("key: none given", USAGE, s.base, "-o", "OUT")
    s.refused("key: a directory", (OS, USAGE), s.base, "--key", folder, "-o", "OUT")


def pipe_in(s, content):
    done = subprocess.run([s.remaster, s.base, "--key", "-", "-o", s.path("never.iso")], input=content.encode(), capture_output=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr.decode("utf-8", "replace")


def targets(s):
    """Outputs that cannot or must not be written."""
    def same_base(name, *args):
        folder = tempfile.mkdtemp(dir=s.scratch)
        shutil.copyfile(s.base, f"{folder}/base.iso")
        os.symlink("base.iso", f"{folder}/symlink.iso")
        os.link(f"{folder}/base.iso", f"{folder}/hard.iso")
        before = sorted(os.listdir(folder))
        code, _, err = s.call(*(a.replace("@", folder) for a in args))
        problems = s.complaints(code, USAGE, err)
        if sorted(os.listdir(folder)) != before or not os.path.islink(f"{folder}/symlink.iso"):
            problems.append(f"folder changed: {os.listdir(folder)}")
        if os.stat(f"{folder}/base.iso").st_ino != os.stat(f"{folder}/hard.iso").st_ino or s.digest(f"{folder}/base.iso") != s.sums[s.base]:
            problems.append("base changed")
        s.verdict(name, problems)
        shutil.rmtree(folder)
    for force in ((), ("--force",)):
        forced = " --force" if force else ""
        for name, base, out in (("the same path", "base.iso", "base.iso"), ("another spelling", "base.iso", "./base.iso"), ("a symlink", "base.iso", "symlink.iso"),
                                ("a hard link", "base.iso", "hard.iso"), ("base through a symlink", "symlink.iso", "base.iso")):
            same_base(f"OUT = BASE, {name}{forced}", f"@/{base}", "--key", s.key, "-o", f"@/{out}", *force)
    folder = tempfile.mkdtemp(dir=s.scratch)
    there = os.path.join(folder, "there.iso")
    with open(there, "w") as f:
        f.write("precious")
    code, _, err = s.call(s.base, "--key", s.key, "-o", there)
    s.verdict("existing output without --force", s.complaints(code, USAGE, err, ["--force"]) + ["changed"] * (open(there).read() != "precious") + ["left"] * (os.listdir(folder) != ["there.iso"]))
    os.symlink("/nowhere/at-all", f"{folder}/dangling.iso")
    code, _, err = s.call(s.base, "--key", s.key, "-o", f"{folder}/dangling.iso")
    s.verdict("existing dangling symlink without --force", s.complaints(code, (OS, USAGE), err) + ["gone"] * (not os.path.islink(f"{folder}/dangling.iso")))
    s.verdict("a failed --force keeps the old output", kept(s, there))
    s.refused("output is a directory", (OS, USAGE), s.base, "--key", s.key, "-o", folder)
    s.refused("output's folder does not exist", (OS, USAGE), s.base, "--key", s.key, "-o", f"{folder}/no/out.iso")
    s.refused("output below a file", (OS, USAGE), s.base, "--key", s.key, "-o", f"{there}/out.iso")
    s.refused("output is /dev/full", (OS, USAGE), s.base, "--key", s.key, "-o", "/dev/full", "--force")
    os.mkfifo(f"{folder}/fifo")
    s.refused("output is a FIFO", (OS, USAGE), s.base, "--key", s.key, "-o", f"{folder}/fifo", seconds=15)
    with open("/dev/full", "wb") as full:
        code, _, err = s.call(s.base, "--key", s.key, "-o", "-", stdout=full)
    s.verdict("`-o -` into a full device", s.complaints(code, OS, err))
    reader, writer = os.pipe()
    os.close(reader)
    code, _, err = s.call(s.base, "--key", s.key, "-o", "-", stdout=writer)
    os.close(writer)
    s.verdict("`-o -` into a pipe that nobody reads", ["panic"] * ("panicked" in err) + ([] if code in (OS, -signal.SIGPIPE, 141) else [f"exit code {code} {err}"]))
    done = subprocess.run(["script", "-qec", f"{s.remaster} {s.base} --key {s.key} -o - --color never", "/dev/null"], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    said = done.stdout.decode("utf-8", "replace").replace("\r", "")
    s.verdict("`-o -` with a terminal", s.complaints(done.returncode, USAGE, said, ["terminal"]))
    s.refused("no output named", USAGE, s.base, "--key", s.key)
    s.refused("unknown flag", USAGE, s.base, "--key", s.key, "-o", "OUT", "--frobnicate")
    full_filesystem(s)
    permissions(s)


def kept(s, there):
    bad = s.file("bad-base.iso", "x" * 100000)
    code, _, err = s.call(bad, "--key", s.key, "-o", there, "--force")
    return s.complaints(code, MALFORMED, err) + ["changed"] * (open(there).read() != "precious")


def full_filesystem(s):
    """A filesystem that has no room: a tmpfs in a mount namespace of its own."""
    mount = s.path("small")
    os.mkdir(mount)
    script = (f"mount -t tmpfs -o size=4m tmpfs {mount} || exit 99; \"$@\" -o {mount}/out.iso; code=$?; echo \"left:\" $(ls -A {mount}); "
              f"echo \"used:\" $(df -k --output=used {mount} | tail -n 1); exit $code")
    namespace = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
    code, out, err = s.call("-c", script, "sh", s.remaster, s.base, "--key", s.key, before=namespace, program="sh")
    said = out.decode().split()
    s.verdict("full filesystem", s.complaints(code, OS, err) + [f"left: {out!r}"] * (said != ["left:", "used:", "0"]))


def permissions(s):
    """As somebody who may not. Wants root, to become nobody."""
    if os.getuid() != 0:
        s.verdict("no permission: root is needed to become nobody", ["not root"])
        return
    folder = tempfile.mkdtemp(dir="/var/tmp")
    os.chmod(folder, 0o755)
    try:
        program, base, closed, key = (f"{folder}/{n}" for n in ("remaster", "base.iso", "closed.iso", "key.pub"))
        for a, b, mode in ((s.remaster, program, 0o755), (s.base, base, 0o644), (s.base, closed, 0o600), (s.key, key, 0o644)):
            shutil.copyfile(a, b)
            os.chmod(b, mode)
        os.mkdir(f"{folder}/open")
        os.chmod(f"{folder}/open", 0o777)
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
        for name, b, k, out in (("base may not be read", closed, key, f"{folder}/open/out.iso"), ("folder may not be written", base, key, f"{folder}/out.iso")):
            code, _, err = s.call(b, "--key", k, "-o", out, before=nobody, program=program)
            left = [n for n in os.listdir(folder) if n not in ("remaster", "base.iso", "closed.iso", "key.pub", "open")] + os.listdir(f"{folder}/open")
            s.verdict(f"no permission: {name}", s.complaints(code, OS, err, ["[Pp]ermission denied"]) + [f"left: {left}"] * bool(left))
        code, _, err = s.call(base, "--key", key, "-o", f"{folder}/open/out.iso", before=nobody, program=program)
        s.verdict("nobody may stamp where it may write", [] if code == 0 else [code, err])
    finally:
        shutil.rmtree(folder)


def interrupted(s, number, name):
    """Stops the program while it writes."""
    for attempt in range(6):
        folder = tempfile.mkdtemp(dir=s.scratch)
        out = f"{folder}/out.iso"
        # (An ignored signal stays ignored, and this may run in the background.)
        process = subprocess.Popen(["env", "--default-signal=INT,TERM", s.remaster, s.big, "--key", s.key, "-o", out], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        caught = False
        while process.poll() is None:
            if writing(process.pid, folder):
                process.send_signal(number)
                caught = True
                break
            time.sleep(0.0005)
        err = process.communicate(timeout=30)[1].decode("utf-8", "replace")
        code, left = process.returncode, os.listdir(folder)
        shutil.rmtree(folder)
        if caught and code != 0:
            problems = ["panic"] * ("panicked" in err) + ["an output"] * ("out.iso" in left)
            if number != signal.SIGKILL:
                problems += [f"left behind: {left}"] * bool(left)
                problems += [] if code in (-number, 128 + number) else [f"exit code {code}: {err}"]
            s.verdict(f"{name} in the midst of writing", problems)
            return
    s.verdict(f"{name} in the midst of writing", ["could not catch it writing in six attempts"])


def writing(pid, folder):
    """Whether the program has a file in the folder open that has bytes already, named or not."""
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{fd}"
            with contextlib.suppress(OSError):
                if os.readlink(path).startswith(folder + "/") and os.stat(path).st_blocks * 512 > 4 << 20:
                    return True
    return False


def main():
    remaster, base, big = map(os.path.abspath, sys.argv[1:4])
    with tempfile.TemporaryDirectory(prefix="remaster-bad-", dir=os.environ.get("TMPDIR", "/var/tmp")) as scratch:
        s = Suite(remaster, base, big, scratch)
        code, _, err = s.call(base, "--key", s.key, "-o", s.path("good.iso"))
        s.verdict("the good base and key are taken", [] if code == 0 else [code, err])
        for part in (not_an_image, broken_images, keys, targets):
            part(s)
        for number, name in ((signal.SIGINT, "SIGINT"), (signal.SIGTERM, "SIGTERM"), (signal.SIGKILL, "SIGKILL")):
            interrupted(s, number, name)
        s.verdict("bases are unchanged", [p for p, d in s.sums.items() if s.digest(p) != d])
    return s.end()


if __name__ == "__main__":
    sys.exit(main())
