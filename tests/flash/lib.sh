# What the scripts of this folder have in common: counting checks and cleaning up.
# Sourced by them; `$program` is the program under test.

passed=0
failed=0
work=$(mktemp -d)
loops=

# Takes away every loop device that `loop` has made, and nothing else.
clean_up() {
    for device in $loops; do losetup -d "$device" 2>/dev/null; done
    for place in "$work"/mnt*; do umount "$place" 2>/dev/null; done
    rm -rf "$work"
}
trap clean_up EXIT

ok() { passed=$((passed + 1)); echo "ok: $1"; }
not_ok() {
    failed=$((failed + 1))
    echo "FAILED: $1"
    [ ! -s "$work/out" ] || sed 's/^/    /' "$work/out" | tail -n 12
}

# check NAME COMMAND...: passes if the command succeeds.
check() {
    what=$1
    shift
    if "$@"; then ok "$what"; else not_ok "$what"; fi
}

# exits CODE NAME ARGUMENTS...: runs the program, which must exit so; its output is in $work/out.
exits() {
    code=$1 what=$2
    shift 2
    "$program" "$@" >"$work/out" 2>&1 </dev/null
    found=$?
    if [ $found = "$code" ]; then ok "$what"; else
        not_ok "$what (exit status $found, expected $code)"
    fi
}

# says TEXT NAME: the last output holds the text.
says() {
    if grep -qF -- "$1" "$work/out"; then ok "$2"; else not_ok "$2 (no \"$1\")"; fi
}

# loop FILE [BLOCK]: attaches a loop device and puts its path in $device.
loop() {
    device=$(losetup -f --show -b "${2:-512}" "$1") || exit 1
    loops="$loops $device"
}

unloop() { losetup -d "$1" && loops=$(echo "$loops" | sed "s|$1||"); }

# noise BYTES: random bytes behind an empty boot record, which make a disk image.
noise() { { head -c 446 /dev/urandom; head -c 64 /dev/zero; printf '\125\252'; cat /dev/urandom; } 2>/dev/null | head -c "$1"; }

# flip FILE AT: changes the byte AT, whatever it is.
flip() {
    python3 -c 'import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(int(sys.argv[2])); byte = file.read(1)[0]
    file.seek(int(sys.argv[2])); file.write(bytes([byte ^ 255]))' "$1" "$2"
}

same_start() { cmp -s -n "$(stat -c %s "$1")" "$1" "$2"; }
half_written() { [ "$(head -c 16 "$1")" = "remaster flash 1" ] && zeros_at "$1" 16 4080; }
zeros_at() { [ "$(dd if="$1" bs=1 skip="$2" count="$3" status=none | tr -d '\0' | wc -c)" = 0 ]; }
