"""Who gets in and how: sshd by key only, host keys, console passwords, the greeting, announcements."""
import ipaddress
import os
import re
import shlex
import struct
import subprocess

import boot

PASSWORD = "console password of the test, with blanks & $signs"
NIXOS = "another one"
FRAMES = "frames.pcap"
state = {}


def flags(folder, base):
    def file(name, text):
        path = os.path.join(folder, name)
        with open(path, "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(text)
        return path
    rsa = os.path.join(folder, "rsa")
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-C", "", "-f", rsa], check=True)
    known = os.path.join(folder, "known_hosts")
    hash_of = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=NIXOS, capture_output=True, text=True, check=True).stdout.strip()
    state[base] = {"known": known, "rsa": print_of(rsa + ".pub"), "folder": folder}
    return ["--announce", "--host-key", "generate", "--host-key", rsa, "--known-hosts", known,
            "--root-password-file", file("root-password", PASSWORD + "\n"), "--nixos-password-hash", hash_of]


def machine(base, turn, logs):
    """What passes the first card is kept."""
    return ["-object", f"filter-dump,id=frames,netdev=n0,file={os.path.join(logs, FRAMES)}"], {}


def refused(folder, base):
    public = os.path.join(folder, "rsa.pub")
    return [(["--host-key", public], "is a public key"), (["--root-password-hash", "plain"], "not a hash of a method"),
            (["--host-key-seed", "/dev/null", "--host-key", "generate"], "has 0 bytes")]


def print_of(path):
    return subprocess.run(["ssh-keygen", "-l", "-f", path], capture_output=True, text=True, check=True).stdout.split()[1]


