#!/usr/bin/env bash
# Builds the live system that the bases carry: a Debian userland laid out as a NixOS store (squashfs of store
# paths, a stage-2 init that makes /etc from a static tree on a tmpfs root, then systemd and sshd).
# Usage: build-store.sh WORKDIR, which has the unpacked userland in root/.
# Env: GEN=23.11|24.05|24.11|25.11|26.05. From 25.11 on there are two system paths, NetworkManager instead of dhcpcd, and a unit
# that makes host keys; 24.11 and 26.05 have the locale de_DE.UTF-8, the others en_US.UTF-8 only.
# Makes WORKDIR/nix-store.GEN.squashfs, paths.GEN.env and the kernel.
set -euo pipefail
work=$1 GEN=${GEN:-24.11}; cd "$work"
case $GEN in
  23.11) rel=$GEN.20231125.rig;;
  24.05) rel=$GEN.20240531.rig;;
  24.11) rel=$GEN.20241122.rig;;
  25.11) rel=$GEN.20251120.rig;;
  26.05) rel=$GEN.20260525.rig;;
esac

U=/nix/store/2m0w9zq4k8v7r5c1x3b6n4j0s9d8f7g5-userland
S=/nix/store/7x1l5a9p3d8q2w6z4v0c7r5k3j1h9s8f-nixos-system-nixos-$rel S2=
case $GEN in 25.*|26.*) S2=/nix/store/1c4v7b0n3m6l9k2j5h8g1f4d7s0a3q6w-nixos-system-nixos-$rel;; esac
B=/nix/store/9q2v8k1s7x5z3b6n4w0c9r8d7f5g3h1j-busybox/bin
E=/nix/store/4f6d8s0a2q4w6z8x1c3v5b7n9r2k4l6p-etc/etc
W=/nix/store/6g3j9m1p4s7v0y2b5d8f1h4k7n0q3t6w-system-path
D=/nix/store/5d8g1k4n7q0t3w6z9c2f5h8l1p4s7v0y-dhcpcd.conf

