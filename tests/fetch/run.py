#!/usr/bin/env python3
"""Fetches bases from servers that misbehave. Usage: run.py REMASTER REMASTER_WITHOUT_FETCH

The second program is one built with `--no-default-features --features cli`. Every case has a cache of its own. Ends with `N passed, N failed`.
"""
import contextlib
import json
import os
import pathlib
import pty
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import tomllib

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent))
sys.dont_write_bytecode = True

from checks import ED25519, Checks  # noqa: E402 (the path comes first)
from server import NEW, OLD, Mirror, Tunnel  # noqa: E402

FAILED, USAGE, DIFFERS, MALFORMED = 1, 2, 3, 4
BASE = "nixos-25.11-minimal"
FILE = f"nixos-minimal-{OLD}-x86_64-linux.iso"


class Suite(Checks):
    """Fetches into caches and judges what is in them."""

    def __init__(self, remaster, without, scratch):
        super().__init__(remaster, scratch)
        self.without = without
        packed = here.parent / "tiny/tiny.iso.zst"
        self.image = subprocess.run(["zstd", "-dcq", packed], check=True, capture_output=True).stdout
        self.newer = bytes(b ^ 0xFF for b in self.image[:4096]) + self.image[4096:] + bytes(4096)
        self.mirror = Mirror(self.image, self.newer)
        self.key = self.file("good.pub", ED25519)
        self.environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and not k.startswith(("SSL_CERT", "REMASTER", "XDG"))}

    @staticmethod
    def file_text(path):
        return pathlib.Path(path).read_text()

    def cache(self):
        return tempfile.mkdtemp(dir=self.scratch)

    def run(self, *args, env=None, **kw):
        return self.call(*args, env={**self.environment, **(env or {})}, **kw)

    def fetch(self, cache, mode, *more, mirror=None, base=BASE, **kw):
        return self.run("base", "fetch", base, "--cache", cache, "--mirror", f"{(mirror or self.mirror).url}/{mode}", *more, **kw)

    def found(self, cache, base=BASE):
        """The bytes of a base in a cache; none if it has none."""
        code, out, _ = self.run("base", "path", base, "--cache", cache)
        return pathlib.Path(out.decode().strip()).read_bytes() if code == 0 else None

    def gets(self, name, mode, *more, image=None, **kw):
        """A fetch that has to succeed."""
        cache = self.cache()
        code, _, err = self.fetch(cache, mode, *more, **kw)
        self.verdict(name, self.is_kept(cache, code, err, image or self.image))
        return cache

    def is_kept(self, cache, code, err, image, base=BASE):
        problems = [] if code == 0 else [f"exit code {code}: {err.strip()}"]
        if self.found(cache, base) != image:
            problems.append("not the image")
        left = sorted(x for x in os.listdir(cache) if not x.endswith((".iso", ".json", ".lock")) or ".part" in x)
        if len([x for x in os.listdir(cache) if x.endswith(".iso")]) > 1:
            left.append("two images")
        return problems + [f"left behind: {left}"] * bool(left)

    def refuses(self, name, want, mode, *more, say=(), part=None, cache=None, **kw):
        """A fetch that has to fail and leaves nothing that is taken for a base; `part` is what may be left to go on with."""
        cache = cache or self.cache()
        started = time.monotonic()
        code, out, err = self.fetch(cache, mode, *more, seconds=20, **kw)
        problems = self.complaints(code, want, err, say)
        if time.monotonic() - started > 15:
            problems.append("took too long")
        if self.found(cache) is not None or any(x.endswith(".iso") for x in os.listdir(cache)):
            problems.append("something is kept as a base")
        size = os.stat(f"{cache}/{BASE}.part").st_size if os.path.exists(f"{cache}/{BASE}.part") else None
        if size != part:
            problems.append(f"the part has {size} bytes, not {part}")
        self.verdict(name, problems)
        return err


