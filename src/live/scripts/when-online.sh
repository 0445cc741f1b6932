#!/bin/sh
# Put there by remaster: runs a program when the network is up.
if [ -r /etc/set-environment ]; then . /etc/set-environment; fi
seconds=0
until systemctl --quiet is-active network-online.target; do
  seconds=$((seconds + 1))
  if [ "$seconds" -gt 120 ]; then
    echo "no network after 120 seconds: running all the same"
    break
  fi
  sleep 1
done
exec "$@"
