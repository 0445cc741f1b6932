# Finds out which machine of the recipe this is, by MAC address and DMI serial, and puts its files in the place of those
# that all machines have. Takes the folder that stands for / where it is tested.
# Below /etc/remaster/machines: `list` with lines `NUMBER mac 52:54:00:12:34:56` and `NUMBER dmi-serial TEXT`; `paths` of
# the files that are not the same for all; the files of each machine below its number, and those of all others below 0.
root=${1-}
machines=$root/etc/remaster/machines
serial=
[ ! -r "$root/sys/class/dmi/id/product_serial" ] || read -r serial < "$root/sys/class/dmi/id/product_serial"
mkdir -p "$root/run/remaster/machine"

# macs: the MAC addresses of all interfaces, one a line
macs() { cat "$root"/sys/class/net/*/address 2> /dev/null; }
# matching: the numbers of the machines that this one is, the first first
matching() {
  while read -r number kind value; do
    case $kind in
      mac) macs | grep -qixF "$value" ;;
      dmi-serial) [ "$value" = "$serial" ] ;;
    esac && echo "$number"
  done < "$machines/list" | uniq
}

# What drives an interface may be loaded late, and one on USB later than that: up to ten seconds after udev is done.
found=$(matching) turns=0 calm=0
while [ -z "$found" ] && [ "$turns" -lt 60 ] && [ "$calm" -lt 10 ] && grep -q ' mac ' "$machines/list"; do
  if udevadm settle --timeout=1 2> /dev/null; then
    calm=$((calm + 1))
    sleep 1
  fi
  turns=$((turns + 1))
  found=$(matching)
done

# shellcheck disable=SC2086 # words are wanted
set -- $found
number=${1:-0}
known="MAC $(macs | grep -vx '00:00:00:00:00:00' | tr '\n' ' ')DMI serial ${serial:-unknown}"
case $# in
  0) echo "<5>remaster: the recipe names no machine like this one, which gets what all get: $known" ;;
  1) echo "<5>remaster: this is machine $number of the recipe: $known" ;;
  *) echo "<4>remaster: these machines of the recipe are all like this one, which gets what is for $number: $*: $known" ;;
esac
[ "$number" = 0 ] || touch "$root/run/remaster/machine/$number"

# A disk remembers what it was made for before.
before=0
[ ! -e "$machines/last" ] || read -r before < "$machines/last"
[ "$number" != "$before" ] || exit 0
status=0
while read -r path; do
  if [ -e "$machines/$number/$path" ]; then
    cp -a --remove-destination "$machines/$number/$path" "$root/$path" || status=1
  else
    rm -f "$root/$path" || status=1
  fi
done < "$machines/paths"
[ "$status" = 0 ] || echo "<3>remaster: not all that is for machine $number could be put in its place"
echo "$number" > "$machines/last"
exit "$status"