def sound(s):
    """What a sound server gives."""
    cache = s.gets("a base is fetched", "good")
    record = json.loads(pathlib.Path(f"{cache}/{BASE}.json").read_text())
    url = f"{s.mirror.url}/good/releases/nixos-{OLD}/{FILE}"
    want = {"name": BASE, "version": OLD, "url": url, "sha256": s.digest(f"{cache}/{FILE}"), "size": len(s.image), "file": FILE}
    s.verdict("its record says what it is", [] if record == want else [record, want])
    s.mirror.log.clear()
    code, out, err = s.fetch(cache, "good")
    paths = [path for path, _ in s.mirror.log]
    s.verdict("what is there is not fetched again", [] if code == 0 and b"is there" in out and not any(p.endswith(FILE) for p in paths) else [code, out, err, paths])
    image = pathlib.Path(f"{cache}/{FILE}")
    def flip():
        times = os.stat(image)
        image.write_bytes(bytes([s.image[0] ^ 1]) + s.image[1:])
        os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns))
    for name, damage, status, words in (
        ("cut", lambda: os.truncate(image, 1000), USAGE, ["in the cache", "base fetch"]),
        ("flipped", flip, DIFFERS, ["SHA-256", "fetch it again"]),
        ("lost", image.unlink, USAGE, ["in the cache", "base fetch"]),
    ):
        damage()
        for command in (("base", "verify", BASE), ("base", "show", BASE), ("base", "path", BASE), ("inspect", BASE), (BASE, "--key", s.key, "-o", s.path("x.iso"))):
            code, out, err = s.run(*command, "--cache", cache)
            s.verdict(f"a base that was {name} in the cache is refused by {command[0]} {command[1]}", s.complaints(code, status, err, words) + ["said"] * bool(out))
        code, _, err = s.fetch(cache, "good")
        s.verdict(f"and fetched anew after it was {name}", s.is_kept(cache, code, err, s.image))
    os.utime(image)
    code, out, _ = s.run("base", "list", "--cache", cache)
    s.verdict("the list tells what changed", [] if b"changed since it was checked" in out else [out])
    code, out, _ = s.run("base", "verify", BASE, "--cache", cache)
    s.verdict("what only has another time is verified", [] if code == 0 and b"verified" in out else [code, out])
    code, out, _ = s.run("base", "list", "--cache", cache)
    s.verdict("and counts as checked", [] if b"changed since" not in out else [out])
    for text in ("", "{", "[]", '{"name": "x"}', json.dumps({**want, "file": "../../etc/passwd"}), json.dumps({**want, "name": "nixos-24.11-minimal"})):
        pathlib.Path(f"{cache}/{BASE}.json").write_text(text)
        code, _, err = s.run("base", "path", BASE, "--cache", cache)
        s.verdict(f"a record of {text[:20]!r} is refused", s.complaints(code, USAGE, err, ["in the cache"]))
    code, _, err = s.fetch(cache, "newer")
    s.verdict("a newer release takes the place of the older one", s.is_kept(cache, code, err, s.newer))
    code, out, _ = s.run("base", "list", "--json", "--cache", cache)
    rows = {row["name"]: row["cached"] for row in json.loads(out)}
    s.verdict("the list tells what is there", [] if rows[BASE]["record"]["version"] == NEW and rows["nixos-24.11-gnome"] is None else [rows])
    code, out, _ = s.run("base", "list", "--cache", cache)
    s.verdict("and tells it to people", [] if f"{BASE} " in out.decode() and NEW in out.decode() else [out])
    code, _, err = s.run("base", "remove", BASE, "--cache", cache)
    left = [x for x in os.listdir(cache) if not x.endswith(".lock")]
    s.verdict("removed is removed", [] if code == 0 and not left else [code, err, left])
    code, _, err = s.run("base", "remove", BASE, "--cache", cache)
    s.verdict("and cannot be removed twice", s.complaints(code, USAGE, err, [BASE]))
    cache = s.cache()
    code, _, err = s.fetch(cache, "good", base="nixos-25.11-graphical-aarch64")
    s.verdict("other editions and architectures", s.is_kept(cache, code, err, s.image, "nixos-25.11-graphical-aarch64"))
    s.gets("a redirect may be relative", "relative")
    s.gets("a server may keep the size to itself", "chunked")
    for mirror in ("ftp://x", "nonsense", "http://a b"):
        code, _, err = s.run("base", "fetch", BASE, "--cache", s.cache(), "--mirror", mirror)
        s.verdict(f"the mirror {mirror!r} is refused", s.complaints(code, USAGE, err, ["not an address"]))
    code, _, err = s.run("base", "fetch", BASE, "--cache", s.cache(), "--mirror", "https://me:geheim@127.0.0.1/")
    s.verdict("a password in the mirror is not shown", s.complaints(code, USAGE, err, ["not an address"]) + ["shown"] * ("geheim" in err))
    code, _, err = s.run("base", "fetch", "nixos-25.11-plasma6", "--cache", s.cache())
    s.verdict("a base there is not is refused with its neighbours", s.complaints(code, USAGE, err, ["nixos-25.11-graphical"]))


