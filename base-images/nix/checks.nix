# What `nix flake check` runs: the tests, the lints, and installers that are stamped and booted.
{
  pkgs,
  system,
  releases,
  remaster,
  installer,
}:
let
  inherit (pkgs) lib;
  boot = pkgs.callPackage ./boot.nix { inherit remaster; };

  # The official minimal installer of a release, built here from its branch by the modules that the published one is built
  # from. It differs from that by its version, which counts commits.
  minimal =
    nixpkgs:
    (nixpkgs.lib.nixosSystem {
      modules = [
        { nixpkgs.hostPlatform = system; }
        "${nixpkgs}/nixos/modules/installer/cd-dvd/installation-cd-minimal.nix"
      ];
    }).config.system.build.isoImage;

  # Published images, byte for byte: whoever adds one gives its hash.
  published = lib.mapAttrs' (name: image: {
    name = "boots-published-${name}";
    value = boot {
      inherit name;
      image = pkgs.fetchurl { inherit (image) url sha256; };
    };
  }) (import ./published.nix system);
in
{
  # Its check phase is the test suite.
  tests = remaster;

  clippy = remaster.overrideAttrs (old: {
    pname = "remaster-clippy";
    nativeBuildInputs = (old.nativeBuildInputs or [ ]) ++ [ pkgs.clippy ];
    buildPhase = "cargo clippy --offline --all-targets -- -D warnings";
    doCheck = false;
    installPhase = "touch $out";
  });

  format = remaster.overrideAttrs (old: {
    pname = "remaster-format";
    nativeBuildInputs = (old.nativeBuildInputs or [ ]) ++ [ pkgs.rustfmt ];
    buildPhase = "cargo fmt --check";
    doCheck = false;
    installPhase = "touch $out";
  });

  boots-workshop = boot {
    name = "workshop";
    image = "${installer}/iso/*.iso";
  };
}
// lib.mapAttrs' (name: nixpkgs: {
  name = "boots-${name}";
  value = boot {
    inherit name;
    image = "${minimal nixpkgs}/iso/*.iso";
  };
}) releases
// published
