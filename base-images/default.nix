# Bases of the workshop's own, built once and stamped often: an installer for each architecture, and stores for `--store`.
{ nixpkgs }:
let
  inherit (nixpkgs) lib;
  build =
    system:
    (lib.nixosSystem {
      modules = [
        { nixpkgs.hostPlatform = system; }
        "${nixpkgs}/nixos/modules/installer/cd-dvd/installation-cd-minimal.nix"
        ./installer.nix
      ];
    }).config.system.build;
in
{
  packages =
    system:
    let
      pkgs = nixpkgs.legacyPackages.${system};
      # As the installer's own store: store paths on top, `nix-path-registration` beside them.
      store =
        name: paths:
        (pkgs.callPackage "${nixpkgs}/nixos/lib/make-squashfs.nix" {
          storeContents = [ (pkgs.buildEnv { inherit name paths; }) ];
          comp = "zstd -Xcompression-level 19";
        }).overrideAttrs
          { name = "${name}.squashfs"; };
    in
    {
      # ISO in `iso/`.
      installer = (build system).isoImage;
      # The store of that ISO alone.
      installer-store = (build system).squashfsStore;
      # What a stick gets when it shall repair machines.
      rescue-store = store "rescue-store" (import ./rescue.nix pkgs);
    };
}
