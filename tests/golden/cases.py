"""The groups of commands, each of which is recorded for every base. What the program refuses is recorded, too."""
import lzma
import os

import inputs
import record

KEY, OTHER = ("--key", "user.pub"), ("--key", "other.pub")


def everything(r):
    return ("--recipe", "everything-raw.toml" if r.facts.is_raw else "everything.toml")


def out(r, name):
    return name + os.path.splitext(r.base)[1]


def base(r):
    """What is said of the base itself."""
    r.run("inspect", r.base)
    r.run("inspect", "--all", r.base)
    r.run("inspect", "--json", r.base)
    r.run("diff", r.base, r.base)
    r.run("diff", "--json", r.base, r.base)
    r.run("verify", r.base)
    r.run("verify", r.base, "--against", r.base)
    r.run("verify", "--json", r.base, "--against", r.base)


def seen(r, made):
    """What the commands that look say of a result."""
    r.run("inspect", made)
    r.run("inspect", "--all", made)
    r.run("inspect", "--json", made)
    r.run("diff", made)
    r.run("diff", "--all", r.base, made)
    r.run("diff", "--json", r.base, made)
    r.run("verify", made)
    r.run("verify", made, "--against", made)


def key(r):
    """A key and nothing else; records beside the image; a signature is by chance and not made here."""
    made, listed = out(r, "key"), out(r, "listed")
    r.run(r.base, *KEY, "--dry-run")
    r.run(r.base, *KEY, "-o", made, terminal=True)
    r.image(made)
    seen(r, made)
    r.run(r.base, *KEY, "-o", made)
    r.run(made, *KEY, "-o", out(r, "again"))
    r.image(out(r, "again"))
    r.run(made, *OTHER, "-o", out(r, "other"))
    r.image(out(r, "other"), brief=True)
    r.run(r.base, *KEY, "-o", "-", out=out(r, "piped"))
    r.image(out(r, "piped"))
    r.run(r.base, "-o", out(r, "none"))
    r.run(r.base, *KEY, "--manifest-digests", "--manifest", "manifest.json", "--provenance", "provenance.json", "--sbom", "sbom.json", "-o", listed)
    r.image(listed, brief=True)
    for name in ("manifest.json", "provenance.json", "sbom.json"):
        r.show(name, whole=False)
    r.run("verify", listed)
    r.run("verify", "--json", listed)
    r.run("verify", listed, "--manifest", "manifest.json")


def all_of_it(r):
    """All that a recipe can say."""
    made = out(r, "everything")
    r.run("recipe", "check", everything(r)[1])
    if r.facts.is_raw:
        r.run(r.base, "--recipe", "everything.toml", "--dry-run")
    r.run(r.base, *everything(r), "--dry-run")
    r.run(r.base, *everything(r), "-o", made, terminal=True)
    r.image(made)
    r.show(f"{made}.known_hosts")
    seen(r, made)
    r.run(r.base, *KEY, "--root-password-file", "wifi", "--host-key", "generate", "--host-key-seed", "seed", "-o", out(r, "password"))
    r.image(out(r, "password"), brief=True)


def merge(r):
    """The archives behind the initrds of the base."""
    for name, flags in (("key", KEY), ("everything", everything(r))):
        made = out(r, name)
        r.run(r.base, *flags, "--merge-initrd", "--dry-run")
        r.run(r.base, *flags, "--merge-initrd", "-o", made)
        r.image(made)
    r.run("inspect", out(r, "key"))
    r.run("diff", r.base, out(r, "key"))
    r.run(out(r, "key"), *KEY, "-o", out(r, "unmerged"))
    r.image(out(r, "unmerged"), brief=True)


def credential(r):
    """Keys on the kernel's command line."""
    made = out(r, "credential")
    r.run(r.base, *KEY, "--inject", "credential", "--dry-run")
    r.run(r.base, *KEY, "--inject", "credential", "-o", made, terminal=True)
    r.image(made)
    seen(r, made)
    r.run(r.base, *everything(r), "--inject", "credential", "-o", out(r, "everything"))


