#!/bin/sh
# A stick of 64 MiB of zeros for `nbdkit sh` that does wrong at one place what FAULT says; what it holds is in DISK.
# torn: of the write that holds the place only the first part is done; misdirected: that write goes 4 MiB before it;
# eio-write, eio-read: it fails.
place=$((0xa00200))
# holds COUNT OFFSET: whether a request is about the place.
holds() { [ "$2" -le $place ] && [ $(($2 + $1)) -gt $place ]; }
fails() {
    echo "EIO the stick is dying" >&2
    exit 1
}
put() { head -c "$1" | dd of="$DISK" bs=64K oflag=seek_bytes seek="$2" conv=notrunc 2>/dev/null; }
case $1 in
load) truncate -s 64M "$DISK" ;;
get_size) echo 64M ;;
can_write | can_flush) ;;
flush) sync "$DISK" ;;
pread)
    ! { [ "$FAULT" = eio-read ] && holds "$3" "$4"; } || fails
    dd if="$DISK" bs=64K iflag=skip_bytes,count_bytes skip="$4" count="$3" 2>/dev/null
    ;;
pwrite)
    count=$3 at=$4
    if holds "$count" "$at"; then
        case $FAULT in
        torn) count=$((place - at)) ;;
        misdirected) at=$((at - 0x400000)) ;;
        eio-write)
            cat >/dev/null
            fails
            ;;
        esac
    fi
    put "$count" "$at"
    cat >/dev/null # what is torn off
    ;;
*) exit 2 ;;
esac
