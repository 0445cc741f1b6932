#!/usr/bin/env bash
# Builds the live system that the bases carry: a Debian userland laid out as a NixOS store (squashfs of store
# paths, a stage-2 init that makes /etc from a static tree on a tmpfs root, then systemd and sshd).
# Usage: build-store.sh WORKDIR, which has the unpacked userland in root/.
# Env: GEN=23.11|24.11|25.11|26.05 (names only; from 25.11 on there are two system paths).
# Makes WORKDIR/nix-store.GEN.squashfs, paths.GEN.env and the kernel.
set -euo pipefail
work=$1 GEN=${GEN:-24.11}; cd "$work"
case $GEN in
  23.11) rel=$GEN.20231125.rig;;
  24.11) rel=$GEN.20241122.rig;;
  25.11) rel=$GEN.20251120.rig;;
  26.05) rel=$GEN.20260525.rig;;
esac

U=/nix/store/2m0w9zq4k8v7r5c1x3b6n4j0s9d8f7g5-userland
S=/nix/store/7x1l5a9p3d8q2w6z4v0c7r5k3j1h9s8f-nixos-system-nixos-$rel S2=
case $GEN in 25.*|26.*) S2=/nix/store/1c4v7b0n3m6l9k2j5h8g1f4d7s0a3q6w-nixos-system-nixos-$rel;; esac
B=/nix/store/9q2v8k1s7x5z3b6n4w0c9r8d7f5g3h1j-busybox/bin
E=/nix/store/4f6d8s0a2q4w6z8x1c3v5b7n9r2k4l6p-etc/etc

rm -rf store; mkdir -p store/"${U#/nix/store/}" store/"$(basename "$(dirname $B)")"/bin "store/$(echo "$E" | cut -d/ -f4)/etc"
cp -a root/usr store/"${U#/nix/store/}"/usr
u=store/"${U#/nix/store/}"/usr
rm -rf "$u"/lib/grub "$u"/share/{doc,man,locale,info,lintian,perl,perl5} "$u"/lib/firmware "$u"/lib/modules/*/kernel/{sound,drivers/gpu,drivers/media,drivers/infiniband,drivers/iio,drivers/staging,drivers/net/wireless,drivers/isdn,fs/ocfs2,fs/gfs2,fs/ceph,fs/cifs} "$u"/lib/*-linux-gnu/perl*
case $GEN in 23.11|24.11) rm -f "$u"/lib/tmpfiles.d/provision.conf;; esac # NixOS reads ssh.authorized_keys.root from 25.05 on
cp root/bin/busybox store/"$(basename "$(dirname $B)")"/bin/busybox
for a in sh ash mkdir ln cp cat mount umount chmod chown ls sed grep touch rm mv env basename dirname find head sleep echo test true; do
  ln -sf busybox store/"$(basename "$(dirname $B)")"/bin/$a; done

# the static /etc
e="store/$(echo "$E" | cut -d/ -f4)/etc"
cp -a root/etc/. "$e"/
rm -f "$e"/ssh/ssh_host_* "$e"/machine-id "$e"/hostname "$e"/resolv.conf "$e"/fstab "$e"/mtab "$e"/motd
rm -rf "$e"/ssh/sshd_config.d
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
ExecStartPre=/etc/ssh-keygen-start
ExecStart=/usr/sbin/sshd -D -f /etc/ssh/sshd_config
RuntimeDirectory=sshd
KillMode=process
Restart=always
[Install]
WantedBy=multi-user.target
S
cat > "$e"/ssh-keygen-start <<'S'
#!/bin/sh
for t in rsa:4096 ed25519:0; do f=/etc/ssh/ssh_host_${t%%:*}_key
  [ -s "$f" ] || { mkdir -p /etc/ssh; if [ ${t#*:} = 0 ]; then ssh-keygen -q -t ${t%%:*} -f $f -N ''; else ssh-keygen -q -t ${t%%:*} -b 2048 -f $f -N ''; fi; }
done
S
chmod +x "$e"/ssh-keygen-start
ln -sf /etc/systemd/system/sshd.service "$e"/systemd/system/multi-user.target.wants/sshd.service
for x in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer ModemManager.service e2scrub_reap.service NetworkManager-wait-online.service systemd-pstore.service; do
  find "$e"/systemd -name "$x" -delete; done
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
    passwd|group|shadow|gshadow) [ -e "/etc/\$f" ] || cp "$E/\$f" "/etc/\$f";;
    *) [ -L "/etc/\$f" ] || [ ! -e "/etc/\$f" ] || continue; ln -sfn "/etc/static/\$f" "/etc/\$f";;
  esac; done )
chmod 0640 /etc/shadow
[ -d /home/nixos ] || { mkdir -m 0700 /home/nixos; chown 1000:100 /home/nixos; }
chmod 1775 /nix/store; mount -o bind /nix/store /nix/store; mount -o remount,ro,bind /nix/store
[ -s /etc/hostname ] || echo nixos > /etc/hostname
: > /etc/machine-id
ln -sfn $S /run/current-system; ln -sfn $S /run/booted-system
touch /etc/NIXOS
export PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin
[ -z "\${IN_NIXOS_SYSTEMD_STAGE1-}" ] || exit 0
exec /usr/lib/systemd/systemd "\$@"
S2
chmod +x store/"${S#/nix/store/}"/init; cp store/"${S#/nix/store/}"/{init,prepare-root} # the latter is what a systemd stage 1 runs
ln -sfn $E store/"${S#/nix/store/}"/etc
echo "$S" >> systems
done
rm -f nix-store.$GEN.squashfs
mksquashfs store nix-store.$GEN.squashfs -comp zstd -Xcompression-level 3 -no-progress -quiet -all-root > /dev/null
cp -L root/vmlinuz kernel
{ echo "REL=$rel"; echo "S='$(tr '\n' ' ' < systems)'"; } > paths.$GEN.env; rm systems
