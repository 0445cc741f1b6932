#!/usr/bin/env bash
# Builds a base ISO shaped as the NixOS minimal installer of one release. Usage: build-iso.sh WORKDIR OUT INITRD [INITRD2]
# Env: GEN=23.11|24.05|24.11|25.11|26.05 (WORKDIR's store must be made with the same GEN), VOLID, PAD_MIB (a file of that size),
# EDITION=graphical (of 25.11: GNOME and Plasma, each with two kernels, a theme for GRUB, rEFInd; structure only),
# FULL_ESP=1 (not one cluster of efi.img is free), ROOT_FILES="NAME…" (empty files in the root directory), STORE (instead of nix-store.GEN.squashfs),
# ARCH=aarch64 (EFI only, no MBR, no GPT; WORKDIR's root must be aarch64's).
# 23.11, 24.05: EFI/boot in lower case. Up to 24.11: one kernel and initrd in /boot, 36 menu entries. 25.11: two of each, at
# store paths, other menus. 26.05: the same for a systemd stage 1. Menu timeouts are 3 s, not 10.
set -euo pipefail
GEN=${GEN:-24.11} ARCH=${ARCH:-x86_64}; out=$(realpath -m "$2"); initrd_files=("$(realpath "$3")" "$(realpath "${4:-$3}")"); cd "$1"; . "./paths.$GEN.env"
EDITION=${EDITION:-minimal}; volid=${VOLID:-nixos-$EDITION-$GEN-$ARCH} pad=${PAD_MIB:-0} label="NixOS $REL"
t=iso.tree; rm -rf $t; mkdir -p $t/boot/grub

grub=x86_64-efi gdir=/usr/lib/grub/x86_64-efi gmods="efi_gop efi_uga"
case $ARCH in
  x86_64) kern=bzImage loader=BOOTX64.EFI;;
  aarch64) kern=Image loader=BOOTAA64.EFI grub=arm64-efi gdir=root/usr/lib/grub/arm64-efi gmods=efi_gop;;
esac
efi=EFI/BOOT; case $GEN in 23.*|24.05) efi=EFI/boot loader=${loader,,};; esac
read -r s1 s2 <<< "$S"
case $GEN in
  23.*|24.*) new= names=("") suffix=("") kernels=(/boot/$kern) initrds=(/boot/initrd) systems=("$s1");;
  *) new=1 names=(" (Linux LTS)" " (Linux latest)") suffix=("" -latest_kernel) systems=("$s1" "$s2")
    kernels=(/boot//nix/store/{0l5c8v2b7n4m1k9j6h3g0f8d5s2a7q4w-linux-6.12.58,4z1x8c5v2b9n6m3k0j7h4g1f8d5s2a9q-linux-6.17.8}/$kern)
    initrds=(/boot//nix/store/{2q9w6e3r0t7y4u1i8o5p2a9s6d3f0g7h-initrd-linux-6.12.58,6p3o0i7u4y1t8r5e2w9q6l3k0j7h4g1f-initrd-linux-6.17.8}/initrd);; esac
if [ "$EDITION" = graphical ]; then # no entry for the configuration that these are specialisations of
  names=(" GNOME (Linux LTS)" " GNOME (Linux 6.17.8)" " Plasma (Linux LTS)" " Plasma (Linux 6.17.8)") suffix=(-gnome{,_latest_kernel} -plasma{,_latest_kernel})
  kernels+=("${kernels[@]}") initrds+=("${initrds[@]//-initrd/-plasma-initrd}") systems+=("${systems[@]//-nixos-system/-plasma-nixos-system}")
  initrd_files+=("${initrd_files[@]}")
fi
case $GEN in
  23.*|24.*) params="root=LABEL=$volid boot.shell_on_fail nohibernate loglevel=4";;
  25.*) params="root=LABEL=$volid boot.shell_on_fail nohibernate loglevel=4 lsm=landlock,yama,bpf";;
  *) params="root=fstab loglevel=4 lsm=landlock,yama,bpf" only=("nohibernate ");; esac # the first kernel's alone
[ "$EDITION" = minimal ] || params="splash $params"
for c in "${!names[@]}"; do mkdir -p "$t$(dirname "${kernels[c]}")" "$t$(dirname "${initrds[c]}")"; cp kernel "$t${kernels[c]}"; cp "${initrd_files[c]}" "$t${initrds[c]}"; done

# the menus of both boot loaders
quirks=("Disable display-manager|disable-displaymanager|systemd.mask=display-manager.service" "Rotate framebuffer Clockwise|rotate-90cw|fbcon=rotate:1"
  "Rotate framebuffer Upside-Down|rotate-180|fbcon=rotate:2" "Rotate framebuffer Counter-Clockwise|rotate-90ccw|fbcon=rotate:3")
