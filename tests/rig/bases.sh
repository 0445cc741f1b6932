#!/usr/bin/env bash
# Builds the bases that are asked for, or takes them from the cache. Usage: bases.sh NAME…; prints their paths; --list names all.
# The cache is ${REMASTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/remaster/rig}, a folder per state of these scripts: what
# they have built stays valid until one of them changes. A base appears there whole or not at all. Wants root (device
# nodes and owners in the userland).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${REMASTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/remaster/rig}

# Every base: what is asked of build-store, build-initrd and build-iso.
boots="23.11 24.11 25.11 26.05"                                            # the four generations
variants="24.05 24.11-lz4 24.11-none 24.11-microcode 24.11-label 24.11-full-esp 23.11-layout"  # boot as well
shapes="24.11-xz 24.11-gzip 24.11-full-root 24.11-big 25.11-graphical"    # structure only: hardly a store
others="24.11-aarch64"                                                    # boots on another machine
rare="26.05-aarch64"                                                      # built only when asked for by name
recipe() {
  gen=${1%%-*} kind=scripted comp=zstd stage1=stage-1-standin.sh micro='' volid='' pad=0 arch=x86_64 edition='' full='' files='' tiny=''
  [ "$gen" != 26.05 ] || kind=systemd
  case " $shapes " in *" $1 "*) tiny=1 ;; esac
  case $1 in
    *-xz | *-gzip | *-lz4 | *-none) comp=${1#*-} ;;
    *-microcode) micro=1 ;;
    *-label) volid=my_own-label.2 ;;
    *-layout) stage1=stage-1-other-layout.sh ;;
    *-aarch64) arch=aarch64 ;;
    *-graphical) edition=graphical ;;
    *-full-esp) full=1 ;;
    *-full-root) # lengths found by trying: both trees' last block is full then
      files=$(printf 'note-%02d ' {0..12}; printf 'y-name-of-thirty-six-characters---%02d ' {0..7}; printf 'z%.0s' {1..60}) ;;
    *-big) pad=1100 ;;
  esac
}

if [ "${1-}" = --list ]; then echo "$boots $variants $shapes $others" | tr ' ' '\n'; exit; fi
mkdir -p "$cache"
scripts=("$here"/{bases,build-store,build-initrd,build-iso,systemd-stage1}.sh "$here"/stage-1-*.sh "$here/root-slack.py")
named() { cat "$@" | sha256sum | head -c 12; }
userland=$cache/userland-$(named "$here/build-userland.sh").tar
aarch64=$cache/userland-aarch64-$(named "$here"/build-userland{,-aarch64}.sh).tar
dir=$cache/$(named "${scripts[@]}" "$here"/build-userland{,-aarch64}.sh)

exec 9> "$cache/lock"; flock 9
trap 'rm -rf "$dir"/work*' EXIT
say() { echo "rig: $*" >&2; }
unpack() { # into a folder for each architecture
  work=$dir/work-$arch
  [ ! -e "$work/root" ] || return 0
  [ "$(id -u)" = 0 ] || { say "building a base wants root"; exit 1; }
  rm -rf "$work"; mkdir -p "$work/root.part"
  [ -e "$userland" ] || { say "userland (a minute)"; "$here/build-userland.sh" "$userland"; }
  case $arch in
    x86_64) tar -C "$work/root.part" -xf "$userland" ;;
    aarch64)
      [ -e "$aarch64" ] || { say "userland of aarch64 (a minute)"; "$here/build-userland-aarch64.sh" "$userland" "$aarch64"; }
      tar -C "$work/root.part" -xf "$userland" --exclude='./usr/lib/x86_64-linux-gnu' --exclude='./usr/lib64/*' --exclude=./usr/lib/modules --exclude=./boot --exclude='./vmlinuz*'
      tar -C "$work/root.part" -xf "$aarch64" --keep-directory-symlink --exclude=./etc --exclude=./dev
      local kernel; kernel=$(basename "$work"/root.part/boot/vmlinuz-*); ln -s "boot/$kernel" "$work/root.part/vmlinuz"; depmod -b "$work/root.part" "${kernel#vmlinuz-}" ;;
  esac
  mv "$work/root.part" "$work/root"
}
initrd() { # NTH -> its path, built once per set of options
  local out; out=$work/initrd.$kind.$comp.${stage1%.sh}.$1${micro:+.microcode}
  [ -e "$out" ] || { NTH=$1 STAGE1=$stage1 MICROCODE=$micro VOLID=nixos-minimal-$gen-$arch "$here/build-initrd.sh" "$work" "$kind" "$comp" "$out.part"; mv "$out.part" "$out"; }
  echo "$out"
}
build() { # NAME OUT
  local one two='' store=''
  unpack
  [ -e "$work/paths.$gen.env" ] || GEN=$gen "$here/build-store.sh" "$work"
  one=$(initrd 1)
  case $gen in 25.* | 26.*) two=$(initrd 2) ;; esac
  if [ -n "$tiny" ]; then
    store=$work/tiny.squashfs
    [ -e "$store" ] || { mkdir "$work/tiny"; echo "a store without a system" > "$work/tiny/README"; mksquashfs "$work/tiny" "$store" -all-root -no-progress -quiet > /dev/null; }
  fi
  GEN=$gen ARCH=$arch VOLID=$volid EDITION=$edition PAD_MIB=$pad FULL_ESP=$full ROOT_FILES=$files STORE=$store "$here/build-iso.sh" "$work" "$2" "$one" ${two:+"$two"}
  if [ -n "$files" ]; then # a record for one more name must not fit any more
    "$here/root-slack.py" "$2" | while read -r tree free; do
      [ "$free" -lt 50 ] || { say "$1: $free bytes are free in the $tree root directory"; exit 1; }
    done
  fi
}

for name; do
  case " $boots $variants $shapes $others $rare " in *" $name "*) continue ;; esac
  say "no base is called $name"; exit 2
done
for name; do
  out=$dir/base-$name.iso
  if [ ! -e "$out" ]; then
    say "building $name"
    recipe "$name"; build "$name" "$dir/part.iso" >&2; mv "$dir/part.iso" "$out"
  fi
  echo "$out"
done
