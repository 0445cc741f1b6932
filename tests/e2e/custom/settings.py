"""Names, console, language, addresses and the wireless network.

The guest has a second network card (boot.SECOND_MAC) whose address is fixed; the first keeps DHCP, by which ssh comes
in. Radios are made by mac80211_hwsim: one joins the network by itself, the other is its access point (hostapd and
dnsmasq in a network namespace), which knows the passphrase that must not be in the image.
"""
import json
import os

import boot

SSID, PASSPHRASE = "Küche; \"5\" GHz", "correct horse 'battery' $staple"
KEYMAP, FONT, LOCALE = "de-latin1", "lat9w-16", "de_DE.UTF-8"
ADDRESS, ROUTER, ADDRESS6, SERVERS = "192.168.77.50", "192.168.77.2", "fd00:77::50", ["192.168.77.3", "fd00:77::3"]
ZONES = {"23.11": ("Europe/Berlin", "CET"), "24.11": ("Asia/Tokyo", "JST"), "25.11": ("America/Lima", "-05"), "26.05": ("Africa/Nairobi", "EAT")}
HAS_LOCALE = ("24.11", "26.05")  # see tests/rig/build-store.sh
HAS_NETWORK_MANAGER = ("25.11", "26.05")
PROFILES = "/etc/NetworkManager/system-connections"

ACCESS_POINT = r"""
set -e
modprobe mac80211_hwsim radios=2
for n in $(seq 300); do [ ! -e /sys/class/net/wlan1/phy80211 ] || break; sleep 1; done
phy=$(cat /sys/class/net/wlan1/phy80211/name)
ip netns add ap; iw phy "$phy" set netns name ap
cat > /run/ap.conf <<'C'
interface=wlan1
driver=nl80211
ssid2=@SSID@
hw_mode=g
channel=1
wpa=2
wpa_key_mgmt=WPA-PSK
rsn_pairwise=CCMP
wpa_passphrase=@PASSPHRASE@
C
ip netns exec ap ip link set lo up
systemd-run --quiet --unit=ap -- ip netns exec ap hostapd /run/ap.conf
for n in $(seq 300); do ip netns exec ap ip link show wlan1 | grep -q UP && break; sleep 1; done
ip netns exec ap ip address add 10.99.0.1/24 dev wlan1
systemd-run --quiet --unit=ap-dhcp -- ip netns exec ap dnsmasq --keep-in-foreground --dhcp-leasefile=/run/ap.leases --port=0 --conf-file=/dev/null --interface=wlan1 --dhcp-range=10.99.0.50,10.99.0.60 --dhcp-option=3 --dhcp-option=6
for n in $(seq 150); do ip -4 -br address show wlan0 | grep -q 10.99.0. && break; sleep 2; done
iw dev wlan0 link; ip -4 -br address show wlan0
"""


def flags(folder, base):
    password = os.path.join(folder, "passphrase")
    with open(password, "w", encoding="utf-8") as f:
        f.write(PASSPHRASE + "\n")
    link = boot.SECOND_MAC + "="
    return ["--hostname", host(base), "--timezone", ZONES[base][0], "--keymap", KEYMAP, "--console-font", FONT, "--locale", locale(base),
            "--address", f"{link}{ADDRESS}/24", "--address", f"{link.upper()}{ADDRESS6}/64", "--gateway", ROUTER,
            *(a for s in SERVERS for a in ("--dns", s)), "--wifi", SSID, "--wifi-password-file", password]


def locale(base):
    """The locale that is asked for: one that the base has."""
    return LOCALE if base in HAS_LOCALE else "en_US.UTF-8"


def refused(folder, base):
    short = os.path.join(folder, "short")
    with open(short, "w", encoding="utf-8") as f:
        f.write("1234567\n")
    lacking = [] if base in HAS_LOCALE else [(["--locale", LOCALE], "the base has no locale")]
    return [(["--hostname", "a.b"], "a name with a domain"), (["--wifi", "x", "--wifi-password-file", short], "a passphrase has 8 to 63"),
            (["--keymap", "de-latin"], "did you mean `de-latin1`?"), (["--console-font", "no-such-font"], "the base has no console font"), *lacking]


def host(base):
    return "box-" + base.replace(".", "")


def check(c, guest, base):
    names(c, guest, base)
    console(c, guest, base)
    language(c, guest, base)
    addresses(c, guest, base)
    wireless(c, guest, base)


def names(c, guest, base):
    out = guest.run("hostname; cat /etc/hostname; hostnamectl --static; uname -n; test -L /etc/hostname && echo link; cat /proc/1/environ | tr '\\0' '\\n' | grep -c HOSTNAME").out.split()
    c.check("hostname", out[:4] == [host(base)] * 4 and "link" not in out, out)
    zone, short = ZONES[base]
    out = guest.run("readlink /etc/localtime; date +%Z; date -r / +%Z").out.split()
    c.check("time zone", out == [f"/etc/zoneinfo/{zone}", short, short], out)


