#!/usr/bin/env python3
"""What `inspect` tells of signed loaders, against sbsign and sbverify. Usage: secure-boot.py REMASTER BASE

Loaders and kernel of the base are signed by a test CA and another signer, put back by xorriso and mtools, and damaged.
"""
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "rig")]
import boot  # noqa: E402
import checks  # noqa: E402


def run(*args, **kw):
    return subprocess.run(args, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL, **kw).stdout


def certificates(c):
    """A CA and a signer that it certifies; a signer of another name alone."""
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", "/O=test/CN=test CA", "-keyout", c.path("ca.key"), "-out", c.path("ca.crt"))
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/O=test/CN=Loader Signer 1", "-keyout", c.path("one.key"), "-out", c.path("one.csr"))
    run("openssl", "x509", "-req", "-in", c.path("one.csr"), "-CA", c.path("ca.crt"), "-CAkey", c.path("ca.key"), "-CAcreateserial", "-days", "9", "-out", c.path("one.crt"))
    run("openssl", "req", "-x509", "-newkey", "rsa:3072", "-nodes", "-days", "9", "-subj", "/C=XX/CN=Zweiter Prüfer", "-utf8", "-keyout", c.path("two.key"), "-out", c.path("two.crt"))


def sign(c, name, signer):
    out = c.path(f"{name}.{signer}")
    run("sbsign", "--key", c.path(f"{signer}.key"), "--cert", c.path(f"{signer}.crt"), *(["--addcert", c.path("ca.crt")] if signer == "one" else []), "--output", out, c.path(name))
    return out


def report(c, image):
    code, out, err = c.call("inspect", "--json", image)
    assert code == 0, err
    return json.loads(out)["uefi_programs"]


def listed(path):
    """How many signatures sbverify sees, and whether it says that one of them is by a name."""
    done = subprocess.run(["sbverify", "--list", path], capture_output=True, text=True, check=False)
    return sum(line.startswith("signature ") for line in done.stdout.splitlines()), done.stdout


def main():
    remaster, base = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="remaster-sb-", dir=os.environ.get("TMPDIR", "/var/tmp")) as scratch:
        c = checks.Checks(os.path.abspath(remaster), scratch)
        stock = report(c, base)
        loader, kernel = "/EFI/BOOT/BOOTX64.EFI", next(x["path"] for x in stock if x["path"].startswith("/boot/"))
        c.check("loader on the volume and in the boot image, and the kernel", sorted((x["path"], x["place"]) for x in stock) == sorted([(loader, "volume"), (loader, "esp"), (kernel, "volume")]), stock)
        # Debian signs its kernels, and grub-mkimage signs nothing
        debian = [s for x in stock if x["path"] == kernel for s in x["signatures"]]
        c.check("the loaders of the base are not signed", not any(x["signatures"] or x["fault"] for x in stock if x["path"] == loader), stock)
        c.check("its kernel is by Debian", len(debian) == 1 and debian[0]["signer"].startswith("Debian Secure Boot Signer") and debian[0]["digest_fits"], debian)

        certificates(c)
        for path, name in ((loader, "loader"), (kernel, "kernel"), ("/boot/efi.img", "efi.img")):
            run("osirrox", "-indev", base, "-extract", path, c.path(name))
            os.chmod(c.path(name), 0o644)
        unsigned = c.path("kernel.unsigned")
        with open(c.path("kernel"), "rb") as f, open(unsigned, "wb") as g:
            g.write(f.read())
        run("sbattach", "--remove", unsigned)
        plain = c.path("plain.iso")
        run("xorriso", "-indev", base, "-outdev", plain, "-boot_image", "any", "replay", "-update", unsigned, kernel, "-commit")
        _, out, _ = c.call("inspect", "--all", plain)
        c.check("an image without signatures says so", b"Secure Boot: none of 3 loaders and kernels is signed, so it must be off" in out, out.decode()[:1500])
        signed = {"loader": sign(c, "loader", "one"), "kernel": sign(c, "kernel", "two")}
        # twice signed, as shims are
        os.replace(signed["loader"], c.path("loader"))
        signed["both"] = sign(c, "loader", "two")
        signed["loader"] = c.path("loader")
        run("mcopy", "-D", "o", "-i", c.path("efi.img"), signed["both"], "::" + loader)
        image = c.path("signed.iso")
        run("xorriso", "-indev", base, "-outdev", image, "-boot_image", "any", "replay", "-update", signed["loader"], loader, "-update", signed["kernel"], kernel, "-update", c.path("efi.img"), "/boot/efi.img", "-commit")
        found = {(x["path"], x["place"]): x for x in report(c, image)}
        for place, file, names in (((loader, "volume"), "loader", ["Loader Signer 1"]), ((kernel, "volume"), "kernel", [debian[0]["signer"], "Zweiter Prüfer"]), ((loader, "esp"), "both", ["Loader Signer 1", "Zweiter Prüfer"])):
            program = found.get(place) or {"signatures": [], "fault": "not there"}
            count, text = listed(signed[file])
            c.check(f"{place}: signers", [s["signer"] for s in program["signatures"]] == names and not program["fault"], program)
            c.check(f"{place}: as many signatures as sbverify lists", count == len(names), text)
            c.check(f"{place}: digests fit", [s["digest_fits"] for s in program["signatures"]] == [True] * len(names), program)
        for certificate, good in (("ca", True), ("two", False)):
            done = subprocess.run(["sbverify", "--cert", c.path(f"{certificate}.crt"), signed["loader"]], capture_output=True, text=True, check=False)
            c.check(f"sbverify {'takes' if good else 'refuses'} the loader by {certificate}", (done.returncode == 0) == good, done.stdout + done.stderr)
        _, out, _ = c.call("inspect", "--all", image)
        c.check("the text names the signer", b"BOOTX64.EFI on the volume: signed by Loader Signer 1 (its digest fits, its signature is not checked)" in out, out.decode()[:1500])

        at, length = boot.find_file(image, loader)
        with open(image, "r+b") as f:
            f.seek(at + 5000)
            byte = f.read(1)
            f.seek(at + 5000)
            f.write(bytes([byte[0] ^ 1]))
            f.seek(at)
            damaged = c.file("damaged.efi", f.read(length))
        program = next(x for x in report(c, image) if (x["path"], x["place"]) == (loader, "volume"))
        c.check("a change is seen", [s["digest_fits"] for s in program["signatures"]] == [False], program)
        done = subprocess.run(["sbverify", "--cert", c.path("ca.crt"), damaged], capture_output=True, text=True, check=False)
        c.check("sbverify sees it, too", done.returncode != 0, done.stdout)
        code, _, err = c.call(image, "--key", checks.ED25519.strip(), "-o", c.path("stamped.iso"))
        c.check("an image with signed loaders is stamped", code == 0, err)
        if code == 0:
            found = {(x["path"], x["place"]): x["signatures"] for x in report(c, c.path("stamped.iso"))}
            c.check("signatures stay", [len(found.get(p, [])) for p in ((loader, "volume"), (loader, "esp"), (kernel, "volume"))] == [1, 2, 2], found)
        return c.end()


if __name__ == "__main__":
    sys.exit(main())
