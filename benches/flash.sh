#!/bin/sh
# Times `remaster flash` against dd, cmp and bmaptool on a loop device, plain and throttled as a stick.
# Usage: flash.sh PROGRAM [MEBIBYTES] [ROUNDS]. Needs root, GNU time; bmaptool is left out if missing.
# All programs take turns, each starts with the image in the cache and the device's cache empty.
program=$(realpath "$1")
size=${2:-1024}
rounds=${3:-3}
bmaptool=$(command -v bmaptool || echo "${BMAPTOOL:-}")
work=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
device=
throttle=/sys/fs/cgroup/blkio/blkio.throttle

clean_up() {
    [ -z "$device" ] || { unthrottle; losetup -d "$device"; }
    rm -rf "$work"
}
trap clean_up EXIT
cd "$work" || exit 1

limit() { # BYTES-WRITTEN BYTES-READ per second, 0 for none
    number=$(cat "/sys/block/${device#/dev/}/dev")
    echo "$number $1" >$throttle.write_bps_device && echo "$number $2" >$throttle.read_bps_device
}
unthrottle() { limit 0 0 2>/dev/null; }

# run NAME COMMAND...: seconds, CPU seconds and peak memory go to results.
run() {
    name=$1
    shift
    cat image >/dev/null
    sync
    blockdev --flushbufs "$device"
    if ! /usr/bin/time -o timing -f '%e %U %S %M' sh -c "$*" >log 2>&1; then
        echo "$name failed: $(tail -n 1 log)"
        return
    fi
    echo "$name $(tail -n 1 timing)" >>results
}

report() { # TITLE
    echo
    echo "## $1"
    echo "| | seconds, best | median | MB/s, best | CPU s | peak MiB |"
    echo "|---|---|---|---|---|---|"
    cut -d' ' -f1 results | awk '!seen[$0]++' | while read -r name; do
        grep "^$name " results | sort -n -k2 | awk -v n="$name" -v b="$bytes" '
            { t[NR] = $2; c[NR] = $3 + $4; if ($5 > m) m = $5 }
            END { k = int((NR + 1) / 2)
                  printf "| %s | %.2f | %.2f | %.0f | %.2f | %.0f |\n", n, t[1], t[k], b / 1e6 / t[1], c[1], m / 1024 }'
    done
    rm -f results
}

echo "machine: $(uname -srm), $(nproc) x $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), load $(cut -d' ' -f1 /proc/loadavg)"
echo "loop device over $(stat -f -c %T .), image ${size} MiB, $rounds rounds, $("$program" --version), $(dd --version | head -n 1)"

# Dense as the squashfs of an installer: every second 64 KiB can be packed.
head -c $((size * 524288)) /dev/urandom >half
python3 -c '
import sys
half, image = open("half", "rb"), open("image", "wb")
text = b"The quick brown fox jumps over the lazy dog, 0123456789 times.\n" * 1041
while block := half.read(65536):
    image.write(block)
    image.write(text[:65536])
'
rm half
bytes=$(stat -c %s image)
truncate -s $((bytes + 67108864)) disk
device=$(losetup -f --show disk)
bare="$program flash image $device --yes --allow-fixed --expect-size $(stat -c %s disk) --no-delta"

step() { # the programs that only write, then those that also read back
    run dd "dd if=image of=$device bs=4M oflag=direct conv=fsync,notrunc"
    run remaster "$bare --no-verify"
    [ -z "$bmaptool" ] || run bmaptool "$bmaptool copy --nobmap image $device"
    run dd+cmp "dd if=image of=$device bs=4M oflag=direct conv=fsync,notrunc && blockdev --flushbufs $device && dd if=$device bs=4M iflag=direct | cmp -n $bytes - image"
    run remaster-verified "$bare"
}
for _ in $(seq "$rounds"); do step; done
report "loop device, no limit"

zstd -q -3 image -o image.zst
for _ in $(seq "$rounds"); do
    run zstd-decode "zstd -q -d -c image.zst >/dev/null"
    run dd "dd if=image of=$device bs=4M oflag=direct conv=fsync,notrunc"
    run zstd-pipe-dd "zstd -q -d -c image.zst | dd of=$device bs=4M oflag=direct conv=fsync,notrunc iflag=fullblock"
    run remaster-zst "$(echo "$bare" | sed 's/flash image/flash image.zst/') --no-verify"
done
report "compressed with zstd -3"

"$program" flash image "$device" --yes --allow-fixed --expect-size "$(stat -c %s disk)" --no-delta >/dev/null 2>&1
cp image other
for round in $(seq "$rounds"); do
    printf 'round %s' "$round" | dd of=other bs=1 seek=$((bytes / 2)) conv=notrunc status=none
    run delta "$(echo "$bare" | sed 's/flash image/flash other/; s/--no-delta/--delta/')"
done
report "delta of a changed line"

if limit 30000000 100000000 2>/dev/null; then
    for _ in $(seq "$(((rounds + 1) / 2))"); do
        step
        run remaster-zst "$(echo "$bare" | sed 's/flash image/flash image.zst/') --no-verify"
    done
    run delta "$(echo "$bare" | sed 's/flash image/flash other/; s/--no-delta/--delta/')"
    report "limited to 30 MB/s writing, 100 MB/s reading"
else
    echo "no blkio throttle here: the limited run is left out"
fi
