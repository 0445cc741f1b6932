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
in
{
  packages =
    system:
    let
      pkgs = nixpkgs.legacyPackages.${system};
      config = configuration system;
      inherit (config) isoImage;
      # As the installer's own store: store paths on top, `nix-path-registration` beside them.
      store =
        name: storeContents: comp:
        (pkgs.callPackage "${nixpkgs}/nixos/lib/make-squashfs.nix" { inherit storeContents comp; }).overrideAttrs {
          name = "${name}.squashfs";
        };
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
      ] "zstd -Xcompression-level 19";
    };
}
