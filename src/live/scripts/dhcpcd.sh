# Starts dhcpcd as its own unit does, but not for interfaces that have fixed addresses.
PATH=$PATH:/run/current-system/sw/bin
set -f
# shellcheck disable=SC2046 # words are wanted
set -- $(sed -n 's/^ExecStart=//p' /etc/systemd/system/dhcpcd.service | head -n 1)
case $1 in
  @*) program=${1#@}; shift 2;;
  *) program=$1; shift;;
esac
if [ -e /run/remaster/fixed ]; then
  set -- "$@" --denyinterfaces "$(tr '\n' ' ' < /run/remaster/fixed)"
fi
exec "$program" "$@"
