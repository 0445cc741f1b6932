#!/usr/bin/env bash
# Makes a raw image as NixOS has them for SD cards of an ISO base that boots: its store, kernel and initrd, with a stage 1 that mounts the
# ext4 root (nixos/modules/installer/sd-card/sd-image.nix, nixos/lib/make-ext4-fs.nix, extlinux-conf-builder.sh of nixpkgs).
# Usage: sd-image.sh BASE.iso; prints the path of the image, which is kept beside the base until this script changes. Wants root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
base=$(realpath "$1")
out=${base%.iso}-sd-$(sha256sum < "$here/sd-image.sh" | head -c 12).img
if [ -e "$out" ]; then echo "$out"; exit; fi
[ "$(id -u)" = 0 ] || { echo "building an image for SD cards wants root" >&2; exit 1; }
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C TZ=UTC SOURCE_DATE_EPOCH=1
work=$(mktemp -d "$(dirname "$base")/sd.XXXXXX"); trap 'rm -rf "$work"' EXIT
cd "$work"

# what the ISO has
xorriso -osirrox on -indev "$base" -extract /nix-store.squashfs store.squashfs -extract /boot boot -extract /EFI EFI 2> xorriso.log || { cat xorriso.log >&2; exit 1; }
chmod -R u+w boot EFI
menu=$(find EFI -iname grub.cfg)
read -r _ kernel _ <<< "$(grep -m 1 '^ *linux ' "$menu")"
read -r _ initrd _ <<< "$(grep -m 1 '^ *initrd ' "$menu")"
system=$(grep -m 1 -o 'init=[^ ]*/init' "$menu"); system=${system#init=} system=${system%/init}
release=${system#*-nixos-system-nixos-}
arch=x86_64 console=ttyS0 image=bzImage
case $base in *aarch64*) arch=aarch64 console=ttyAMA0 image=Image ;; esac

# the root, as a boot has not touched it yet
mkdir -p root/nix root/boot/{nixos,extlinux} root/lost
unsquashfs -q -n -d root/nix/store store.squashfs
rmdir root/lost
printf %s "$release" > "root$system/nixos-version"
printf %s "$arch-linux" > "root$system/system"
ls root/nix/store > root/nix-path-registration
h=0q1w2e3r4t5y6u7i8o9p0a1s2d3f4g5h
k=$h-linux-6.12.58-$image i=$h-initrd-linux-6.12.58-initrd
cp ".$kernel" "root/boot/nixos/$k"
mkdir -p "root/boot/nixos/$h-device-tree-overlays"
cat > root/boot/extlinux/extlinux.conf <<S
# Generated file, all changes will be lost on nixos-rebuild!

# Change this to e.g. nixos-42 to temporarily boot to an older configuration.
DEFAULT nixos-default

MENU TITLE ------------------------------------------------------------
TIMEOUT 10

LABEL nixos-default
  MENU LABEL NixOS - Default
  LINUX ../nixos/$k
  INITRD ../nixos/$i
  APPEND init=$system/init console=$console,115200n8 console=tty0 loglevel=4 lsm=landlock,yama,bpf
  FDTDIR ../nixos/$h-device-tree-overlays
S

# stage 1: the initrd's own programs, and the modules that it lacks, behind it
case $(head -c 4 ".$initrd" | od -An -tx1 | tr -d ' ') in 28b52ffd) zstd -dqc ".$initrd" > plain ;; *) echo "the initrd is not a zstd" >&2; exit 1 ;; esac
cpio -t --quiet < plain > names
utils=/$(grep -m 1 -o 'nix/store/[^/]*-extra-utils' names)
rules=/$(grep -m 1 -o 'nix/store/[^/]*-udev-rules' names)
modules=$(find root/nix/store -path '*/usr/lib/modules/*' -name modules.dep -printf '%h' -quit)
mkdir -p more/sd-modules
: > more/sd-modules/order
depend() { # NAME: its modules, those it needs first
  local path needs one
  path=$(grep -m 1 -E "/$1\.ko(\.xz)?:" "$modules/modules.dep") || return 0
  needs=${path#*:} path=${path%%:*}
  for one in $(printf '%s\n' $needs | tac) "$path"; do
    [ -e "more/sd-modules/$(basename "$one")" ] || { cp "$modules/$one" more/sd-modules/; basename "$one" >> more/sd-modules/order; }
  done
}
for module in crc16 crc32c_generic libcrc32c jbd2 mbcache ext4 virtio_mmio virtio_pci virtio_blk; do depend $module; done
cat > more/init <<S
#!$utils/bin/ash
targetRoot=/mnt-root
export LD_LIBRARY_PATH=$utils/lib
export PATH=$utils/bin
ln -s $utils/bin /bin; ln -s $utils/bin /sbin
fail() { echo "stage 1 failed"; exec $utils/bin/ash < /dev/console > /dev/console 2>&1; }
trap 'fail' 0
echo; echo "<<< NixOS Stage 1 >>>"; echo
mkdir -p /etc/udev /proc /sys /run; touch /etc/fstab /etc/mtab /etc/udev/hwdb.bin /etc/initrd-release
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev; mount -t tmpfs -o mode=0755 tmpfs /run
for o in \$(cat /proc/cmdline); do case \$o in init=*) stage2Init=\${o#init=};; esac; done
while read -r module; do insmod /sd-modules/\$module 2> /dev/null; done < /sd-modules/order
ln -sfn $rules /etc/udev/rules.d
systemd-udevd --daemon; udevadm trigger --action=add; udevadm settle
device=/dev/disk/by-label/NIXOS_SD n=0
while [ ! -e \$device ] && [ \$n -lt 30 ]; do sleep 1; n=\$((n+1)); udevadm settle; done
echo "mounting \$device on /..."
mkdir -p \$targetRoot
mount -t ext4 \$device \$targetRoot || fail
udevadm control --exit
mkdir -m 0755 -p \$targetRoot/proc \$targetRoot/sys \$targetRoot/dev \$targetRoot/run
mount --move /proc \$targetRoot/proc; mount --move /sys \$targetRoot/sys; mount --move /dev \$targetRoot/dev; mount --move /run \$targetRoot/run
exec env -i \$(type -P switch_root) "\$targetRoot" "\$stage2Init"
fail
S
chmod +x more/init
{ cat plain; (cd more; find . | sort | cpio -o -H newc -R +0:+0 --quiet); } | zstd -3 -q > "root/boot/nixos/$i"

# the filesystem: made, shrunk to what it holds, and 16 MiB more
chown -R 0:0 root; chmod 0755 root
find root -exec touch -h -d @1 {} +
truncate -s $(($(du -s --block-size=1 root | cut -f1) * 110 / 100 + 67108864)) fs
mkfs.ext4 -q -F -L NIXOS_SD -U 44444444-4444-4444-8888-888888888888 -d root fs
e2fsck -n -f fs > /dev/null 2>&1
resize2fs -M fs > /dev/null 2>&1
truncate -s $((($(stat -c %s fs) / 1048576 + 17) * 1048576)) fs
resize2fs fs > /dev/null 2>&1
e2fsck -n -f fs > /dev/null 2>&1

# the disk: 8 MiB of room, 30 MiB of firmware, the root
truncate -s $(((38 * 1048576) + $(stat -c %s fs))) disk
sfdisk --quiet disk <<S
label: dos
label-id: 0x2178694e

start=8M, size=30M, type=b
start=38M, type=83, bootable
S
mkfs.vfat --invariant -i 2178694e -n FIRMWARE -C firmware 30720 > /dev/null
dd if=firmware of=disk bs=1M seek=8 conv=notrunc,sparse status=none
dd if=fs of=disk bs=1M seek=38 conv=notrunc,sparse status=none
mv disk "$out"
echo "$out"
