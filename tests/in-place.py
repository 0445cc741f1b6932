#!/usr/bin/env python3
"""Kills edits in place, 200 times: afterwards the image is the old one or the new one. Then resets. Usage: in-place.py REMASTER BASE…

The first BASE is edited and killed, at random points of an edit; each BASE is stamped both ways and reset, and must be itself
again. Prints a line per check and ends with `N passed, N failed`.
"""
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from checks import Checks  # noqa: E402

KILLS = 200


def key(c, name):
    path = c.path(name)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path], check=True)
    return path + ".pub"


def kills(c, base):
    keys = [key(c, "one"), key(c, "two")]
    image, made, took = c.path("image.iso"), {}, 0.0
    for pub in keys:
        code, _, err = c.call(base, "--key", pub, "-f", "-o", image)
        c.check(f"stamped with {os.path.basename(pub)}", code == 0, err)
        made[pub] = c.digest(image)
    began = time.monotonic()
    c.call("edit", "--in-place", image, "--key", keys[0])
    took = time.monotonic() - began
    c.check("an edit gives the image that stamping gives", c.digest(image) == made[keys[0]])
    journal = os.path.join(c.scratch, ".image.iso.remaster-journal")
    wrong, half, old, new = [], 0, 0, 0
    for n in range(KILLS):
        pub = keys[(n + 1) % 2]
        before = c.digest(image)
        with subprocess.Popen([c.remaster, "edit", "--in-place", image, "--key", pub], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as edit:
            time.sleep(random.uniform(0, took * 1.1))
            edit.kill()
        half += os.path.exists(journal)
        if os.path.exists(journal) and c.call("inspect", image)[0] == 0:
            wrong.append(f"{n}: half of an edit was taken for an image")
        code, _, err = c.call("edit", "--recover", image)
        after = c.digest(image)
        old, new = old + (after == before), new + (after == made[pub] != before)
        if code != 0 or after not in (before, made[pub]) or os.path.exists(journal):
            wrong.append(f"{n}: code {code}, {err}")
    c.check(f"after {KILLS} kills the image is the old one ({old}) or the new one ({new}); {half} left a journal", not wrong, wrong[:3])
    c.check("some kills came too early and some too late", old > 5 and new > 5, (old, new))
    left = [name for name in os.listdir(c.scratch) if name.startswith(".")]
    c.check("nothing is left beside the image", not left, left)


def resets(c, base):
    name = os.path.basename(base)
    want, key_file = c.digest(base), c.path("one.pub")
    for more in ([], ["--merge-initrd"], ["--hostname", "box", "--label", "other", "--karg", "a=b", "--timeout", "3"]):
        image, back = c.path("image.iso"), c.path("back.iso")
        code, _, err = c.call(base, "--key", key_file, *more, "-f", "-o", image)
        c.check(f"{name} {' '.join(more)}: stamped", code == 0, err)
        code, _, err = c.call("reset", image, "--sha256", want, "-f", "-o", back)
        c.check(f"{name} {' '.join(more)}: reset gives the base", code == 0 and c.digest(back) == want, err)
        code, _, err = c.call("reset", "--in-place", image)
        c.check(f"{name} {' '.join(more)}: and in place", code == 0 and c.digest(image) == want, err)


def main():
    remaster, *bases = sys.argv[1:]
    scratch = tempfile.mkdtemp(prefix="remaster-in-place-", dir=os.environ.get("TMPDIR", "/var/tmp"))
    try:
        c = Checks(os.path.abspath(remaster), scratch)
        kills(c, bases[0])
        for base in bases:
            resets(c, base)
        return c.end()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
