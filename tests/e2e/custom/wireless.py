"""Wireless networks. Radios are made by mac80211_hwsim: one joins the network by itself, the other is its access point
(hostapd and dnsmasq in a network namespace), which knows the passphrase.

Two generations have a network that speaks WPA2. The two others have radios from the start, a country, a network that is not
there, and a hidden one that speaks WPA3 only, with a fixed address and a size of packets.
"""
import os

SSID, PASSPHRASE = "Küche; \"5\" GHz", "correct horse 'battery' $staple"
ADDRESS, ROUTER, MTU = "10.99.0.77", "10.99.0.1", 1400
HAS_NETWORK_MANAGER = ("25.11", "26.05")
WPA3 = ("23.11", "25.11")
PROFILES = "/etc/NetworkManager/system-connections"

ACCESS_POINT = r"""
set -e
modprobe mac80211_hwsim radios=2 # (if they are not there)
for n in $(seq 300); do [ ! -e /sys/class/net/wlan1/phy80211 ] || break; sleep 1; done
phy=$(cat /sys/class/net/wlan1/phy80211/name)
ip netns add ap; iw phy "$phy" set netns name ap
cat > /run/ap.conf <<'C'
interface=wlan1
driver=nl80211
ssid2=@SSID@
hw_mode=g
channel=1
ctrl_interface=/run/ap
wpa=2
rsn_pairwise=CCMP
@SECURITY@
C
ip netns exec ap ip link set lo up
systemd-run --quiet --unit=ap -- ip netns exec ap hostapd /run/ap.conf
for n in $(seq 300); do ip netns exec ap ip link show wlan1 | grep -q UP && break; sleep 1; done
ip netns exec ap ip address add 10.99.0.1/24 dev wlan1
systemd-run --quiet --unit=ap-dhcp -- ip netns exec ap dnsmasq --keep-in-foreground --dhcp-leasefile=/run/ap.leases --port=0 --conf-file=/dev/null --interface=wlan1 --dhcp-range=10.99.0.50,10.99.0.60 --dhcp-option=3 --dhcp-option=6
for n in $(seq 150); do iw dev wlan0 link | grep -q Connected && ip -4 -br address show wlan0 | grep -q 10.99.0. && break; sleep 2; done
iw dev wlan0 link; ip -4 -br address show wlan0
"""


def flags(folder, base):
    def file(name, text):
        path = os.path.join(folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text + "\n")
        return path
    if base not in WPA3:
        return ["--wifi", SSID, "--wifi-password-file", file("passphrase", PASSPHRASE)]
    return ["--wifi", "Elsewhere", "--wifi-password-file", file("elsewhere", "another passphrase"), "--wifi", SSID, "--wifi-password-file", file("passphrase", PASSPHRASE),
            "--wifi-wpa3", "--wifi-country", "DE", "--address", f"wifi={ADDRESS}/24", "--mtu", f"wifi={MTU}", "--karg", "modules_load=mac80211_hwsim"]


def refused(folder, base):
    short = os.path.join(folder, "short")
    with open(short, "w", encoding="utf-8") as f:
        f.write("1234567\n")
    return [(["--wifi", "x", "--wifi-password-file", short], "a passphrase has 8 to 63")]


def profile(base):
    return "remaster-wifi-2" if base in WPA3 else "remaster-wifi"


def check(c, guest, base):
    modes = dict(reversed(line.split()) for line in guest.run(
        f"stat -c '%a:%u:%g %n' /etc/remaster/wifi.conf {PROFILES} {PROFILES}/*").out.splitlines())
    c.check("only root reads the key", modes.get(f"{PROFILES}/{profile(base)}.nmconnection") == "600:0:0" and modes.get(PROFILES) == "700:0:0"
            and modes.get("/etc/remaster/wifi.conf") == (None if base in HAS_NETWORK_MANAGER else "600:0:0"), modes)
    if base not in WPA3:
        out = guest.run(f"grep -rF \"{PASSPHRASE.split(chr(39))[0]}\" /etc /root /run 2>/dev/null | head").out
        c.check("the passphrase is not in there", out == "", out)
    security = (["ignore_broadcast_ssid=1", "wpa_key_mgmt=SAE", "ieee80211w=2", f"sae_password={PASSPHRASE}"] if base in WPA3
                else ["wpa_key_mgmt=WPA-PSK", f"wpa_passphrase={PASSPHRASE}"])
    done = guest.run(ACCESS_POINT.replace("@SSID@", SSID.encode().hex()).replace("@SECURITY@", "\n".join(security)))
    c.check("joins its network and has an address there", done.code == 0 and "Connected to" in done.out and "10.99.0." in done.out, done.out + done.err + guest.run(
        "systemctl status 'remaster-wifi*' NetworkManager wpa_supplicant ap ap-dhcp --no-pager -l; rfkill; ip -br link; iw reg get").out)
    if base in WPA3:
        wpa3(c, guest)
    if base in HAS_NETWORK_MANAGER:
        out = guest.run("nmcli -t -f NAME,TYPE,DEVICE connection show").out
        c.check("NetworkManager has the profile", f"{profile(base)}:802-11-wireless:wlan0" in out.splitlines(), out)
    else:
        out = guest.run("systemctl is-active remaster-wifi@wlan0; wpa_cli -i wlan0 status").out
        c.check("a wpa_supplicant of its own", out.startswith("active") and "wpa_state=COMPLETED" in out, out)
    guest.run("systemctl stop ap ap-dhcp; ip netns delete ap; modprobe -r mac80211_hwsim; systemctl reset-failed")


def wpa3(c, guest):
    out = guest.run("hostapd_cli -p /run/ap all_sta").out
    c.check("the access point says that it came by SAE, with protected management frames", "AKMSuiteSelector=00-0f-ac-8" in out and "[MFP]" in out, out)
    out = guest.run("ip -4 -br address show wlan0; cat /sys/class/net/wlan0/mtu").out
    c.check("the fixed address, and no other", out.split()[2:] == [f"{ADDRESS}/24", str(MTU)], out)
    done = guest.run(f"ping -c 1 -w 60 {ROUTER}")
    c.check("the access point answers", done.code == 0, done.out)
    out = guest.run("iw reg get").out
    c.check("radios keep to the rules of the country", "country DE:" in out, out)
