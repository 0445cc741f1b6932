# Bases of the workshop's own, built once and stamped often: an installer for each architecture, and stores for `--store`.
{ nixpkgs }:
let
  inherit (nixpkgs) lib;
  configuration =
    system:
    (lib.nixosSystem {
      modules = [
        { nixpkgs.hostPlatform = system; }
        "${nixpkgs}/nixos/modules/installer/cd-dvd/installation-cd-minimal.nix"
        ./installer.nix
      ];
    }).config;
  # As the installer's own store: store paths on top, and `nix-path-registration`, by which Nix knows them, beside them.
  storeWith =
    pkgs: name: storeContents: comp:
    (pkgs.callPackage "${nixpkgs}/nixos/lib/make-squashfs.nix" { inherit storeContents comp; }).overrideAttrs {
      name = "${name}.squashfs";
    };
  compression = "zstd -Xcompression-level 19";
in
{
  # The store of any NixOS configuration (`nixosConfigurations.NAME`), which can be installed from there without a network.
  storeOf =
    configuration:
    storeWith configuration.pkgs "system-store" [ configuration.config.system.build.toplevel ] compression;

  packages =
    system:
    let
      pkgs = nixpkgs.legacyPackages.${system};
      config = configuration system;
      inherit (config) isoImage;
      store = storeWith pkgs;
    in
    {
      # ISO in `iso/`.
      installer = config.system.build.isoImage;
      # The store of that ISO alone. `iso-image.nix` makes it within the ISO, of these, and gives it no attribute.
      installer-store = store "installer-store" isoImage.storeContents isoImage.squashfsCompression;
      # What a stick gets when it shall repair machines.
      rescue-store = store "rescue-store" [
        (pkgs.buildEnv {
          name = "rescue-store";
          paths = import ./rescue.nix pkgs;
        })
      ] compression;
    };
}
