"""Names, console, language, and the addresses of a second network card; the first keeps DHCP, by which ssh comes in."""
import json

KEYMAP, FONT, LOCALE = "de-latin1", "lat9w-16", "de_DE.UTF-8"
ADDRESS, ROUTER, ADDRESS6, SERVERS = "192.168.77.50", "192.168.77.2", "fd00:77::50", ["192.168.77.3", "fd00:77::3"]
ZONES = {"23.11": ("Europe/Berlin", "CET"), "24.11": ("Asia/Tokyo", "JST"), "25.11": ("America/Lima", "-05"), "26.05": ("Africa/Nairobi", "EAT")}
HAS_LOCALE = ("24.11", "26.05")  # see tests/rig/build-store.sh
SECOND_MAC = "52:54:00:77:00:02"

def flags(folder, base):
    link = SECOND_MAC + "="
    return ["--hostname", host(base), "--timezone", ZONES[base][0], "--keymap", KEYMAP, "--console-font", FONT, "--locale", locale(base),
            "--address", f"{link}{ADDRESS}/24", "--address", f"{link.upper()}{ADDRESS6}/64", "--gateway", ROUTER,
            *(a for s in SERVERS for a in ("--dns", s))]


def locale(base):
    """The locale that is asked for: one that the base has."""
    return LOCALE if base in HAS_LOCALE else "en_US.UTF-8"


def refused(folder, base):
    lacking = [] if base in HAS_LOCALE else [(["--locale", LOCALE], "the base has no locale")]
    return [(["--hostname", "a.b"], "a name with a domain"),
            (["--keymap", "de-latin"], "did you mean `de-latin1`?"), (["--console-font", "no-such-font"], "the base has no console font"), *lacking]


def host(base):
    return "box-" + base.replace(".", "")


def check(c, guest, base):
    names(c, guest, base)
    console(c, guest, base)
    language(c, guest, base)
    addresses(c, guest)


def names(c, guest, base):
    out = guest.run("hostname; cat /etc/hostname; hostnamectl --static; uname -n; test -L /etc/hostname && echo link; cat /proc/1/environ | tr '\\0' '\\n' | grep -c HOSTNAME").out.split()
    c.check("hostname", out[:4] == [guest.own.get("hostname", host(base))] * 4 and "link" not in out, out)
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


def addresses(c, guest):
    links = json.loads(guest.run("ip -j address").out)
    routes = json.loads(guest.run("ip -j route").out)
    second = next(link for link in links if link.get("address") == SECOND_MAC)
    own = sorted(a["local"] for a in second["addr_info"] if a["scope"] == "global" and not a.get("dynamic"))
    c.check("fixed addresses", own == sorted([guest.own.get("address", ADDRESS), ADDRESS6]) and not any(a["local"] == "192.168.77.15" for a in second["addr_info"]), second)
    c.check("router", any(r["dst"] == "default" and r.get("gateway") == ROUTER and r["dev"] == second["ifname"] for r in routes), routes)
    others = [a for link in links if link["ifname"] != second["ifname"] for a in link["addr_info"]]
    c.check("the other interface keeps DHCP", any(a["local"] == "10.0.2.15" and a.get("dynamic") for a in others), links)
    done = guest.run(f"ping -c 1 -w 60 {ROUTER}")
    c.check("the router answers", done.code == 0, done.out)
    out = guest.run("cat /etc/resolv.conf").out
    servers = [line.split()[1] for line in out.splitlines() if line.startswith("nameserver")]
    c.check("name servers", servers == SERVERS, out)
