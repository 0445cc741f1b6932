#!/usr/bin/env bash
# Downloads the packages of the aarch64 bases, as a tar: those of the x86_64 userland that are compiled, the kernel and GRUB.
# Usage: build-userland-aarch64.sh X86_64.tar OUT.tar. Nothing of it is run, so no emulator is needed: what packages would set
# up is in the x86_64 userland already, whose /etc serves for both (bases.sh lays one over the other).
set -euo pipefail
# libcpuid, which nix-bin has on x86_64, is for that processor alone.
x86=$1 out=$2
packages=$(tar -xOf "$x86" ./var/lib/dpkg/status | awk '/^Package:/ {name = $2} /^Architecture:/ && $2 != "all" && name !~ /^(linux-image-|libcpuid)/ {print name}' | paste -sd, -)
mmdebstrap --variant=extract --arch=arm64 --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
  --include="$packages,linux-image-arm64,grub-efi-arm64-bin" bookworm "$out.part.tar"
mv "$out.part.tar" "$out"