def wrong_answers(s):
    """Answers that are not a base."""
    for mode, say in (("circle", "circle"), ("itself", "circle"), ("endless-redirects", "more than 8 redirects"), ("no-location", "to nowhere"), ("odd-location", "ftp"),
                      ("other-edition", "no redirect to a release"), ("plain-file", "no redirect to a release"), ("404", "404"), ("403", "403"), ("503", "503"),
                      ("garbage", "cannot fetch"), ("reset", "cannot fetch"), ("hash-404", "sha256.*404"), ("hash-of-another", f"SHA-256 is that of .*{NEW}"),
                      ("hash-html", "no SHA-256"), ("image-404", "404"), ("image-circle", "circle")):
        s.refuses(f"server: {mode}", FAILED, mode, say=[say], part=0 if mode.startswith("image") else None)
    s.refuses("server: hash-wrong", DIFFERS, "hash-wrong", say=["has the SHA-256", "0" * 64])
    s.refuses("server: silent", FAILED, "silent", "--timeout", "1", say=["no answer in 1 s"])
    s.refuses("server: stall", FAILED, "stall", "--timeout", "1", say=["broken off after"], part=len(s.image) // 3)
    closed = Mirror(b"", b"")
    closed.stop()
    s.refuses("server: gone", FAILED, "good", mirror=closed, say=["refused"])
    code, _, err = s.run("base", "fetch", BASE, "--cache", s.cache(), "--mirror", "http://no-such-host.invalid", "--timeout", "20")
    s.verdict("server: no such host", s.complaints(code, FAILED, err, ["no-such-host.invalid"]))


def broken_off(s):
    """Downloads that end early, and go on."""
    third = len(s.image) // 3
    s.refuses("cut: a server without ranges never gets there", FAILED, "cut", say=[f"broken off after {third} of {len(s.image)} bytes"], part=third)
    s.mirror.log.clear()
    s.gets("cut: a third at a time is gone on with", "cut-ranges")
    ranges = [(h.get("range"), h.get("if-range")) for h in s.mirror.asked(FILE) if "range" in h]
    s.verdict("cut: Range with If-Range", [] if ranges[:1] == [(f"bytes={third}-", '"a"')] and len(ranges) in (2, 3) else [ranges])
    s.mirror.log.clear()
    s.gets("cut: a date does as well", "date")
    ranges = [(h.get("range"), h.get("if-range")) for h in s.mirror.asked(FILE) if "range" in h]
    s.verdict("cut: If-Range with the date", [] if ranges == [(f"bytes={third}-", "Wed, 01 Oct 2025 07:28:00 GMT")] else [ranges])
    for mode in ("weak", "no-validator"):
        s.mirror.log.clear()
        s.gets(f"cut: begun anew, as nothing vouches for the rest ({mode})", mode)
        ranges = [h for h in s.mirror.asked(FILE) if "range" in h]
        s.verdict(f"cut: no Range without If-Range ({mode})", ranges)
    s.gets("cut: 416 begins anew", "416")
    s.refuses("cut: another range than asked for", FAILED, "wrong-range", say=["cannot fetch|broken off"], part=third)
    image = s.image
    cache = s.cache()
    code, _, err = s.fetch(cache, "changed")
    s.verdict("changed midway: begun anew", s.is_kept(cache, code, err, s.newer))
    s.refuses("changed midway, and the server denies it", DIFFERS, "changed-lied", say=["has the SHA-256"])
    for number, name in ((signal.SIGINT, "SIGINT"), (signal.SIGKILL, "SIGKILL")):
        cache = s.cache()
        s.mirror.gate.clear()
        # (a background job would have SIGINT ignored)
        process = subprocess.Popen(["env", "--default-signal=INT", s.remaster, "base", "fetch", BASE, "--cache", cache, "--mirror", f"{s.mirror.url}/slow"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=s.environment)
        part = pathlib.Path(f"{cache}/{BASE}.part")
        for _ in range(400):
            if part.exists() and part.stat().st_size == third:
                break
            time.sleep(0.025)
        code, _, err = s.fetch(cache, "good")
        s.verdict(f"{name}: nobody else may fetch meanwhile", s.complaints(code, USAGE, err, ["another remaster"]))
        process.send_signal(number)
        process.communicate(timeout=30)
        s.mirror.gate.set()
        left = part.stat().st_size
        kept = s.found(cache)
        s.verdict(f"{name}: the part stays, and is not a base", [] if left == third and kept is None else [left, kept and len(kept)])
        s.mirror.log.clear()
        code, _, err = s.fetch(cache, "slow")
        ranges = [h.get("range") for h in s.mirror.asked(FILE)]
        s.verdict(f"{name}: the next one goes on", s.is_kept(cache, code, err, image) + ([] if ranges[:1] == [f"bytes={third}-"] else [ranges]))
    s.mirror.gate.clear()
    cache = s.cache()
    s.refuses("a part of an older release", FAILED, "stall", "--timeout", "1", cache=cache, say=["broken off"], part=third)
    s.mirror.log.clear()
    code, _, err = s.fetch(cache, "newer")
    asked = [h for h in s.mirror.asked(".iso") if "range" in h]
    s.verdict("is not gone on with for a newer one", s.is_kept(cache, code, err, s.newer) + asked)
    s.mirror.gate.set()


def room(s):
    """No room, no permission."""
    if os.getuid() != 0:
        print("note: not root, so no full disk is made")
        return
    cache = s.cache()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", cache], check=True)
    try:
        code, _, err = s.fetch(cache, "good")
        s.verdict("a full disk", s.complaints(code, FAILED, err, ["No space left", "free some space"]))
        s.verdict("leaves no base", ["kept"] * (s.found(cache) is not None))
        packed = s.path("packed.iso.xz")
        with open(packed, "wb") as f:
            subprocess.run(["xz", "-0c"], input=s.image, stdout=f, check=True)
        code, _, err = s.run(packed, "--key", s.key, "-o", f"{cache}/custom.iso")
        s.verdict("no room to unpack is told before", s.complaints(code, FAILED, err, ["are needed", "free some space"]))
        s.verdict("and leaves nothing", [x for x in os.listdir(cache) if "custom" in x])
    finally:
        subprocess.run(["umount", cache], check=True)
    cache = s.cache()
    os.chmod(s.scratch, 0o755)
    os.chmod(cache, 0o555)
    program = shutil.copy(s.remaster, s.path("program"))
    code, _, err = s.fetch(cache, "good", program=program, before=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    s.verdict("a cache that may not be written to", s.complaints(code, FAILED, err, ["ermission denied"]))


def certificates(s):
    """A CA, a server certificate for 127.0.0.1, and one for another host."""
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=s.scratch)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=a CA of our own",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    for name, alternative in (("server", "IP:127.0.0.1"), ("stranger", "DNS:stranger.example")):
        s.file(f"{name}.ext", f"subjectAltName={alternative}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "20", "-extfile", f"{name}.ext", "-out", f"{name}.pem")


def context(s, name):
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(s.path(f"{name}.pem"), s.path(f"{name}.key"))
    return found


def tls(s):
    """HTTPS."""
    certificates(s)
    secure = Mirror(s.image, s.newer, context(s, "server"))
    stranger = Mirror(s.image, s.newer, context(s, "stranger"))
    ca = ("--ca-file", s.path("ca.pem"))
    s.refuses("https: a certificate that nobody vouches for", FAILED, "good", mirror=secure, say=["TLS", "certificate", "SSL_CERT_FILE"])
    s.gets("https: with --ca-file", "good", *ca, mirror=secure)
    s.gets("https: with SSL_CERT_FILE", "good", mirror=secure, env={"SSL_CERT_FILE": s.path("ca.pem")})
    s.gets("https: broken off and gone on with", "cut-once", *ca, mirror=secure)
    s.refuses("https: the certificate of another host", FAILED, "good", *ca, mirror=stranger, say=["TLS", "certificate"])
    s.refuses("https: a redirect to http", FAILED, "downgrade", *ca, mirror=secure, say=["from https to http"])
    wrong = Mirror(s.image, s.newer)
    wrong.url = wrong.url.replace("http", "https")
    s.refuses("https: the server speaks http", FAILED, "good", *ca, mirror=wrong, say=["TLS"])
    s.refuses("https: --ca-file without a certificate", USAGE, "good", "--ca-file", s.key, mirror=secure, say=["not a file with certificates"])
    s.refuses("https: --ca-file that is not there", FAILED, "good", "--ca-file", s.path("nothing"), mirror=secure, say=["nothing"])
    proxies(s, secure, ca)
    for mirror in (secure, stranger, wrong):
        mirror.stop()


def keys(s):
    """Keys by name: of a server, and of ssh-agent."""
    certificates(s)
    secure = Mirror(s.image, s.newer, context(s, "server"))
    stranger = Mirror(s.image, s.newer, context(s, "stranger"))
    for mirror in (secure, stranger, s.mirror):
        mirror.published = ED25519.encode() + b"\n"
    prints = subprocess.run(["ssh-keygen", "-lf", s.key], check=True, capture_output=True, text=True).stdout.split()[1]
    expect = ("--expect-fingerprint", prints)
    env = {"SSL_CERT_FILE": s.path("ca.pem")}
    base, out = s.file("keys-base.iso", s.image), s.path("keys.iso")

    def stamp(*args, env=env, seconds=60, **kw):
        return s.run(base, *args, "-o", out, "--force", env=env, seconds=seconds, **kw)

    def url(mode, mirror=secure):
        return f"{mirror.url}/{mode}/alice.keys"
    code, _, err = stamp("--key", s.key)
    want = s.digest(out)
    for name, mode in (("keys of a server", "good"), ("a redirect to https", "elsewhere")):
        code, _, err = stamp("--key", url(mode), *expect)
        s.verdict(f"keys: {name}, expected: the same image as by file", [] if code == 0 and s.digest(out) == want else [code, err])
        s.verdict(f"keys: {name}: shown", [] if f"fetched {url(mode)}: ssh-ed25519 {prints}" in err else [err])
    recipe = s.file("keys.toml", f"key = {url('good')!r}\nexpect-fingerprint = {prints!r}\n")
    code, _, err = stamp("--recipe", recipe)
    s.verdict("keys: by a recipe", [] if code == 0 and s.digest(out) == want else [code, err])
    refused = [
        ("nobody is there to confirm", USAGE, ["--key", url("good")], ["cannot be confirmed", prints, "--expect-fingerprint SHA256:"]),
        ("another key than expected", DIFFERS, ["--key", url("good"), "--expect-fingerprint", "SHA256:" + "a" * 43], ["not expected", prints]),
        ("a user that is not there", FAILED, ["--key", url("404"), *expect], ["knows no such user"]),
        ("not allowed", FAILED, ["--key", url("403"), *expect], ["status 403"]),
        ("a web page", USAGE, ["--key", url("html"), *expect], ["alice.keys line 1"]),
        ("a user without keys", USAGE, ["--key", url("nobody"), *expect], ["alice.keys: found no key"]),
        ("a private key", USAGE, ["--key", url("private"), *expect], ["found a private key"]),
        ("a redirect to http", FAILED, ["--key", url("downgrade"), *expect], ["from https to http"]),
        ("a circle", FAILED, ["--key", url("circle"), *expect], ["in a circle"]),
        ("cut", FAILED, ["--key", url("cut"), *expect], ["broken off"]),
        ("more than keys are", FAILED, ["--key", url("endless"), *expect], ["more than 262144 bytes"]),
        ("silence", FAILED, ["--key", url("silent"), *expect], ["no answer in 10 s"]),
        ("a byte a second", FAILED, ["--key", url("drip"), *expect], ["not complete after 30 s"]),
        ("the certificate of another host", FAILED, ["--key", url("good", stranger), *expect], ["TLS", "certificate"]),
        ("http", USAGE, ["--key", url("good", s.mirror), *expect], ["not protected against changes", "https://"]),
        ("a name of nobody", USAGE, ["--key", "gh:a/b", *expect], ["gh:a/b", "gh:USER"]),
        ("the same bytes each time, without a fingerprint", USAGE, ["--key", url("good"), "--reproducible"], ["--reproducible", "--expect-fingerprint"]),
    ]
    for name, want_code, args, say in refused:
        if os.path.exists(out):
            os.unlink(out)
        started = time.monotonic()
        code, _, err = stamp(*args)
        late = ["took too long"] * (time.monotonic() - started > 45)
        s.verdict(f"keys: {name}", s.complaints(code, want_code, err, say) + late + ["an image"] * os.path.exists(out))
    code, _, err = stamp("--key", url("good"), *expect, env={})
    s.verdict("keys: a certificate that nobody vouches for", s.complaints(code, FAILED, err, ["TLS", "SSL_CERT_FILE"]))
    users = s.file("keys-users.toml", f"[[user]]\nname = 'alice'\nkey = {url('good')!r}\n")
    code, _, err = s.run("stamp", base, users, "-o", s.cache(), env=env)
    s.verdict("keys: a batch fetches none and says how", [] if code == 11 and "a batch fetches no keys" in err and "curl -fsSo" in err else [code, err])
    code, _, err = stamp("--key", url("good"), *expect, program=s.without)
    s.verdict("keys: built without fetch", s.complaints(code, USAGE, err, ["without the feature `fetch`", "--features fetch"]))
    by_terminal(s, base, url("good"), prints, {**s.environment, **env}, want)
    tunnel = Tunnel("407 Proxy Authentication Required")
    code, _, err = stamp("--key", "gh:alice", "--key", "gl:bob", *expect, env={**env, "https_proxy": f"http://127.0.0.1:{tunnel.port}"})
    s.verdict("keys: gh: asks GitHub", [] if code == FAILED and "https://github.com/alice.keys" in err and any(x.startswith("CONNECT github.com:443 ") for x in tunnel.log) else [code, err, tunnel.log])
    tunnel.listener.close()
    agent = s.path("agent")
    server = subprocess.Popen(["ssh-agent", "-D", "-a", agent], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if os.path.exists(agent):
                break
            time.sleep(0.05)
        code, _, err = stamp("--key", "agent", env={"SSH_AUTH_SOCK": agent})
        s.verdict("keys: an agent without keys", s.complaints(code, USAGE, err, ["ssh-agent has no keys", "ssh-add"]))
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "in the agent", "-f", s.path("agent-key")], check=True)
        subprocess.run(["ssh-add", "-q", s.path("agent-key")], check=True, env={**os.environ, "SSH_AUTH_SOCK": agent})
        stamp("--key", s.path("agent-key.pub"))
        want = s.digest(out)
        code, _, err = stamp("--key", "agent", env={"SSH_AUTH_SOCK": agent})
        s.verdict("keys: those of the agent are taken unasked: the same image as by file", [] if code == 0 and s.digest(out) == want else [code, err])
    finally:
        server.terminate()
        server.wait()
    code, _, err = stamp("--key", "agent", env={"SSH_AUTH_SOCK": ""})
    s.verdict("keys: no agent", s.complaints(code, USAGE, err, ["SSH_AUTH_SOCK is not set"]))
    code, _, err = stamp("--key", "agent", env={"SSH_AUTH_SOCK": s.path("nothing")})
    s.verdict("keys: an agent that is gone", s.complaints(code, FAILED, err, ["ask ssh-agent at"]))
    for mirror in (secure, stranger):
        mirror.stop()


def descriptors(s):
    """Images of a descriptor alone, whose base is at an address."""
    certificates(s)
    secure, stranger = Mirror(s.image, s.newer, context(s, "server")), Mirror(s.image, s.newer, context(s, "stranger"))
    env = {"SSL_CERT_FILE": s.path("ca.pem")}
    base, out, patches = s.file("described.iso", s.image), s.path("described-a.iso"), s.path("patches")
    users = s.file("described.toml", f"[[user]]\nname = 'a'\nkey = '{s.key}'\n")

    def url(mode, mirror=secure):
        return f"{mirror.url}/{mode}/releases/{FILE}"
    code, _, err = s.run("stamp", base, users, "--as", "patch", "--descriptor", "--base-url", url("good"), "-o", patches)
    told = json.loads(s.file_text(f"{patches}/a.remaster.descriptor.json")) if code == 0 else {}
    s.verdict("descriptor: tells the address that was given", [] if code == 0 and told["base"]["url"] == url("good") else [code, err])
    s.run(base, "--key", s.key, "-o", s.path("described-wanted.iso"))
    want = s.digest(s.path("described-wanted.iso"))

    def apply(mode, *more, mirror=secure, cache=None, env=env, seconds=60, **changed):
        where = s.file("patches/d.json", json.dumps({**told, "base": {**told["base"], "url": url(mode, mirror), **changed}}))
        if os.path.exists(out):
            os.unlink(out)
        return s.run("apply", where, "--cache", cache or s.cache(), "-o", out, *more, env=env, seconds=seconds)

    cache = s.cache()
    code, _, err = apply("good", cache=cache)
    s.verdict("descriptor: the base is fetched, and kept by its SHA-256", [] if code == 0 and s.digest(out) == want and os.listdir(cache) and f"{told['base']['sha256']}.iso" in os.listdir(cache) and "fetching" in err else [code, err, os.listdir(cache)])
    code, listed, _ = s.run("base", "list", "--json", "--cache", cache)
    s.verdict("descriptor: it stands for no base of a name", [] if code == 0 and not any(x["cached"] for x in json.loads(listed)) else [listed])
    secure.log.clear()
    code, _, err = apply("good", "--offline", cache=cache)
    s.verdict("descriptor: and not fetched again", [] if code == 0 and s.digest(out) == want and not secure.log else [code, err, secure.log])
    kept = f"{cache}/{told['base']['sha256']}.iso"
    pathlib.Path(kept).write_bytes(bytes([s.image[0] ^ 1]) + s.image[1:])
    code, _, err = apply("good", cache=cache)
    s.verdict("descriptor: what is damaged in the cache is fetched anew", [] if code == 0 and s.digest(out) == want and s.digest(kept) == told["base"]["sha256"] else [code, err])
    code, _, err = apply("cut-ranges", cache=s.cache())
    s.verdict("descriptor: what is broken off is gone on with", [] if code == 0 and s.digest(out) == want else [code, err])
    refused = [
        ("another file", DIFFERS, "newer-image", {}, [], ["has the SHA-256"]),
        ("a file that is larger", FAILED, "larger", {}, [], [f"the file has {len(s.image) + 1} bytes, more than {len(s.image)}"]),
        ("a file that is larger and does not say so", FAILED, "larger-chunked", {}, [], ["more than it said"]),
        ("a redirect to http", FAILED, "downgrade-image", {}, [], ["from https to http"]),
        ("no such file", FAILED, "image-404", {}, [], ["no such file"]),
        ("--offline", USAGE, "good", {}, ["--offline"], ["--offline forbids", "give the base before"]),
    ]
    for name, status, mode, changed, more, say in refused:
        cache = s.cache()
        code, _, err = apply(mode, *more, cache=cache, **changed)
        left = [x for x in os.listdir(cache) if x.endswith(".iso")]
        s.verdict(f"descriptor: {name}", s.complaints(code, status, err, say) + left + ["an image"] * os.path.exists(out))
    code, _, err = apply("good", mirror=stranger)
    s.verdict("descriptor: the certificate of another host", s.complaints(code, FAILED, err, ["TLS", "certificate"]))
    code, _, err = apply("good", mirror=s.mirror)
    s.verdict("descriptor: http", s.complaints(code, MALFORMED, err, ["https://"]))
    secure.log.clear()
    s.file("patches/d.json", json.dumps(told))
    taken = s.file("taken.iso", "here")
    code, _, err = s.run("apply", s.path("patches/d.json"), "--cache", s.cache(), "-o", taken, env=env)
    s.verdict("descriptor: nothing is fetched for an output that is taken", s.complaints(code, USAGE, err, ["already exists"]) + secure.log)
    code, _, err = s.run("apply", s.path("patches/d.json"), "--cache", s.cache(), "-o", out, env=env, program=s.without)
    s.verdict("descriptor: built without fetch", s.complaints(code, USAGE, err, ["without the feature `fetch`"]))
    for mirror in (secure, stranger):
        mirror.stop()


def by_terminal(s, base, url, prints, env, want):
    """On a terminal keys are confirmed, and without keys those of the home folder are proposed."""
    def typed(answer, *args, home=None):
        out = s.path("typed.iso")
        if os.path.exists(out):
            os.unlink(out)
        child, terminal = pty.fork()
        if child == 0:
            os.execve(s.remaster, [s.remaster, base, *args, "-o", out], {**env, "HOME": home or s.scratch, "TERM": "xterm"})
        seen = b""
        while True:
            try:
                part = os.read(terminal, 4096)
            except OSError:
                break
            if not part:
                break
            seen += part
            if answer and b"[y/N] " in seen:
                os.write(terminal, answer)
                answer = b""
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen.decode(), s.digest(out) if os.path.exists(out) else None
    code, seen, made = typed(b"y\n", "--key", url)
    s.verdict("keys: confirmed on a terminal", [] if code == 0 and made == want and prints in seen.split("[y/N]")[0] else [code, seen])
    for answer in (b"n\n", b"\n"):
        code, seen, made = typed(answer, "--key", url)
        s.verdict(f"keys: not confirmed by {answer}", [] if code == 130 and made is None and "not confirmed" in seen else [code, seen])
    home = s.cache()
    os.mkdir(f"{home}/.ssh")
    shutil.copy(s.key, f"{home}/.ssh/id_test.pub")
    code, seen, made = typed(b"", home=home)
    s.verdict("keys: those of ~/.ssh are proposed and not taken", [] if code == USAGE and made is None and "--key ~/.ssh/id_test.pub" in seen else [code, seen])


def proxies(s, secure, ca):
    """Proxies, as the environment names them."""
    tunnel = Tunnel()
    address = f"http://127.0.0.1:{tunnel.port}"
    for name, env, mirror in (("https_proxy", {"https_proxy": address}, secure), ("HTTPS_PROXY", {"HTTPS_PROXY": address}, secure), ("http_proxy", {"http_proxy": address}, s.mirror),
                              ("all_proxy", {"all_proxy": address}, secure), ("a password", {"https_proxy": address.replace("//", "//me:geheim@")}, secure)):
        tunnel.log.clear()
        s.gets(f"proxy: {name}", "good", *ca, mirror=mirror, env=env)
        s.verdict(f"proxy: {name} is used", [] if len(tunnel.log) >= 3 and all(x.startswith(f"CONNECT 127.0.0.1:{mirror.port} ") for x in tunnel.log) else [tunnel.log])
    for name, env, mirror in (("no_proxy", {"https_proxy": address, "no_proxy": "example.org, 127.0.0.1"}, secure), ("one of the other scheme", {"https_proxy": address}, s.mirror), ("HTTP_PROXY in capitals", {"HTTP_PROXY": address}, s.mirror)):
        tunnel.log.clear()
        s.gets(f"proxy: {name}", "good", *ca, mirror=mirror, env=env)
        s.verdict(f"proxy: not used with {name}", tunnel.log)
    refusing = Tunnel("407 Proxy Authentication Required")
    err = s.refuses("proxy: it refuses", FAILED, "good", *ca, mirror=secure, env={"https_proxy": f"http://me:geheim@127.0.0.1:{refusing.port}"}, say=[f"through the proxy 127.0.0.1:{refusing.port}", "407"])
    s.verdict("proxy: its password is not shown", ["shown"] * ("geheim" in err))
    refusing.listener.close()
    for value in ("socks5://127.0.0.1:1", "http://", "::::"):
        s.refuses(f"proxy: {value}", USAGE, "good", *ca, mirror=secure, env={"https_proxy": value}, say=["https_proxy is not an address"])


def by_name(s):
    """Stamping, writing and looking into bases by name."""
    cache = s.cache()
    custom = s.path("custom.iso")
    env = {"REMASTER_MIRROR": f"{s.mirror.url}/good", "XDG_CACHE_HOME": cache}
    where = ("--cache", f"{cache}/remaster/bases")
    code, _, err = s.run(BASE, "--key", s.key, "-o", custom, "--offline", env=env)
    s.verdict("--offline fetches nothing", s.complaints(code, USAGE, err, ["--offline", "base fetch"]) + ["an output"] * os.path.exists(custom))
    s.file("precious", "")
    code, _, err = s.run(BASE, "--key", s.key, "-o", s.path("precious"), env=env)
    s.verdict("an output in the way is told before anything is fetched", s.complaints(code, USAGE, err, ["already exists"]) + ["fetched"] * ("fetching" in err))
    code, _, err = s.run(BASE, "--key", s.key, "-o", custom, env=env)
    s.verdict("a base by name is fetched and stamped", [] if code == 0 and os.path.exists(custom) else [code, err])
    s.verdict("and says that it fetches", [] if f"fetching {BASE}" in err else [err])
    plain = s.file("plain.iso", s.image)
    s.run(plain, "--key", s.key, "-o", s.path("expected.iso"))
    expected = s.digest(s.path("expected.iso"))
    s.verdict("the same comes out as from the file", [] if s.digest(custom) == expected else ["differs"])
    env["REMASTER_MIRROR"] = "http://127.0.0.1:9"
    os.unlink(custom)
    code, _, err = s.run(BASE, "--key", s.key, "-o", custom, env=env)
    s.verdict("later it works without a network", [] if code == 0 and s.digest(custom) == expected else [code, err])
    s.verdict("and says nothing of fetching", ["says it"] * ("fetching" in err))
    stick = s.path("stick.img")
    for name, args in (("with a key", ("--key", s.key)), ("as it is", ())):
        with open(stick, "wb") as f:
            f.truncate(8 << 20)
        code, _, err = s.run("flash", BASE, *args, *where, "--file", stick)
        want = pathlib.Path(s.path("expected.iso")).read_bytes() if args else s.image
        s.verdict(f"flash by name, {name}", [] if code == 0 and pathlib.Path(stick).read_bytes()[:len(want)] == want else [code, err])
    code, out, err = s.run("verify", stick, "--against", BASE, *where)
    s.verdict("verify against a name", [] if code == 0 else [code, out, err])
    code, out, err = s.run("inspect", BASE, *where)
    s.verdict("inspect by name", [] if code == 0 and b"25.11" in out else [code, err])
    folder = s.cache()
    shutil.copy(plain, f"{folder}/{BASE}")
    code, _, err = s.run(BASE, "--key", s.key, "-o", "out.iso", "--cache", "/nonexistent", cwd=folder)
    s.verdict("a file of that name wins", [] if code == 0 else [code, err])
    code, _, err = s.run("nixos-25.11-minmal", "--key", s.key, "-o", s.path("x.iso"), env=env)
    s.verdict("a name with a slip", s.complaints(code, USAGE, err, [BASE]))
    code, _, err = s.run("nixos-25.11.iso", "--key", s.key, "-o", s.path("x.iso"), env=env)
    s.verdict("a file that is not there is no name", s.complaints(code, USAGE, err, ["there is no file nixos-25.11.iso", "`nixos-25.11-minimal`"]))
    for args in (("base", "fetch", BASE), (BASE, "--key", s.key, "-o", s.path("x.iso"))):
        code, _, err = s.run(*args, program=s.without, env={"XDG_CACHE_HOME": s.cache()})
        s.verdict(f"built without fetch: {args[0]}", s.complaints(code, USAGE, err, ["without the feature `fetch`", "--features fetch"]))
    os.unlink(custom)
    code, _, err = s.run(BASE, "--key", s.key, "-o", custom, program=s.without, env=env)
    s.verdict("built without fetch: the cache works", [] if code == 0 and s.digest(custom) == expected else [code, err])


def packed(s):
    """Bases that are packed, whatever they are called."""
    plain = s.file("base.iso", s.image)
    s.run(plain, "--key", s.key, "-o", s.path("want.iso"))
    want = pathlib.Path(s.path("want.iso")).read_bytes()
    for name, how in (("zst", "zstd -qc"), ("xz", "xz -0c"), ("gz", "gzip -1c"), ("bz2", "bzip2 -1c")):
        folder = s.cache()
        file = f"{folder}/base.{name}.whatever"
        subprocess.run(f"{how} < {plain} > {file}", shell=True, check=True)
        code, _, err = s.run(file, "--key", s.key, "-o", f"{folder}/custom.iso")
        s.verdict(f"{name}: stamped", [] if code == 0 and pathlib.Path(f"{folder}/custom.iso").read_bytes() == want else [code, err])
        code, out, err = s.run(file, "--key", s.key, "-o", "-")
        s.verdict(f"{name}: to a pipe", [] if code == 0 and out == want else [code, err])
        code, out, err = s.run("inspect", "--json", file)
        s.verdict(f"{name}: inspected", [] if code == 0 and json.loads(out)["size"] == len(s.image) else [code, err])
        stick = f"{folder}/stick"
        with open(stick, "wb") as f:
            f.truncate(8 << 20)
        code, _, err = s.run("flash", file, "--key", s.key, "--file", stick)
        s.verdict(f"{name}: flashed with a key", [] if code == 0 and pathlib.Path(stick).read_bytes()[:len(want)] == want else [code, err])
        shutil.copy(file, f"{folder}/copy")
        with open(f"{folder}/copy", "wb") as f:
            subprocess.run(f"{how} {folder}/custom.iso", shell=True, check=True, stdout=f)
        code, out, err = s.run("verify", stick, "--against", f"{folder}/copy")
        s.verdict(f"{name}: verified against", [] if code == 0 else [code, out, err])
        with open(stick, "r+b") as f:
            f.seek(300_000)
            f.write(b"another")
        code, out, err = s.run("verify", stick, "--against", f"{folder}/copy")
        s.verdict(f"{name}: a difference is seen", [] if code == DIFFERS else [code, out, err])
        before = s.digest(file)
        code, _, err = s.run(file, "--key", s.key, "-o", file, "--force")
        s.verdict(f"{name}: it is never the output", s.complaints(code, USAGE, err, ["name the same file"]) + ["changed"] * (s.digest(file) != before))
        os.truncate(file, os.stat(file).st_size * 2 // 3)
        code, _, err = s.run(file, "--key", s.key, "-o", f"{folder}/custom.iso")
        s.verdict(f"{name}: an output in the way is told before it is unpacked", s.complaints(code, USAGE, err, ["already exists"]))
        code, _, err = s.run(file, "--key", s.key, "-o", f"{folder}/broken.iso")
        s.verdict(f"{name}: cut", s.complaints(code, MALFORMED, err, ["unpacked"]))
        left = sorted(os.listdir(folder))
        s.verdict(f"{name}: nothing is left behind", [] if left == ["base." + name + ".whatever", "copy", "custom.iso", "stick"] else [left])
    code, _, err = s.run("inspect", s.path("base.iso.gz"), env={"TMPDIR": s.path("nothing")})
    subprocess.run(f"gzip -1c < {plain} > {s.path('base.gz')}", shell=True, check=True)
    code, _, err = s.run("inspect", s.path("base.gz"), env={"TMPDIR": s.path("nothing")})
    s.verdict("TMPDIR that is not there", s.complaints(code, FAILED, err, ["unpack .*nothing"]))


def official(s):
    """The script that checks every official image: by servers that have one, that lie, and that are not there."""
    def run(mirror):
        table = pathlib.Path(tempfile.mkdtemp(dir=s.scratch), "table.md")
        done = subprocess.run([here.parent / "official/run", s.remaster, table, "--only", BASE, "--no-boot"], env={**s.environment, "REMASTER_MIRROR": mirror}, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines(), table.read_text()
    code, said, table = run(f"{s.mirror.url}/good")
    s.check("official images: all steps pass", code == 0 and said[-1] == "8 passed, 0 failed, 0 not run", [code, said])
    s.check("official images: a row for each", table.count("| passed | passed | passed | passed | not run |") == 2, table)
    code, said, table = run(f"{s.mirror.url}/hash-wrong")
    s.check("official images: a server that lies is a failure, with its cause", code == 1 and " 2 failed, " in said[-1] and "| FAILED | not run |" in table and "fetch: error: " in table, [code, said])
    code, said, table = run("http://127.0.0.1:1")
    s.check("official images: without a network nothing counts as passed", code == 77 and said[0].startswith("not run: ") and said[-1] == "0 passed, 0 failed, 8 not run", [code, said])
    s.check("official images: and the table says so", "passed" not in table and table.count("| not run |") == 2 * 3, table)
    weekly = (here.parents[1] / ".github/workflows/weekly.yml").read_text()
    catalogue = tomllib.loads((here.parents[1] / "base-images/catalog.toml").read_text())
    names = ", ".join(channel["name"] for channel in catalogue["channel"])
    s.check("each week every channel of the catalogue is checked", f"channel: [{names}]" in weekly, names)


def main():
    remaster, without = map(os.path.abspath, sys.argv[1:3])
    with tempfile.TemporaryDirectory(prefix="remaster-fetch-", dir=os.environ.get("TMPDIR", "/var/tmp")) as scratch:
        s = Suite(remaster, without, scratch)
        try:
            for part in (sound, wrong_answers, broken_off, room, tls, keys, descriptors, by_name, packed, official):
                part(s)
        finally:
            with contextlib.suppress(OSError):
                s.mirror.stop()
    return s.end()


if __name__ == "__main__":
    sys.exit(main())
