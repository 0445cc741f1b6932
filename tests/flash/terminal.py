#!/usr/bin/env python3
"""What `remaster flash` asks on a terminal, and what it makes of the answers.

Usage: terminal.py PROGRAM. Needs root (loop devices); works in the current folder. The last line is `N passed, N failed`.
"""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

MIB = 1 << 20
passed = failed = 0


def check(name, right, detail=""):
    global passed, failed
    passed, failed = passed + bool(right), failed + (not right)
    print(f"ok: {name}" if right else f"FAILED: {name} {detail[-600:]!r}", flush=True)


class Session:
    """The program on a terminal of its own. With a file as `image`, that comes by a pipe."""

    def __init__(self, *arguments, image=None):
        self.shown = ""
        start = [PROGRAM, *arguments]
        if image:
            start = ["/bin/sh", "-c", 'cat "$0" | "$@"', image, *start]
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a background job would have it ignored
            os.execv(start[0], start)

    def wait_for(self, text, seconds=60):
        """Reads until the text was shown since the last time."""
        end = time.monotonic() + seconds
        while text not in self.shown and time.monotonic() < end:
            if not self.read():
                break
        found = text in self.shown
        self.before = self.shown.partition(text)[0]
        self.shown = self.shown.partition(text)[2] if found else self.shown
        return found

    def read(self):
        if select.select([self.terminal], [], [], 1)[0]:
            try:
                self.shown += os.read(self.terminal, 65536).decode(errors="replace")
            except OSError:  # the program has gone
                return False
        return True

    def type(self, text):
        os.write(self.terminal, text.encode())

    def end(self, seconds=120):
        """Reads to the end, and makes one if it does not come; the exit status, negative for a signal."""
        end = time.monotonic() + seconds
        while self.read():
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.terminal)
        return status


def content(path, size=30 * MIB):
    with open(path, "rb") as file:
        return file.read(size)


def main():
    image = os.urandom(446) + bytes(64) + b"\x55\xAA" + os.urandom(20_000_001)
    with open("image", "wb") as file:
        file.write(image)
    with open("disk", "wb") as file:
        file.write(old := os.urandom(4 * MIB))
        file.truncate(64 * MIB)
    device = subprocess.check_output(["losetup", "-f", "--show", "disk"], text=True).strip()
    try:
        questions(device, image, old)
    finally:
        subprocess.check_call(["losetup", "-d", device])
    print(f"{passed} passed, {failed} failed")
    return failed == 0


def questions(device, image, old):
    name = device.removeprefix("/dev/")
    untouched = lambda: content("disk", 4 * MIB) == old
    allowed = ["--allow-fixed", "--expect-size", "64MiB"]

    session = Session("flash", "image", *allowed)
    check("without a disk: the table is shown", session.wait_for(device) and session.wait_for("64.0 MiB"), session.shown)
    check("without a disk: asks for one, and none is proposed", session.wait_for("Disk to write to (its number, name or path; nothing to stop): "), session.shown)
    check("without a disk: nothing stands in the answer", session.shown == "", session.shown)
    session.type("\n")
    status = session.end()
    check("an empty answer: status 130", status == 130, f"{status} {session.shown}")
    check("an empty answer: untouched", untouched())

    session = Session("flash", "image", *allowed)
    session.wait_for("to stop): ")
    session.type("/dev/null\n")
    status = session.end()
    check("what is not a disk: status 5", status == 5, f"{status} {session.shown}")

    for answer, said in (("99", "neither a number of the list"), ("sdzz", "nor the name of a disk in it")):
        session = Session("flash", "image", *allowed)
        session.wait_for("to stop): ")
        session.type(answer + "\n")
        status = session.end()
        check(f"{answer} is not a disk: says so", status == 130 and said in session.shown, f"{status} {session.shown}")

    session = Session("flash", "image", *allowed)
    session.wait_for("to stop): ")
    number = re.search(r"(\d+)\) " + re.escape(device) + " ", session.before)
    session.type((number.group(1) if number else "") + "\n")
    check("the number of a disk is taken", session.wait_for(f"type `{name}`:\r\n> "), session.before + session.shown)
    session.type("\n")
    check("not confirmed: says so", session.end() == 130 and "not confirmed: nothing was written" in session.shown, session.shown)

    session = Session("flash", "image", device, *allowed)
    check("what will be lost", session.wait_for("All data on this will be lost:"), session.shown)
    check("what will be lost: path, size, serial", re.search(re.escape(device) + r"  64\.0 MiB  loop fixed .* serial none", session.shown) or session.wait_for("holds"), session.shown)
    check("wants the last word typed", session.wait_for(f"type `{name}`:\r\n> "), session.shown)
    session.type("yes\n")
    status = session.end()
    check("another word: status 130", status == 130, f"{status} {session.shown}")
    check("another word: says what was typed and what not", f"`yes` is not `{name}`: nothing was written" in session.shown, session.shown)
    check("another word: untouched", untouched())

    for key, what, wanted in (("\x04", "the end of input", {130}), ("\x03", "Ctrl-C", {130, -signal.SIGINT})):
        session = Session("flash", "image", device, *allowed)
        session.wait_for("> ")
        session.type(key)
        status = session.end()
        check(f"{what} at the question: status 130 or its signal", status in wanted, f"{status} {session.shown}")
        check(f"{what} at the question: untouched", untouched())

    session = Session("flash", "-", device, *allowed, image="image")
    check("an image by a pipe: asks at the terminal", session.wait_for(f"type `{name}`:\r\n> "), session.shown)
    session.type("no\n")
    check("an image by a pipe: takes the answer", session.end() == 130 and f"`no` is not `{name}`" in session.shown, session.shown)
    check("an image by a pipe: untouched", untouched())

    session = Session("flash", "image", *allowed, "--no-delta")
    session.wait_for("to stop): ")
    session.type(name + "\n")  # its name
    asked = session.wait_for(f"type `{name}`:\r\n> ")
    check("picked from the table: still wants the word", asked, session.shown)
    session.type(name + "\n")
    check("confirmed: shows a bar", session.wait_for("write") and session.wait_for("verify"), session.shown)
    status = session.end()
    check("confirmed: status 0", status == 0, f"{status} {session.shown}")
    check("confirmed: says what it did", f"{device}: 19.0 MiB of image" in session.shown, session.shown)
    check("confirmed: arrived", content("disk", len(image)) == image)

    session = Session("flash", "image", device)
    status = session.end()
    check("a fixed disk on a terminal: refused without a question", status == 5 and "To go on, type" not in session.shown, f"{status} {session.shown}")


PROGRAM = os.path.realpath(sys.argv[1])
sys.exit(0 if main() else 1)
