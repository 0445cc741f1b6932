#!/usr/bin/env bash
# Makes the tiny installer images that the demo and the tests work on. Usage: make.sh [FOLDER], by default the script's own.
#
# Each image has all the structures of an official NixOS installer ISO of one shape, made with the xorriso flags of nixpkgs
# (nixos/lib/make-iso9660-image.sh), and placeholders for everything that would run: no kernel, boot loader or program of anybody.
#
#   tiny.iso          25.11, x86_64: hybrid MBR and GPT, two kernels with an initrd each, scripted stage 1
#   tiny-systemd.iso  26.05, x86_64: the same with systemd as stage 1
#   tiny-aarch64.iso  24.11, aarch64: one kernel, only UEFI, no partition table
#   tiny-sd.img       25.11, aarch64: MBR, a place for firmware, an ext4 root as mkfs.ext4 makes it
#   tiny-sd-old.img   the same without checksums, in which damage is not noticed at once
#   tiny-sd-groups.img  the same with blocks as large as in real ones, in sixteen groups
#
# Needs xorriso, mtools, dosfstools, cpio, e2fsprogs, fdisk and zstd. The same versions of them make the same bytes.
set -euo pipefail
export LC_ALL=C TZ=UTC SOURCE_DATE_EPOCH=315532800
umask 022
out=$(realpath "${1:-$(dirname "$0")}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Some hundred bytes that stand for a program.
placeholder() { for _ in {1..8}; do printf 'placeholder for %s of the tiny image\n' "$1"; done; }

# A made-up store path. The hash depends on the name, and on what else is given.
store() { printf '/nix/store/%s-%s' "$(printf %s "$*" | sha256sum | head -c 32)" "$1"; }

### initrds

# The end is as NixOS has it, what is before only hints at it.
scripted_init() { # KERNEL
  local utils; utils=$(store "extra-utils-$1")
  cat <<S
#! $utils/bin/ash

targetRoot=/mnt-root
export LD_LIBRARY_PATH=$utils/lib
export PATH=$utils/bin
ln -s $utils/bin /bin
fail() { exec $utils/bin/ash; }
trap 'fail' 0

echo "<<< NixOS Stage 1 >>>"
mkdir -p /proc /sys /dev /run
exec 3< $(store "initrd-fsinfo-$1")
while read -u 3 mountPoint; do
  read -u 3 device; read -u 3 fsType; read -u 3 options
  mount -t \$fsType -o \$options \$device \$targetRoot\$mountPoint || fail
done
exec 3>&-

S
  cat <<'S'
# Restore /proc/sys/kernel/modprobe to its original value.
echo /sbin/modprobe > /proc/sys/kernel/modprobe

# Start stage 2.
mkdir -m 0755 -p $targetRoot/proc $targetRoot/sys $targetRoot/dev $targetRoot/run

mount --move /proc $targetRoot/proc
mount --move /sys $targetRoot/sys
mount --move /dev $targetRoot/dev
mount --move /run $targetRoot/run

exec env -i $(type -P switch_root) "$targetRoot" "$stage2Init"

fail # should never be reached
S
}

scripted_initrd() { # FOLDER KERNEL
  local utils modules script
  utils=$(store "extra-utils-$2") modules=$(store "linux-$2-modules-shrunk") script=$(store stage-1-init.sh "$2")
  mkdir -p "$1$utils/bin" "$1$utils/lib" "$1$modules/lib"
  placeholder busybox > "$1$utils/bin/busybox"; ln -s busybox "$1$utils/bin/ash"; ln -s "$modules/lib" "$1/lib"
  printf '%s\n' / tmpfs tmpfs mode=0755 /iso /dev/root auto defaults /nix/.ro-store /iso/nix-store.squashfs squashfs loop > "$1$(store "initrd-fsinfo-$2")"
  scripted_init "$2" > "$1$script"
  chmod +x "$1$script"; ln -s "$script" "$1/init"
}

systemd_initrd() { # FOLDER KERNEL
  local systemd units etc; systemd=$(store systemd-260.1) units=$(store "initrd-units-$2") etc=$(store initrd-etc)
  mkdir -p "$1$systemd/lib/systemd" "$1$units" "$1$etc" "$1/etc/systemd"
  placeholder systemd > "$1$systemd/lib/systemd/systemd"; ln -s "$systemd/lib/systemd/systemd" "$1/init"
  printf '[Unit]\nDescription=Initrd Default Target\n' > "$1$units/initrd.target"; ln -s "$units" "$1/etc/systemd/system"
  printf '[Manager]\nDefaultEnvironment=PATH=/bin:/sbin\nManagerEnvironment=SYSTEMD_SYSROOT_FSTAB=%s PATH=/bin:/sbin\n' "$(store initrd-fstab)" > "$1$etc/system.conf"; ln -s "$etc/system.conf" "$1/etc/systemd/system.conf"
  printf 'ID=nixos\nVERSION_ID="26.05"\n' > "$1$etc/os-release"; ln -s "$etc/os-release" "$1/etc/initrd-release"
  printf '%s\n' "/dev/disk/by-label/$volid /iso auto x-initrd.mount 0 0" \
    "/sysroot/iso/nix-store.squashfs /nix/.ro-store squashfs x-initrd.mount,loop 0 0" > "$1$(store initrd-fstab)"
}

initrd() { # KERNEL > ARCHIVE
  local tree=$work/initrd
  rm -rf "$tree"; mkdir -p "$tree"/{proc,sys,dev,run,tmp,etc,nix/store,var/empty}
  "${stage1}_initrd" "$tree" "$1"
  ( cd "$tree"; find . -exec touch -hd @1 {} +; find . | sort | cpio -oH newc -R +0:+0 --reproducible --quiet | zstd -19 -q )
}

### menus: for each configuration its name, its label's suffix, its kernel, initrd and system

options=("Copy ISO files to RAM|copytoram|copytoram" "No modesetting|nomodeset|nomodeset" "Debug console output|debug|debug"
  "Disable display-manager|disable-displaymanager|systemd.mask=display-manager.service" "Rotate framebuffer Clockwise|rotate-90cw|fbcon=rotate:1"
  "Rotate framebuffer Upside-Down|rotate-180|fbcon=rotate:2" "Rotate framebuffer Counter-Clockwise|rotate-90ccw|fbcon=rotate:3"
  "Serial console=ttyS0,115200n8|serial|console=ttyS0,115200n8")

grub_entries() { # TITLE ARGUMENT
  local c
  for c in "${!names[@]}"; do
    printf "menuentry 'NixOS %s Installer%s%s'  --class installer {\n" "$release" "${names[c]}" "${1:+ ($1)}"
    printf '  # Fallback to UEFI console for boot, efifb sometimes has difficulties.\n  terminal_output console\n\n'
    printf '  linux %s ${isoboot} init=%s/init %s %s\n' "${kernels[c]}" "${systems[c]}" "$arguments" "$2"
    printf '  initrd %s\n}\n\n' "${initrds[c]}"
  done
}

grub_cfg() {
  printf 'set timeout=10\nsearch --set=root --file /EFI/nixos-installer-image\n'
  printf 'if [ ${iso_path} ] ; then\n  set isoboot="findiso=${iso_path}"\nfi\n\n'
  grub_entries "" ""
  printf 'submenu "Options" --class submenu --class hidpi {\n'
  for option in "${options[@]}"; do
    IFS='|' read -r title class argument <<< "$option"
    printf 'submenu "%s" --class %s {\n' "$title" "$class"; grub_entries "$title" "$argument"; printf '}\n\n'
  done
  printf "}\n\nmenuentry 'Firmware Setup' --class settings {\n  fwsetup\n}\nmenuentry 'Shutdown' --class shutdown {\n  halt\n}\n"
}

isolinux_labels() { # TITLE CLASS ARGUMENT
  local c
  for c in "${!names[@]}"; do
    printf 'LABEL boot%s%s\nMENU LABEL NixOS %s Installer%s%s\n' "${2:+-$2}" "${suffixes[c]}" "$release" "${names[c]}" "${1:+ ($1)}"
    printf 'LINUX %s\nAPPEND init=%s/init %s %s\nINITRD %s\n\n' "${kernels[c]}" "${systems[c]}" "$arguments" "$3" "${initrds[c]}"
  done
}

isolinux_cfg() {
  printf 'SERIAL 0 115200\nTIMEOUT 100\nUI vesamenu.c32\nMENU BACKGROUND /isolinux/background.png\n\nDEFAULT boot\n\n'
  isolinux_labels "" "" ""
  printf 'MENU BEGIN Options\n\n'
  for option in "${options[@]}"; do
    IFS='|' read -r title class argument <<< "$option"
    printf 'MENU BEGIN %s\n\n' "$title"; isolinux_labels "$title" "$class" "$argument"; printf 'MENU END\n\n'
  done
  printf 'MENU END\n\nLABEL memtest\nMENU LABEL Memtest86+\nLINUX /boot/memtest.bin\nAPPEND \n'
}

### images

# A loop that does nothing, with the mark of a loader that can start from a disk (offset 64), which xorriso asks for.
isolinux_bin() {
  printf '\372\364\353\375'; head -c 60 /dev/zero; printf '\373\300\170\160'
  placeholder isolinux.bin; head -c 4096 /dev/zero
}

# The part of a Master Boot Record that is code.
mbr_code() { { printf '\372\364\353\375'; head -c 432 /dev/zero; } | head -c 432; }

esp() { # FILE: the FAT filesystem that UEFI starts from, 256 KiB
  mkfs.vfat --invariant -i 12345678 -n EFIBOOT -C "$1" 256 > /dev/null
  find "$tree/EFI" -exec touch -d 2000-01-01 {} +
  SOURCE_DATE_EPOCH=946684800 mmd -i "$1" ::/EFI ::/EFI/BOOT
  mcopy -pm -i "$1" "$tree/EFI/BOOT"/{grub.cfg,"$loader"} ::/EFI/BOOT/
}

image() { # NAME
  local tree=$work/$1 c bios=() module
  mkdir -p "$tree"/{boot/grub,EFI/BOOT}
  for c in "${!names[@]}"; do
    mkdir -p "$tree$(dirname "${kernels[c]}")" "$tree$(dirname "${initrds[c]}")"
    placeholder "kernel ${versions[c]}" > "$tree${kernels[c]}"
    initrd "${versions[c]}" > "$tree${initrds[c]}"
  done
  grub_cfg > "$tree/EFI/BOOT/grub.cfg"
  placeholder "$loader" > "$tree/EFI/BOOT/$loader"; placeholder unicode.pf2 > "$tree/EFI/BOOT/unicode.pf2"
  : > "$tree/EFI/nixos-installer-image"
  [ "$stage1" = systemd ] || echo 'source /EFI/BOOT/grub.cfg' > "$tree/boot/grub/loopback.cfg"
  printf '%s' "$version" > "$tree/version.txt"
  placeholder nix-store.squashfs > "$tree/nix-store.squashfs"
  esp "$tree/boot/efi.img"
  if [ "$arch" = x86_64 ]; then
    # Enough modules for a directory of two blocks, as on official images.
    mkdir "$tree/isolinux"; isolinux_cfg > "$tree/isolinux/isolinux.cfg"; isolinux_bin > "$tree/isolinux/isolinux.bin"
    for module in background.png {cat,chain,config,cpuid,dir,disk,dmitest,elf,ethersel,gfxboot,hdt,ifcpu,ldlinux,libcom32,libutil,ls,menu,reboot,vesamenu}.c32; do
      placeholder "$module" > "$tree/isolinux/$module"; done
    placeholder memtest.bin > "$tree/boot/memtest.bin"
    mbr_code > "$work/mbr"
    bios=(-eltorito-boot isolinux/isolinux.bin -eltorito-catalog .boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table
      --sort-weight 1 /isolinux -isohybrid-mbr "$work/mbr")
  fi
  ( cd "$tree"; find . -type f | cut -c3- | sort | while read -r file; do printf '%s=%s\n' "$file" "$PWD/$file"; done ) > "$work/files"
  xorriso -boot_image any gpt_disk_guid=74696e79d0d04000a000000000000001 -volume_date all_file_dates "=$SOURCE_DATE_EPOCH" \
    -as mkisofs -iso-level 3 -volid "$volid" -appid nixos -publisher nixos -graft-points -full-iso9660-filenames -joliet "${bios[@]}" \
    -eltorito-alt-boot -e boot/efi.img -no-emul-boot -isohybrid-gpt-basdat -r -path-list "$work/files" --sort-weight 0 / -output "$work/$1.iso" \
    2> "$work/log" || { cat "$work/log"; exit 1; }
  zstd -19 -qf "$work/$1.iso" -o "$out/$1.iso.zst"
  printf '%s: %s bytes, packed %s\n' "$1.iso" "$(stat -c %s "$work/$1.iso")" "$(stat -c %s "$out/$1.iso.zst")"
}

two_kernels() { # VERSION VERSION
  names=(" (Linux LTS)" " (Linux latest)") suffixes=("" -latest_kernel) versions=("$1" "$2") kernels=() initrds=() systems=()
  local version
  for version; do
    kernels+=("/boot/$(store "linux-$version")/bzImage") initrds+=("/boot/$(store "initrd-linux-$version")/initrd")
    systems+=("$(store "nixos-system-nixos-$release-linux-$version")")
  done
}

arch=x86_64 loader=BOOTX64.EFI
release=25.11 version=25.11.12484.b6018f87da91 volid=nixos-minimal-25.11-x86_64 stage1=scripted
arguments="root=LABEL=$volid boot.shell_on_fail nohibernate loglevel=4 lsm=landlock,yama,bpf"
two_kernels 6.12.58 6.17.8
image tiny

release=26.05 version=26.05.2024.0d2f4h6j8k1l volid=nixos-minimal-26.05-x86_64 stage1=systemd
arguments="root=fstab loglevel=4 lsm=landlock,yama,bpf"
two_kernels 6.18.4 7.0.2
image tiny-systemd

arch=aarch64 loader=BOOTAA64.EFI
release=24.11 version=24.11.719113.50ab793786d9 volid=nixos-minimal-24.11-aarch64 stage1=scripted
arguments="root=LABEL=$volid boot.shell_on_fail nohibernate loglevel=4"
names=("") suffixes=("") versions=(6.6.94) kernels=(/boot/Image) initrds=(/boot/initrd) systems=("$(store nixos-system-nixos-$release)")
image tiny-aarch64

# A disk for SD cards (nixos/modules/installer/sd-card/sd-image.nix), with an ext4 root that mkfs.ext4 makes with these options.
sd_image() { # NAME MEBIBYTES OPTION…
  local name=$1 size=$2 tree=$work/$1 system kernel initrd menu; shift 2
  system=$(store "nixos-system-nixos-25.11.20251126.abcdef") kernel=nixos/$(store "linux-6.12.58" | cut -c12-)-Image initrd=nixos/$(store "initrd-linux-6.12.58" | cut -c12-)-initrd
  mkdir -p "$tree"/boot/{nixos,extlinux} "$tree$system"
  placeholder kernel > "$tree/boot/$kernel"; placeholder initrd > "$tree/boot/$initrd"; placeholder init > "$tree$system/init"
  printf 25.11.20251126.abcdef > "$tree$system/nixos-version"; printf aarch64-linux > "$tree$system/system"; placeholder paths > "$tree/nix-path-registration"
  for n in {10..59}; do mkdir -p "$tree$(store "package-$n")"; placeholder "$n" > "$tree$(store "package-$n")/program"; done
  menu='DEFAULT nixos-default\n\nMENU TITLE ----\nTIMEOUT 50\n\n'
  for n in default 1-default; do
    menu+="LABEL nixos-$n\n  MENU LABEL NixOS - $n\n  LINUX ../$kernel\n  INITRD ../$initrd\n  APPEND init=$system/init console=ttyAMA0,115200n8 console=tty0 loglevel=4\n  FDTDIR ../nixos/dtbs\n\n"
  done
  printf "$menu" > "$tree/boot/extlinux/extlinux.conf"
  truncate -s ${size}M "$work/$name.ext4"
  export E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH
  mkfs.ext4 -q -F -b 1024 -N 512 -L NIXOS_SD -U 74696e79-0000-4000-a000-000000000001 -E root_owner=0:0,hash_seed=74696e79-0000-4000-a000-000000000002 "$@" -d "$tree" "$work/$name.ext4"
  # files have the owner and the times of whoever runs this
  ( cd "$tree"; find . -mindepth 1 | cut -c2- | sort; echo / ) | while read -r path; do
    for field in uid gid; do echo "set_inode_field $path $field 0"; done
    for field in ctime atime mtime crtime; do echo "set_inode_field $path $field @$SOURCE_DATE_EPOCH"; echo "set_inode_field $path ${field}_extra 0"; done
  done | debugfs -w -f - "$work/$name.ext4" > /dev/null 2>&1
  e2fsck -fn "$work/$name.ext4" > /dev/null 2>&1
  truncate -s $((size + 1))M "$work/$name.img"
  printf 'label: dos\nlabel-id: 0x2178694e\nunit: sectors\nstart=128, size=64, type=b\nstart=2048, size=%s, type=83, bootable\n' $((size * 2048)) | sfdisk --quiet "$work/$name.img"
  dd if="$work/$name.ext4" of="$work/$name.img" bs=1M seek=1 conv=notrunc status=none
  zstd -19 -qf "$work/$name.img" -o "$out/$name.img.zst"
  printf '%s: %s bytes, packed %s\n' "$name.img" "$(stat -c %s "$work/$name.img")" "$(stat -c %s "$out/$name.img.zst")"
}
sd_image tiny-sd 6 -J size=1
sd_image tiny-sd-old 6 -J size=1 -O ^metadata_csum,^64bit
# Blocks as large as in real ones, and many groups, each of a mebibyte.
sd_image tiny-sd-groups 16 -b 4096 -g 256 -J size=4 -O ^meta_bg,^resize_inode
