#!/usr/bin/env python3
"""Boots an image in QEMU and runs commands in it over ssh; as a program: one boot, one command.

boot.py IMAGE [--firmware bios|uefi] [--medium cd|usb|fat] [--key PRIVATE_KEY] [--user root] [--command CMD] [--locked-out PRIVATE_KEY]
"""
import argparse
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

OVMF = "/usr/share/OVMF"
AARCH64_UEFI = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"
# An emulator shares its processors with builds: no machine takes as long as this, in seconds, unless it hangs.
PATIENCE = 900
# Says whether the system runs, once all of it is up.
SETTLED = f"timeout {PATIENCE - 300} systemctl is-system-running --wait"
FIRST_MAC = "52:54:00:12:34:56"  # of the network card by which ssh comes in


class Login:
    """What one ssh session said."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def refused(self):
        return self.code == 255 and "Permission denied" in self.err


def ended(command, seconds):
    """How a command ended; without a status if it did not within these seconds."""
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=seconds, check=False)
    except subprocess.TimeoutExpired as fault:
        return subprocess.CompletedProcess(command, None, (fault.stdout or b"").decode(errors="replace"), f"no end after {seconds} s")


class Machine:
    """A running QEMU with an image as its only medium; ssh of the guest is at a port of this host."""

    def __init__(self, image, firmware, medium, logs, memory=1024, mac=FIRST_MAC, extra=()):
        self.logs = logs
        os.makedirs(logs, exist_ok=True)
        self.serial = os.path.join(logs, "serial.log")
        self.control = tempfile.mkdtemp(prefix="remaster-vm-")
        self.started = time.monotonic()
        with contextlib.closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        with open(os.path.join(logs, "qemu.log"), "wb") as log:
            self.process = subprocess.Popen(self.arguments(image, firmware, medium, memory, mac, extra), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def arguments(self, image, firmware, medium, memory, mac, extra):
        # always emulated: a /dev/kvm that is there need not work (nested ones often do not), and results stay comparable
        aarch64 = is_aarch64(image)
        # (a CPU without pointer authentication, which costs an emulator half of its speed)
        machine = ["qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a72"] if aarch64 else ["qemu-system-x86_64", "-cpu", "max"]
        args = [*machine, "-accel", "tcg,thread=multi", "-smp", "2", "-m", str(memory), "-display", "none", "-no-reboot",
                "-serial", f"file:{self.serial}", "-monitor", f"unix:{self.control}/monitor,server,nowait",
                "-netdev", f"user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22",
                "-device", f"virtio-net-pci,netdev=n0,mac={mac}", "-device", "virtio-rng-pci", *extra]
        if aarch64:
            args += ["-bios", AARCH64_UEFI]
        elif firmware == "uefi":
            shutil.copy(f"{OVMF}/OVMF_VARS_4M.fd", f"{self.control}/vars.fd")
            args += ["-machine", "q35", "-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.fd",
                     "-drive", f"if=pflash,format=raw,file={self.control}/vars.fd"]
        if medium == "fat":
            # firmware that shows GRUB the FAT as a disk of its own; GRUB then reads the menu in there, and finds the image
            fat, (at, length) = f"{self.control}/efi.img", find_file(image, "/boot/efi.img")
            with open(image, "rb") as whole, open(fat, "wb") as part:
                whole.seek(at)
                part.write(whole.read(length))
            # (it shows only devices with a bootindex)
            return args + ["-drive", f"if=none,id=disc,media=cdrom,format=raw,readonly=on,file={image}", "-device", "ide-cd,drive=disc,bootindex=1",
                           "-device", "qemu-xhci", "-drive", f"if=none,id=stick,format=raw,readonly=on,file={fat}",
                           "-device", "usb-storage,drive=stick,removable=on,bootindex=0"]
        if medium == "cd" and aarch64:
            return args + ["-device", "virtio-scsi-pci", "-drive", f"if=none,id=disc,media=cdrom,format=raw,readonly=on,file={image}",
                           "-device", "scsi-cd,drive=disc,bootindex=0"]
        if medium == "cd":
            return args + ["-cdrom", image, "-boot", "d"]
        return args + ["-device", "qemu-xhci", "-drive", f"if=none,id=stick,format=raw,readonly=on,file={image}",
                       "-device", "usb-storage,drive=stick,removable=on,bootindex=0"]

    def wait_for_ssh(self, seconds=PATIENCE):
        """Seconds until sshd greeted, or None."""
        while time.monotonic() - self.started < seconds and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 3) as s:
                s.settimeout(10)
                if s.recv(64).startswith(b"SSH-"):
                    return round(time.monotonic() - self.started)
            time.sleep(1)
        return None

    def ssh(self, user, key, command, seconds=PATIENCE, shared=False):
        """Logs in with this key and nothing else. A connection that breaks (not: is refused) is tried again.

        A login costs an emulator seconds. Shared commands go through one connection per user, so they do not show that a login works.
        """
        shared = ["-o", "ControlMaster=auto", "-o", f"ControlPath={self.control}/{user}", "-o", "ControlPersist=yes"] if shared else []
        for _ in range(3):
            done = Login(ended(
                ["ssh", "-F", "none", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30",
                 "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
                 *shared, "-p", str(self.port), f"{user}@127.0.0.1", command],
                seconds))
            if done.code != 255 or done.refused:
                return done
            time.sleep(3)
        return done

    def screenshot(self):
        """Keeps what the screen shows in the logs."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(5)
            monitor.connect(f"{self.control}/monitor")
            monitor.recv(4096)
            monitor.send(f"screendump {os.path.abspath(self.logs)}/screen.png -f png\n".encode())
            time.sleep(2)

    def serial_tail(self, size=1500):
        with contextlib.suppress(OSError), open(self.serial, errors="replace") as f:
            return f.read()[-size:]
        return ""

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.control, ignore_errors=True)


