# Sourced by build-initrd.sh: fills the initrd directory $d with a systemd stage 1 laid out as NixOS 26.05 lays out
# its own. /init, /bin, /sbin, /lib, /etc/systemd/system and some files of /etc are links into the store; /etc,
# /etc/systemd are real. The volume label is baked into a store fstab. (Debian's systemd is 252, not 260.)
VOLID=${VOLID:-nixos-minimal-26.05-x86_64}
SY=/nix/store/0d2f4h6j8k1l3z5x7c9v2b4n6m8q0w3e-systemd-260.1
case $NTH in 1) UN=4r6t8y0w2z5x7c9v1b3n5m7k9j2h4g6f;; 2) UN=8y1w3z6x9c2v5b7n0m4k6j8h1g3f5d7s;; esac
UN=/nix/store/$UN-initrd-units
BI=/nix/store/9f7d5s3g1h8j6k4l2z0x9c7v5b3n1m8q-initrd-bin-env
ETC=/nix/store/7s9d1f3g5h7j9k2l4z6x8c0v2b4n6m8q-initrd
etc() { mkdir -p "$d/etc/$(dirname "$1")"; cat > "$d$ETC-$(basename "$1")"; ln -s "$ETC-$(basename "$1")" "$d/etc/$1"; } # stdin -> /etc/NAME, a link

# programs, at Debian's paths, with /bin and /sbin a store directory of links to them
copybin usr/lib/systemd/systemd{,-journald,-modules-load,-sysctl,-shutdown,-sulogin-shell,-makefs,-fsck} \
  usr/lib/systemd/system-generators/systemd-{fstab,debug,run}-generator usr/lib/udev/{cdrom_id,ata_id,scsi_id} \
  usr/bin/{systemctl,journalctl,systemd-tmpfiles,udevadm,systemd-run,systemd-analyze,systemd-creds,kmod,mount,umount,bash} \
  usr/bin/{cat,cp,ls,ln,mkdir,rm,mv,chmod,chown,sed,grep,readlink,dirname,basename,stat,sleep,env,id,echo,true,touch,head,tail,find,tr,install,realpath,sort,cut,date,df,test,tee,wc} \
  usr/sbin/{chroot,blkid,losetup,sulogin,switch_root}
