#!/usr/bin/env python3
"""Stamps bases both ways and has foreign programs read every output. Usage: stamp-all.py REMASTER BASE…

Also: the same inputs give the same bytes through every way out, stamping again replaces what was injected, and the base
stays as it is. Prints a line per check and ends with `N passed, N failed`. Several bases are looked at two at a time, as much of the
time is waiting for the disk.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
passed = failed = 0


def check(name, right, detail=""):
    global passed, failed
    if right:
        passed += 1
    else:
        failed += 1
    print(f"{'ok   ' if right else 'FAIL '} {name}{'' if right or not detail else f': {str(detail)[:800]}'}", flush=True)
    return right


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while piece := f.read(1 << 20):
            h.update(piece)
    return h.hexdigest()


def call(*args, **kw):
    return subprocess.run(args, stdin=kw.pop("stdin", subprocess.DEVNULL), stdout=kw.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE, check=False, **kw)


def stamped(name, done):
    return check(name, done.returncode == 0, f"exit code {done.returncode}: {done.stderr.decode('utf-8', 'replace')}")


def one_way(remaster, base, folder, keys, flags):
    """All checks of one base stamped one way."""
    global passed, failed
    name = " ".join([os.path.basename(base), *flags])
    out, other = f"{folder}/out.iso", f"{folder}/other.iso"
    with_a, with_b = ([x for k in some for x in ("--key", k)] for some in (keys[:1], keys[1:]))
    if not stamped(f"{name}: stamped", call(remaster, base, *with_a, *flags, "-o", out)):
        return
    grown = base.endswith("-full-esp.iso") and not flags
    done = call(os.path.join(HERE, "check-image.py"), base, out, *["--merged"] * ("--merge-initrd" in flags), *["--grown-esp"] * grown)
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    for line in lines[:-1]:
        print(f"{line[:6]}{name}: {line[6:]}" if line[:6] in ("ok    ", "FAIL  ") else line, flush=True)
    counts = re.fullmatch(r"(\d+) passed, (\d+) failed", lines[-1] if lines else "")
    if check(f"{name}: check-image came to an end", counts, done.stderr.decode("utf-8", "replace")[-500:]):
        passed, failed = passed + int(counts[1]), failed + int(counts[2])
    first = digest(out)
    done = subprocess.Popen([remaster, base, *with_a, *flags, "-o", "-"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    piped = hashlib.sha256()
    while piece := done.stdout.read(1 << 20):
        piped.update(piece)
    err = done.stderr.read().decode("utf-8", "replace")
    check(f"{name}: through a pipe the same bytes", done.wait() == 0 and piped.hexdigest() == first, err)
    with open(other, "wb") as existing:
        existing.write(b"something else")
    done = call(remaster, base, *with_a, *flags, "-o", other, "--force")
    check(f"{name}: over an existing file the same bytes", done.returncode == 0 and digest(other) == first, done.stderr)
    os.remove(other)
    direct, twice = f"{folder}/direct.iso", f"{folder}/twice.iso"
    a, b = call(remaster, base, *with_b, *flags, "-o", direct), call(remaster, out, *with_b, *flags, "-o", twice)
    check(f"{name}: stamping again gives what stamping the base gives", a.returncode == b.returncode == 0 and digest(direct) == digest(twice), b.stderr.decode())
    check(f"{name}: another key gives other bytes", a.returncode == 0 and digest(direct) != first)
    inspect(remaster, name, base, out, keys[0], "--merge-initrd" in flags)
    dry = call(remaster, base, *with_a, *flags, "-o", f"{folder}/dry.iso", "--dry-run")
    check(f"{name}: --dry-run prints a plan and writes nothing", dry.returncode == 0 and dry.stdout.strip() and not os.path.exists(f"{folder}/dry.iso"), dry.stderr)
    for path in (out, direct, twice):
        if os.path.exists(path):
            os.remove(path)


def inspect(remaster, name, base, out, key, merged):
    """What the program says of its own output."""
    fingerprint = call("ssh-keygen", "-lf", key).stdout.decode().split()[1]
    for image, ours in ((base, False), (out, True)):
        plain, done = call(remaster, "inspect", image), call(remaster, "inspect", image, "--json")
        which = "output" if ours else "base"
        try:
            report = json.loads(done.stdout)
        except ValueError:
            report = None
        check(f"{name}: inspect --json of the {which} is JSON", done.returncode == 0 and isinstance(report, dict), done.stderr.decode())
        text = plain.stdout.decode("utf-8", "replace")
        check(f"{name}: inspect of the {which} {'names' if ours else 'does not name'} the key", plain.returncode == 0 and (fingerprint in text) == ours
              and (fingerprint in done.stdout.decode()) == ours, text[-400:] or plain.stderr.decode())


def of_base(remaster, base):
    """All checks of one base."""
    with tempfile.TemporaryDirectory(prefix="remaster-outputs-", dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        keys = []
        for name in ("a", "b"):
            path = f"{folder}/{name}"
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{name}@test", "-f", path], check=True)
            keys.append(path + ".pub")
        before = digest(base)
        # size matters to what follows the last block, which both ways share: once is enough of a gigabyte
        for flags in ([], ["--merge-initrd"])[:1 if os.path.getsize(base) > 1 << 30 else 2]:
            one_way(remaster, base, folder, keys, flags)
        check(f"{os.path.basename(base)}: unchanged", digest(base) == before)


def by_itself(remaster, base):
    """The lines of this program for one base."""
    done = subprocess.run([sys.executable, __file__, remaster, base], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.stdout.splitlines(), done.stderr


def main():
    global passed, failed
    remaster, *bases = map(os.path.abspath, sys.argv[1:])
    if len(bases) == 1:
        of_base(remaster, bases[0])
    else:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for base, (lines, err) in zip(bases, pool.map(lambda base: by_itself(remaster, base), bases)):
                print("\n".join(lines[:-1]), flush=True)
                counts = re.fullmatch(r"(\d+) passed, (\d+) failed", lines[-1] if lines else "")
                if check(f"{os.path.basename(base)}: came to an end", counts, err[-500:]):
                    passed, failed = passed + int(counts[1]), failed + int(counts[2])
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
