# As much of nixpkgs as the flake touches, with things that only say what they were asked for. It shows that names fit
# together and that modules say what they shall; nothing is built with it. Of its names, `names.toml` tells where they were read.
let
  source = builtins.toString ../..;
  lib = {
    genAttrs = names: make: builtins.listToAttrs (map (name: { inherit name; value = make name; }) names);
    mapAttrs' = make: set: builtins.listToAttrs (map (name: make name set.${name}) (builtins.attrNames set));
    importTOML = file: builtins.fromTOML (builtins.readFile file);
    fileset = {
      toSource = { root, fileset }: { inherit root fileset; };
      unions = map (path: if builtins.pathExists path then builtins.toString path else throw "no such path: ${builtins.toString path}");
    };
    licenses.mit = "MIT";
    platforms.linux = [ "x86_64-linux" "aarch64-linux" ];
    optionalString = wanted: text: if wanted then text else "";
    mkDefault = value: value;
    mkForce = value: value;
    nixosSystem = { modules }: { pkgs = pkgsFor "x86_64-linux"; config = {
      system.build.toplevel = derivation "system of ${builtins.toString (builtins.length modules)} modules";
      system.build.isoImage = derivation "iso of ${builtins.toJSON (map (module: if builtins.isPath module then builtins.baseNameOf module else module) modules)}";
      isoImage = {
        storeContents = [ (derivation "store of ${builtins.toString (builtins.length modules)} modules") ];
        squashfsCompression = "zstd of the module";
      };
    }; };
  };
  # Something that stands in a string as what it was made of, and can be overridden.
  derivation = made: {
    inherit made;
    outPath = "/nix/store/${builtins.substring 0 32 (builtins.hashString "sha256" made)}";
    overrideAttrs = change: (derivation made) // (if builtins.isFunction change then change { nativeBuildInputs = [ ]; } else change);
  };
  programs = builtins.listToAttrs (map (name: { inherit name; value = derivation name; }) [
    "btrfs-progs" "bzip2" "cargo" "cdrkit" "clippy" "cryptsetup" "curl" "ddrescue" "disko" "dosfstools" "e2fsprogs" "ethtool" "git" "gptfdisk" "gzip"
    "htop" "installShellFiles" "jq" "libarchive" "lsof" "lvm2" "mandoc" "mdadm" "memtester" "mtools" "nixfmt-tree" "nvme-cli" "openssh" "openssl" "p7zip" "parted" "pciutils" "python3" "qemu"
    "rsync" "rust-analyzer" "rustc" "rustfmt" "sbsigntool" "smartmontools" "squashfsTools" "testdisk" "tmux" "usbutils" "vim" "xfsprogs" "xorriso" "xz" "zip" "zstd"
  ]);
  pkgsFor = system: let
    pkgs = programs // {
      inherit lib system;
      stdenv = rec { hostPlatform.isAarch64 = system == "aarch64-linux"; buildPlatform.canExecute = platform: platform == hostPlatform; };
      OVMF = { firmware = derivation "firmware"; variables = derivation "variables"; };
      rustPlatform.buildRustPackage = arguments: derivation arguments.pname // arguments;
      mkShell = arguments: derivation "shell" // arguments;
      runCommand = name: arguments: script: derivation name // arguments // { inherit script; };
      fetchurl = { url, sha256 }: derivation "${url} ${sha256}";
      buildEnv = { name, paths }: derivation "environment ${name} of ${builtins.concatStringsSep " " (map (path: path.made) paths)}";
      callPackage = function: arguments: let
        wanted = if builtins.isFunction function then function else if builtins.pathExists function then import function
          else makeSquashfs;
      in wanted (builtins.intersectAttrs (builtins.functionArgs wanted) pkgs // arguments);
    };
  in pkgs;
  makeSquashfs = { storeContents, comp }: derivation "squashfs of ${(builtins.head storeContents).made} by ${comp}";
  nixpkgs = {
    inherit lib;
    outPath = "/nixpkgs";
    legacyPackages = lib.genAttrs lib.platforms.linux pkgsFor;
  };
  flake = import "${source}/flake.nix";
  inputs = builtins.mapAttrs (_: _: nixpkgs) flake.inputs;
  outputs = flake.outputs (inputs // { self = outputs; });
  both = lib.platforms.linux;
in
{
  programs = builtins.attrNames programs;
  config = let inherit (lib.nixosSystem { modules = [ ]; }) config; in {
    isoImage = builtins.attrNames config.isoImage;
    "system.build" = builtins.attrNames config.system.build;
  };
  squashfs = builtins.attrNames (builtins.functionArgs makeSquashfs);
  inputs = builtins.mapAttrs (_: input: input.url) flake.inputs;
  outputs = builtins.attrNames outputs;
  packages = lib.genAttrs both (system: builtins.mapAttrs (_: package: package.made) outputs.packages.${system});
  checks = lib.genAttrs both (system: builtins.mapAttrs (_: check: check.made) outputs.checks.${system});
  boots = lib.genAttrs both (system: lib.genAttrs [ "boots-workshop" "boots-nixos-24_11" ] (name: outputs.checks.${system}.${name}.script));
  apps = lib.genAttrs both (system: outputs.apps.${system}.default.type);
  shells = lib.genAttrs both (system: map (program: program.made) outputs.devShells.${system}.default.packages);
  formatter = lib.genAttrs both (system: outputs.formatter.${system}.made);
  storeOf = (outputs.lib.storeOf (lib.nixosSystem { modules = [ ]; })).made;
  overlay = (outputs.overlays.default (pkgsFor "x86_64-linux") { }).remaster.version;
  source = outputs.packages.x86_64-linux.remaster.src.fileset;
  install = outputs.packages.x86_64-linux.remaster.postInstall;
  installer = lib.genAttrs both (system: let
    module = import outputs.nixosModules.installer { inherit lib; pkgs = pkgsFor system; };
  in module // { environment.systemPackages = map (program: program.made) module.environment.systemPackages; });
}
