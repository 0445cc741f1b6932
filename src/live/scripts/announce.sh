# Tells every link where this machine is, by IPv6 multicast: one line `remaster 1 NAME WORD…`, each WORD the fingerprint of
# a host key that the image brought, `SHA256:…`, or of an image without one `recipe:` and the digest of its recipe.
# bash runs this, for its /dev/udp. Takes the folder that stands for / where it is tested.
# shellcheck disable=SC3025
root=${1-}
group=ff12::f265:6d61 port=61022

# links: the names of the interfaces that have a link-local address (scope 20), one a line
links() {
  while read -r _ _ _ scope _ name; do
    [ "$scope" != 20 ] || echo "$name"
  done < /proc/net/if_inet6 | sort -u
}
# line: what is told
line() {
  name=$(tr -cd 'A-Za-z0-9.-' < /proc/sys/kernel/hostname | cut -c 1-63)
  words=$(tr '\n' ' ' < "$root/etc/remaster/announce")
  [ -n "$words" ] || words="recipe:$(cat "$root/etc/remaster/recipe-digest")"
  echo "remaster 1 ${name:-nixos} ${words% }"
}

# Every 5 seconds for ten minutes after the links have changed, then every minute.
before='' turns=0
while :; do
  now=$(links 2> /dev/null)
  [ "$now" = "$before" ] || turns=0
  before=$now
  if [ "$turns" -lt 120 ] || [ $((turns % 12)) = 0 ]; then
    told=$(line)
    for link in $now; do
      # A link that goes down right now, or whose address is not ready, gets it the next time.
      { echo "$told" > "/dev/udp/$group%$link/$port"; } 2> /dev/null
    done
  fi
  turns=$((turns + 1))
  sleep 5
done
