#! @shell@

# Another text for the scripted stage 1, as a release not yet seen may have it: comments, indentation, heredocs,
# functions, and of the known last lines only the one that starts stage 2.

targetRoot=/mnt-root
console=tty1
export LD_LIBRARY_PATH=@extraUtils@/lib
export PATH=@extraUtils@/bin
ln -s @extraUtils@/bin /bin

fail() {
    # Whoever sits there may repair it.
    cat <<EOF

An error occurred while mounting the root filesystem on \`$targetRoot'.
  i) to launch a shell
  *) to go on
EOF
    exec @shell@ < /dev/console > /dev/console 2>&1
}
trap 'fail' 0

# Print a greeting.
echo
echo "<<< NixOS Stage 1 >>>"
echo
ln -s @extraUtils@/bin /sbin


# Special file systems. They are moved, not mounted again, before switch_root deletes what is left of this one.
for dir in /etc/udev /proc /sys /run; do
    mkdir -p "$dir"
done
touch /etc/fstab /etc/mtab /etc/udev/hwdb.bin /etc/initrd-release
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs -o mode=0755 tmpfs /run
echo @nth@ > /run/rig-initrd


# The kernel command line.
export stage2Init=/init
for o in $(cat /proc/cmdline); do
    case $o in
        init=*)
            stage2Init=${o#init=}
            ;;
        root=LABEL=*)
            ln -s "/dev/disk/by-label/${o#root=LABEL=}" /dev/root
            ;;
    esac
done


echo @extraUtils@/bin/modprobe > /proc/sys/kernel/modprobe
for i in loop overlay squashfs isofs sr_mod sd_mod; do
    modprobe $i || true
done
ln -sfn @udevRules@ /etc/udev/rules.d
systemd-udevd --daemon
udevadm trigger --action=add
udevadm settle || true


waitDevice() {
    local try=30
    while [ ! -e "$1" ] && [ $try -gt 0 ]; do
        sleep 1
        udevadm settle
        try=$((try - 1))
    done
}

mountOne() {
    local device="$1"
    local mountPoint="$2"
    local fsType="$3"
    local options="$4"
    case $device in
        /dev/*) waitDevice "$device" ;;
        /*) device=$targetRoot$device ;;
    esac
    if [ "$fsType" = overlay ]; then
        mkdir -m 0755 -p $targetRoot/nix/.rw-store/store $targetRoot/nix/.rw-store/work
        options=$(echo "$options" | sed "s#dir=#dir=$targetRoot#g")
    fi
    if [ "$fsType" = auto ]; then
        fsType=$(blkid -o value -s TYPE "$device")
    fi
    mkdir -p "$targetRoot$mountPoint" || true
    mount -t "$fsType" -o "$options" "$device" "$targetRoot$mountPoint" || fail
}

mkdir -p $targetRoot
exec 3< @fsInfo@
while read -u 3 mountPoint; do
    read -u 3 device
    read -u 3 fsType
    read -u 3 options
    mountOne "$device" "$mountPoint" "$fsType" "$options"
done
exec 3>&-

udevadm control --exit || true
echo /sbin/modprobe > /proc/sys/kernel/modprobe


# Start stage 2.  Everything on the ramfs that we run from is deleted on the way.
for dir in proc sys dev run; do
    mkdir -m 0755 -p "$targetRoot/$dir"
    mount --move "/$dir" "$targetRoot/$dir"
done

exec env -i $(type -P switch_root) "$targetRoot" "$stage2Init"

fail # should never be reached