rm -rf store; mkdir -p store/"${U#/nix/store/}" store/"$(basename "$(dirname $B)")"/bin "store/$(echo "$E" | cut -d/ -f4)/etc"
cp -a root/usr store/"${U#/nix/store/}"/usr
u=store/"${U#/nix/store/}"/usr
rm -rf "$u"/lib/grub "$u"/share/{doc,man,locale,info,lintian,perl,perl5} "$u"/lib/firmware/[!r]* "$u"/lib/modules/*/kernel/{sound,drivers/{gpu,media,infiniband,iio,staging,isdn,hwmon,comedi,mtd,target,platform,net/ethernet},fs/{ocfs2,gfs2,ceph,cifs,smb,nfs,f2fs},net/{bluetooth,sunrpc}} "$u"/lib/*-linux-gnu/perl*
rm -rf "$u"/share/{i18n,fonts,bash-completion,zsh,info}; find "$u"/lib/modules/*/kernel/drivers/net/wireless -name '*.ko' ! -name mac80211_hwsim.ko -delete
case $GEN in 23.*|24.*) rm -f "$u"/lib/tmpfiles.d/provision.conf;; esac # NixOS reads ssh.authorized_keys.root from 25.05 on
case $GEN in 23.*|24.05|25.*) mv "$u"/lib/locale/locale-archive{.minimal,};; *) rm "$u"/lib/locale/locale-archive.minimal;; esac
# the system path: all programs in one folder of links
w=store/"${W#/nix/store/}"; mkdir -p "$w"/bin
for f in "$u"/sbin/* "$u"/bin/*; do ln -sfn "$U/usr/${f#"$u"/}" "$w/bin/"; done
ln -s bin "$w"/sbin; ln -s $U/usr/lib $U/usr/share "$w"/
cp root/bin/busybox store/"$(basename "$(dirname $B)")"/bin/busybox
for a in sh ash mkdir ln cp cat mount umount chmod chown ls sed grep touch rm mv env basename dirname find head sleep echo test true awk; do
  ln -sf busybox store/"$(basename "$(dirname $B)")"/bin/$a; done

# the static /etc
e="store/$(echo "$E" | cut -d/ -f4)/etc"
cp -a root/etc/. "$e"/
rm -f "$e"/ssh/ssh_host_* "$e"/machine-id "$e"/resolv.conf "$e"/fstab "$e"/mtab "$e"/motd "$e"/localtime "$e"/timezone "$e"/default/locale
rm -rf "$e"/ssh/sshd_config.d "$e"/init.d "$e"/rc?.d
# what NixOS has as links into its store: names, the console, the locale, zones, keymaps and fonts
echo nixos > "$e"/hostname; echo 'LANG=en_US.UTF-8' > "$e"/locale.conf; echo 'KEYMAP=us' > "$e"/vconsole.conf
printf '\n\e[1;32m<<< Welcome to NixOS %s (\\m) - \\l >>>\e[0m\n\n' "$rel" > "$e"/issue
ln -s $U/usr/share/zoneinfo "$e"/zoneinfo; ln -s $U/usr/share "$e"/kbd
[ "$GEN" != 25.11 ] || ln -s /etc/zoneinfo/Europe/Paris "$e"/localtime # as a base has it that sets a time zone
# shells: the environment as NixOS sets it, and its files for what is added by hand
cat > "$e"/set-environment <<'S'
export __NIXOS_SET_ENVIRONMENT_DONE=1
export LANG="en_US.UTF-8"
export LOCALE_ARCHIVE="/run/current-system/sw/lib/locale/locale-archive"
export TZDIR="/etc/zoneinfo"
export PATH="/run/wrappers/bin:$HOME/.nix-profile/bin:/nix/profile/bin:$HOME/.local/state/nix/profile/bin:/etc/profiles/per-user/$USER/bin:/nix/var/nix/profiles/default/bin:/run/current-system/sw/bin"
S
cat > "$e"/profile <<'S'
if [ -n "$__ETC_PROFILE_SOURCED" ]; then return; fi
__ETC_PROFILE_SOURCED=1
export __ETC_PROFILE_DONE=1
if [ -z "$__NIXOS_SET_ENVIRONMENT_DONE" ]; then . /etc/set-environment; fi
if test -f /etc/profile.local; then . /etc/profile.local; fi
if [ -n "${BASH_VERSION:-}" ]; then . /etc/bashrc; fi
S
cat > "$e"/bashrc <<'S'
if [ -n "$__ETC_BASHRC_SOURCED" ] || [ -n "$NOSYSBASHRC" ]; then return; fi
__ETC_BASHRC_SOURCED=1
if [ -z "$__ETC_PROFILE_DONE" ]; then . /etc/profile; fi
if test -f /etc/bashrc.local; then . /etc/bashrc.local; fi
S
ln -sf bashrc "$e"/bash.bashrc
# NixOS's sudo is built without a PATH of its own, Debian's with one
printf 'Defaults !secure_path\nroot ALL=(ALL:ALL) SETENV: ALL\nnixos ALL=(ALL:ALL) NOPASSWD: SETENV: ALL\n' > "$e"/sudoers; chmod 440 "$e"/sudoers; rm -rf "$e"/sudoers.d
# root and nixos have empty passwords, as on an installer
sed -i 's/^root:[^:]*:/root::/' "$e"/shadow; echo 'nixos::19700::::::' >> "$e"/shadow; echo 'nixos:x:1000:100::/home/nixos:/bin/bash' >> "$e"/passwd
printf 'ID=nixos\nNAME=NixOS\nPRETTY_NAME="NixOS %s"\nVERSION_ID="%s"\n' "$rel" "$GEN" > "$e"/os-release.nixos; mv -f "$e"/os-release.nixos "$e"/os-release
cat > "$e"/ssh/sshd_config <<'S'
UsePAM yes
AddressFamily any
Port 22
X11Forwarding no
PermitRootLogin yes
PasswordAuthentication yes
KbdInteractiveAuthentication yes
PrintMotd no
AuthorizedKeysFile %h/.ssh/authorized_keys /etc/ssh/authorized_keys.d/%u
HostKey /etc/ssh/ssh_host_rsa_key
HostKey /etc/ssh/ssh_host_ed25519_key
Subsystem sftp /usr/lib/openssh/sftp-server
S
mkdir -p "$e"/systemd/system/multi-user.target.wants
rm -f "$e"/systemd/system/*.wants/ssh.service "$e"/systemd/system/sshd.service
cat > "$e"/systemd/system/sshd.service <<'S'
[Unit]
Description=SSH Daemon
After=network.target
[Service]
ExecStart=/usr/sbin/sshd -D -f /etc/ssh/sshd_config
RuntimeDirectory=sshd
KillMode=process
Restart=always
[Install]
WantedBy=multi-user.target
S
cat > "$e"/ssh-keygen-start <<'S'
#!/bin/sh
# (NixOS makes RSA keys of 4096 bits, for which an emulator takes long)
for t in 'rsa -b 1024' ed25519; do f=/etc/ssh/ssh_host_${t%% *}_key
  [ -s "$f" ] || { mkdir -p /etc/ssh; ssh-keygen -q -t $t -f $f -N ''; }
done
S
chmod +x "$e"/ssh-keygen-start
case $GEN in
  23.*|24.*) sed -i 's|^ExecStart=|ExecStartPre=/etc/ssh-keygen-start\n&|' "$e"/systemd/system/sshd.service;;
  *) sed -i 's|^After=.*|After=network.target sshd-keygen.service\nWants=sshd-keygen.service|' "$e"/systemd/system/sshd.service
    cat > "$e"/systemd/system/sshd-keygen.service <<'S'
[Unit]
Description=SSH Host Keys Generation
ConditionFileNotEmpty=|!/etc/ssh/ssh_host_rsa_key
ConditionFileNotEmpty=|!/etc/ssh/ssh_host_ed25519_key
[Service]
Type=oneshot
ExecStart=/etc/ssh-keygen-start
S
;; esac
ln -sf /etc/systemd/system/sshd.service "$e"/systemd/system/multi-user.target.wants/sshd.service
for x in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer ModemManager.service e2scrub_reap.service systemd-pstore.service hostapd.service nftables.service; do
  find "$e"/systemd -name "$x" -delete; done
# the console: Debian's systemd has no program for it, so a stand-in does what NixOS's does
cat > "$e"/systemd/system/systemd-vconsole-setup.service <<'S'
[Unit]
Description=Virtual Console Setup
DefaultDependencies=no
Before=sysinit.target shutdown.target
Conflicts=shutdown.target
ConditionPathExists=/dev/tty0
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c '. /etc/vconsole.conf; /usr/bin/loadkeys -q -C /dev/tty0 "$$KEYMAP" && echo "loaded keymap $$KEYMAP" && { [ -z "$$FONT" ] || { /usr/bin/setfont -C /dev/tty1 "$$FONT" && echo "loaded font $$FONT"; }; }'
S
mkdir -p "$e"/systemd/system/sysinit.target.wants; ln -sf ../systemd-vconsole-setup.service "$e"/systemd/system/sysinit.target.wants/
# the network: dhcpcd and a wpa_supplicant that nobody starts, from 25.11 on NetworkManager
rm -f "$u"/lib/systemd/system/{dhcpcd,hostapd,hostapd@,wpa_supplicant@,wpa_supplicant-*}.service
case $GEN in
  23.*|24.*)
    rm -f "$u"/lib/systemd/system/{NetworkManager*,wpa_supplicant.service} "$u"/bin/nm* "$u"/sbin/NetworkManager "$w"/bin/nm* "$w"/bin/NetworkManager
    rm -rf "$e"/NetworkManager "$u"/lib/NetworkManager "$u"/share/dbus-1/system-services/{org.freedesktop.nm_dispatcher,fi.w1.wpa_supplicant1}.service
    find "$e"/systemd '(' -name 'NetworkManager*' -o -name 'wpa_supplicant*' -o -name '*nm-dispatcher*' -o -name '*wpa_supplicant1*' ')' -delete
    printf '%s\n' hostname 'option domain_name_servers, domain_name, domain_search' 'option classless_static_routes, ntp_servers, interface_mtu' \
      'nohook lookup-hostname' 'denyinterfaces lo peth* vif* tap* tun* virbr* vnet* vboxnet* sit*' noarp > store/"${D#/nix/store/}"
    cat > "$e"/systemd/system/dhcpcd.service <<S
[Unit]
Description=DHCP Client
ConditionCapability=CAP_NET_ADMIN
Wants=network.target
Before=network-online.target
[Service]
Environment="PATH=/run/current-system/sw/bin"
Type=forking
PIDFile=/run/dhcpcd/pid
RuntimeDirectory=dhcpcd
ExecStart=@/run/current-system/sw/bin/dhcpcd dhcpcd --quiet --persistent --config $D
ExecReload=/run/current-system/sw/bin/dhcpcd --rebind
Restart=always
S
    ln -sf ../dhcpcd.service "$e"/systemd/system/multi-user.target.wants/dhcpcd.service;;
esac
case $GEN in 25.*|26.*) # whatever wants network-online.target waits for it, an emulator for longer
  sed -i 's/^Environment=NM_ONLINE_TIMEOUT=.*/Environment=NM_ONLINE_TIMEOUT=600/' "$u"/lib/systemd/system/NetworkManager-wait-online.service
  mkdir -p "$e"/systemd/system/network-online.target.wants; ln -sf $U/usr/lib/systemd/system/NetworkManager-wait-online.service "$e"/systemd/system/network-online.target.wants/;; esac