ln -s /usr/bin/udevadm "$d/usr/lib/systemd/systemd-udevd"; ln -s /usr/bin/kmod "$d/usr/sbin/modprobe"; ln -s bash "$d/usr/bin/sh"
mkdir -p "$d$SY/lib/systemd" "$d$UN" "$d$BI/bin" "$d/etc/systemd" "$d/etc/udev" "$d/usr/lib/udev/rules.d" "$d/usr/lib/tmpfiles.d" "$d/usr/lib/modules"
mv "$d/usr/lib/systemd/systemd" "$d$SY/lib/systemd/"; ln -s "$SY/lib/systemd/systemd" "$d/usr/lib/systemd/systemd"
for b in "$d"/usr/{bin,sbin}/*; do ln -s "${b#"$d"}" "$d$BI/bin/"; done
ln -s "$SY/lib/systemd/systemd" "$d/init"; ln -s "$BI/bin" "$d/bin"; ln -s "$BI/bin" "$d/sbin"; ln -s /usr/lib "$d/lib"; ln -s /usr/lib64 "$d/lib64"
ln -s "$M/lib/modules/$KV" "$d/usr/lib/modules/$KV"; ln -s "$UD" "$d/etc/udev/rules.d"; cp "$R"/usr/lib/udev/rules.d/99-systemd.rules "$d/usr/lib/udev/rules.d/"

# /etc
FSTAB=$ETC-fstab; ln -s "$UN" "$d/etc/systemd/system"
printf '%s\n' "/dev/disk/by-label/$VOLID /iso auto x-initrd.mount 0 0" \
  "/sysroot/iso/nix-store.squashfs /nix/.ro-store squashfs x-initrd.mount,loop 0 0" "tmpfs /nix/.rw-store tmpfs x-initrd.mount,mode=0755 0 0" \
  "overlay /nix/store overlay x-initrd.mount,lowerdir=/sysroot/nix/.ro-store,upperdir=/sysroot/nix/.rw-store/store,workdir=/sysroot/nix/.rw-store/work,x-systemd.requires-mounts-for=/sysroot/nix/.ro-store,x-systemd.requires=rw-store.service,x-systemd.after=rw-store.service 0 0" > "$d$FSTAB"
printf '[Manager]\nDefaultEnvironment=PATH=/bin:/sbin\nManagerEnvironment=SYSTEMD_SYSROOT_FSTAB=%s PATH=/bin:/sbin\n' "$FSTAB" | etc systemd/system.conf
printf 'ID=nixos\nNAME=NixOS\nPRETTY_NAME="NixOS 26.05 (Initrd)"\nVERSION_ID="26.05"\n' | etc os-release; ln -s "$ETC-os-release" "$d/etc/initrd-release"
echo 'root:*:1::::::' | etc shadow; echo nixos | etc hostname; printf '%s\n' loop overlay autofs4 | etc modules-load.d/nixos.conf
echo 'root:x:0:0:root:/root:/bin/bash' > "$d/etc/passwd"; cut -d: -f1-3 "$R/etc/group" | sed 's/$/:/' > "$d/etc/group"; : > "$d/etc/machine-id"

# units: the stock ones, then NixOS's own
u=$R/usr/lib/systemd/system
for f in initrd{,-fs,-root-fs,-root-device,-usr-fs,-switch-root}.target initrd-{cleanup,parse-etc,switch-root,udevadm-cleanup-db}.service {sysinit,basic,local-fs,local-fs-pre,remote-fs,slices,sockets,timers,paths,swap,umount,final,shutdown,reboot,poweroff,halt,emergency,rescue}.target \
  {emergency,rescue,kmod-static-nodes,modprobe@}.service systemd-{reboot,poweroff,halt,udevd,udev-trigger,udev-settle,journald,modules-load,sysctl,tmpfiles-setup,tmpfiles-setup-dev}.service systemd-udevd-{control,kernel}.socket systemd-journald{,-dev-log,-audit}.socket; do cp -L "$u/$f" "$d$UN/"; done
sed -i 's|^ExecStart=systemd-tmpfiles.*|& --exclude-prefix=/sysroot|' "$d$UN/systemd-tmpfiles-setup.service"
wants() { local t=$1; shift; mkdir -p "$d$UN/$t"; for f; do ln -s "../$f" "$d$UN/$t/$f"; done; }
ln -s initrd.target "$d$UN/default.target"
wants sysinit.target.wants systemd-{udevd,udev-trigger,journald,modules-load,sysctl,tmpfiles-setup,tmpfiles-setup-dev}.service kmod-static-nodes.service
wants sockets.target.wants systemd-udevd-{control,kernel}.socket systemd-journald{,-dev-log}.socket
unit() { cat > "$d$UN/$1"; } # stdin -> unit
unit sysroot.mount <<'U' # root=fstab: 252 does not know the word and would take it for a device, but /etc wins over its unit
[Unit]
DefaultDependencies=no
Before=initrd-root-fs.target
[Mount]
Where=/sysroot
What=tmpfs
Type=tmpfs
Options=mode=0755
U
unit sysroot-run.mount <<'U'
[Unit]
DefaultDependencies=no
Before=initrd-fs.target
[Mount]
Where=/sysroot/run
What=/run
Options=bind
U
unit rw-store.service <<'U'
[Unit]
DefaultDependencies=no
RequiresMountsFor=/sysroot/nix/.rw-store
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/mkdir -p /sysroot/nix/.rw-store/store /sysroot/nix/.rw-store/work
U
unit copytoram.service <<'U'
[Unit]
Description=Copy ISO contents to RAM
ConditionKernelCommandLine=copytoram
DefaultDependencies=no
RequiresMountsFor=/sysroot/iso
Before=sysroot-nix-.ro\x2dstore.mount initrd-fs.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/bash -ec 'mkdir -p /tmp-iso; mount --bind /sysroot/iso /tmp-iso; umount /sysroot/iso; mount -t tmpfs -o size=$$(( $$(df -k --output=used /tmp-iso | tail -1) + 4096 ))k tmpfs /sysroot/iso; cp -r /tmp-iso/. /sysroot/iso/; umount /tmp-iso'
U
sed "s|@nth@|$NTH|" <<'U' | unit initrd-find-nixos-closure.service
[Unit]
Description=Find NixOS closure
RequiresMountsFor=/sysroot/nix/store
DefaultDependencies=no
Before=initrd.target shutdown.target
Conflicts=shutdown.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/bash -ec 'echo @nth@ > /run/rig-initrd; for o in $(</proc/cmdline); do case $o in init=*) i=$${o#init=};; esac; done; c=$(dirname "$i"); [ -x "/sysroot$c/prepare-root" ]; ln -sfn "$c" /nixos-closure'
U
unit initrd-nixos-activation.service <<'U'
[Unit]
Description=NixOS Activation
RequiresMountsFor=/sysroot/run
Requires=initrd-switch-root.target
After=initrd-switch-root.target
Before=initrd-switch-root.service
DefaultDependencies=no
AssertPathExists=/etc/initrd-release
[Service]
Type=oneshot
Environment=IN_NIXOS_SYSTEMD_STAGE1=true
ExecStart=/bin/bash -c 'chroot /sysroot $(readlink /nixos-closure)/prepare-root'
U
unit systemd-tmpfiles-setup-sysroot.service <<'U' # NixOS: ImportCredential=tmpfiles.*, which 252 does not have
[Unit]
Description=Create System Files and Directories in the Real Root
DefaultDependencies=no
After=initrd-fs.target
Before=initrd.target shutdown.target initrd-switch-root.target
Conflicts=shutdown.target initrd-switch-root.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=systemd-tmpfiles --create --remove --boot --prefix=/sysroot
SuccessExitStatus=DATAERR CANTCREAT
LoadCredential=tmpfiles.extra
U
mkdir -p "$d$UN/initrd-switch-root.service.d"; printf '[Service]\nExecStart=\nExecStart=systemctl --no-block switch-root /sysroot ""\n' > "$d$UN/initrd-switch-root.service.d/overrides.conf"
wants initrd.target.wants systemd-tmpfiles-setup-sysroot.service; wants initrd.target.requires initrd-find-nixos-closure.service
wants initrd-switch-root.target.wants initrd-nixos-activation.service; wants initrd-fs.target.requires sysroot-run.mount; wants 'sysroot-nix-.ro\x2dstore.mount.requires' copytoram.service
