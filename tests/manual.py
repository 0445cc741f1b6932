#!/usr/bin/env python3
"""Completions and manual pages, read by the programs they are for. Usage: manual.py REMASTER"""
import glob
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import checks


def main():
    with tempfile.TemporaryDirectory(prefix="remaster-man-") as scratch:
        c = checks.Checks(os.path.abspath(sys.argv[1]), scratch)
        code, out, err = c.call("completions", "bash")
        c.check("completions for bash", code == 0, err)
        script = c.file("remaster.bash", out)
        done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
        c.check("bash reads them", done.returncode == 0, done.stderr)
        ask = f'source {script}; COMP_WORDS=(remaster netb); COMP_CWORD=1; _remaster remaster netb remaster; echo "${{COMPREPLY[*]}}"'
        done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=False)
        c.check("bash completes a command", done.stdout == "netboot\n", done.stdout + done.stderr)
        ask = f'source {script}; COMP_WORDS=(remaster flash --expect-s); COMP_CWORD=2; _remaster remaster --expect-s flash; echo "${{COMPREPLY[*]}}"'
        done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=False)
        c.check("bash completes a flag", set(done.stdout.split()) == {"--expect-serial", "--expect-size"}, done.stdout + done.stderr)
        def completed(words, more="true"):
            ask = f'source {script}; {more}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _remaster remaster "${{COMP_WORDS[-1]}}" "${{COMP_WORDS[-2]}}"; printf "%s\\n" "${{COMPREPLY[@]}}"'
            done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=False)
            return done.stdout.split(), done.stdout[:300] + done.stderr[:300]
        found, said = completed("remaster nixos.iso --timezone Europe/Ber")
        c.check("bash completes a time zone", found == ["Europe/Berlin"], said)
        found, said = completed("remaster flash nixos.iso --timezone Asia/To")
        c.check("bash completes a time zone of a command", found == ["Asia/Tokyo", "Asia/Tomsk"], said)
        found, said = completed("remaster flash nixos.iso --keymap de-lat", "localectl() { printf '%s\\n' de de-latin1 de-latin1-nodeadkeys us; }")
        c.check("bash completes a keymap of this machine", found == ["de-latin1", "de-latin1-nodeadkeys"], said)
        stick = "/dev/disk/by-id/usb-Ultra_4C530001-0:0"
        sticks = f"compgen() {{ if [ $1 = -G ]; then printf '%s\\n' {stick} {stick}-part1; else builtin compgen \"$@\"; fi; }}"
        for words in ("flash nixos.iso", "format", "reset --in-place"):
            found, said = completed(f"remaster {words} /dev/disk/by-id/usb-", sticks)
            c.check(f"bash completes a stick behind {words}, and no partition", found == [stick], said)
        found, said = completed("remaster flash nixos-25.11-m")
        c.check("bash completes a base", set(found) == {"nixos-25.11-minimal", "nixos-25.11-minimal-aarch64"}, said)
        for shell, text in (("zsh", "Africa/Abidjan Africa/Accra"), ("fish", "Africa/Abidjan")):
            code, out, err = c.call("completions", shell)
            c.check(f"{shell} completes time zones", code == 0 and text in out.decode(), err)
        code, _, err = c.call("man", scratch)
        pages = sorted(glob.glob(os.path.join(scratch, "*.1")))
        c.check("manual pages", code == 0 and len(pages) > 15, f"{err} {pages}")
        for page in pages:
            with open(page, encoding="utf-8") as file:
                blank = re.findall(r"^\.TP\n(.*)\n\.?\n", file.read(), re.M)
            c.check(f"every option of {os.path.basename(page)} has a text", not blank, blank)
            done = subprocess.run(["mandoc", "-T", "lint", "-W", "error", page], capture_output=True, text=True, check=False)
            c.check(f"mandoc has nothing against {os.path.basename(page)}", done.returncode == 0 and not done.stdout, done.stdout[:500])
        done = subprocess.run(["man", "-P", "cat", "-l", os.path.join(scratch, "remaster-netboot.1")], capture_output=True, text=True, check=False, env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
        c.check("man shows a page", "netboot.ipxe" in done.stdout and not done.stderr, done.stdout[:300] + done.stderr)
        for page in pages:
            done = subprocess.run(["man", "-P", "cat", "-l", page], capture_output=True, text=True, check=False, env={**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"})
            wide = [line for line in done.stdout.splitlines() if len(line) > 80]
            c.check(f"{os.path.basename(page)} fits 80 columns", not wide, wide)
        return c.end()


if __name__ == "__main__":
    sys.exit(main())