# an sshd per connection, as systemd-ssh-generator makes them (there for sockets of other kinds)
if [ "$GEN" = 26.05 ]; then
  mkdir -p "$e"/systemd/system/sockets.target.wants
  for of in unix-local:2222 vsock:2223; do
    printf '[Unit]\nDescription=OpenSSH Server Socket (a stand-in for one of systemd-ssh-generator)\n[Socket]\nListenStream=127.0.0.1:%s\nAccept=yes\n' "${of#*:}" > "$e/systemd/system/sshd-${of%:*}.socket"
    printf '[Unit]\nDescription=OpenSSH Per-Connection Server Daemon\n[Service]\nExecStart=-/usr/sbin/sshd -i\nStandardInput=socket\n' > "$e/systemd/system/sshd-${of%:*}@.service"
    ln -sf "../sshd-${of%:*}.socket" "$e"/systemd/system/sockets.target.wants/
  done
fi
# a line on the serial console once everything is up, for the harness
cat > "$e"/systemd/system/rig-up.service <<'S'
[Unit]
Description=say that the rig is up
After=sshd.service multi-user.target
[Service]
Type=oneshot
StandardOutput=tty
TTYPath=/dev/console
ExecStart=/bin/sh -c 'echo "RIG-UP hostname=$(hostname) cmdline=$(cat /proc/cmdline)"'
[Install]
WantedBy=multi-user.target
S
ln -sf /etc/systemd/system/rig-up.service "$e"/systemd/system/multi-user.target.wants/rig-up.service

