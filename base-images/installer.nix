# The workshop's own installer: the official one with sshd closed to passwords, NetworkManager, and the programs that are
# wanted at every bench. It holds no key: `remaster` puts keys in, per stick. All defaults may be overridden by an import.
{
  lib,
  pkgs,
  ...
}:
{
  # Keys only, and nothing that a bench does not need.
  services.openssh = {
    enable = true;
    settings = {
      PermitRootLogin = "prohibit-password";
      PasswordAuthentication = false;
      KbdInteractiveAuthentication = false;
      X11Forwarding = false;
      AllowAgentForwarding = false;
      MaxAuthTries = 3;
      LoginGraceTime = 30;
    };
  };

  # The official installer starts wpa_supplicant on demand; NetworkManager takes profiles that are put onto the stick.
  networking.networkmanager.enable = true;
  networking.wireless.enable = lib.mkForce false;
  networking.firewall.allowedTCPPorts = [ 22 ];

  console.keyMap = lib.mkDefault "us";
  i18n.defaultLocale = lib.mkDefault "en_US.UTF-8";
  i18n.supportedLocales = lib.mkDefault [
    "en_US.UTF-8/UTF-8"
    "de_DE.UTF-8/UTF-8"
  ];
  time.timeZone = lib.mkDefault "UTC";

  # A machine without a screen is watched by a serial cable; the last one is what programs write to.
  boot.kernelParams = [
    (if pkgs.stdenv.hostPlatform.isAarch64 then "console=ttyAMA0,115200n8" else "console=ttyS0,115200n8")
    "console=tty0"
  ];

  environment.systemPackages = with pkgs; [
    cryptsetup
    curl
    disko
    git
    gptfdisk
    htop
    jq
    lsof
    nvme-cli
    parted
    pciutils
    rsync
    smartmontools
    tmux
    usbutils
    vim
  ];

  nix.settings.experimental-features = [
    "nix-command"
    "flakes"
  ];

  # Unpacks some times faster than xz, at a few per cent more.
  isoImage.squashfsCompression = lib.mkDefault "zstd -Xcompression-level 19";

  # Told on the console, as the official text speaks of passwords.
  services.getty.helpLine = lib.mkForce ''
    sshd takes keys only; this image has those that `remaster` put in.
    Addresses: \4 \6
  '';
}