def patch(r):
    """Patch files, and what becomes of them."""
    for name, flags in (("key", KEY), ("everything", everything(r))):
        r.run(r.base, *flags, "-o", out(r, name))
        r.image(out(r, name), brief=True)
        r.run(r.base, *flags, "--as", "patch", "-o", f"{name}.remaster", terminal=True)
        r.patch(f"{name}.remaster")
        r.run("apply", r.base, f"{name}.remaster", "-o", out(r, f"applied-{name}"))
        r.image(out(r, f"applied-{name}"), brief=True)
    r.run("apply", out(r, "key"), "everything.remaster", "-o", "-", out=out(r, "piped"))
    r.image(out(r, "piped"), brief=True)
    r.run(out(r, "key"), *KEY, "--as", "patch", "-o", "below.remaster")
    r.patch("below.remaster")
    write(r, out(r, "wrong"), changed(r.facts.data))
    r.run("apply", out(r, "wrong"), "key.remaster", "-o", out(r, "never"))
    r.run("apply", r.base, "user.pub", "-o", out(r, "never"))
    r.run("inspect", "key.remaster")


def oci(r):
    """A batch as an OCI image layout."""
    r.run("stamp", r.base, "users.toml", "--as", "oci", "-o", "layout", "-j", "1", "--json")
    r.oci("layout")
    for name in ("alice", "bob", "nobody"):
        r.run("apply", "layout", "--name", name, "-o", out(r, name))
        if name != "nobody":
            r.image(out(r, name), brief=True)


def begins(r, folder):
    """The base's initrd with which one of a network boot begins."""
    if r.facts.is_raw or not os.path.exists(r.at(f"{folder}/initrd")):
        return b""
    made = record.opened(r.at(f"{folder}/initrd"))
    return max((content for path, content in r.facts.iso.files("/boot/") if path.endswith("/initrd") and made[:len(content)] == content), key=len, default=b"")


def netboot(r):
    """Network boots."""
    r.run("netboot", r.base, *KEY, "-o", "key", terminal=True)
    r.netboot("key", begins(r, "key"))
    r.run("netboot", r.base, *everything(r), "-o", "everything")
    r.netboot("everything", begins(r, "everything"))
    r.run(r.base, *KEY, "-o", out(r, "key"))
    r.run("netboot", out(r, "key"), "-o", "stamped")
    r.netboot("stamped", begins(r, "stamped"))
    r.run("netboot", "key", *OTHER, "-o", "again")
    r.netboot("again", begins(r, "again"))
    r.run("netboot", r.base, *KEY, "-o", "key")
    r.run("netboot", r.base, *KEY, "-f", "-o", "key")


def tarball(r):
    """Tar archives for kexec, made of what a network boot of this base has."""
    r.run("netboot", r.base, "-o", "stock")
    kernel = b"\0" * 0x202 + b"HdrS" + b"\0" * 0x100
    stays = record.opened(r.at("stock/initrd")) if os.path.exists(r.at("stock/initrd")) else b"no initrd, as the base has none\n"
    inputs.kexec(r.at("kexec.tar"), kernel, stays)
    write(r, "kexec.tar.xz", lzma.compress(record.opened(r.at("kexec.tar")), preset=0))
    r.run("kexec.tar", *KEY, "--dry-run")
    r.run("kexec.tar", *KEY, "-o", "key.tar", terminal=True)
    r.tar("key.tar", stays)
    r.run("kexec.tar", *everything(r), "-o", "everything.tar")
    r.tar("everything.tar", stays)
    r.run("kexec.tar.xz", *KEY, "-o", "key.tar.xz")
    r.tar("key.tar.xz", stays)
    r.run("key.tar", *OTHER, "-o", "again.tar")
    r.tar("again.tar", stays)
    r.run("kexec.tar", *KEY, "--as", "patch", "-o", "key.remaster")
    r.run("inspect", "kexec.tar")


def edit(r):
    """Edits in place."""
    made = out(r, "image")
    copy(r, r.base, made)
    r.run("edit", "--in-place", made, *KEY, "--dry-run")
    for flags in (KEY, OTHER, ("--replace", *everything(r)), ("--hostname", "alone"), ("--replace", "--hostname", "alone"), ("--hostname", "other", "--no-key"), KEY):
        r.run("edit", "--in-place", made, *flags, terminal=True)
        r.image(made, brief=True)
        r.seen.clear()
    r.run("edit", made, *KEY)
    r.run("edit", "--in-place", made)
    r.run("edit", "--recover", made)
    r.image(made, brief=True)


