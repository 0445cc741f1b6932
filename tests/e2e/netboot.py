#!/usr/bin/env python3
"""Boots installers over the network, without any disk, and logs in. Usage: netboot.py REMASTER KEYS LOGS [--all] [--only TEXT]

REMASTER is the program, KEYS a folder for the ssh keys of this run (made if missing), LOGS keeps what failed.
Prints a line per check and ends with `N passed, N failed`.
"""
import argparse
import dataclasses
import functools
import http.server
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "rig")]
import boot  # noqa: E402
import boots  # noqa: E402
import checks  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Net:
    """One start: which base, how its files get to the machine, and what kind of input they are made of."""

    base: str
    way: str  # kernel: QEMU loads them; http, tftp: QEMU's iPXE does
    kernel: int = 1
    source: str = "iso"  # or stamped: an image that has the key already; tar: a kexec tarball

    def __str__(self):
        return " ".join([self.base, self.way] + [f"kernel {self.kernel}"] * (self.kernel > 1) + [self.source] * (self.source != "iso"))


# A base through iPXE, and an image that was stamped before through a tar archive: both kinds of stage 1.
SOME = [Net("24.11", "http"), Net("26.05", "kernel", source="tar")]
ALL = [*SOME, Net("24.11", "tftp"), Net("26.05", "http"), Net("26.05", "kernel", 2), Net("25.11", "kernel", 2), Net("23.11", "kernel"),
       Net("26.05", "kernel", source="stamped"), Net("24.11", "kernel", source="tar")]


class Machine(boot.Machine):
    """A QEMU without any disk; `image` is the folder with what it starts."""

    way = None

    def arguments(self, image, firmware, medium, memory, mac, extra):
        args = super().arguments("/dev/null", firmware, "cd", memory, mac, extra)
        at = args.index("-cdrom")
        args[at:at + 4] = ["-nodefaults", "-vga", "std"]
        with open(os.path.join(image, "netboot.ipxe"), encoding="ascii") as f:
            kernel, *line = next(x for x in f.read().splitlines() if x.startswith("kernel ")).split()[1:]
        if self.way == "kernel":
            line = [word for word in line if word not in ("initrd=initrd", "${cmdline}")]
            return [*args, "-kernel", os.path.join(image, kernel), "-initrd", os.path.join(image, "initrd"), "-append", " ".join(line)]
        net = args.index("-netdev") + 1
        if self.way == "tftp":
            args[net] += f",tftp={image},bootfile=netboot.ipxe"
        else:
            # the guest sees this host's loopback at 10.0.2.2, unless it is restricted
            args[net] = args[net].replace(",restrict=on", "") + f",bootfile=http://10.0.2.2:{serve(image)}/netboot.ipxe"
        return [*args, "-boot", "n"]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, and not a word about it."""

    def log_message(self, *_):
        pass


def serve(folder):
    """The port of this host where a folder is served."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


FACTS = r"""
echo "running=$(@SETTLED@)"
echo "failed=$(systemctl --failed --plain --no-legend | tr '\n' ' ')"
echo "cmdline=$(cat /proc/cmdline)"
echo "initrd=$(cat /run/rig-initrd)"
echo "iso=$(findmnt -no FSTYPE /iso) $(ls -A /iso | wc -l)"
echo "store=$(findmnt -no FSTYPE /nix/.ro-store) $(stat -c %a /nix/store)"
echo "disks=$(lsblk -dno TYPE | grep -vx loop | wc -l)"
echo "attached=$(cat /srv/large/name 2>&1) $(sha256sum < /srv/large/data | cut -c1-64)"
echo "added=$(ls /nix/store/*-netboot-test/proof 2>&1 | wc -l) $(cat /nix/store/*-netboot-test/proof)"
# all of the store can be read, after the initrd is long gone
echo "unreadable=$(find /nix/store/ -type f -exec cat {} + 2>&1 > /dev/null | head -n 3 | tr '\n' ' ')"
echo end=end
""".replace("@SETTLED@", boot.SETTLED)


