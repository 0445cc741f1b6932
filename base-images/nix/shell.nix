# What one needs to work on remaster, foreign readers of images with it.
{
  mkShell,
  remaster,
  cargo,
  clippy,
  rustc,
  rustfmt,
  rust-analyzer,
  cdrkit,
  dosfstools,
  e2fsprogs,
  gptfdisk,
  libarchive,
  mtools,
  openssh,
  openssl,
  p7zip,
  python3,
  qemu,
  squashfsTools,
  xorriso,
}:
mkShell {
  inputsFrom = [ remaster ];
  packages = [
    cargo
    clippy
    rustc
    rustfmt
    rust-analyzer
    cdrkit
    dosfstools
    e2fsprogs
    gptfdisk
    libarchive
    mtools
    openssh
    openssl
    p7zip
    python3
    qemu
    squashfsTools
    xorriso
  ];
}