# stage 2
for S in $S $S2; do
mkdir store/"${S#/nix/store/}"
cat > store/"${S#/nix/store/}"/init <<S2
#! $B/sh
systemConfig=$S
export PATH=$B
echo; echo "<<< NixOS Stage 2 >>>"; echo
[ -d /proc/1 ] || { mkdir -p /proc; mount -t proc proc /proc; }
mkdir -p /etc /etc/nixos /tmp /var/log /var/lib /var/tmp /root /home /run /mnt
chmod 01777 /tmp /var/tmp
chmod 0700 /root
# the Debian userland wants these (a real store needs none)
ln -sfn $U/usr /usr; for d in bin sbin lib lib64; do [ ! -d $U/usr/\$d ] || ln -sfn $U/usr/\$d /\$d; done
echo "setting up /etc..."
ln -sfn $E /etc/static
( cd $E && for f in * ; do
  case \$f in
    ssh|systemd|NetworkManager|tmpfiles.d) # real directories of links, as setup-etc makes them
      # (units are one link to the store)
      find "\$f" -type d ! -path 'systemd/system*' ! -path 'systemd/user*' | while read -r d; do mkdir -p "/etc/\$d"; done
      find "\$f" ! -type d ! -path 'systemd/system/*' ! -path 'systemd/user/*' | while read -r l; do ln -sfn "/etc/static/\$l" "/etc/\$l"; done
      [ \$f != systemd ] || for d in system user; do [ ! -d systemd/\$d ] || [ -d /etc/systemd/\$d ] || ln -sfn "/etc/static/systemd/\$d" /etc/systemd/\$d; done;;
    shadow) # as update-users-groups: lines that are there stay, unknown users go, missing ones come
      [ -e /etc/shadow ] || : > /etc/shadow
      awk -F: 'FILENAME == "/etc/shadow" {old[\$1]=\$0; next} {print (\$1 in old) ? old[\$1] : \$0}' /etc/shadow "$E/shadow" > /etc/shadow.new
      chmod 0640 /etc/shadow.new; chown 0:42 /etc/shadow.new; mv /etc/shadow.new /etc/shadow;;
    passwd|group|gshadow) [ -e "/etc/\$f" ] || cp "$E/\$f" "/etc/\$f";;
    localtime) ln -sfn "\$(readlink localtime)" /etc/localtime;; # the one link that leads there at once
    *) # what activation manages gives way to its link; a folder that is there gets links to the files
      if [ -d "/etc/\$f" ] && [ ! -L "/etc/\$f" ]; then
        find "\$f" -type d | while read -r d; do mkdir -p "/etc/\$d"; done
        find "\$f" ! -type d | while read -r l; do ln -sfn "/etc/static/\$l" "/etc/\$l"; done
      else ln -sfn "/etc/static/\$f" "/etc/\$f"; fi;;
  esac; done )
