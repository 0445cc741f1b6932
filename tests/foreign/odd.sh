#!/usr/bin/env bash
# Makes images that are odd but legal from the pieces of a base. Usage: odd.sh BASE FOLDER NAME…; --list names all.
# BASE is a base of tests/rig of the 24.11 shape (24.11-gzip: hardly a store). Each lands as FOLDER/odd-NAME.iso.
set -euo pipefail
names="no-joliet appended-esp utf8-menus crlf-menus fat16 fat32 full-fat16 full-fat32 largest-fat12 archives gpt-4096 multi-extent"
names="$names continuations path-table no-padding no-cylinders partition-offset"
names="$names replayed kept apple-map menu-twice initrd-twice hard-links name-like-ours initrd-in-root"
if [ "${1-}" = --list ]; then echo "$names" | tr ' ' '\n'; exit; fi
base=$(realpath "$1") folder=$(realpath "$2"); shift 2
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin MTOOLS_SKIP_CHECK=1
work=$(mktemp -d "$folder/odd.XXXXXX"); trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# A tree as the base has it, to be changed.
fresh() { rm -rf "$work/t"; xorriso -osirrox on -indev "$base" -extract / "$work/t" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }; chmod -R u+w "$work/t"; rm -f "$work/t/.boot.cat"; }
# The image of the tree, by the flags of nixos/lib/make-iso9660-image.sh; JOLIET, EFI, GPT, MORE and GRAFTS are for those who want it otherwise.
image() { # NAME
  rm -f "$folder/odd-$1.iso"
  ( cd "$work/t"; find . -type f | sed 's|^\./||' | sort | while read -r f; do echo "$f=$PWD/$f"; done; [ -z "${GRAFTS-}" ] || echo "$GRAFTS" ) > "$work/pathlist"
  # shellcheck disable=SC2086
  xorriso -boot_image any gpt_disk_guid=a1b2c3d4e5f60718293a4b5c6d7e8f90 -volume_date all_file_dates =315532800 -as mkisofs -iso-level 3 \
    -volid nixos-minimal-24.11-x86_64 -appid nixos -publisher nixos -graft-points -full-iso9660-filenames ${JOLIET--joliet} \
    -eltorito-boot isolinux/isolinux.bin -eltorito-catalog .boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table --sort-weight 1 /isolinux \
    -isohybrid-mbr /usr/lib/ISOLINUX/isohdpfx.bin -eltorito-alt-boot ${EFI--e boot/efi.img} -no-emul-boot ${GPT--isohybrid-gpt-basdat} ${MORE-} -r \
    -path-list "$work/pathlist" --sort-weight 0 / -output "$folder/odd-$1.iso" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
}
# Another FAT with the same files. mkfs.vfat decides by size which FAT it is, if it is not told.
esp() { # MIB MKFS-OPTION…
  local old=$work/old.img new=$work/t/boot/efi.img size=$1; shift
  cp "$work/t/boot/efi.img" "$old"; rm "$new"; truncate -s "${size}M" "$new"; mkfs.vfat --invariant -i 12345678 -n EFIBOOT "$@" "$new" > /dev/null
  rm -rf "$work/esp"; mkdir "$work/esp"; mcopy -s -i "$old" ::/EFI "$work/esp/"; mcopy -s -i "$new" "$work/esp/EFI" ::/
}
# Fills the FAT: not one cluster stays free.
fill() {
  local free; free=$(mdir -i "$work/t/boot/efi.img" ::/ | sed -n 's/^ *\([0-9 ]*\) bytes free$/\1/p' | tr -d ' '); head -c "$free" /dev/zero > "$work/filler"
  mcopy -i "$work/t/boot/efi.img" "$work/filler" ::/filler; mdir -i "$work/t/boot/efi.img" ::/ | grep -q ' 0 bytes free'
}
# Changes every menu, those in the FAT too, by a filter.
menus() { # FILTER…
  local f in
  find "$work/t" \( -name grub.cfg -o -name isolinux.cfg \) | while read -r f; do "$@" < "$f" > "$work/menu"; cp "$work/menu" "$f"; done
  in=$(mdir -/ -b -i "$work/t/boot/efi.img" ::/ | grep -i 'grub.cfg$'); f=$(find "$work/t/EFI" -name grub.cfg); mcopy -o -i "$work/t/boot/efi.img" "$f" "$in"
}

