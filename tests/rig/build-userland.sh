#!/usr/bin/env bash
# Downloads the Debian userland and kernel of every base, as a tar. Usage: build-userland.sh OUT.tar
set -euo pipefail
out=$1
INITRD=No mmdebstrap --variant=minbase --arch=amd64 \
  --include=systemd,systemd-sysv,udev,dbus,openssh-server,iproute2,kmod,linux-image-amd64,busybox-static,network-manager,wpasupplicant,passwd,login \
  bookworm "$out.part.tar"
mv "$out.part.tar" "$out"