serial="Serial console=ttyS0,115200n8|serial|console=ttyS0,115200n8"
entry() { # CONFIG TITLE ADDITIONAL OPTION
  printf "menuentry '%s Installer%s%s'  --class installer {\n  # Fallback to UEFI console for boot, efifb sometimes has difficulties.\n  terminal_output console\n\n" "$label" "${names[$1]}" "${2:+ ($2)}"
  printf '  linux %s ${isoboot} init=%s/init %s %s %s\n  initrd %s\n}\n' "${kernels[$1]}" "${systems[$1]}" "$3" "${only[$1]-}$params" "$4" "${initrds[$1]}"; }
# What official menus say at the top and again in every submenu; a minimal installer is content with a part of it.
theme() {
  [ "$EDITION" != minimal ] || return 0
  printf '  search --set=root --file /EFI/nixos-installer-image\n  set gfxmode=1920x1200,1920x1080,1366x768,1024x768,auto\n'
  printf '  if [ "$textmode" == "false" ]; then\n    terminal_output gfxterm\n    terminal_input  console\n  else\n    terminal_output console\n    set menu_color_normal=cyan/blue\n  fi\n'
  printf '  set theme=($root)/%s/grub-theme/theme.txt\n' "$efi"; printf '  loadfont ($root)/'"$efi"'/grub-theme/dejavu_%s.pf2\n' 10 12 14 16
}
sub() { IFS='|' read -r title class option <<< "$1"; printf 'submenu "%s" --class %s {\n' "$title" "$class"; theme; "$2" "$option"; printf '}\n\n'; }
oldmenu() { for o in "" nomodeset copytoram debug; do entry 0 "$o" "${1-}" "$o"; done; }
newmenu() { for c in "${!names[@]}"; do entry "$c" "${title-}" "" "${1-}"; done; }
grubcfg() {
  cat <<'G'
set textmode=true
set with_serial=no
if serial; then set with_serial=yes ;fi
export with_serial
clear
set timeout=3

# This message will only be viewable on the default (UEFI) console.
echo ""
echo "Loading graphical boot menu..."
echo ""
search --set=root --file /EFI/nixos-installer-image
insmod gfxterm
insmod png
set gfxpayload=keep
hiddenentry 'Text mode' --hotkey 't' {
  set textmode=true
  terminal_output console
}
if [ ${iso_path} ] ; then
  set isoboot="findiso=${iso_path}"
fi
#
# Menu entries
#
G
  theme
  if [ "$new" ]; then
    title="" newmenu; echo 'submenu "Options" --class submenu --class hidpi {'
    for q in "Copy ISO files to RAM|copytoram|copytoram" "No modesetting|nomodeset|nomodeset" "Debug console output|debug|debug" "${quirks[@]}" "$serial"; do sub "$q" newmenu; done
  else
    oldmenu; echo 'submenu "HiDPI, Quirks and Accessibility" --class hidpi --class submenu {'
    for q in "Suggests resolution @720p|hidpi-720p|video=1280x720@60" "Suggests resolution @1080p|hidpi-1080p|video=1920x1080@60" "${quirks[@]}" \
      "Use black on white|accessibility-blackonwhite|vt.default_red=0xFF,0xBC,0x4F,0xB4 vt.default_grn=0xFF,0x55,0xBA,0xBA vt.default_blu=0xFF,0x58,0x5F,0x58" "$serial"; do sub "$q" oldmenu; printf 'submenu "" {return}\n'; done
  fi
  printf '}\n\n'
  [ "$EDITION" = minimal ] || printf "if [ \"\$root\" != \"cd0\" ]; then\n  menuentry 'rEFInd' --class refind {\n    search --set=root --no-floppy --fs-uuid 1234-5678\n    chainloader (\$root)/$efi/refind_x64.efi\n  }\nfi\n"
  [ "$GEN" != 26.05 ] || [ "$ARCH" != x86_64 ] || printf "menuentry 'Memtest86+' {\n  linux (\$root)/boot/memtest.bin\n}\n"
  printf "menuentry 'Firmware Setup' --class settings {\n  fwsetup\n  clear\n  echo \"\"\n}\nmenuentry 'Shutdown' --class shutdown {\n  halt\n}\n"; }
lab() { # CONFIG LABEL TITLE OPTION
  printf 'LABEL %s\nMENU LABEL %s Installer%s%s\nLINUX %s\nAPPEND init=%s/init %s %s\nINITRD %s\n\n' "$2" "$label" "${names[$1]}" "${3:+ ($3)}" "${kernels[$1]}" "${systems[$1]}" "${only[$1]-}$params" "$4" "${initrds[$1]}"; }
