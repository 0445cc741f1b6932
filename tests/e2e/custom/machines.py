"""One image for several machines: one that is known by the serial of its firmware, one by a MAC address, and others that get what
all get."""
import os
import subprocess

SERIAL, MAC = "RIG 1", "52:54:00:77:00:0a"
# Where the recipe names the machine: by its serial at turn 0, by its address at turn 1.
NAMED = ("24.11", "26.05")
ADDRESS = "192.168.77.52"
state = {}


def flags(folder, base):
    keys = {}
    for name in ("own", "host"):
        keys[name] = os.path.join(folder, name)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", keys[name]], check=True)
    state[base] = keys
    with open(os.path.join(folder, "own.sh"), "w", encoding="ascii") as f:
        f.write("#!/bin/sh\necho own > /var/lib/rig-own\n")
    link = "52:54:00:77:00:02="
    recipe = os.path.join(folder, "rack.toml")
    with open(recipe, "w", encoding="ascii") as f:
        f.write(f"""
[[machine]]
dmi-serial = "{SERIAL}"
hostname = "rack-1"
key = "own.pub"
run = "own.sh"
[[machine]]
mac = "{MAC}"
hostname = "rack-2"
host-key = "host"
""" + (f'address = ["{link}{ADDRESS}/24", "{link}fd00:77::50/64"]\n' if base in NAMED else ""))
    return ["--recipe", recipe]


def machine(base, turn, logs):
    serial = ["-smbios", f"type=1,serial={SERIAL if base in NAMED and turn == 0 else 'RIG 3'}"]
    if base not in NAMED:
        return serial, {"number": 0}
    if turn == 0:
        return serial, {"number": 1, "hostname": "rack-1", "key": state[base]["own"], "run": True}
    return serial, {"number": 2, "mac": MAC, "hostname": "rack-2", "address": ADDRESS, "host-key": state[base]["host"]}


def check(c, guest, base):
    number = guest.own["number"]
    log = guest.run("journalctl -b -o cat -u remaster-machine").out
    words = f"this is machine {number} of the recipe" if number else "the recipe names no machine like this one"
    c.check("the journal says which machine it is", words in log, log)
    out = guest.run("ls /run/remaster/machine; cat /sys/class/dmi/id/product_serial; cat /var/lib/rig-own /var/lib/rig-run").out.split("\n")
    marks = [str(number)] * (number > 0) + ["RIG 3" if number != 1 else SERIAL] + (["own"] if number == 1 else ["once"])
    c.check("only what is for this machine is run", out == [*marks, ""], out)
