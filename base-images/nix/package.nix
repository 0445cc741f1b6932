# The program, with the tests that need no foreign program but packers.
{
  lib,
  rustPlatform,
  bzip2,
  gzip,
  xz,
  zip,
  zstd,
}:
rustPlatform.buildRustPackage {
  pname = "remaster";
  version = (lib.importTOML ../../Cargo.toml).package.version;

  src = lib.fileset.toSource {
    root = ../../.;
    fileset = lib.fileset.unions [
      ../../Cargo.toml
      ../../Cargo.lock
      ../../.clippy.toml
      ../../.rustfmt.toml
      ../../README.md
      ../../src
      ../../tests
      ../../base-images/catalog.toml
    ];
  };
  cargoLock.lockFile = ../../Cargo.lock;

  nativeCheckInputs = [
    bzip2
    gzip
    xz
    zip
    zstd
  ];

  meta = {
    description = "Put an ssh key into a stock NixOS installer ISO, and write it to a stick";
    license = lib.licenses.mit;
    mainProgram = "remaster";
    platforms = lib.platforms.linux;
  };
}
