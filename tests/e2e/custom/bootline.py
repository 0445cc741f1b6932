"""Kernel arguments, menus, serial console and label, as the booted machine and foreign readers see them."""
import os
import re
import subprocess

LABEL = "lab-installer_2.x"
ARGUMENT = "remaster.test=a;b{c}$d"
SPACED = "remaster.blank=a b"
NAME = "bench 4"
TWO_PORTS = ("23.11", "25.11")


def flags(folder, base):
    found = ["--label", LABEL, "--name", NAME, "--karg", ARGUMENT, "--karg", SPACED, "--karg-replace", "loglevel=4=6",
             "--serial", "ttyS0,115200", "--timeout", "2", "--default-entry", "copytoram"]
    if base in TWO_PORTS: # the kernel has one console of a kind
        found[:0] = ["--serial", "ttyS1,57600"]
    return found + (["--karg-delete", "boot.shell_on_fail"] if base != "26.05" else [])


def machine(base, turn, logs):
    """A second serial port, whether it is asked for or not."""
    return ["-serial", f"file:{logs}/serial-2.log"], {}


def refused(folder, base):
    absent = "boot.shell_on_fail" if base == "26.05" else "quiet"
    return [
        (["--karg-delete", absent], "no entry has the argument"),
        (["--karg", "x=" + "y" * 1900], "the command line of the entry"),
        (["--karg", "quiet", "--entry", "Windows"], "give a part of one of these: NixOS"),
        (["--default-entry", "Windows"], "is called \"Windows\""),
        (["--label", "nixos minimal"], "has ' ' in it"),
        (["--label", "x" * 33], "33 characters"),
        (["--serial", "COM1"], "is not a serial port"),
        (["--inject", "credential", "--hostname", "x"], "does not work with --inject credential"),
    ]


def lines(text, first):
    """The kernel lines of a menu."""
    return [x for x in text.splitlines() if x.split()[:1] == [first] and " init=/nix/store/" in x]


def menus(c, path):
    """What isoinfo and mtype read out of the image that was booted."""
    def out(*args):
        return subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout

    names = out("isoinfo", "-R", "-f", "-i", path).splitlines()
    grub = next((n for n in names if n.lower() == "/efi/boot/grub.cfg"), "")
    found = {"volume": out("isoinfo", "-R", "-x", grub, "-i", path), "isolinux": out("isoinfo", "-R", "-x", "/isolinux/isolinux.cfg", "-i", path)}
    place = re.search(r"\[\s*(\d+)\s[^]]*\]\s+efi\.img", out("isoinfo", "-R", "-l", "-i", path))
    fat = f"{path}@@{int(place[1]) * 2048}" if place else path
    name = next((n for n in out("mdir", "-/", "-b", "-i", fat).splitlines() if n.lower().endswith("/grub.cfg")), "")
    found["fat"] = out("mtype", "-i", fat, name)
    c.check("isoinfo: label", f"Volume id: {LABEL}\n" in out("isoinfo", "-d", "-i", path), out("isoinfo", "-d", "-i", path)[:300])
    for where, text in found.items():
        kernel = lines(text, "APPEND" if where == "isolinux" else "linux")
        bare = [x for x in kernel if ARGUMENT not in x or SPACED not in x or "loglevel=4" in x.split() or not x.rstrip().endswith("console=tty0 console=ttyS0,115200n8")]
        c.check(f"{where}: all {len(kernel)} entries have the arguments", len(kernel) >= 5 and not bare, bare[:2])
        stale = re.findall(r"LABEL=nixos\S*", text)
        c.check(f"{where}: no entry names the old label", not stale, stale[:2])
        if where == "isolinux":
            wanted = ["SERIAL 0 115200", "TIMEOUT 20", "DEFAULT boot-copytoram"]
        else:
            wanted = ["set timeout=2", "serial --unit=0 --speed=115200 --word=8 --parity=no --stop=1"]
            default = re.search(r"^set default='(.*)'$", text, re.M)
            titles = re.findall(r"^menuentry '(.*?)'", text, re.M)
            last = default[1].split(">")[-1] if default else ""
            c.check(f"{where}: the default is a title that is there", last in titles and "opy" in last and last.startswith(NAME), default)
        c.check(f"{where}: timeout, default, serial", all(w in text.splitlines() for w in wanted), wanted)
        c.check(f"{where}: the name is in front of titles", text.count(f"{NAME}: NixOS") >= len(kernel), text.count(NAME))


def check(c, guest, base):
    command = guest.run("cat /proc/cmdline").out
    c.check("/proc/cmdline has the argument", f" {ARGUMENT} " in command, command)
    c.check("/proc/cmdline has the argument with a blank in quotes", f' "{SPACED}" ' in command, command)
    words = command.split()
    c.check("loglevel was replaced", "loglevel=6" in words and "loglevel=4" not in words, command)
    c.check("boot.shell_on_fail is gone", "boot.shell_on_fail" not in words, command)
    c.check("consoles are screen and serial port", [w for w in words if w.startswith("console=")] == ["console=tty0", "console=ttyS0,115200n8"], command)
    c.check("copytoram was started by itself", "copytoram" in words, command)
    c.check("/iso is in memory", guest.run("findmnt -no FSTYPE /iso").out.strip() == "tmpfs", guest.run("findmnt /iso").out)
    active = guest.run("cat /sys/class/tty/console/active").out.split()
    c.check("kernel talks at both", sorted(active) == ["tty0", "ttyS0"], active)
    label = guest.run("for d in /dev/sr0 /dev/sda /dev/sdb; do [ -b $d ] && blkid -p -o value -s LABEL $d; done; ls /dev/disk/by-label").out
    c.check("medium has the label", LABEL in label.split() and "nixos-minimal" not in label, label)
    getty = guest.run("systemctl is-active serial-getty@ttyS0.service").out.strip()
    c.check("getty at the serial port", getty == "active", getty)
    with open(guest.machine.serial, errors="replace") as f:
        log = f.read()
    c.check("kernel messages at the serial port", "Linux version" in log or "Command line:" in log, log[-500:])
    second_port(c, guest, base in TWO_PORTS)
    named = (re.search(r"(?:^|file=)([^,=]*\.iso)$", a) for a in guest.machine.process.args)
    image = next((m[1] for m in named if m), "")
    c.check("the image is there", os.path.exists(image), guest.machine.process.args)
    menus(c, image)


def second_port(c, guest, is_asked_for):
    out = guest.run("systemctl is-active serial-getty@ttyS1.service; stty -F /dev/ttyS1 speed").out.split()
    with open(os.path.join(guest.machine.logs, "serial-2.log"), errors="replace") as f:
        log = f.read()
    if is_asked_for:
        c.check("getty at the second port, with its speed", out == ["active", "57600"], out)
        c.check("a login there, and nothing of the kernel", "login:" in log and "Linux version" not in log, log)
    else:
        # (firmware talks at all ports)
        c.check("nothing at a port that was not asked for", out[:1] == ["inactive"] and "login:" not in log and "Linux version" not in log, [out, log])
