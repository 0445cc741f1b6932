# Makes the bonds and VLANs of /etc/remaster/network, gives interfaces their fixed addresses and sizes of packets, and keeps
# dhcpcd off those with addresses.
# Lines there: `LINK bond MEMBER,MEMBER:OPTION=VALUE,…`, `LINK mtu BYTES`, `LINK address A/PREFIX`, `LINK gateway A`,
# `- dns A`; a LINK is a name, a MAC, `wifi` for the first wireless interface, or `*` for the first wired one that has a
# link. A name with a dot is a VLAN and its number. What a VLAN is on stands before it.
network=/etc/remaster/network
mkdir -p /run/remaster

# wired: the names of all wired interfaces of hardware that are in no bond, one a line
wired() {
  for path in /sys/class/net/*; do
    [ -e "$path/device" ] && [ ! -e "$path/phy80211" ] && [ ! -e "$path/wireless" ] && [ ! -e "$path/master" ] && [ "$(cat "$path/type")" = 1 ] && echo "${path##*/}"
  done
}
# named LINK: its name if it is there
named() {
  case $1 in
    '*')
      for name in $(wired); do
        ip link set "$name" up
        if [ "$(cat "/sys/class/net/$name/carrier" 2> /dev/null)" = 1 ]; then echo "$name"; return; fi
      done
      [ "$last" != yes ] || wired | head -n 1;;
    wifi)
      for path in /sys/class/net/*; do
        if [ -e "$path/phy80211" ]; then echo "${path##*/}"; return; fi
      done;;
    *:*)
      for path in /sys/class/net/*; do
        if [ -e "$path/device" ] && [ "$(cat "$path/address")" = "$1" ]; then echo "${path##*/}"; return; fi
      done;;
    *) [ ! -e "/sys/class/net/$1" ] || echo "$1";;
  esac
}
# found LINK: its name; waits ten seconds for it
found() {
  set +f
  last=
  for second in 1 2 3 4 5 6 7 8 9 10; do
    [ "$second" != 10 ] || last=yes
    name=$(named "$1")
    [ -z "$name" ] || { echo "$name"; return; }
    sleep 1
  done
  echo "<3>remaster: there is no interface $1; it gets nothing of what was asked for" >&2
}
# apart NAME: dhcpcd leaves it alone
apart() { echo "$1" >> /run/remaster/fixed; }
# words TEXT: a list with commas and equals signs as words
words() { echo "$1" | tr ',=' '  '; }

# bonded NAME MEMBERS OPTIONS: makes a bond. Its module may make one of that name when it is loaded.
bonded() {
  [ -e "/sys/class/net/$1" ] || ip link add "$1" type bond || [ -e "/sys/class/net/$1" ] || return
  ip link set "$1" down
  # shellcheck disable=SC2046 # words are wanted
  ip link set "$1" type bond $(words "$3") || status=1
  for member in $(words "$2"); do
    [ -n "$(found "$member")" ] || { status=1; continue; }
    apart "$member"
    ip link set "$member" down
    ip link set "$member" master "$1" && ip link set "$member" up || status=1
  done
}
# tagged NAME PARENT NUMBER: makes a VLAN. A bond that is there for VLANs alone gets no address.
tagged() {
  [ -n "$(found "$2")" ] || return
  ! grep -q "^$2 bond " "$network" || apart "$2"
  ip link set "$2" up
  [ -e "/sys/class/net/$1" ] || ip link add link "$2" name "$1" type vlan id "$3"
}
# given NAME WHAT VALUE: gives an interface one thing
given() {
  case $2 in
    mtu) ip link set "$1" mtu "$3";;
    address) apart "$1"; ip address replace "$3" dev "$1";;
    gateway) gateways="${gateways-}$3 $1
";;
  esac
}

set -f
status=0
for link in $(cut -d ' ' -f 1 "$network" | uniq); do
  [ "$link" != - ] || continue
  members=$(sed -n "s/^$link bond //p" "$network")
  case $link,$members in
    *,?*) bonded "$link" "${members%%:*}" "${members#*:}";;
    *:*) ;;
    *.*) tagged "$link" "${link%.*}" "${link##*.}";;
  esac || { status=1; continue; }
  [ "$link" != wifi ] || rfkill unblock wlan
  name=$(found "$link")
  [ -n "$name" ] || { status=1; continue; }
  ip link set "$name" up
  while read -r of what value; do
    [ "$of" != "$link" ] || given "$name" "$what" "$value" || status=1
  done < "$network"
done
while read -r gateway name; do
  [ -n "$gateway" ] || continue
  # a router outside of an address alone (/32, /128) gets a route to itself first
  ip route replace default via "$gateway" dev "$name" 2> /dev/null ||
    { ip route replace "$gateway" dev "$name" && ip route replace default via "$gateway" dev "$name" onlink; } ||
    { echo "<3>remaster: no way to the gateway $gateway by $name"; status=1; }
done << END
${gateways-}
END
if grep -q ' dns ' "$network"; then
  sed -n 's/.* dns /nameserver /p' "$network" | resolvconf -x -a remaster || status=1
fi
exit "$status"
