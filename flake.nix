{
  description = "Put an ssh key into a stock NixOS installer ISO, and write it to a stick";

  # One nixpkgs to build with, and the releases whose installers the checks stamp and boot.
  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
    nixos-23_11.url = "github:NixOS/nixpkgs/nixos-23.11";
    nixos-24_05.url = "github:NixOS/nixpkgs/nixos-24.05";
    nixos-24_11.url = "github:NixOS/nixpkgs/nixos-24.11";
    nixos-25_05.url = "github:NixOS/nixpkgs/nixos-25.05";
    nixos-25_11.url = "github:NixOS/nixpkgs/nixos-25.11";
    nixos-26_05.url = "github:NixOS/nixpkgs/nixos-26.05";
  };

  outputs =
    inputs@{ self, nixpkgs, ... }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      # The names of a set of releases are those of the inputs: nixos-25_11 is the branch nixos-25.11.
      releases =
        removeAttrs inputs [
          "self"
          "nixpkgs"
        ]
        // {
          nixos-unstable = nixpkgs;
        };
      forAll = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system} system);
      bases = import ./base-images { inherit nixpkgs; };
    in
    {
      overlays.default = final: _: { remaster = final.callPackage ./base-images/nix/package.nix { }; };

      packages = forAll (
        pkgs: system:
        rec {
          default = remaster;
          remaster = pkgs.callPackage ./base-images/nix/package.nix { };
        }
        // bases.packages system
      );

      apps = forAll (
        _: system: rec {
          default = remaster;
          remaster = {
            type = "app";
            program = "${self.packages.${system}.remaster}/bin/remaster";
            meta.description = "Put an ssh key into a stock NixOS installer ISO, and write it to a stick";
          };
        }
      );

      devShells = forAll (
        pkgs: system: {
          default = pkgs.callPackage ./base-images/nix/shell.nix { inherit (self.packages.${system}) remaster; };
        }
      );

      formatter = forAll (pkgs: _: pkgs.nixfmt-tree);

      # `storeOf nixosConfigurations.NAME`: a squashfs for `--store`.
      lib = { inherit (bases) storeOf; };

      nixosModules = {
        installer = ./base-images/installer.nix;
        default = ./base-images/installer.nix;
      };

      checks = forAll (
        pkgs: system:
        import ./base-images/nix/checks.nix {
          inherit pkgs system releases;
          inherit (self.packages.${system}) remaster installer;
        }
      );
    };
}
