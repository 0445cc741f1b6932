#!/usr/bin/env python3
"""What .ci/release makes of a built program: the same bytes twice, archives that others read, a program that runs. Usage: release.py REMASTER

The last line is `N passed, N failed`."""
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from checks import Checks  # noqa: E402 (the path comes first)


def run(*command, **kw):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **kw)


def made(c, remaster, folder):
    """Two folders of files, made some time apart."""
    key = folder / "key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key)
    outs = []
    for name in ("one", "two"):
        out = folder / name
        done = run(HERE.parent / ".ci/release", "--program", remaster, "--sign", key, out)
        c.check(f"{name}: made", done.returncode == 0, done.stderr)
        outs.append(out)
        time.sleep(1.1)  # more than a tick of the times in archives
    same = run("diff", "-r", *outs)
    c.check("made twice, the same bytes", same.returncode == 0, same.stdout)
    return outs[0], key


def main():
    remaster = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="remaster-release-", dir=os.environ.get("TMPDIR", "/var/tmp")) as scratch:
        folder = pathlib.Path(scratch)
        c = Checks(remaster, scratch)
        out, key = made(c, remaster, folder)
        [listed] = out.glob("SHA256SUMS.*64")
        sums = run("sha256sum", "--strict", "-c", listed.name, cwd=out)
        c.check("the list fits three files", sums.returncode == 0 and sums.stdout.count(": OK") == 3, sums.stdout + sums.stderr)
        beside = run("sha256sum", "--strict", "-c", *(f.name for f in out.glob("*.sha256")), cwd=out)
        c.check("the digest beside the program fits", beside.returncode == 0, beside.stdout + beside.stderr)
        allowed = folder / "allowed"
        allowed.write_text("remaster " + key.with_suffix(".pub").read_text())
        signed = run("ssh-keygen", "-Y", "verify", "-n", "file", "-f", allowed, "-I", "remaster", "-s", f"{listed}.sig", input=listed.read_text())
        c.check("ssh-keygen takes the signature", signed.returncode == 0, signed.stderr)
        [tarball], [package] = out.glob("*.tar.gz"), out.glob("*.deb")
        run("tar", "-xzf", tarball, "-C", folder)
        tree = folder / tarball.name.removesuffix(".tar.gz")
        run("dpkg-deb", "-x", package, folder / "deb")
        owners = run("dpkg-deb", "-c", package).stdout.splitlines()
        c.check("all of the package is root's", owners and all("root/root" in line for line in owners), owners[:3])
        fields = run("dpkg-deb", "-f", package, "Package", "Version", "Depends").stdout
        version = run(remaster, "--version").stdout.split()[1]
        c.check("the package says what it is", "Package: remaster" in fields and f"Version: {version}" in fields, fields)
        symbols = run("readelf", "-SW", remaster).stdout
        c.check("the program has no table of symbols", ".text" in symbols and ".symtab" not in symbols, symbols)
        for name, usr in (("tarball", tree), ("package", folder / "deb/usr")):
            ran = run(usr / "bin/remaster", "--version")
            c.check(f"{name}: the program runs", ran.returncode == 0 and version in ran.stdout, ran.stderr)
            for file in ("share/doc/remaster/LICENSE", "share/man/man1/remaster-flash.1.gz", "share/bash-completion/completions/remaster"):
                c.check(f"{name}: has {file}", (usr / file).is_file())
            whole = run("gzip", "-t", *sorted((usr / "share/man/man1").glob("*.gz")))
            c.check(f"{name}: its pages are whole", whole.returncode == 0, whole.stderr)
        for wrong in ([], ["--frobnicate", "x"], ["a", "b"]):
            done = run(HERE.parent / ".ci/release", *wrong)
            c.check(f"release {wrong}: usage", done.returncode == 2 and "Usage:" in done.stderr, [done.returncode, done.stderr])
        return c.end()


if __name__ == "__main__":
    sys.exit(main())