def by_password(guest, user, password, folder):
    """ssh that has nothing but a password, which its helper program prints."""
    helper = os.path.join(folder, "askpass")
    with open(helper, "w", opener=lambda p, f: os.open(p, f, 0o700)) as f:
        f.write(f"#!/bin/sh\nprintf '%s\\n' {shlex.quote(password)}\n")
    env = {"PATH": os.environ["PATH"], "HOME": folder, "SSH_ASKPASS": helper, "SSH_ASKPASS_REQUIRE": "force"}
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "PubkeyAuthentication=no", "IdentityAgent=none", "NumberOfPasswordPrompts=1",
               "PreferredAuthentications=password,keyboard-interactive", "ConnectTimeout=30"]
    return subprocess.run(["ssh", "-F", "none", *(w for o in options for w in ("-o", o)), "-p", str(guest.machine.port), f"{user}@127.0.0.1", "echo let in"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env, timeout=boot.PATIENCE, check=False)


def sshd(c, guest, base, folder):
    config = guest.run("cd /; PATH=$PATH:/usr/sbin; sshd -T; readlink /etc/ssh/sshd_config").out.splitlines()
    for line in ("permitrootlogin without-password", "passwordauthentication no", "kbdinteractiveauthentication no", "hostkey /etc/ssh/ssh_host_ed25519_key",
                 "authorizedkeysfile .ssh/authorized_keys /etc/ssh/authorized_keys.d/%u", "remaster_sshd_config"):
        c.check(f"sshd -T has {line}", line in config or line.replace(".ssh", "%h/.ssh") in config, config)
    for port in (2222, 2223) if base == "26.05" else ():  # those that start without the service, behind a link that an activation made anew
        done = guest.run(f"ln -sfn /etc/static/ssh/sshd_config /etc/ssh/sshd_config; ssh -p {port} -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null 127.0.0.1 true")
        c.check(f"an sshd of the template behind port {port} takes keys alone", "Permission denied (publickey)" in done.err, done.err)
    for user, password in (("root", PASSWORD), ("nixos", NIXOS)):
        done = by_password(guest, user, password, folder)
        c.check(f"{user}'s password does not let in over ssh", done.returncode == 255 and "Permission denied (publickey)" in done.stderr, done.stdout + done.stderr)
    # what a later activation does, and a restart
    again = guest.run("ln -sfn /etc/static/ssh/sshd_config /etc/ssh/sshd_config && systemctl restart sshd && readlink /etc/ssh/sshd_config && systemctl is-active sshd").out
    c.check("a link that is made anew is turned again when sshd starts", again == "remaster_sshd_config\nactive\n", again)
    guest.machine.wait_for_ssh(3 * boot.PATIENCE)  # it says that it is active before it listens
    done = by_password(guest, "root", PASSWORD, folder)
    c.check("nor after that", "Permission denied (publickey)" in done.stderr, done.stdout + done.stderr)


def known(guest, mine):
    """The lines of known_hosts that are for this machine: its own, or those of all that have none."""
    with open(mine["known"]) as f:
        lines = f.read().splitlines()
    names = {guest.own["hostname"]} if "host-key" in guest.own else {line.split()[0] for line in lines} - {"rack-2"}
    return [line for line in lines if line.split()[0] in names]


def host_keys(c, guest, mine):
    lines = state["lines"]
    c.check("known_hosts is for everyone", os.stat(mine["known"]).st_mode & 0o777 == 0o644)
    alias, kinds = lines[0].split()[0], [line.split()[1] for line in lines]
    c.check("known_hosts has the keys", kinds == (["ssh-ed25519"] if "host-key" in guest.own else ["ssh-ed25519", "ssh-rsa"]), lines)
    for kind in kinds:
        done = subprocess.run(["ssh", "-F", "none", "-i", guest.key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
                               "-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=/dev/null", "-o", f"UserKnownHostsFile={mine['known']}",
                               "-o", f"HostKeyAlias={alias}", "-o", f"HostKeyAlgorithms={'rsa-sha2-512' if kind == 'ssh-rsa' else kind}",
                               "-p", str(guest.machine.port), "root@127.0.0.1", "echo let in"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=boot.PATIENCE, check=False)
        c.check(f"the client knows the machine by {kind}", done.returncode == 0 and done.stdout == "let in\n", done.stderr)
    modes = guest.run("stat -c '%a %U %n' /etc/ssh/ssh_host_*_key; ls /etc/ssh").out
    for kind in ("ed25519", "rsa"):
        c.check(f"the {kind} key is root's alone", f"600 root /etc/ssh/ssh_host_{kind}_key\n" in modes, modes)
    read = guest.run("cat /iso/remaster/payload.img > /dev/null", user="nixos")
    c.check("no user but root reads the payload", "Permission denied" in read.err, read.err + guest.run("ls -l /iso/remaster").out)


def passwords(c, guest):
    shadow = guest.run("cat /etc/shadow; stat -c '%a %U' /etc/shadow").out
    found = dict(line.split(":")[:2] for line in shadow.splitlines() if ":" in line)
    for user, password in (("root", PASSWORD), ("nixos", NIXOS)):
        given = found.get(user, "")
        right = verified(guest, password, given)
        c.check(f"the hash of {user} verifies", right == given and given[:3] in ("$y$", "$6$"), f"{given} against {right}")
        c.check(f"and not with another password for {user}", verified(guest, "wrong", given) not in (given, ""))
    c.check("/etc/shadow is closed", "640 root" in shadow, shadow)
    c.check("no password is in the guest", guest.run(f"grep -rqF {shlex.quote(PASSWORD)} /etc /run /root /var/log /proc/cmdline 2>/dev/null").code == 1)


def verified(guest, password, given):
    """What crypt(3) of this host makes of a password with the salt of a hash."""
    program = "import ctypes, sys; c = ctypes.CDLL('libcrypt.so.1'); c.crypt.restype = ctypes.c_char_p; print((c.crypt(sys.argv[1].encode(), sys.argv[2].encode()) or b'').decode())"
    return subprocess.run(["python3", "-c", program, password, given], capture_output=True, text=True, check=True).stdout.strip()


def greeting(c, guest, mine):
    shown = guest.run("for i in $(seq 300); do grep -q root@10 /etc/issue.d/remaster.issue && break; sleep 1; done; PATH=$PATH:/sbin:/usr/sbin script -qec 'agetty --show-issue' /dev/null").out
    c.check("the greeting has the ssh command with the address", re.search(r"ssh root@10\.0\.2\.15\b", shown), shown)
    for line in state["lines"]:
        kind, print_ = line.split()[1], fingerprint(line)
        c.check(f"the greeting has the fingerprint of {kind}", print_ in shown, shown)
    c.check("the greeting's unit runs", guest.run("systemctl is-active remaster-greeting").out == "active\n")


def announced(frames):
    """What UDP packets of IPv6 from an address of the link bring to the group: of frames as libpcap keeps them."""
    found, at = [], 24
    while at + 16 <= len(frames):
        (length,) = struct.unpack_from("<I", frames, at + 8)
        frame, at = frames[at + 16:at + 16 + length], at + 16 + length
        if frame[12:14] != b"\x86\xdd" or frame[20] != 17 or frame[38:54] != ipaddress.ip_address("ff12::f265:6d61").packed:
            continue
        if ipaddress.ip_address(frame[22:38]).is_link_local and struct.unpack_from(">H", frame, 56) == (61022,):
            found.append(frame[62:])
    return found


def announcement(c, guest, mine):
    with open(os.path.join(guest.machine.logs, FRAMES), "rb") as f:
        found = announced(f.read())
    prints = " ".join(fingerprint(line) for line in known(guest, mine))
    wanted = f"remaster 1 {guest.run('hostname').out.strip()} {prints}\n".encode()
    c.check("each announcement on the wire is the name and the fingerprints", len(found) > 1 and set(found) == {wanted}, f"{len(found)}: {set(found)} not {wanted}")
    unit = guest.run("systemctl is-active remaster-announce; journalctl -b -u remaster-announce -p warning -q --no-pager").out
    c.check("the unit of announcements runs and has nothing to say", unit == "active\n", unit)


def fingerprint(line):
    done = subprocess.run(["ssh-keygen", "-l", "-f", "-"], input=" ".join(line.split()[1:]) + "\n", capture_output=True, text=True, check=True)
    return done.stdout.split()[1]


def check(c, guest, base):
    mine = state[base]
    sshd(c, guest, base, mine["folder"])
    state["lines"] = known(guest, mine)
    host_keys(c, guest, mine)
    passwords(c, guest)
    greeting(c, guest, mine)
    announcement(c, guest, mine)