def extras(scratch):
    """An overlay too large for an initrd's payload, and a store; the flags for them, and the overlay's digest."""
    large = os.path.join(scratch, "overlay/srv/large")
    os.makedirs(large)
    with open(os.path.join(large, "name"), "w", encoding="ascii") as f:
        f.write("large\n")
    with open(os.path.join(large, "data"), "wb") as f:
        f.write(os.urandom(20 << 20))
    path = os.path.join(scratch, "store", "a" * 32 + "-netboot-test")
    os.makedirs(path)
    with open(os.path.join(path, "proof"), "w", encoding="ascii") as f:
        f.write("linked\n")
    squashfs = os.path.join(scratch, "store.squashfs")
    subprocess.run(["mksquashfs", os.path.join(scratch, "store"), squashfs, "-all-root", "-no-progress", "-quiet"], stdout=subprocess.DEVNULL, check=True)
    return ["--overlay", os.path.join(scratch, "overlay"), "--store", squashfs], checks.Checks.digest(os.path.join(large, "data"))


def make(c, net, base, keys, scratch, flags):
    """The folder to serve."""
    folder, second = os.path.join(scratch, "served"), ["--default-entry", "Linux latest"] * (net.kernel > 1)
    wanted = [*[a for key in keys for a in ("--key", key + ".pub")], *flags]
    if net.source == "stamped":
        image = os.path.join(scratch, "stamped.iso")
        code, _, err = c.call(base, *wanted, "-o", image, seconds=300)
        if not c.check(f"{net}: stamped", code == 0, err):
            return None
        base, wanted = image, []
    if net.source == "tar":
        base, wanted = kexec(c, net, base, wanted, scratch), []
        if base is None:
            return None
    code, _, err = c.call("netboot", base, *wanted, *second, "-o", folder, seconds=300)
    if not c.check(f"{net}: made", code == 0, err):
        return None
    c.check(f"{net}: three files", sorted(os.listdir(folder)) == ["bzImage", "initrd", "netboot.ipxe"], os.listdir(folder))
    c.check(f"{net}: everybody may serve them", stat.S_IMODE(os.stat(os.path.join(folder, "initrd")).st_mode) == 0o644)
    return folder


def kexec(c, net, base, wanted, scratch):
    """A tarball as nixos-images makes it, of a stock network boot, with the edits in it."""
    stock, tree = os.path.join(scratch, "stock"), os.path.join(scratch, "tree/kexec")
    code, _, err = c.call("netboot", base, "-o", stock, seconds=300)
    if not c.check(f"{net}: a stock network boot is made", code == 0, err):
        return None
    os.makedirs(tree)
    with open(os.path.join(stock, "netboot.ipxe"), encoding="ascii") as f:
        line = next(x for x in f.read().splitlines() if x.startswith("kernel ")).split()[2:]
    init, *parameters = [word for word in line if word not in ("initrd=initrd", "${cmdline}")]
    quoted = " ".join(f"'{word}'" if "=" in word else word for word in parameters)
    with open(os.path.join(tree, "run"), "w", encoding="ascii") as f:
        f.write(f"#!/bin/sh\n{init.replace('=', '=' + chr(34), 1)}\"\nkernelParams=\"{quoted}\"\nexec kexec --command-line 'init=$init $kernelParams'\n")
    os.chmod(os.path.join(tree, "run"), 0o755)
    for name in ("bzImage", "initrd"):
        os.rename(os.path.join(stock, name), os.path.join(tree, name))
    with open(os.path.join(tree, "kexec"), "wb") as f:
        f.write(os.urandom(70001))
    old, new = os.path.join(scratch, "kexec.tar.gz"), os.path.join(scratch, "custom.tar.gz")
    subprocess.run(["tar", "--owner=7", "--group=8", "--mtime=@1700000001", "-C", os.path.dirname(tree), "--use-compress-program=gzip -1", "-cf", old, "kexec"], check=True)
    code, _, err = c.call(old, *wanted, "-o", new, seconds=300)
    if not c.check(f"{net}: the tarball takes the edits", code == 0, err):
        return None
    listed = [[line for line in subprocess.run(["tar", "--numeric-owner", "--full-time", "-tvzf", path], capture_output=True, text=True, check=True).stdout.splitlines() if not line.endswith("/initrd")] for path in (old, new)]
    c.check(f"{net}: GNU tar lists the same but for the initrd", listed[0] == listed[1] and len(listed[0]) == 4, listed)
    differs = subprocess.run(["tar", "-dzf", new, "-C", os.path.dirname(tree)], capture_output=True, text=True, check=False)
    c.check(f"{net}: GNU tar finds no other file changed", {line.split(":")[0] for line in differs.stdout.splitlines() if "Size" in line or "Contents" in line} == {"kexec/initrd"}, differs.stdout + differs.stderr)
    return new