isolinuxcfg() {
  printf 'SERIAL 0 115200\nTIMEOUT 30\nUI vesamenu.c32\nMENU BACKGROUND /isolinux/background.png\n\nDEFAULT boot\n\n'
  for c in "${!names[@]}"; do lab "$c" "boot${suffix[c]}" "" ""; done
  if [ "$new" ]; then
    printf 'MENU BEGIN Options\n\n'
    for q in "Copy ISO files to RAM|copytoram|copytoram" "No modesetting|nomodeset|nomodeset" "Debug console output|debug|debug" "${quirks[@]}" "$serial"; do
      IFS='|' read -r title class option <<< "$q"; printf 'MENU BEGIN %s\n\n' "$title"
      for c in "${!names[@]}"; do lab "$c" "boot-$class${suffix[c]}" "$title" "$option"; done; printf 'MENU END\n\n'; done
    printf 'MENU END\n\n'
  else lab 0 boot-nomodeset nomodeset nomodeset; lab 0 boot-copytoram copytoram copytoram; lab 0 boot-debug debug loglevel=7; lab 0 boot-serial "serial console=ttyS0,115200n8" console=ttyS0,115200n8; fi
  printf 'LABEL memtest\nMENU LABEL Memtest86+\nLINUX /boot/memtest.bin\nAPPEND \n'; }

# EFI: loader and menu, on the ISO and in a FAT image made as nixpkgs makes it
mkdir -p "$t/$efi" "efi.tree"; rm -rf efi.tree; mkdir -p "efi.tree/$efi"
grubcfg > "$t/$efi/grub.cfg"; touch $t/EFI/nixos-installer-image; cp /usr/share/grub/unicode.pf2 "$t/$efi/"
if [ "$EDITION" = graphical ]; then # placeholders for pictures, fonts and rEFInd
  mkdir -p "$t/$efi/grub-theme/icons"; for f in efi-background.png refind_x64.efi grub-theme/{theme.txt,logo.png,dejavu_{10,12,14,16}.pf2} grub-theme/icons/{debug,hidpi,installer,nixos,refind,settings,shutdown,submenu}.png; do echo "$f" > "$t/$efi/$f"; done
fi
[ "$GEN" = 26.05 ] || echo "source /$efi/grub.cfg" > $t/boot/grub/loopback.cfg
grub-mkimage -d "$gdir" -o "$t/$efi/$loader" -p "/$efi" -O $grub fat iso9660 part_gpt part_msdos normal boot linux configfile loopback chain halt efifwsetup $gmods ls search search_label search_fs_uuid search_fs_file gfxmenu gfxterm gfxterm_background gfxterm_menu test all_video loadenv exfat ext2 ntfs btrfs hfsplus udf videoinfo png echo serial
cp "$t/$efi/grub.cfg" "$t/$efi/$loader" "efi.tree/$efi"; ( cd efi.tree && find . -exec touch --date=2000-01-01 {} + )
usage=$(( $(du -s --block-size=1M --apparent-size efi.tree | tr -cd '[:digit:]' | head -c 4) * 1024 * 1024 )); size=$(( usage * 110 / 100 )); size=$(( (size / 1048576 + 1) * 1048576 ))
rm -f efi.img; truncate --size=$size efi.img; mkfs.vfat --invariant -i 12345678 -n EFIBOOT efi.img >/dev/null
( cd efi.tree; for d in $(find EFI -type d | sort); do mmd -i ../efi.img "::/$d"; done; for f in $(find EFI -type f | sort); do mcopy -pm -i ../efi.img "$f" "::/$f"; done )
if [ -n "${FULL_ESP-}" ]; then
  mdir -i efi.img ::/ | sed -n 's/^ *\([0-9 ]*\) bytes free$/\1/p' | tr -d ' ' | xargs -I{} head -c {} /dev/zero > filler; mcopy -pm -i efi.img filler ::/filler
  mdir -i efi.img ::/ | grep -q ' 0 bytes free'
fi
cp efi.img $t/boot/efi.img

bios=
if [ "$ARCH" = x86_64 ]; then
  mkdir -p $t/isolinux; install -m 644 /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/*.c32 $t/isolinux/; isolinuxcfg > $t/isolinux/isolinux.cfg
  head -c 4096 /dev/zero > $t/boot/memtest.bin # a stand-in: no one boots it
  bios="-eltorito-boot isolinux/isolinux.bin -eltorito-catalog .boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table --sort-weight 1 /isolinux -isohybrid-mbr /usr/lib/ISOLINUX/isohdpfx.bin"
fi
echo -n "$REL" > $t/version.txt; cp "${STORE:-nix-store.$GEN.squashfs}" $t/nix-store.squashfs
[ "$pad" = 0 ] || head -c "${pad}M" /dev/zero > $t/nix-store.pad
for f in ${ROOT_FILES-}; do : > "$t/$f"; done
( cd $t; find . -type f | sed 's|^\./||' | sort | while read -r f; do echo "$f=$PWD/$f"; done ) > pathlist
rm -f "$out"
xorriso -boot_image any gpt_disk_guid=a1b2c3d4e5f60718293a4b5c6d7e8f90 -volume_date all_file_dates =315532800 -as mkisofs -iso-level 3 -volid "$volid" -appid nixos -publisher nixos -graft-points -full-iso9660-filenames -joliet \
  $bios -eltorito-alt-boot -e boot/efi.img -no-emul-boot -isohybrid-gpt-basdat -r -path-list pathlist --sort-weight 0 / -output "$out" > xorriso.log 2>&1 || { cat xorriso.log; exit 1; }
