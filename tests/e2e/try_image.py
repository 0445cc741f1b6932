#!/usr/bin/env python3
"""`remaster try` with real machines: what it says of a system that is up, of units that fail, of keys that are not let in.

Usage: try_image.py REMASTER BASE. BASE is 25.11 of tests/rig. The last line is `N passed, N failed`."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from checks import Checks  # noqa: E402 (the path comes first)

# Emulated also where KVM is, as it is slow or wrong inside other machines: a boot took more than eight minutes there.
EMULATED = ["--no-kvm", "--timeout", "900"]


def key(c, name):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", c.path(name)], check=True)
    return c.path(name)


def machines():
    return subprocess.run(["pgrep", "-f", "hostfwd=tcp:127.0.0.1.*try-image-test"], capture_output=True, text=True, check=False).stdout


def main():
    remaster, base = map(os.path.abspath, sys.argv[1:3])
    with tempfile.TemporaryDirectory(prefix="try-image-test-", dir=os.environ.get("TMPDIR", "/var/tmp")) as scratch:
        c = Checks(remaster, scratch)
        own, other = key(c, "own"), key(c, "other")
        broken = c.file("broken.sh", "#!/bin/sh\nexit 7\n")
        # (a comma is a sign of QEMU's own)
        sound, failing = c.path("sound,1.iso"), c.path("failing.iso")
        c.call(base, "--key", f"{own}.pub", "--hostname", "box", "--host-key", "generate", "-o", sound)
        c.call(base, "--key", f"{own}.pub", "--run", broken, "-o", failing)
        before = c.digest(sound)

        code, out, err = c.call("try", sound, "--key", own, *EMULATED, "--firmware", "uefi", "--medium", "cd", "--user", "nixos", "--memory", "1536",
                                "--serial", c.path("serial,1"), "--json", seconds=1000)
        said = json.loads(out) if code == 0 else {}
        c.check("a sound image: done", code == 0, err)
        c.check("a sound image: by UEFI, as a CD", "UEFI" in said.get("machine", "") and "CD" in said["machine"], said)
        c.check("a sound image: its name", said.get("hostname") == "box", said)
        c.check("a sound image: an address", any("10.0.2.15" in address for address in said.get("addresses", [])), said)
        c.check("a sound image: it runs", said.get("state") == "running" and said.get("failed_units") == [], said)
        c.check("a sound image: its host key", any("ED25519" in line for line in said.get("host_keys", [])), said)
        c.check("a sound image: how long it took", said.get("seconds_to_login", 0) > 0, said)
        c.check("a sound image: the serial port has a file", os.path.exists(c.path("serial,1")))
        c.check("the image is as it was", c.digest(sound) == before)

        picture = c.path("screen,1.png")
        code, out, err = c.call("try", base, *EMULATED, "--entry", "copytoram", "--screenshot", picture, seconds=1000)
        c.check("a stock image: gets a key for one boot", code == 0 and b"root logged in after" in out and "both are removed afterwards" in err, [code, out, err])
        c.check("an entry: starts without the boot loader", "(Copy ISO files to RAM)" in err and "without the boot loader" in err, err)
        c.check("the screen: a picture", os.path.exists(picture) and open(picture, "rb").read(4) == b"\x89PNG", err)

        code, out, err = c.call("try", failing, "--key", "generate", *EMULATED, seconds=1000)
        text = out.decode()
        c.check("a stamped image: gets a key for one boot if that is asked for", "gets a key for this boot" in err and "has no key" not in err, err)
        c.check("a unit that fails: status 1", code == 1, [code, err])
        c.check("a unit that fails: told", "failed     remaster-run-broken.service" in text and "remaster-run-broken.service" in err, [text, err])
        c.check("a unit that fails: what else there is", "root logged in after" in text and "BIOS, as a USB stick" in err, [text, err])

        if os.environ.get("REMASTER_TEST_ALL"):  # (boots.py sees that another key is refused)
            code, out, err = c.call("try", failing, "--key", other, *EMULATED, seconds=1000)
            c.check("another key: not let in", code == 1 and not out and "accepts none of your keys for root" in err, [code, out, err])
        code, out, err = c.call("try", sound, "--key", own, "--no-kvm", "--timeout", "2", seconds=60)
        c.check("too little time: told", code == 1 and "nobody could log in within" in err and "--serial" in err, [code, err])

        packed = c.path("packed.iso.zst")
        subprocess.run(["zstd", "-q", "-1", sound, "-o", packed], check=True)
        card = c.path("card.img")
        subprocess.run(["zstd", "-dq", pathlib.Path(HERE).parent / "tiny/tiny-sd.img.zst", "-o", card], check=True)
        for name, image, status, words in (
            ("no key", base, 2, "has no key for root"), ("an SD card", card, 2, "`remaster try` boots ISOs"),
            ("packed", packed, 4, "packed"), ("no file", c.path("none"), 1, "cannot open"),
        ):
            code, out, err = c.call("try", image, "--key", own, *EMULATED)
            c.check(f"{name}: refused", code == status and words in err and "hint:" in err and not out, [code, err])
        os.makedirs(c.path("empty"))
        code, out, err = c.call("try", sound, "--key", own, env={**os.environ, "PATH": c.path("empty")})
        c.check("no QEMU: told", code == 1 and "qemu-system-x86_64 is not on the PATH" in err and "install QEMU" in err, [code, err])
        c.check("no machine is left", not machines(), machines())
        return c.end()


if __name__ == "__main__":
    sys.exit(main())
