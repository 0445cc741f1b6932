#!/usr/bin/env python3
"""Times stamping a base of 1.2 GB against cp, cp --reflink and an xorriso + mtools script that does the same edits.

Usage: benches/stamp.py [--runs N] [--size MIB]      (root: makes and mounts ext4 and xfs images of its own)

Every contender runs once per round, in turn, so that all of them meet the same machine; the ratios are per round, and
the median is printed. `sync` after each run of cp is counted where it says so: remaster syncs before it renames.
"""
import argparse, os, platform, resource, shutil, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.dirname(HERE)


def run(command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def timed(command):
    """Seconds and peak memory in MiB of the largest process."""
    start = time.monotonic()
    pid = os.spawnvp(os.P_NOWAIT, command[0], command)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - start
    if status:
        sys.exit(f"failed: {command}")
    return seconds, usage.ru_maxrss / 1024


def filesystem(work, kind, size):
    image, mount = f"{work}/{kind}.img", f"{work}/{kind}"
    run(["truncate", "-s", str(size), image])
    run({"ext4": ["mkfs.ext4", "-q", "-F", image], "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1", image]}[kind])
    os.mkdir(mount)
    run(["mount", "-o", "loop", image, mount])
    return mount


def contenders(kind, folder, key):
    base, out = f"{folder}/base.iso", f"{folder}/out.iso"
    stamp = [f"{TOP}/target/release/remaster", base, "--key", key, "-f", "-q", "-o", out]
    merge = [*stamp, "--merge-initrd"]
    rival = [f"{TOP}/tests/rig/stamp-with-xorriso.sh", base, out, key]
    cases = {"remaster": stamp, "remaster --merge-initrd": merge, "xorriso + mtools": rival}
    if kind == "xfs":
        cases["cp --reflink=always"] = ["cp", "--reflink=always", base, out]
    cases["cp"] = ["cp", "--reflink=never", base, out]
    cases["cp, then sync"] = ["sh", "-c", f"cp --reflink=never {base} {out} && sync {out}"]
    return cases, out


def measure(kind, folder, key, runs):
    cases, out = contenders(kind, folder, key)
    seconds = {name: [] for name in cases}
    memory = {name: 0 for name in cases}
    for round_number in range(runs + 1):
        for name, command in cases.items():
            if os.path.exists(out):
                os.remove(out)
            run(["sync"])
            took, peak = timed(command)
            if round_number:  # the first round warms the cache
                seconds[name].append(took)
                memory[name] = max(memory[name], peak)
    return seconds, memory


def report(kind, seconds, memory):
    print(f"\n{kind}: {'contender':26} {'median':>8} {'min':>8} {'max':>8} {'x cp':>7} {'x synced cp':>12} {'peak MiB':>9}")
    for name, took in seconds.items():
        against = [statistics.median(a / b for a, b in zip(took, seconds[rival])) for rival in ("cp", "cp, then sync")]
        print(f"{kind}: {name:26} {statistics.median(took):8.3f} {min(took):8.3f} {max(took):8.3f} {against[0]:7.2f} {against[1]:12.2f} {memory[name]:9.1f}")


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    print(f"machine: {model}, {os.cpu_count()} cores, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=5)
    given = options.parse_args()
    run(["cargo", "build", "--release", "--quiet"], cwd=TOP)
    base = run([f"{TOP}/tests/rig/bases.sh", "24.11-big"]).split()[-1]
    work = tempfile.mkdtemp(prefix="bench.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    mounts = []
    try:
        key = f"{work}/key.pub"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key.removesuffix(".pub")])
        machine()
        print(f"base: {os.path.basename(base)}, {os.path.getsize(base)} bytes; {given.runs} rounds")
        for kind in ("ext4", "xfs"):
            mounts.append(filesystem(work, kind, 3 * os.path.getsize(base)))
            shutil.copy(base, f"{mounts[-1]}/base.iso")
            report(kind, *measure(kind, mounts[-1], key, given.runs))
    finally:
        for mount in mounts:
            subprocess.run(["umount", mount], check=False)
        shutil.rmtree(work, ignore_errors=True)


main()