for name; do
  fresh
  case $name in
    no-joliet) JOLIET='' image "$name" ;;
    appended-esp) # outside the volume, as a partition behind it; no file has it
      mv "$work/t/boot/efi.img" "$work/efi.img"
      EFI='-append_partition 2 0xef '"$work"'/efi.img -e --interval:appended_partition_2:all::' GPT='-appended_part_as_gpt' image "$name" ;;
    utf8-menus) menus sed 's/Installer/Установщик «Größe» 安装/'; image "$name" ;;
    crlf-menus) menus sed 's/$/\r/'; image "$name" ;;
    fat16) esp 16 -F 16 -s 2; image "$name" ;;
    fat32) esp 40 -F 32 -s 1; image "$name" ;;
    full-fat16) esp 16 -F 16 -s 2; fill; image "$name" ;;
    full-fat32) esp 40 -F 32 -s 1; fill; image "$name" ;;
    largest-fat12) # all the clusters that mkfs.vfat dares to number by 12 bits, none free
      esp 8 -F 12 -s 4; fill; fsck.vfat -nv "$work/t/boot/efi.img" | grep -q '4081 data clusters'; image "$name" ;;
    continuations) # Rock Ridge names that no record holds, so many that their rest takes several blocks
      mkdir "$work/t/long"; for n in {100..119}; do : > "$work/t/long/$n-$(printf '%0212d' 0)"; done
      for n in {10..24}; do : > "$work/t/y$n-$(printf '%0213d' 0)"; done; image "$name" ;;
    path-table) # one directory more begins a new block, in either hierarchy
      "$(dirname "$0")/path-table.py" "$base" | while read -r f; do mkdir "$work/t/$f"; : > "$work/t/$f/f"; done; image "$name"
      "$(dirname "$0")/path-table.py" "$folder/odd-$name.iso" --full ;;
    no-padding) MORE=-no-pad image "$name" ;;
    no-cylinders) GPT='-isohybrid-gpt-basdat -partition_cyl_align off' image "$name" ;;
    partition-offset) GPT='-isohybrid-gpt-basdat -partition_offset 16' image "$name" ;;
    replayed | kept) # a file added by xorriso: with tables that it makes anew, or with those of the base
      echo note > "$work/note"; how=keep; [ "$name" = kept ] || how=replay; rm -f "$folder/odd-$name.iso"
      xorriso -indev "$base" -outdev "$folder/odd-$name.iso" -map "$work/note" /note.txt -boot_image any "$how" -commit > "$work/log" 2>&1 || [ "$name" = kept ] ;;
    apple-map) MORE=-isohybrid-apm-hfsplus image "$name" ;;
    menu-twice) mkdir -p "$work/t/boot/grub"; GRAFTS="boot/grub/grub.cfg=$(echo "$work"/t/EFI/[Bb][Oo][Oo][Tt]/grub.cfg)" image "$name" ;;
    initrd-twice) GRAFTS="a/initrd=$work/t/boot/initrd" image "$name" ;;
    hard-links) ln "$work/t/isolinux/isolinux.cfg" "$work/t/isolinux/other.cfg"; ln "$work/t/boot/initrd" "$work/t/boot/initrd.img"; MORE=--hardlinks image "$name" ;;
    name-like-ours) mkdir "$work/t/remaster-notes"; echo note > "$work/t/remaster-notes/a"; echo 'hostname = "x"' > "$work/t/remaster.toml"; image "$name" ;;
    initrd-in-root) # beside our folder: one directory has the record that points elsewhere and the one that is new
      mv "$work/t/boot/initrd" "$work/t/initrd"; menus sed 's|/boot/initrd|/initrd|'; image "$name" ;;
    archives) # one not packed before it, two behind it: the kernel unpacks them all, one over the other
      mkdir -p "$work/a/kernel/x86/microcode" "$work/b/etc" "$work/c/etc"; head -c 5000 /dev/zero > "$work/a/kernel/x86/microcode/GenuineIntel.bin"; echo b > "$work/b/etc/b"; echo c > "$work/c/etc/c"
      for part in a b c; do ( cd "$work/$part"; find . -mindepth 1 | sort | cpio --quiet -o -H newc --reproducible > "../$part.cpio" ); done
      { cat "$work/a.cpio"; cat "$work/t/boot/initrd"; zstd -qc "$work/b.cpio"; gzip -nc "$work/c.cpio"; } > "$work/initrd"; cp "$work/initrd" "$work/t/boot/initrd"; image "$name" ;;
    gpt-4096) image "$name"; "$(dirname "$0")/gpt-4096.py" "$folder/odd-$name.iso" ;;
    multi-extent) truncate -s 4400M "$work/t/nix-store.squashfs"; image "$name"; fallocate -d "$folder/odd-$name.iso" ;;
    *) echo "odd: no image is called $name" >&2; exit 2 ;;
  esac
  echo "$folder/odd-$name.iso"
done
