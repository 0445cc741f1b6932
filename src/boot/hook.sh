# Put there by remaster: brings what was added into the live system's root, which is $1.
# Both kinds of stage 1 run this, ash of busybox and bash. Nothing in here may end the boot, so what fails is
# said and passed over. Calls of these functions follow.

# complain WORD…: on the console, and in the kernel's log, which the live system's journal takes over.
complain() {
  echo "remaster: $*" > /dev/console
  { echo "<3>remaster: $*" > /dev/kmsg; } 2> /dev/null
}

# Where stage 1 has moved these into the root already, they are lent back.
lent=
for at in proc sys dev; do
  case $at in proc) [ ! -e /proc/self ] ;; sys) [ ! -e /sys/block ] ;; dev) [ ! -e /dev/null ] ;; esac || continue
  mount --bind "$1/$at" "/$at" && lent="/$at $lent"
done

# copy ROOT: copies what is in the initrd.
copy() {
  if cp -a /remaster/root/. "$1"/; then
    echo "remaster: added to $1"
  else
    complain "could not copy everything into $1"
  fi
}

# give_back: ends what was lent.
give_back() {
  for at in $lent; do umount "$at"; done
}

