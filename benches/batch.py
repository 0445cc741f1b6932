#!/usr/bin/env python3
"""Times batches of 1 to 1,000 users on xfs with reflink: images, patch files and an OCI layout; and a shell loop of the xorriso script.

Usage: benches/batch.py [--binary REMASTER] [--base ISO] [--users 1,10,100,1000] [--forms image,patch,oci] [--rivals N]      (root: makes and mounts an xfs image)

Without --binary the release build is made. Every batch writes to a new folder; `synced` is the batch alone, which syncs what it
writes before it names it. Disk is what the filesystem has less of afterwards. The loop of xorriso runs for fewer users (--rivals),
and its time for 1,000 is that times as many, not measured.
"""
import argparse, json, os, platform, shutil, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.dirname(HERE)


def run(command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def timed(command):
    """Seconds, seconds of processor and peak memory in MiB of a command."""
    start = time.monotonic()
    pid = os.spawnvp(os.P_NOWAIT, command[0], command)
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit(f"failed: {command}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def used(folder):
    about = os.statvfs(folder)
    return (about.f_blocks - about.f_bfree) * about.f_frsize


def users(folder, count, key):
    path = f"{folder}/users-{count}.jsonl"
    with open(path, "w") as file:
        for number in range(count):
            file.write(json.dumps({"name": f"user{number:04}", "key": f"{key} user{number:04}"}) + "\n")
    return path


def measure(binary, mount, forms, counts, key):
    print(f"\n{'what':8} {'users':>6} {'s':>8} {'cpu s':>8} {'ms/user':>8} {'KiB/user':>9} {'peak MiB':>9}")
    for form in forms:
        for count in counts:
            listed = users(mount, count, key)
            out = f"{mount}/out"
            run(["sync", "-f", mount])
            before = used(mount)
            took, cpu, peak = timed([binary, "stamp", f"{mount}/base.iso", listed, "--as", form, "-q", "-o", out])
            run(["sync", "-f", mount])
            disk = used(mount) - before
            print(f"{form:8} {count:6} {took:8.2f} {cpu:8.2f} {1000 * took / count:8.1f} {disk / 1024 / count:9.1f} {peak:9.1f}", flush=True)
            shutil.rmtree(out)


def rival(mount, count, key):
    with open(f"{mount}/key.pub", "w") as file:
        file.write(f"{key} rival\n")
    start = time.monotonic()
    for number in range(count):
        run([f"{TOP}/tests/rig/stamp-with-xorriso.sh", f"{mount}/base.iso", f"{mount}/rival{number}.iso", f"{mount}/key.pub"], stderr=subprocess.DEVNULL)
        os.remove(f"{mount}/rival{number}.iso")
    each = (time.monotonic() - start) / count
    print(f"xorriso + mtools in a loop: {each:.2f} s each ({count} measured); 1,000 would take {each * 1000 / 60:.0f} min and 1,000 whole images")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--binary")
    options.add_argument("--base")
    options.add_argument("--users", default="1,10,100,1000")
    options.add_argument("--forms", default="image,patch,oci")
    options.add_argument("--rivals", type=int, default=3)
    given = options.parse_args()
    if not given.binary:
        run(["cargo", "build", "--release", "--quiet"], cwd=TOP)
    binary = given.binary or f"{TOP}/target/release/remaster"
    base = given.base or run([f"{TOP}/tests/rig/bases.sh", "24.11-big"]).split()[-1]
    work = tempfile.mkdtemp(prefix="bench.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    mount = f"{work}/xfs"
    try:
        image = f"{work}/xfs.img"
        run(["truncate", "-s", str(4 * os.path.getsize(base)), image])
        run(["mkfs.xfs", "-q", "-m", "reflink=1", image])
        os.mkdir(mount)
        run(["mount", "-o", "loop", image, mount])
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", f"{work}/key"])
        key = open(f"{work}/key.pub").read().strip()
        shutil.copy(base, f"{mount}/base.iso")
        model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
        print(f"machine: {model}, {os.cpu_count()} cores, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}")
        print(f"base: {os.path.basename(base)}, {os.path.getsize(base)} bytes; {os.path.basename(os.path.dirname(binary))} build")
        measure(binary, mount, given.forms.split(","), [int(count) for count in given.users.split(",")], key)
        if given.rivals:
            rival(mount, given.rivals, key)
    finally:
        subprocess.run(["umount", mount], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(work, ignore_errors=True)


main()
