"""Network cards beside the one by which ssh comes in: one with a fixed address alone, or with a VLAN and beside a bond of two more,
on a wire that says which tags its frames have."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import wire  # noqa: E402 (the path comes first)

SECOND, THIRD, FOURTH = (f"52:54:00:77:00:0{n}" for n in (2, 3, 4))
RICH = ("23.11", "25.11")
# VLAN, address, router
TAGGED, BONDED, BOTH = (20, "10.20.0.5", "10.20.0.1"), (0, "10.30.0.5", "10.30.0.1"), (7, "10.7.0.5", "10.7.0.1")
state = {}


def flags(folder, base):
    if base not in RICH:
        return []
    # (names that do not depend on the machine: those of slots do)
    return ["--karg", "net.ifnames=0", "--address", f"eth1.20={TAGGED[1]}/24", "--mtu", "eth1.20=1400", "--bond", "bond0:eth2,eth3",
            "--address", f"bond0={BONDED[1]}/24", "--mtu", "bond0=9000", "--address", f"bond0.7={BOTH[1]}/24"]


def machine(base, turn, logs):
    if base not in RICH: # a network with DHCP, which the fixed address does without
        return ["-netdev", "user,id=n1,restrict=on,net=192.168.77.0/24", "-device", f"virtio-net-pci,netdev=n1,mac={SECOND}"], {}
    state["wire"] = wire.Wire([(0, "192.168.77.2"), *((vlan, router) for vlan, _, router in (TAGGED, BONDED, BOTH))])
    return [a for mac in (SECOND, THIRD, FOURTH) for a in state["wire"].card(mac)], {}


def check(c, guest, base):
    if base not in RICH:
        return
    links = {link["ifname"]: link for link in json.loads(guest.run("ip -j -d address").out)}
    ids = {name: links.get(name, {}).get("linkinfo", {}).get("info_data", {}).get("id") for name in ("eth1.20", "bond0.7")}
    c.check("VLANs with their numbers", ids == {"eth1.20": 20, "bond0.7": 7}, links)
    bond = links.get("bond0", {}).get("linkinfo", {}).get("info_data", {})
    c.check("a bond with what bonds have if nothing is said", (bond.get("mode"), bond.get("miimon")) == ("active-backup", 100), bond)
    c.check("its members", [links[name].get("master") for name in ("eth1", "eth2", "eth3")] == [None, "bond0", "bond0"], links)
    sizes = {name: links.get(name, {}).get("mtu") for name in ("eth1", "eth1.20", "bond0")}
    c.check("sizes of packets", sizes == {"eth1": 1500, "eth1.20": 1400, "bond0": 9000}, sizes)
    for name, (vlan, address, router) in {"eth1.20": TAGGED, "bond0": BONDED, "bond0.7": BOTH}.items():
        own = [a["local"] for a in links.get(name, {}).get("addr_info", []) if a["family"] == "inet"]
        c.check(f"{name} has its address alone", own == [address], own)
        pings(c, guest, f"{name} reaches its router", router)
        cards = (SECOND,) if name == "eth1.20" else (THIRD, FOURTH)
        seen = {(tag, card) for card, tag, sender in state["wire"].seen if sender == address}
        c.check(f"frames of {name} have its tag, and go by its cards", seen and all(tag == vlan and card in cards for tag, card in seen), seen)
    pings(c, guest, "a large packet goes by the bond", BONDED[2], "-M do -s 8000")
    c.check("and is whole", max(n for (_, _, sender), n in state["wire"].seen.items() if sender == BONDED[1]) == 8028, state["wire"].seen)
    done = guest.run(f"ping -c 1 -w 60 -M do -s 1400 {TAGGED[2]}")
    c.check("none larger than its size by the VLAN", done.code != 0 and "mtu" in done.out + done.err, done.out + done.err)
    other_member(c, guest)


def pings(c, guest, name, router, options=""):
    done = guest.run(f"ping -c 1 -w 60 {options} {router}")
    c.check(name, done.code == 0, done.out + done.err)


def other_member(c, guest):
    """What the bond does without the member that it used."""
    active = guest.run("cat /sys/class/net/bond0/bonding/active_slave").out.strip()
    before = set(state["wire"].seen)
    guest.run(f"ip link set {active} down; for n in $(seq 60); do [ \"$(cat /sys/class/net/bond0/bonding/active_slave)\" != {active} ] && break; sleep 1; done")
    pings(c, guest, f"the bond goes on without {active}", BONDED[2])
    new = {(card, tag) for card, tag, sender in set(state["wire"].seen) - before if sender == BONDED[1]}
    c.check("by its other card", new == {(FOURTH if active == "eth2" else THIRD, 0)}, new)
    guest.run(f"ip link set {active} up")