def check_facts(c, net, out, digest):
    """What the machine says of itself."""
    facts = dict(line.partition("=")[::2] for line in out.splitlines())
    c.check(f"{net}: all facts came", facts.get("end") == "end", out[-300:])
    c.check(f"{net}: system runs without failed units", facts.get("running") == "running", f"{facts.get('running')} {facts.get('failed')}")
    words = facts.get("cmdline", "").split()
    c.check(f"{net}: nothing waits for a disk", facts.get("disks") == "0" and not any(word.startswith(("root=LABEL", "findiso")) for word in words), f"{facts.get('disks')} {words}")
    c.check(f"{net}: the kernel asked for", facts.get("initrd") == str(net.kernel), facts.get("initrd"))
    c.check(f"{net}: /iso is an empty tmpfs", facts.get("iso") == "tmpfs 0", facts.get("iso"))
    c.check(f"{net}: the store is the squashfs of the initrd", facts.get("store") == "squashfs 1775", facts.get("store"))
    c.check(f"{net}: all of the store can be read", facts.get("unreadable") == "", facts.get("unreadable"))
    c.check(f"{net}: a large overlay is there", facts.get("attached") == f"large {digest}", facts.get("attached"))
    c.check(f"{net}: a store is there", facts.get("added") == "1 linked", facts.get("added"))


def run(c, net, base, keys, scratch, logs):
    """Makes, boots and checks one machine."""
    flags, digest = extras(scratch)
    folder = make(c, net, base, keys["given"], scratch, flags)
    if folder is None:
        return
    Machine.way = net.way
    machine = Machine(folder, "bios", net.way, logs)
    failed = c.failed
    try:
        waited = machine.wait_for_ssh()
        if c.check(f"{net}: ssh after {waited} s", waited is not None, f"nothing after {boot.PATIENCE} s, logs in {logs}"):
            login = machine.ssh("root", keys["given"][0], FACTS)
            if c.check(f"{net}: root logs in by key", login.code == 0, f"{login.code} {login.err}"):
                check_facts(c, net, login.out, digest)
            login = machine.ssh("root", keys["wrong"], "true")
            c.check(f"{net}: another key is refused", login.refused, f"{login.code} {login.err}")
        if c.failed > failed:
            machine.screenshot()
            print("\n".join("  serial| " + line for line in machine.serial_tail().splitlines()), flush=True)
    finally:
        machine.stop()
    if c.failed == failed:
        shutil.rmtree(logs)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("remaster")
    p.add_argument("keys")
    p.add_argument("logs")
    p.add_argument("--all", action="store_true")
    p.add_argument("--only", help="the boots whose name has this text")
    a = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no machine outlives this program
    nets = [net for net in (ALL if a.all else SOME) if not a.only or a.only in str(net)]
    names = list(dict.fromkeys(net.base for net in nets))
    paths = subprocess.run([os.path.join(HERE, "..", "rig", "bases.sh"), *names], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    bases = dict(zip(names, paths, strict=True))
    os.makedirs(a.keys, exist_ok=True)
    keys = {"given": [boots.ssh_key(a.keys, "first"), boots.ssh_key(a.keys, "second")], "wrong": boots.ssh_key(a.keys, "wrong")}
    c = checks.Checks(os.path.abspath(a.remaster))
    for net in nets:
        with tempfile.TemporaryDirectory(prefix="remaster-net-", dir=os.environ.get("TMPDIR", "/var/tmp")) as scratch:
            run(c, net, bases[net.base], keys, scratch, os.path.join(a.logs, str(net).replace(" ", "_")))
    return c.end()


if __name__ == "__main__":
    sys.exit(main())
