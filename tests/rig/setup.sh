#!/usr/bin/env bash
# Makes sure the programs are there that the tests call: installs them as root on Debian, else names what is missing.
set -euo pipefail
programs=(
  # program:package
  qemu-system-x86_64:qemu-system-x86 /usr/share/OVMF/OVMF_CODE_4M.fd:ovmf xorriso:xorriso
  qemu-system-aarch64:qemu-system-arm /usr/share/qemu-efi-aarch64/QEMU_EFI.fd:qemu-efi-aarch64
  /usr/lib/u-boot/qemu_arm64/u-boot.bin:u-boot-qemu debugfs:e2fsprogs unsquashfs:squashfs-tools
  /usr/lib/ISOLINUX/isolinux.bin:isolinux /usr/lib/syslinux/modules/bios/vesamenu.c32:syslinux-common
  grub-mkimage:grub-common /usr/lib/grub/x86_64-efi/linux.mod:grub-efi-amd64-bin /usr/share/grub/unicode.pf2:grub-common
  mcopy:mtools mkfs.vfat:dosfstools mksquashfs:squashfs-tools cpio:cpio zstd:zstd xz:xz-utils lz4:lz4 modprobe:kmod
  /usr/lib/ipxe/qemu/pxe-virtio.rom:ipxe-qemu busybox:busybox-static readelf:binutils mmdebstrap:mmdebstrap ssh:openssh-client python3:python3 isoinfo:genisoimage
  bsdtar:libarchive-tools 7z:p7zip-full sgdisk:gdisk sfdisk:fdisk mkfs.ext4:e2fsprogs puttygen:putty-tools
  zip:zip skopeo:skopeo openssl:openssl script:bsdutils setpriv:util-linux cc:gcc strace:strace nbdkit:nbdkit nbdfuse:libnbd-bin fusermount3:fuse3
  nix-store:nix-bin sbsign:sbsigntool mandoc:mandoc man:man-db shellcheck:shellcheck valgrind:valgrind
  zsh:zsh fish:fish
  dbus-daemon:dbus /usr/libexec/udisks2/udisksd:udisks2 /usr/lib/polkit-1/polkitd:polkitd
)
missing() {
  local p file
  for p in "${programs[@]}"; do
    file=${p%%:*}
    case $file in /*) [ -e "$file" ] ;; *) PATH=$PATH:/usr/sbin:/sbin command -v "$file" >/dev/null ;; esac || echo "${p##*:}"
  done | sort -u
}
want=$(missing | tr '\n' ' ')
[ -n "$want" ] || exit 0
# Asks who sits at a terminal; in CI, and where nobody can answer, it installs.
agreed() {
  [ -z "${CI-}" ] && [ -t 2 ] || return 0
  local answer=
  printf 'the tests need %s: install them? [y/N] ' "$want" >&2
  read -r answer < /dev/tty
  [ "$answer" = y ] || [ "$answer" = yes ]
}
if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && agreed; then
  echo "installing: $want"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq < /dev/null
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $want < /dev/null > /dev/null
  want=$(missing | tr '\n' ' ')
  [ -n "$want" ] || exit 0
fi
echo "missing, as Debian calls the packages: $want" >&2
exit 1
