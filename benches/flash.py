#!/usr/bin/env python3
"""Times `remaster flash` against dd, cmp, bmaptool and caligula on a loop device, free and throttled as a stick.

Usage: benches/flash.py PROGRAM [--size MIB] [--rounds N] [--base BASE.iso] [--packed] [--throttled]     (root; what it makes is in $TMPDIR)

bmaptool (Debian: bmap-tools) and caligula (`cargo install caligula`, or CALIGULA=path) are left out if they are not there; what has no verifying of its
own is followed by `cmp`. All contenders run once per round, each round beginning with another; each finds the image in the cache and the device's cache
empty. Ratios are to the first of a table, per round, and the median is printed: other programs on the machine disturb all alike. CPU seconds are those
of the processes, not of the kernel's loop thread. --throttled limits the loop device to 30 MB/s writing and 100 MB/s reading, by the blkio
controller of cgroups. --base adds keys and re-keys that base.
"""
import argparse, contextlib, os, platform, re, shutil, statistics, subprocess, sys, tempfile, time

MIB = 1 << 20
BLKIO = "/sys/fs/cgroup/blkio/blkio.throttle"
TEXT = b"The quick brown fox jumps over the lazy dog, 0123456789 times.\n" * 1041


def out(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def cpu_ticks():
    """Ticks that other programs and this one have used, and all there were."""
    fields = [int(field) for field in open("/proc/stat").readline().split()[1:]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


class Bench:
    def __init__(self, options):
        self.program = os.path.realpath(options.program)
        self.size, self.rounds = options.size * MIB, options.rounds
        self.device, self.limited = None, False
        self.bmaptool = shutil.which("bmaptool")
        self.caligula = os.environ.get("CALIGULA") or shutil.which("caligula")

    def attach(self, size):
        """A new disk of so many bytes and its loop device."""
        if self.device:
            self.detach()
        with open("disk", "wb") as disk:
            disk.truncate(size)
        self.device, self.disk_size = out("losetup", "-f", "--show", "disk"), size

    def detach(self):
        """Lets go of it, without a limit: the next user of that loop device would have it."""
        if self.limited:
            self.limit(0, 0)
        out("losetup", "-d", self.device)

    def limit(self, write, read):
        """Bytes per second, 0 for no limit."""
        self.limited = write > 0
        number = open(f"/sys/block/{self.device.removeprefix('/dev/')}/dev").read().strip()
        for what, rate in (("write", write), ("read", read)):
            with open(f"{BLKIO}.{what}_bps_device", "w") as file:
                file.write(f"{number} {rate}\n")

    def flash(self, image, *more):
        return f"{self.program} flash {image} {self.device} --any --yes --allow-fixed --expect-size {self.disk_size} {' '.join(more)}"

    def dd(self, source="if=image"):
        return f"dd {source} of={self.device} bs=4M oflag=direct conv=fsync,notrunc"

    def burn(self, image, packing):
        return f"{self.caligula} burn {image} -o {self.device} -z {packing} -s skip --interactive never -f --root never"

    def run(self, command):
        """Seconds, CPU seconds and peak MiB of the largest process; none if it fails."""
        subprocess.run(["sync"], check=True)
        out("blockdev", "--flushbufs", self.device)
        start = time.monotonic()
        with open("log", "wb") as log:
            pid = os.posix_spawn("/bin/sh", ["sh", "-c", command], os.environ,
                                 file_actions=[(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, log.fileno(), 1), (os.POSIX_SPAWN_DUP2, log.fileno(), 2)])
            _, status, used = os.wait4(pid, 0)
        return None if status else (time.monotonic() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)

    def table(self, title, contenders, before=None, rounds=None):
        """Runs all in turn and prints what came of it; the first is what the others are compared with."""
        contenders = {name: command for name, command in contenders.items() if command}
        results, failed = {name: [] for name in contenders}, {}
        ticks = cpu_ticks()
        own = 0
        for number in range(rounds or self.rounds):
            order = list(contenders)
            for name in order[number % len(order):] + order[:number % len(order)]:
                if name in failed:
                    continue
                if before:
                    before(name, number)
                result = self.run(contenders[name])
                if result is None:
                    failed[name] = open("log", errors="replace").read().strip()[-300:]
                else:
                    results[name].append(result)
                    own += result[1]
        busy, all_ticks = (now - then for now, then in zip(cpu_ticks(), ticks))
        others = busy / all_ticks - own / (all_ticks / os.sysconf("SC_CLK_TCK"))
        print(f"\n## {title}\n\n{rounds or self.rounds} rounds; other programs and the kernel took {100 * others:.0f} % of all processors meanwhile\n")
        print("| | seconds, median | best | to the first | CPU s | peak MiB |\n|---|---|---|---|---|---|")
        first = results[next(iter(contenders))]
        for name, found in results.items():
            if name in failed or not found:
                print(f"| {name} | failed: {failed.get(name)} | | | | |")
                continue
            seconds, cpu, peak = zip(*found)
            ratio = statistics.median(one[0] / other[0] for one, other in zip(found, first))
            print(f"| {name} | {statistics.median(seconds):.2f} | {min(seconds):.2f} | {ratio:.2f} | {statistics.median(cpu):.2f} | {max(peak):.0f} |", flush=True)

    def step(self, title):
        """What only writes, then what also reads back."""
        self.table(f"{title}: written", {
            "dd": self.dd(),
            "remaster --no-verify": self.flash("image", "--no-delta", "--no-verify"),
            "bmaptool": self.bmaptool and f"{self.bmaptool} copy --nobmap image {self.device}",
        })
        compare = f"blockdev --flushbufs {self.device} && dd if={self.device} bs=4M iflag=direct | cmp -n {self.size} - image"
        self.table(f"{title}: written and read back", {
            "dd, then cmp": f"{self.dd()} && {compare}",
            "remaster": self.flash("image", "--no-delta"),
            "caligula": self.caligula and self.burn("image", "none"),
        })

    def packed(self, title, packings):
        for name, (pack, unpack) in packings.items():
            if not os.path.exists(f"image.{name}"):
                subprocess.run(f"{pack} image > image.{name}", shell=True, check=True)
            self.table(f"{title}: {pack}", {
                "dd of the image": self.dd(),
                "unpack to /dev/null": f"{unpack} image.{name} > /dev/null",
                "unpack | dd": f"{unpack} image.{name} | {self.dd('iflag=fullblock')}",
                "remaster --no-verify": self.flash(f"image.{name}", "--no-delta", "--no-verify"),
                "remaster": self.flash(f"image.{name}", "--no-delta"),
                "caligula": self.caligula and self.burn(f"image.{name}", "auto"),
            })

    def delta(self, title):
        shutil.copy("image", "other")
        subprocess.run(self.flash("image", "--no-delta"), shell=True, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def change(_, number):
            with open("other", "r+b") as other:
                other.seek(self.size // 2)
                other.write(f"{title}, round {number}".encode())

        self.table(f"{title}: a changed line by delta", {"remaster --delta": self.flash("other", "--delta")}, before=change)

    def rekey(self, base, title):
        """A key into a base and onto the disk in one pass, then others over it."""
        for name in ("one", "two"):
            if not os.path.exists(name):
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name], check=True)
        subprocess.run(self.flash(base, "--key one.pub --no-verify --no-delta"), shell=True, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        key = iter(["two", "one"] * 1000)
        command = self.flash(base, "--key $(cat key).pub --verify=quick --json")
        self.table(f"{title}: another key, --verify=quick", {"remaster": command}, before=lambda *_: open("key", "w").write(next(key)))
        written = re.findall(r'"written":(\d+)', open("log").read())[-1]
        print(f"\nwritten: {written} bytes of {os.path.getsize(base)}, one in {os.path.getsize(base) // int(written)}")


def make_image(size):
    """Dense as the squashfs of an installer: every second 64 KiB can be packed."""
    with open("image", "wb") as image:
        for _ in range(size // (128 << 10)):
            image.write(os.urandom(65536))
            image.write(TEXT[:65536])


def versions(bench):
    told = [out(bench.program, "--version"), out("dd", "--version").splitlines()[0]]
    if bench.bmaptool:
        told.append(out(bench.bmaptool, "--version"))
    told.append(out(bench.caligula, "--version") if bench.caligula else "no caligula")
    return ", ".join(told)


PACKINGS = {
    "zst": ("zstd -q -c -3", "zstd -q -d -c"), "19.zst": ("zstd -q -c -19 -T0", "zstd -q -d -c"), "long.zst": ("zstd -q -c -3 --long=27 <", "zstd -q -d --long=27 -c"),
    "xz": ("xz -6 -T1 -c", "xz -d -c"), "blocks.xz": ("xz -1 -T2 --block-size=4MiB -c", "xz -d -T2 -c"), "9.xz": ("xz -9 -T1 -c", "xz -d -c"), "gz": ("gzip -1 -c", "gzip -d -c"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--base")
    parser.add_argument("--packed", action="store_true", help="all packings, not only zstd -3")
    parser.add_argument("--throttled", action="store_true", help="only throttled")
    options = parser.parse_args()
    bench = Bench(options)
    base = options.base and os.path.realpath(options.base)
    cpu = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    with tempfile.TemporaryDirectory() as work, contextlib.ExitStack() as end:
        os.chdir(work)
        make_image(bench.size)
        bench.attach(bench.size + 64 * MIB)
        end.callback(bench.detach)
        print(f"machine: {platform.system()} {platform.release()}, {os.cpu_count()} x {cpu.group(1) if cpu else platform.machine()}, load {os.getloadavg()[0]:.1f}")
        print(f"loop device over {out('stat', '-f', '-c', '%T', '.')}, image {bench.size // MIB} MiB; {versions(bench)}")
        title = "loop device"
        if options.throttled:
            title = "30 MB/s writing, 100 MB/s reading"
            bench.limit(30_000_000, 100_000_000)
        bench.step(title)
        bench.packed(title, PACKINGS if options.packed else {"zst": PACKINGS["zst"]})
        bench.delta(title)
        if base:
            bench.attach(os.path.getsize(base) + 64 * MIB)
            if options.throttled:
                bench.limit(30_000_000, 100_000_000)
            bench.rekey(base, title)
        os.chdir("/")


if __name__ == "__main__":
    sys.exit(main())
