# Programs to look into broken machines with, for a store that is put beside the installer's.
pkgs: with pkgs; [
  btrfs-progs
  cryptsetup
  ddrescue
  e2fsprogs
  ethtool
  gptfdisk
  lvm2
  mdadm
  memtester
  nvme-cli
  pciutils
  smartmontools
  testdisk
  usbutils
  xfsprogs
]
