# Gives interfaces the fixed addresses of /etc/remaster/network, and keeps dhcpcd off them.
# Lines there: `LINK address A/PREFIX`, `LINK gateway A`, `- dns A`; a LINK is a name, a MAC, or * for the first wired
# interface that has a link.
network=/etc/remaster/network
mkdir -p /run/remaster

# wired: the names of all wired interfaces of hardware, one a line
wired() {
  for path in /sys/class/net/*; do
    [ -e "$path/device" ] && [ ! -e "$path/phy80211" ] && [ ! -e "$path/wireless" ] && [ "$(cat "$path/type")" = 1 ] && echo "${path##*/}"
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
    *:*)
      for path in /sys/class/net/*; do
        if [ -e "$path/device" ] && [ "$(cat "$path/address")" = "$1" ]; then echo "${path##*/}"; return; fi
      done;;
    *) [ ! -e "/sys/class/net/$1" ] || echo "$1";;
  esac
}
# found LINK: its name; waits ten seconds for it
found() {
  last=
  for second in 1 2 3 4 5 6 7 8 9 10; do
    [ "$second" != 10 ] || last=yes
    name=$(named "$1")
    [ -z "$name" ] || { echo "$name"; return; }
    sleep 1
  done
  echo "<3>remaster: there is no interface $1; it gets no address" >&2
}

set -f
status=0
for link in $(sed -n 's/ address .*//p' "$network" | sort -u); do
  set +f; name=$(found "$link"); set -f
  [ -n "$name" ] || { status=1; continue; }
  echo "$name" >> /run/remaster/fixed
  ip link set "$name" up
  while read -r of what value; do
    [ "$of" = "$link" ] || continue
    case $what in
      address) ip address replace "$value" dev "$name" || status=1;;
      gateway) gateways="${gateways-}$value $name
";;
    esac
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