def console(c, guest, base):
    out = guest.run("cat /etc/vconsole.conf; test -L /etc/vconsole.conf && echo link; localectl status; dumpkeys -C /dev/tty1 | grep -m 1 'keycode *21 '; journalctl -b -u systemd-vconsole-setup --no-pager").out
    lines = [line.strip() for line in out.splitlines()]
    c.check("vconsole.conf", f"KEYMAP={KEYMAP}" in lines and f"FONT={FONT}" in lines and "link" not in lines and "KEYMAP=us" not in lines, out)
    c.check("localectl knows the keymap", f"VC Keymap: {KEYMAP}" in lines, out)
    c.check("the console is set up with them", f"loaded keymap {KEYMAP}" in out and f"loaded font {FONT}" in out, out)
    c.check("the key right of T is z", "keycode  21 = +z" in out or "keycode  21 = z" in out, out)


def language(c, guest, base):
    out = guest.run("echo $LANG; cat /etc/locale.conf; locale 2>&1 | grep -c Cannot; journalctl -b -u remaster-settings --no-pager -p err; systemctl show-environment").out
    login = guest.run("bash -l -c 'echo $LANG'", user="nixos").out.split()
    lines = out.split("\n")
    if base in HAS_LOCALE:
        c.check("locale", lines[0] == LOCALE and lines[1] == f"LANG={LOCALE}" and f"LANG={LOCALE}" in lines[3:] and "there is no" not in out and login == [LOCALE], out + str(login))
        c.check("messages and numbers are in that language", "1,5" in guest.run("printf '%.1f' 1,5").out, "")
    else:
        c.check("locale", lines[0] == "en_US.UTF-8" and lines[1] == "LANG=en_US.UTF-8" and "there is no" not in out and login == ["en_US.UTF-8"], out + str(login))
        # what could not be looked up when the image was made
        late = guest.run(f"sed -i 's/^locale=.*/locale={LOCALE}/' /etc/remaster/settings; systemctl restart remaster-settings; systemctl is-failed remaster-settings; "
                         "cat /etc/locale.conf; journalctl -b -u remaster-settings --no-pager -p err").out
        c.check("a locale that is not there is told as an error and left out", "failed" in late.split() and "LANG=en_US.UTF-8" in late and f"there is no locale {LOCALE}" in late, late)
    c.check("no program misses its locale", "0" in lines[2:3], out)


def addresses(c, guest, base):
    links = json.loads(guest.run("ip -j address").out)
    routes = json.loads(guest.run("ip -j route").out)
    second = next(link for link in links if link.get("address") == boot.SECOND_MAC)
    own = sorted(a["local"] for a in second["addr_info"] if a["scope"] == "global" and not a.get("dynamic"))
    c.check("fixed addresses", own == sorted([ADDRESS, ADDRESS6]) and not any(a["local"] == "192.168.77.15" for a in second["addr_info"]), second)
    c.check("router", any(r["dst"] == "default" and r.get("gateway") == ROUTER and r["dev"] == second["ifname"] for r in routes), routes)
    others = [a for link in links if link["ifname"] != second["ifname"] for a in link["addr_info"]]
    c.check("the other interface keeps DHCP", any(a["local"] == "10.0.2.15" and a.get("dynamic") for a in others), links)
    done = guest.run(f"ping -c 1 -w 60 {ROUTER}")
    c.check("the router answers", done.code == 0, done.out)
    out = guest.run("cat /etc/resolv.conf").out
    servers = [line.split()[1] for line in out.splitlines() if line.startswith("nameserver")]
    c.check("name servers", servers == SERVERS, out)


def wireless(c, guest, base):
    modes = dict(reversed(line.split()) for line in guest.run(
        f"stat -c '%a:%u:%g %n' /etc/remaster/wifi.conf {PROFILES} {PROFILES}/*").out.splitlines())
    c.check("only root reads the key", modes.get(f"{PROFILES}/remaster-wifi.nmconnection") == "600:0:0" and modes.get(PROFILES) == "700:0:0"
            and modes.get("/etc/remaster/wifi.conf") == (None if base in HAS_NETWORK_MANAGER else "600:0:0"), modes)
    out = guest.run(f"grep -rF \"{PASSPHRASE.split(chr(39))[0]}\" /etc /root /run 2>/dev/null | head").out
    c.check("the passphrase is not in there", out == "", out)
    script = ACCESS_POINT.replace("@SSID@", SSID.encode().hex()).replace("@PASSPHRASE@", PASSPHRASE)
    done = guest.run(script)
    c.check("joins its network and gets an address there", done.code == 0 and "Connected to" in done.out and "10.99.0." in done.out, done.out + done.err + guest.run(
        "systemctl status 'remaster-wifi*' NetworkManager wpa_supplicant ap ap-dhcp --no-pager -l; rfkill; ip -br link").out)
    if base in HAS_NETWORK_MANAGER:
        out = guest.run("nmcli -t -f NAME,TYPE,DEVICE connection show").out
        c.check("NetworkManager has the profiles", "remaster-wifi:802-11-wireless:wlan0" in out and "remaster-address-1:802-3-ethernet:" in out, out)
    else:
        out = guest.run("systemctl is-active remaster-wifi@wlan0; wpa_cli -i wlan0 status").out
        c.check("a wpa_supplicant of its own", out.startswith("active") and "wpa_state=COMPLETED" in out, out)
    guest.run("systemctl stop ap ap-dhcp; ip netns delete ap; modprobe -r mac80211_hwsim; systemctl reset-failed")
