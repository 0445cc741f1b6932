#!/usr/bin/env bash
# Downloads the Debian userland and kernel of every base, as a tar. Usage: build-userland.sh OUT.tar
# It has two archives of compiled locales: with en_US.UTF-8 only, as on minimal installers, and one with de_DE.UTF-8 as well.
set -euo pipefail
out=$1
INITRD=No mmdebstrap --variant=minbase --arch=amd64 \
  --include=systemd,systemd-sysv,udev,dbus,openssh-server,iproute2,kmod,linux-image-amd64,busybox-static,network-manager,wpasupplicant,passwd,login \
  --include=tzdata,locales,kbd,console-data,dhcpcd-base,openresolv,hostapd,dnsmasq-base,iw,rfkill,wireless-regdb,iputils-ping,less,sudo,nix-bin \
  --customize-hook='chroot "$1" localedef -i en_US -f UTF-8 en_US.UTF-8' \
  --customize-hook='cp "$1/usr/lib/locale/locale-archive" "$1/usr/lib/locale/locale-archive.minimal"' \
  --customize-hook='chroot "$1" localedef -i de_DE -f UTF-8 de_DE.UTF-8' \
  bookworm "$out.part.tar"
mv "$out.part.tar" "$out"