def preselect(image, option, nth):
    """Makes an entry the default of all menus, in place; the entries themselves stay as they are.

    Pressing keys in a menu that counts down, under an emulator of unknown speed, is guesswork; this is not. The entry
    is the first whose kernel arguments have the word `option` (any entry if None) and the nth different init=.
    What gives way for it, as files on the ISO keep their size: the name of a background picture that no base has,
    and comments.
    """
    if not is_aarch64(image):
        patch_isolinux(image, option, nth)
    patch_grub(image, option, nth)


def is_aarch64(image):
    """Whether an ISO is for aarch64, as its label says."""
    with open(image, "rb") as f:
        f.seek(16 * 2048 + 40)
        return f.read(32).rstrip().endswith(b"-aarch64")


def find_file(image, path):
    """Offset and length of a file on an ISO, as xorriso reports it."""
    out = subprocess.run(["xorriso", "-indev", image, "-find", path, "-exec", "report_lba", "--"],
                         capture_output=True, text=True, check=True).stdout
    found = re.search(r"^File data lba:\s*\d+\s*,\s*(\d+)\s*,\s*\d+\s*,\s*(\d+)", out, re.M)
    return int(found[1]) * 2048, int(found[2])


def first_match(entries, option, nth):
    """Of (name, kernel arguments) in menu order, the name of the first that has the option and the nth init."""
    inits = []
    for name, words in entries:
        init = next((w for w in words if w.startswith("init=/nix/store/")), None)
        if init and init not in inits:
            inits.append(init)
        if init and inits.index(init) == nth - 1 and (option is None or option in words):
            return name
    raise LookupError(f"no entry with {option} and init {nth}")


def grub_entries(text):
    """(path of titles, words of the linux line) of every entry of a grub.cfg."""
    path = []
    for line in text.splitlines():
        opened = re.match(r"""\s*(?:menuentry|submenu|hiddenentry)\s+(['"])(.*?)\1.*\{\s*$""", line)
        if opened:
            path.append(opened[2])
        elif line.strip() == "}" and path:
            path.pop()
        elif line.split()[:1] == ["linux"]:
            yield ">".join(path), line.split()


def isolinux_entries(text):
    """(label, words of the APPEND line) of every entry of an isolinux.cfg."""
    label = None
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["LABEL"]:
            label = words[1]
        elif words[:1] == ["APPEND"]:
            yield label, words


def patch_file(image, path, change):
    """Changes a file of the ISO in place, size and all."""
    at, length = find_file(image, path)
    with open(image, "r+b") as f:
        f.seek(at)
        new = change(f.read(length).decode()).encode()
        if len(new) > length:
            raise ValueError(f"{path} has no room for another default")
        f.seek(at)
        f.write(new + b"\n" * (length - len(new)))


def patch_isolinux(image, option, nth):
    def change(text):
        label = first_match(isolinux_entries(text), option, nth)
        return re.sub(r"MENU BACKGROUND [^\n]*\n\nDEFAULT boot\n", f"DEFAULT {label}\n", text, count=1)
    patch_file(image, "/isolinux/isolinux.cfg", change)


def patch_grub(image, option, nth):
    """Both copies: it depends on the firmware and the medium which one GRUB reads."""
    def change(text):
        title = first_match(grub_entries(text), option, nth)
        text = re.sub(r"^\s*#.*\n", "", text, flags=re.M)
        return text.replace("set timeout=", f"set default='{title}'\nset timeout=", 1)
    at, _ = find_file(image, "/boot/efi.img")
    fat = f"{image}@@{at}"
    listing = subprocess.run(["mdir", "-/", "-b", "-i", fat], capture_output=True, text=True, check=True).stdout
    path = next(line for line in listing.splitlines() if line.lower().endswith("/grub.cfg"))
    patch_file(image, path.removeprefix("::"), change)
    text = subprocess.run(["mtype", "-i", fat, path], capture_output=True, text=True, check=True).stdout
    with tempfile.NamedTemporaryFile("w") as t:
        t.write(change(text))
        t.flush()
        subprocess.run(["mcopy", "-D", "o", "-i", fat, t.name, path], check=True, stdin=subprocess.DEVNULL)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("image")
    p.add_argument("--firmware", choices=("bios", "uefi"), default="bios")
    p.add_argument("--medium", choices=("cd", "usb", "fat"), default="cd")
    p.add_argument("--key")
    p.add_argument("--locked-out", metavar="PRIVATE_KEY", help="say whether sshd refuses this key")
    p.add_argument("--user", default="root")
    p.add_argument("--command", default="id; cat /proc/cmdline")
    p.add_argument("--seconds", type=int, default=PATIENCE)
    p.add_argument("--logs", default="boot-logs")
    p.add_argument("--shell", action="store_true", help="print the ssh command and wait for Ctrl-C instead")
    a = p.parse_args()
    machine = Machine(a.image, a.firmware, a.medium, a.logs)
    try:
        waited = machine.wait_for_ssh(a.seconds)
        if waited is None:
            machine.screenshot()
            sys.exit(f"no ssh after {a.seconds} s, see {a.logs}\n{machine.serial_tail()}")
        print(f"ssh after {waited} s")
        if a.shell:
            print(f"ssh -p {machine.port} {a.user}@127.0.0.1")
            machine.process.wait()
        if a.locked_out:
            login = machine.ssh(a.user, a.locked_out, "true")
            print("locked out" if login.refused else f"not locked out: {login.code} {login.err}")
        if a.key:
            login = machine.ssh(a.user, a.key, a.command)
            print(login.out + login.err, end="")
            sys.exit(login.code)
    finally:
        machine.stop()


if __name__ == "__main__":
    main()
