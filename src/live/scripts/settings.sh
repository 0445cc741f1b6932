# Lays the settings of this installer over those that NixOS's activation links from its store, before anything reads them.
# What zones, keymaps, fonts and locales there are is known only here: one that is missing is told in the journal, the
# base's stays, and this unit fails, as it does when anything else goes wrong.
set -e
cd /etc
status=0

# new NAME: the text on standard input takes the place of /etc/NAME, which is a link
new() { cat > "$1.remaster" && mv -fT "$1.remaster" "$1"; }
# set_in NAME KEY VALUE: the same file with another value
set_in() {
  kept=$([ ! -e "$1" ] || sed "/^$2=/d" "$1")
  printf '%s\n' ${kept:+"$kept"} "$2=$3" | new "$1"
}
# none WHAT NAME: an error
none() {
  echo "<3>remaster: there is no $1 $2 on this installer; it stays as it was"
  status=1
}

if [ "${hostname-}" ]; then
  echo "$hostname" | new hostname
  echo "$hostname" > /proc/sys/kernel/hostname
fi
if [ "${timezone-}" ]; then
  if [ -e "zoneinfo/$timezone" ]; then ln -sfn "/etc/zoneinfo/$timezone" localtime; else none "time zone" "$timezone"; fi
fi
if [ "${locale-}" ]; then
  if LC_ALL=$locale locale 2>&1 > /dev/null | grep -q .; then none locale "$locale"; else
    set_in locale.conf LANG "$locale"
    systemctl set-environment "LANG=$locale"
    # shells set NixOS's own LANG again, and read this file after it; what else is in it stays
    kept=$([ ! -e profile.local ] || sed '/ # --locale$/d' profile.local)
    printf '%s\n' ${kept:+"$kept"} "export LANG=$locale # --locale" | new profile.local
  fi
fi
if [ "${keymap-}" ]; then
  if find -L kbd/keymaps -name "$keymap.*map*" | grep -q .; then set_in vconsole.conf KEYMAP "$keymap"; else none keymap "$keymap"; fi
fi
if [ "${console_font-}" ]; then
  if find -L kbd/consolefonts -name "$console_font.*" -o -name "$console_font" | grep -q .; then
    set_in vconsole.conf FONT "$console_font"
  else none "console font" "$console_font"; fi
fi
if [ "${keymap-}${console_font-}" ]; then
  systemctl --no-block try-restart systemd-vconsole-setup.service
fi
exit "$status"
