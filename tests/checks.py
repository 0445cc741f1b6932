"""Counts what is right and prints a line each; runs the program in a scratch folder. Shared by the tests that are Python scripts."""
import hashlib
import os
import re
import subprocess

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ someone@somewhere\n"


def fast_folder(room):
    """A folder in memory if it has this much room, as hundreds of runs sync what they write; else where scratch files go."""
    if os.access("/dev/shm", os.W_OK):
        about = os.statvfs("/dev/shm")
        if about.f_bavail * about.f_frsize >= room:
            return "/dev/shm"
    return os.environ.get("TMPDIR", "/var/tmp")


class Checks:
    """Counts checks, each of which is a line."""

    def __init__(self, remaster=None, scratch=None):
        self.remaster, self.scratch = remaster, scratch
        self.passed = self.failed = 0

    def check(self, name, right, detail=""):
        """One thing that is right, or not because of the detail."""
        self.verdict(name, [] if right else [detail or "no"])
        return bool(right)

    def path(self, name):
        return os.path.join(self.scratch, name)

    def file(self, name, content):
        with open(self.path(name), "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        return self.path(name)

    @staticmethod
    def digest(path):
        h = hashlib.sha256()
        with open(path, "rb") as f:
            while piece := f.read(1 << 20):
                h.update(piece)
        return h.hexdigest()

    def verdict(self, name, problems):
        if problems:
            self.failed += 1
            print(f"FAIL  {name}: {'; '.join(map(str, problems))[:1500]}", flush=True)
        else:
            self.passed += 1
            print(f"ok    {name}", flush=True)

    def call(self, *args, seconds=60, **kw):
        """The program's (exit code, output, errors); a negative code is a signal."""
        kw.setdefault("stdin", subprocess.DEVNULL)
        kw.setdefault("stdout", subprocess.PIPE)
        try:
            done = subprocess.run([*kw.pop("before", []), kw.pop("program", self.remaster), *args], stderr=subprocess.PIPE, check=False, timeout=seconds, **kw)
        except subprocess.TimeoutExpired:
            return "none, it hung", b"", ""
        return done.returncode, done.stdout or b"", done.stderr.decode("utf-8", "replace")

    def complaints(self, code, want, err, say=()):
        """What is wrong with a refusal."""
        want = want if isinstance(want, tuple) else (want,)
        problems = [] if code in want else [f"exit code {code}, not {' or '.join(map(str, want))}"]
        if re.search(r"panicked|RUST_BACKTRACE|overflow|unwrap|stack backtrace", err):
            problems.append("panic")
        lines = err.splitlines()
        errors = [x for x in lines if x.startswith("error: ")]
        if len(errors) != 1:
            problems.append(f"{len(errors)} error lines")
        problems += [f"does not say {s!r}" for s in say if not re.search(s, err)]
        return problems + [f"stderr: {err.strip()!r}"] if problems else []

    def end(self):
        """Prints the sum; the exit code."""
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0