def reset(r):
    """Ways back to the base."""
    made, back = out(r, "key"), out(r, "back")
    r.run(r.base, *KEY, "-o", made)
    r.run("reset", made, "-o", back, terminal=True)
    r.image(back)
    r.run("reset", made, "-o", back)
    r.run("reset", made, "--sha256", "0" * 64, "-f", "-o", back)
    r.run("reset", made, "-o", "-", out=out(r, "piped"))
    r.image(out(r, "piped"))
    r.run("reset", "--in-place", made)
    r.image(made)
    r.run("reset", "--in-place", made)
    r.run("reset", r.base, "-o", out(r, "never"))
    for name, flags in (("everything", ()), ("merged", ("--merge-initrd",)), ("credential", (*KEY, "--inject", "credential"))):
        r.run(r.base, *(flags if name == "credential" else (*everything(r), *flags)), "-o", out(r, name))
        r.run("reset", "--in-place", "--json", out(r, name))
        r.seen.clear()
        r.image(out(r, name))


def flash(r):
    """An image written to a file as to a stick."""
    r.run("flash", "--file", r.base, "stick", terminal=True)
    r.image("stick")
    r.run("flash", "--file", "--json", r.base, "stick")
    r.run("verify", "stick", "--against", r.base)
    r.run("flash", "--file", r.base, *KEY, "keyed")
    r.image("keyed", brief=True)
    r.run("flash", "--file", "--json", r.base, *everything(r), "everything")
    r.image("everything", brief=True)
    r.run(r.base, *KEY, "--as", "patch", "-o", "key.remaster")
    r.run("flash", "--file", r.base, "--patch", "key.remaster", "patched")
    r.image("patched", brief=True)
    write(r, "longer", b"\xa5" * (len(r.facts.data) + (4 << 20)))
    r.run("flash", "--file", "--force", r.base, "longer")
    r.image("longer", brief=True)
    r.run("verify", "longer", "--against", r.base)
    r.run("verify", "longer", "--against", "keyed")
    r.run("flash", "--file", "--no-verify", r.base, *OTHER, "keyed")
    r.image("keyed", brief=True)
    r.run("flash", "--file", r.base, r.base)
    r.run("flash", "--yes", r.base, "stick")


def batch(r):
    """One base for many users."""
    r.run("stamp", r.base, "users.toml", "-o", "images", "-j", "1", "--json", terminal=True)
    for name in ("alice", "bob"):
        r.image(f"images/{out(r, name)}", brief=True)
    r.run("stamp", r.base, "users.toml", "-o", "images", "-j", "1")
    r.run("stamp", r.base, "users.toml", "-o", "images", "-j", "1", "--json", "--resume")
    r.run("stamp", r.base, "users.toml", "-o", "images", "-j", "1", "--json", "--skip-existing", "--no-image-sha256")
    r.run("stamp", r.base, "users.toml", "-o", "patches", "-j", "1", "--as", "patch", "--fail-fast", "--manifest-digests", "--manifest", "--provenance", "--sbom")
    for name in ("alice", "bob"):
        r.patch(f"patches/{name}.remaster")
    r.show("patches/alice.remaster.manifest.json", whole=False)
    r.run("stamp", r.base, "users.toml", "-o", "shard", "-j", "1", "--shard", "1/2")
    r.run(r.base, *KEY, "--key", "other.pub", "--hostname", "bob", "--host-key", "generate", "--host-key-seed", "seed", "-o", out(r, "bob-alone"))
    r.image(out(r, "bob-alone"), brief=True)


def damaged(r):
    """A base that is cut off, in every command."""
    cut = out(r, "cut")
    write(r, cut, r.facts.data[:len(r.facts.data) // 2])
    r.run("inspect", cut)
    r.run(cut, *KEY, "-o", out(r, "never"))
    r.run(cut, *KEY, "--as", "patch", "-o", "never.remaster")
    r.run("stamp", cut, "users.toml", "-o", "never", "-j", "1")
    r.run("netboot", cut, *KEY, "-o", "never")
    r.run("edit", "--in-place", cut, *KEY)
    r.run("reset", "--in-place", cut)
    r.run("verify", cut)
    r.run("verify", cut, "--against", r.base)
    r.run("diff", r.base, cut)
    r.run("flash", "--file", cut, "stick")
    r.image(cut, brief=True)


GROUPS = {"base": base, "key": key, "everything": all_of_it, "merge": merge, "credential": credential, "patch": patch, "oci": oci, "netboot": netboot,
          "tarball": tarball, "edit": edit, "reset": reset, "flash": flash, "batch": batch, "damaged": damaged}


def write(r, name, content):
    with open(r.at(name), "wb") as file:
        file.write(content)


def copy(r, source, name):
    write(r, name, record.opened(r.at(source)))


def changed(data):
    """A base with one bit flipped in a file's bytes."""
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
