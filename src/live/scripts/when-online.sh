#!/bin/sh
# Put there by remaster: runs a program when the network is up.
if [ -r /etc/set-environment ]; then . /etc/set-environment; fi
# NetworkManager counts as online as soon as no interface is being set up, also before one has appeared: so an address is
# waited for, too. It brings a route of IPv4, or is global (scope 00) in the list of IPv6.
has_address() {
  { read -r _ && read -r _; } < /proc/net/route && return
  while read -r _ _ _ scope _ name; do
    [ "$scope" = 00 ] && [ "$name" != lo ] && return
  done < /proc/net/if_inet6
  return 1
}
seconds=0
until systemctl --quiet is-active network-online.target && has_address 2> /dev/null; do
  seconds=$((seconds + 1))
  if [ "$seconds" -gt 120 ]; then
    echo "no network after 120 seconds: running all the same"
    break
  fi
  sleep 1
done
exec "$@"
