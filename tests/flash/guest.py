#!/usr/bin/env python3
"""Runs guest-init in QEMU and does what it asks for: plugging, unplugging, typing.

Usage: guest.py KERNEL INITRAMFS WORK_FOLDER. Prints the guest's console; exits 0 if it came to its end.
"""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

MIB = 1 << 20
LIMIT = 3000  # seconds for everything, as an emulator shares its processors
PATIENCE = 300  # seconds for what the guest is to notice


class Monitor:
    """QEMU's machine protocol."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        for _ in range(100):
            try:
                self.socket.connect(path)
                break
            except OSError:
                time.sleep(0.1)
        self.file = self.socket.makefile("rw")
        self.file.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "error" in answer:
                print(f"# monitor: {command}: {answer['error']['desc']}", flush=True)
                return None
            if "return" in answer:
                return answer["return"]


def stick(work, name, size=64 * MIB):
    path = os.path.join(work, name + ".raw")
    if not os.path.exists(path):
        with open(path, "wb") as file:
            # Something to recognise as untouched.
            file.write(os.urandom(2 * MIB))
            file.truncate(size)
    return path


class Guest:
    def __init__(self, kernel, initramfs, work):
        self.work = work
        control = os.path.join(work, "qmp")
        sticks = stick(work, "STICK1"), stick(work, "UAS1")
        command = [
            "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "768",
            "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
            "-qmp", f"unix:{control},server=on,wait=off",
            "-kernel", kernel, "-initrd", initramfs, "-append", "console=ttyS0 quiet panic=-1 no_timer_check",
            "-object", "throttle-group,id=slow,x-bps-write=2000000",
            "-device", "qemu-xhci,id=xhci,p2=8,p3=8",
            "-drive", f"if=none,id=stick1,format=raw,file={sticks[0]}",
            "-device", "usb-storage,bus=xhci.0,drive=stick1,id=STICK1,serial=STICK1,removable=on",
            "-drive", f"if=none,id=uas1,format=raw,file={sticks[1]}",
            "-device", "usb-uas,bus=xhci.0,id=uas,serial=UAS1",
            "-device", "scsi-hd,bus=uas.0,drive=uas1,serial=UAS1,removable=on",
        ]
        self.qemu = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.monitor = Monitor(control)
        self.plugged = 0
        self.answers = []
        self.noticed = {"gone": threading.Event(), "there": threading.Event()}

    def plug(self, serial, file=None, throttled=False):
        """Plugs a stick in that shows this serial number."""
        self.plugged += 1
        path = stick(self.work, file or serial)
        node = f"node{self.plugged}"
        self.monitor.ask(
            "blockdev-add", **{"node-name": node, "driver": "raw",
                               "file": {"driver": "file", "filename": path}})
        if throttled:
            self.monitor.ask(
                "blockdev-add", **{"node-name": "t" + node, "driver": "throttle",
                                   "throttle-group": "slow", "file": node})
            node = "t" + node
        self.monitor.ask("device_add", driver="usb-storage", bus="xhci.0", drive=node,
                         id=serial, serial=serial, removable=True)

    def plug_faulty(self, fault):
        """Plugs a stick in that does wrong what faulty.sh calls so; that is its serial number, too."""
        path, disk = (os.path.join(self.work, f"{fault}.{end}") for end in ("sock", "raw"))
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "faulty.sh")
        with open(os.path.join(self.work, fault + ".log"), "wb") as log:
            subprocess.Popen(["nbdkit", "--exit-with-parent", "--foreground", "--unix", path, "sh", script],
                             env={**os.environ, "FAULT": fault, "DISK": disk}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while not os.path.exists(path):
            time.sleep(0.1)
        self.monitor.ask("blockdev-add", **{"node-name": fault, "driver": "nbd", "server": {"type": "unix", "path": path}})
        self.monitor.ask("device_add", driver="usb-storage", bus="xhci.0", drive=fault, id=fault, serial=fault, removable=True)

    def unplug(self, serial):
        self.monitor.ask("device_del", id=serial)

    def type(self, text):
        self.qemu.stdin.write(text.encode())
        self.qemu.stdin.flush()

    def asked(self, words):
        if words[0] == "plug":
            self.plug(words[1], throttled=words[1].startswith("SLOW"))
        elif words[0] == "plug-faulty":
            self.plug_faulty(words[1])
        elif words[0] == "unplug":
            self.unplug(words[1])
        elif words[0] in self.noticed:
            self.noticed[words[0]].set()
        elif words[0] == "confirm-after-swap":
            self.answers = [lambda: self.swap_and_type(words[1], words[2])]
        elif words[0] == "answer":
            self.answers = [lambda word=word: self.type(word + "\n") for word in words[1:]]

    def swap_and_type(self, serial, name):
        self.unplug(serial)
        self.noticed["gone"].wait(PATIENCE)
        twin = stick(self.work, serial + "-2")
        with open(stick(self.work, serial), "rb") as one, open(twin, "r+b") as other:
            other.write(one.read())
        self.plug(serial, file=serial + "-2")
        self.noticed["there"].wait(PATIENCE)
        self.type(name + "\n")

    def run(self):
        """Reads the console until the guest is off; true if it said that it was done."""
        done = False
        line = b""
        timer = threading.Timer(LIMIT, self.qemu.kill)
        timer.start()
        while byte := self.qemu.stdout.read(1):
            line += byte
            if byte == b"\n":
                text = line.decode(errors="replace").rstrip()
                text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
                line = b""
                print(text, flush=True)
                if text.startswith("@done"):
                    done = True
                elif text.startswith("@"):
                    self.asked(text[1:].split())
            elif line.endswith((b"> ", b"[y/N] ")) and self.answers:
                threading.Thread(target=self.answers.pop(0)).start()
        timer.cancel()
        self.qemu.wait()
        return done


if __name__ == "__main__":
    sys.exit(0 if Guest(*sys.argv[1:4]).run() else 1)
