#!/usr/bin/env python3
"""Makes the pictures beside this file of real runs. Usage: make.py REMASTER [BASE]

first-run.svg is what a terminal shows. Its base is the tiny installer of the tests, under the name of an official one; everything else is as the
program says it. console.png is the console of a machine that was booted from a stamped BASE, as `remaster try` sees it; BASE is an installer that
boots, as `tests/rig/bases.sh 25.11` makes one. Needs zstd, ssh-keygen; for a BASE also QEMU, and minutes.
"""
import html
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TINY = os.path.join(HERE, "../../tests/tiny/tiny.iso.zst")
BASE = "nixos-minimal-25.11-x86_64-linux.iso"
COMMANDS = [
    f"remaster {BASE} --key id_ed25519.pub --hostname box -o custom.iso",
    "remaster inspect custom.iso",
    "remaster flash custom.iso --to-file stick.img",
    "remaster verify stick.img --against custom.iso",
]
BLANK = "\u00a0"  # a blank that browsers keep
COLUMNS, WIDTH, HEIGHT, EDGE = 100, 8.43, 19, 16


def run(program, folder):
    """The lines of a session: each command behind a prompt, then what it says."""
    os.symlink(program, os.path.join(folder, "remaster"))
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": folder, "COLUMNS": str(COLUMNS), "LC_ALL": "C.UTF-8"}
    lines = []
    for command in COMMANDS:
        done = subprocess.run(command, shell=True, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=True)
        said = done.stdout.rstrip("\n").replace(folder, "~").split("\n")
        lines += [("prompt", command), *(("said", line) for line in said)]
    return lines


def wrapped(lines):
    """The same at the width of the terminal."""
    for kind, line in lines:
        room = COLUMNS - 2 if kind == "prompt" else COLUMNS
        yield kind, line[:room]
        for at in range(room, len(line), COLUMNS):
            yield "said", line[at:at + COLUMNS]


def drawn(lines):
    """The picture."""
    lines = list(wrapped(lines))
    width, height = int(COLUMNS * WIDTH + 2 * EDGE), len(lines) * HEIGHT + 2 * EDGE
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f'<rect width="{width}" height="{height}" rx="8" fill="#1b1f27"/>',
        '<g font-family="ui-monospace, DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" fill="#d8dee9">',
    ]
    for number, (kind, line) in enumerate(lines):
        y = EDGE + number * HEIGHT + 14
        kept = html.escape(line).replace("  ", 2 * BLANK)
        prompt = '<tspan fill="#8fbc6f" font-weight="bold">$ </tspan>' if kind == "prompt" else ""
        weight = ' font-weight="bold"' if kind == "prompt" else ""
        out.append(f'<text x="{EDGE}" y="{y}"{weight}>{prompt}{kept}</text>')
    return "\n".join([*out, "</g>", "</svg>", ""])


def booted(program, base, folder, key):
    """The console of a booted machine."""
    image, picture = os.path.join(folder, "custom.iso"), os.path.join(HERE, "console.png")
    subprocess.run([program, base, "--key", f"{key}.pub", "--hostname", "box", "--host-key", "generate", "-f", "-q", "-o", image], check=True)
    if os.path.exists(picture):
        os.remove(picture)
    subprocess.run([program, "try", image, "--key", key, "--no-kvm", "--screenshot", picture], check=True)


def main():
    program = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["zstd", "-dqo", os.path.join(folder, BASE), TINY], check=True)
        key = os.path.join(folder, "id_ed25519")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "alice", "-f", key], check=True)
        picture = drawn(run(program, folder))
        if len(sys.argv) > 2:
            booted(program, os.path.abspath(sys.argv[2]), folder, key)
    with open(os.path.join(HERE, "first-run.svg"), "w", encoding="utf-8") as file:
        file.write(picture)


if __name__ == "__main__":
    main()