[ -d /home/nixos ] || { mkdir -m 0700 /home/nixos; chown 1000:100 /home/nixos; }
chmod 1775 /nix/store; mount -o bind /nix/store /nix/store; mount -o remount,ro,bind /nix/store
: > /etc/machine-id
ln -sfn $S /run/current-system; ln -sfn $S /run/booted-system
touch /etc/NIXOS
export PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin
[ -z "\${IN_NIXOS_SYSTEMD_STAGE1-}" ] || exit 0
exec /usr/lib/systemd/systemd "\$@"
S2
chmod +x store/"${S#/nix/store/}"/init; cp store/"${S#/nix/store/}"/{init,prepare-root} # the latter is what a systemd stage 1 runs
ln -sfn $E store/"${S#/nix/store/}"/etc; ln -s $W store/"${S#/nix/store/}"/sw; ln -s $W store/"${S#/nix/store/}"/systemd
echo "$S" >> systems
done
rm -f nix-store.$GEN.squashfs
mksquashfs store nix-store.$GEN.squashfs -comp zstd -Xcompression-level 3 -no-progress -quiet -all-root > /dev/null
cp -L root/vmlinuz kernel
{ echo "REL=$rel"; echo "S='$(tr '\n' ' ' < systems)'"; } > paths.$GEN.env; rm systems
