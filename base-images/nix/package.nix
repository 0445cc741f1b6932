# The program, with the tests that need no foreign program but packers.
{
  lib,
  rustPlatform,
  bzip2,
  gzip,
  installShellFiles,
  stdenv,
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

  nativeBuildInputs = [ installShellFiles ];

  # The program that was built makes them, if it runs here.
  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    mkdir man
    $out/bin/remaster man man
    installManPage man/*.1
    for shell in bash fish zsh; do
      $out/bin/remaster completions $shell > remaster.$shell
    done
    installShellCompletion remaster.{bash,fish,zsh}
  '';

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
