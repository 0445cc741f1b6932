#! @shell@

targetRoot=/mnt-root
console=tty1
export LD_LIBRARY_PATH=@extraUtils@/lib
export PATH=@extraUtils@/bin
ln -s @extraUtils@/bin /bin
fail() { echo "stage 1 failed"; exec @shell@ < /dev/console > /dev/console 2>&1; }
trap 'fail' 0
echo; echo "<<< NixOS Stage 1 >>>"; echo
ln -s @extraUtils@/bin /sbin
mkdir -p /etc/udev /proc /sys /run; touch /etc/fstab /etc/mtab /etc/udev/hwdb.bin /etc/initrd-release
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev
mount -t tmpfs -o mode=0755 tmpfs /run
echo @nth@ > /run/rig-initrd
stage2Init=/init
for o in $(cat /proc/cmdline); do case $o in
  init=*) stage2Init=${o#init=};;
  copytoram) copytoram=1;;
  root=LABEL=*) ln -s "/dev/disk/by-label/${o#root=LABEL=}" /dev/root;;
esac; done
echo @extraUtils@/bin/modprobe > /proc/sys/kernel/modprobe
for i in loop overlay squashfs isofs sr_mod sd_mod; do modprobe $i; done
ln -sfn @udevRules@ /etc/udev/rules.d
systemd-udevd --daemon; udevadm trigger --action=add; udevadm settle
mkdir -p $targetRoot
exec 3< @fsInfo@
while read -u 3 mountPoint; do
  read -u 3 device; read -u 3 fsType; read -u 3 options
  n=0; case $device in /dev/*) while [ ! -e $device ] && [ $n -lt 30 ]; do sleep 1; n=$((n+1)); udevadm settle; done;; /*) device=$targetRoot$device;; esac
  echo "mounting $device on $mountPoint..."
  if [ "$fsType" = overlay ]; then
    mkdir -m 0755 -p $targetRoot/nix/.rw-store/store $targetRoot/nix/.rw-store/work
    options=$(echo "$options" | sed "s#dir=#dir=$targetRoot#g")
  fi
  if [ "$fsType" = auto ]; then fsType=$(blkid -o value -s TYPE $device); [ -n "$fsType" ] || { ls -la $device /dev/disk/by-label; blkid -p $device; fsType=auto; }; fi
  mkdir -p $targetRoot$mountPoint
  if [ -n "$copytoram" ] && [ $mountPoint = /iso ]; then
    mkdir -p /tmp-iso; mount -t $fsType $device /tmp-iso || fail
    mount -t tmpfs -o size=$(( $(df -k /tmp-iso | tail -n 1 | awk '{ print $3 }') + 4096 ))k tmpfs $targetRoot/iso
    cp -r /tmp-iso/. $targetRoot/iso/; umount /tmp-iso
    continue
  fi
  mount -t $fsType -o $options $device $targetRoot$mountPoint || fail
done
exec 3>&-
udevadm control --exit
echo /sbin/modprobe > /proc/sys/kernel/modprobe
mkdir -m 0755 -p $targetRoot/proc $targetRoot/sys $targetRoot/dev $targetRoot/run
mount --move /proc $targetRoot/proc
mount --move /sys $targetRoot/sys
mount --move /dev $targetRoot/dev
mount --move /run $targetRoot/run
exec env -i $(type -P switch_root) "$targetRoot" "$stage2Init"
fail # should never be reached
