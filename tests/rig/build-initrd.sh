#!/usr/bin/env bash
# Builds an initrd. Usage: build-initrd.sh WORKDIR scripted|systemd zstd|gzip|xz|lz4|none OUT
# scripted: a scripted stage 1 (STAGE1=stage-1-standin.sh or another); /init is a link to a store path.
# systemd: a systemd stage 1 (systemd-stage1.sh).
# Env: VOLID, the label that the systemd stage 1 mounts. NTH=2 makes the second initrd of a base, which differs in its
# store paths and says so in /run/rig-initrd. MICROCODE=1 puts an uncompressed archive in front, as microcode has it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); work=$1 kind=$2 comp=$3 out=$4 NTH=${NTH:-1} STAGE1=${STAGE1:-stage-1-standin.sh}; cd "$work"
R=$PWD/root; KV=$(ls root/usr/lib/modules | head -1)
d=$PWD/initrd.$kind; rm -rf "$d"; mkdir -p "$d"/{proc,sys,dev,run,tmp,etc,nix/store,var/empty}
X=/nix/store/3k7d9s2f4g6h8j0l1z5x7c9v2b4n6m8q-extra-utils
M=/nix/store/5r8t1y3w6z9x2c4v7b0n3m5k8j1h4g6f-linux-$KV-modules-shrunk
UD=/nix/store/8s1d4f7g0h3j6k9l2z5x8c1v4b7n0m3q-udev-rules

rpath() { # the path of a userland file with all links followed inside the userland
  local p=$1 l; while [ -L "$R/$p" ]; do l=$(readlink "$R/$p"); case $l in /*) p=${l#/};; *) p=$(dirname "$p")/$l;; esac
    case $p in bin/*|sbin/*|lib/*|lib64/*) p=usr/$p;; esac; done; echo "$p"; }
copybin() { # files of the userland, with the libraries they need, into the initrd at the same paths
  local f l; for f; do
    [ ! -e "$d/$f" ] || continue
    mkdir -p "$d/$(dirname "$f")"; cp "$R/$(rpath "$f")" "$d/$f"
    { readelf -dl "$d/$f" 2>/dev/null || true; } | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p; s/.*interpreter: \(.*\)\]/\1/p' | while read -r l; do
      case $l in /*) l=usr${l#/usr};; *) for l in "$R"/usr/lib/*-linux-gnu/{,systemd/}"$l"; do [ ! -e "$l" ] || break; done; l=${l#"$R/"};; esac
      copybin "$l"; done; done; }

# kernel modules and udev rules
mods="autofs4 loop overlay squashfs isofs cdrom sr_mod sd_mod ata_piix ahci libata scsi_mod usb-storage uas xhci-pci xhci-hcd ehci-pci uhci-hcd usbcore virtio_pci virtio_blk virtio_net virtio_scsi virtio_mmio e1000 nls_utf8 nls_cp437 nls_iso8859-1 vfat crc32c_generic efivarfs 8139cp af_packet"
mkdir -p "$d$M/lib/modules/$KV"
for m in $mods; do modprobe -d "$R" -S "$KV" --show-depends "$m" 2>/dev/null | awk '$1=="insmod"{print $2}' || true; done | sort -u | while read -r f; do
  rel=${f#"$R"}; rel=${rel#/usr}; mkdir -p "$d$M/$(dirname "$rel")"; cp "$f" "$d$M/$rel"; done
cp "$R"/usr/lib/modules/"$KV"/modules.{builtin,builtin.modinfo,order} "$d$M/lib/modules/$KV"/; depmod -b "$d$M" "$KV"
mkdir -p "$d$UD"; cp "$R"/usr/lib/udev/rules.d/{50-udev-default,60-cdrom_id,60-persistent-storage,60-block,80-drivers}.rules "$d$UD"/

if [ "$kind" = systemd ]; then . "$here/systemd-stage1.sh"; else
  # extra-utils: busybox (its ash is the shell, as on NixOS) and what stage 1 wants besides
  mkdir -p "$d$X"/{bin,lib}; cp "$R/bin/busybox" "$d$X/bin/"
  for a in $(busybox --list); do [ "$a" = busybox ] || ln -sf busybox "$d$X/bin/$a"; done
  copybin usr/bin/udevadm usr/bin/kmod usr/sbin/blkid usr/lib/udev/{cdrom_id,ata_id,scsi_id}
  for l in udevadm:bin/udevadm systemd-udevd:bin/udevadm modprobe:bin/kmod blkid:sbin/blkid; do ln -sf "/usr/${l#*:}" "$d$X/bin/${l%:*}"; done
  printf '#!%s/bin/ash\nexit 0\n' "$X" > "$d$X/bin/lvm"; chmod +x "$d$X/bin/lvm"
  ln -s "$M/lib" "$d/lib"; ln -s usr/lib64 "$d/lib64"; ln -s /usr/lib/udev "$d$M/lib/udev"
  for l in "$d"/usr/lib/ld-*; do [ ! -e "$l" ] || ln -s "/usr/lib/$(basename "$l")" "$d$M/lib/"; done
  FS=/nix/store/1a3s5d7f9g2h4j6k8l0z1x3c5v7b9n2m-initrd-fsinfo
  printf '%s\n' / tmpfs tmpfs mode=0755 /iso /dev/root auto defaults /nix/.ro-store /iso/nix-store.squashfs squashfs loop \
    /nix/.rw-store tmpfs tmpfs mode=0755 \
    /nix/store overlay overlay lowerdir=/nix/.ro-store,upperdir=/nix/.rw-store/store,workdir=/nix/.rw-store/work > "$d$FS"
  case $NTH in 1) S1=6h9k2m5p8s1v4y7b0d3f6g9j2l5n8q1r;; 2) S1=1f4h7k0n3q6s9v2y5b8d1g4j7l0p3r6w;; esac
  S1=/nix/store/$S1-stage-1-init.sh
  sed -e "s|@shell@|$X/bin/ash|g; s|@extraUtils@|$X|g; s|@udevRules@|$UD|g; s|@fsInfo@|$FS|g; s|@nth@|$NTH|g" "$here/$STAGE1" > "$d$S1"
  chmod +x "$d$S1"; ln -s "$S1" "$d/init"
fi
archive() { find . -exec touch -h -d @1 {} + && find . | sort | cpio -o -H newc -R +0:+0 --reproducible --quiet; }
case $comp in
  zstd) c="zstd -10 -T0 -q";; # the level that NixOS has by default
  gzip) c="gzip -9n";;
  xz) c="xz --check=crc32 -T0";;
  lz4) c="lz4 -l -9 -q";;
  none) c=cat;;
esac
: > "$out"
if [ -n "${MICROCODE-}" ]; then
  rm -rf microcode; mkdir -p microcode/kernel/x86/microcode
  head -c 20000 /dev/zero > microcode/kernel/x86/microcode/GenuineIntel.bin # a stand-in: the kernel finds no match in it
  ( cd microcode && archive ) >> "$out"
fi
( cd "$d" && archive | $c ) >> "$out"
