#!/usr/bin/env python3
"""Batches and records, looked at by other programs: ssh-keygen, ssh-agent, skopeo, validators of CycloneDX and in-toto;
and killed at 80 points, or at 200 with REMASTER_TEST_ALL. Usage: tests/batch.py REMASTER. The last line is `N passed, N failed`."""
import base64, hashlib, json, os, pathlib, pty, shutil, signal, subprocess, sys, tempfile, termios, time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from checks import Checks, fast_folder

REMASTER = os.path.realpath(sys.argv[1])
NAMESPACE = "manifest@remaster"
USERS = 48
KILLS = 200 if os.environ.get("REMASTER_TEST_ALL") else 80


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def keygen(path, kind, passphrase="", *more):
    run("ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", path, *more, check=True)
    return path


def stamp(folder, signer, name, **options):
    return run(REMASTER, "base.iso", "--key", "user.pub", "--manifest-digests", "--sign", signer, "--manifest", f"{name}.json",
               "-o", f"{name}.iso", cwd=folder, **options)


def holds(folder, name, key):
    """Whether ssh-keygen finds the signature beside the image good, and we the one in it."""
    (folder / "allowed").write_text(f"me {pathlib.Path(f'{key}.pub').read_text()}")
    with open(folder / f"{name}.json") as message:
        theirs = run("ssh-keygen", "-Y", "verify", "-f", folder / "allowed", "-I", "me", "-n", NAMESPACE, "-s",
                     folder / f"{name}.json.sig", stdin=message)
    ours = run(REMASTER, "verify", f"{name}.iso", "--allowed-signers", "allowed", cwd=folder)
    return theirs, ours


def signatures(c, folder):
    for kind, more in [("ed25519", ()), ("ecdsa", ("-b", "256")), ("ecdsa", ("-b", "384"))]:
        name = f"{kind}{''.join(more[1:])}"
        key = keygen(folder / name, kind, "", *more)
        made = stamp(folder, key, name)
        theirs, ours = holds(folder, name, key)
        c.check(f"{name}: ssh-keygen accepts our signature", theirs.returncode == 0, made.stderr + theirs.stdout + theirs.stderr)
        c.check(f"{name}: so do we", ours.returncode == 0 and "signed by me" in ours.stdout, ours.stderr)

    key = folder / "ed25519"
    (folder / "allowed").write_text(f"me {pathlib.Path(f'{key}.pub').read_text()}")
    for namespace, right in [(NAMESPACE, True), ("file", False)]:
        run(REMASTER, "base.iso", "--key", "user.pub", "--manifest-digests", "--manifest", "t.json", "-f", "-o", "t.iso", cwd=folder)
        (folder / "t.json.sig").unlink(missing_ok=True)
        run("ssh-keygen", "-Y", "sign", "-f", key, "-n", namespace, "t.json", cwd=folder, check=True)
        ours = run(REMASTER, "verify", "t.iso", "--manifest", "t.json", "--allowed-signers", "allowed", cwd=folder)
        c.check(f"a signature by ssh-keygen for {namespace} is {'good' if right else 'refused'}", (ours.returncode == 0) == right, ours.stderr)


def sshsig(folder, message, algorithm, digest):
    """A signature as OpenSSH's PROTOCOL.sshsig has it, by openssl: ssh-keygen makes none of rsa-sha2-256."""
    def string(data):
        return len(data).to_bytes(4, "big") + data
    what = [NAMESPACE.encode(), b"", b"sha512"]
    signed = b"SSHSIG" + b"".join(map(string, [*what, hashlib.sha512(message).digest()]))
    (folder / "signed").write_bytes(signed)
    run("openssl", "dgst", f"-{digest}", "-sign", "rsa.pem", "-out", "raw", "signed", cwd=folder, check=True)
    key = base64.b64decode((folder / "rsa.pub").read_text().split()[1])
    signature = string(algorithm.encode()) + string((folder / "raw").read_bytes())
    blob = b"SSHSIG" + (1).to_bytes(4, "big") + b"".join(map(string, [key, *what, signature]))
    text = base64.encodebytes(blob).decode().replace("\n", "")
    lines = [text[at:at + 70] for at in range(0, len(text), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def rsa(c, folder):
    """ssh-keygen signs with RSA, and openssl with the older digest; others' signatures are refused."""
    key = keygen(folder / "rsa", "rsa", "", "-b", "3072")
    shutil.copy(key, folder / "rsa.pem")
    run("ssh-keygen", "-q", "-p", "-N", "", "-m", "PEM", "-f", folder / "rsa.pem", check=True)
    run(REMASTER, "base.iso", "--key", "user.pub", "--manifest-digests", "--manifest", "rsa.json", "-o", "rsa.iso", cwd=folder, check=True)
    run("ssh-keygen", "-Y", "sign", "-f", key, "-n", NAMESPACE, "rsa.json", cwd=folder, check=True)
    signatures = {"rsa-sha2-512 by ssh-keygen": (folder / "rsa.json.sig").read_text()}
    message = (folder / "rsa.json").read_bytes()
    for algorithm, digest in [("rsa-sha2-256", "sha256"), ("rsa-sha2-512", "sha512"), ("rsa-sha2-256", "sha512"), ("ssh-rsa", "sha1")]:
        signatures[f"{algorithm} over {digest}"] = sshsig(folder, message, algorithm, digest)
    signatures["rsa-sha2-512 of another message"] = sshsig(folder, message + b"x", "rsa-sha2-512", "sha512")
    for name, signature in signatures.items():
        (folder / "rsa.json.sig").write_text(signature)
        theirs, _ = holds(folder, "rsa", key)
        ours = run(REMASTER, "verify", "rsa.iso", "--manifest", "rsa.json", "--allowed-signers", "allowed", cwd=folder)
        good = name.endswith("by ssh-keygen") or name in ("rsa-sha2-256 over sha256", "rsa-sha2-512 over sha512")
        c.check(f"{name}: ssh-keygen and we say {'good' if good else 'bad'}", (theirs.returncode == 0) == good and ours.returncode == (0 if good else 3),
                theirs.stderr + ours.stderr)


def agent(c, folder):
    started = run("ssh-agent", "-s").stdout
    socket = started.split("SSH_AUTH_SOCK=")[1].split(";")[0]
    pid = int(started.split("SSH_AGENT_PID=")[1].split(";")[0])
    environment = {**os.environ, "SSH_AUTH_SOCK": socket}
    try:
        for kind in ["ed25519", "rsa"]:
            key = keygen(folder / f"agent-{kind}", kind)
            refused = stamp(folder, f"{key}.pub", f"agent-{kind}", env=environment)
            c.check(f"{kind}: a key that the agent has not is told", "ssh-agent did not sign" in refused.stderr, refused.stderr)
            run("ssh-add", "-q", key, env=environment, check=True)
            key.unlink()
            made = stamp(folder, f"{key}.pub", f"agent-{kind}", env=environment)
            theirs, ours = holds(folder, f"agent-{kind}", key)
            c.check(f"{kind}: ssh-keygen accepts what the agent signed", theirs.returncode == 0, made.stderr + theirs.stderr)
            c.check(f"{kind}: so do we", ours.returncode == 0 and "signed by me" in ours.stdout, ours.stderr)
        key = keygen(folder / "agent-ecdsa", "ecdsa")
        run("ssh-add", "-q", key, env=environment, check=True)
        command = [REMASTER, "stamp", "base.iso", "users.jsonl", "-q", "--sign", f"{key}.pub", "--manifest", "--host-key", "generate", "-o", "random"]
        made = run(*command, cwd=folder, env=environment)
        before = {path.name: sha256(path) for path in (folder / "random").iterdir()}
        again = run(*command, "--resume", "--json", "--no-image-sha256", cwd=folder, env=environment)
        kept = [json.loads(line)["kept"] for line in again.stdout.splitlines()]
        after = {path.name: sha256(path) for path in (folder / "random").iterdir()}
        c.check("--resume keeps images with signatures and host keys by chance, and what is beside them",
                again.returncode == 0 and kept == [True] * USERS and before == after and len(before) == 4 * USERS, made.stderr + again.stderr)
    finally:
        os.kill(pid, signal.SIGTERM)


def typed(command, words, folder):
    """Runs a command on a terminal and types words; what it said, and its status."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execv(command[0], command)
    said = b""
    try:
        while chunk := os.read(terminal, 4096):
            said += chunk
            if b"passphrase" in said and words:
                # The prompt comes a moment before the terminal stops showing what is typed.
                while termios.tcgetattr(terminal)[3] & termios.ECHO:
                    time.sleep(0.01)
                os.write(terminal, words + b"\n")
                words = b""
    except OSError:
        pass
    return said.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def passphrases(c, folder):
    key = keygen(folder / "locked", "ed25519", "secret words")
    command = [REMASTER, "base.iso", "--key", "user.pub", "--manifest-digests", "--sign", str(key), "--manifest", "locked.json", "-o", "locked.iso"]
    said, status = typed(command, b"wrong", folder)
    c.check("a wrong passphrase is told", status == 2 and "passphrase is wrong" in said and "wrong\r" not in said.split("error")[0][12:], said)
    said, status = typed(command, b"secret words", folder)
    theirs, ours = holds(folder, "locked", key)
    c.check("an encrypted key signs, and its passphrase is not shown", status == 0 and "secret" not in said, said)
    c.check("ssh-keygen accepts it", theirs.returncode == 0 and ours.returncode == 0, theirs.stderr + ours.stderr)


VALIDATE = """
import json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1 import statement_pb2
fault = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read())
assert fault is None, fault
said = json.load(open(sys.argv[2]))
statement = Statement([], "", {})
statement.pb.CopyFrom(json_format.ParseDict(said, statement_pb2.Statement()))
statement.validate()
json_format.ParseDict(said["predicate"], provenance_pb2.Provenance())
"""


ENVELOPE = """
import json, sys
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
def said():
    return json.load(open(sys.argv[1]))
public = load_ssh_public_key(open(sys.argv[2]).read().encode())
key = SSlibKey.from_crypto(public, keyid=sys.argv[3], scheme=sys.argv[4])
envelope = Envelope.from_dict(said())
assert list(envelope.verify([key], 1)) == [sys.argv[3]]
envelope.payload = envelope.payload.replace(b"slsa.dev", b"slsa.dex")
try:
    envelope.verify([key], 1)
except VerificationError:
    pass
else:
    raise SystemExit("another statement is verified")
open(sys.argv[5], "wb").write(Envelope.from_dict(said()).payload)
assert said()["payloadType"] == "application/vnd.in-toto+json"
"""


def envelopes(c, folder, tools):
    """Signed provenance, as a verifier of DSSE takes it: by keys in files, and by those of ssh-agent."""
    started = run("ssh-agent", "-s").stdout
    socket = started.split("SSH_AUTH_SOCK=")[1].split(";")[0]
    environment = {**os.environ, "SSH_AUTH_SOCK": socket, "SOURCE_DATE_EPOCH": "951868799"}
    kinds = [("ed25519", (), "ed25519"), ("ecdsa", ("-b", "256"), "ecdsa-sha2-nistp256"), ("ecdsa", ("-b", "384"), "ecdsa-sha2-nistp384"),
             ("rsa", ("-b", "3072"), "rsa-pkcs1v15-sha512")]
    try:
        for kind, more, scheme in kinds:
            key = keygen(folder / f"dsse-{scheme}", kind, "", *more)
            print_of = run("ssh-keygen", "-lf", f"{key}.pub").stdout.split()[1]
            run("ssh-add", "-q", key, env=environment, check=True)
            for signer in [f"{key}.pub"] + [key] * (kind != "rsa"):
                made = run(REMASTER, "base.iso", "--key", "user.pub", "-f", "-o", "s.iso", "--sign", signer, "--provenance", "s.dsse", cwd=folder, env=environment)
                found = run(tools / "bin/python", "-c", ENVELOPE, "s.dsse", f"{key}.pub", print_of, scheme, "s.prov", cwd=folder)
                c.check(f"{scheme}: securesystemslib verifies what {signer.name if signer == key else 'ssh-agent'} signed", found.returncode == 0, made.stderr + found.stderr)
        said = json.loads((folder / "s.prov").read_text())
        c.check("the statement in it is that of this image", said["subject"] == [{"name": "s.iso", "digest": {"sha256": sha256(folder / "s.iso")}}], said)
        found = run(tools / "bin/python", "-c", VALIDATE, "r.sbom", "s.prov", cwd=folder)
        c.check("and valid", found.returncode == 0, found.stderr)
    finally:
        os.kill(int(started.split("SSH_AGENT_PID=")[1].split(";")[0]), signal.SIGTERM)


def records(c, folder):
    made = run(REMASTER, "base.iso", "--key", "user.pub", "-f", "-o", "r.iso", "--sbom", "r.sbom", "--provenance", "r.prov", cwd=folder,
               env={**os.environ, "SOURCE_DATE_EPOCH": "951868799"})
    subject = json.loads((folder / "r.prov").read_text())["subject"][0]
    c.check("provenance names the image by its digest", subject == {"name": "r.iso", "digest": {"sha256": sha256(folder / "r.iso")}}, made.stderr)
    tools = folder / "tools"
    run(sys.executable, "-m", "venv", tools, check=True)
    installed = run(tools / "bin/pip", "install", "-q", "cyclonedx-python-lib[json-validation]", "in-toto-attestation",
                    "securesystemslib[crypto]")
    if c.check("validators install", installed.returncode == 0, installed.stderr):
        found = run(tools / "bin/python", "-c", VALIDATE, "r.sbom", "r.prov", cwd=folder)
        c.check("SBOM and provenance are valid", found.returncode == 0, found.stderr)
        envelopes(c, folder, tools)


def users_of(folder):
    """A users file, and what each of its images must be."""
    key = (folder / "user.pub").read_text().split()
    lines = [{"name": f"u{number}", "key": f"{key[0]} {key[1]} user {number}"} for number in range(USERS)]
    (folder / "users.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def oci(c, folder):
    made = run(REMASTER, "stamp", "base.iso", "users.jsonl", "--as", "oci", "-o", "layout", "-q", cwd=folder)
    c.check("a layout is made", made.returncode == 0, made.stderr)
    shown = run("skopeo", "inspect", "oci:layout:u7", cwd=folder)
    layers = json.loads(shown.stdout)["Layers"] if shown.returncode == 0 else []
    c.check("skopeo sees base and patch", layers[:1] == [f"sha256:{sha256(folder / 'base.iso')}"] and len(layers) == 2, shown.stderr)
    for name in ["u7", "u8"]:
        copied = run("skopeo", "copy", f"oci:layout:{name}", f"oci:copy:{name}", cwd=folder)
        c.check(f"skopeo copies {name}", copied.returncode == 0, copied.stderr)
    run(REMASTER, "stamp", "base.iso", "users.jsonl", "-o", "images", "-q", cwd=folder, check=True)
    for layout in ["layout", "copy"]:
        applied = run(REMASTER, "apply", layout, "--name", "u8", "-o", f"{layout}.iso", cwd=folder)
        right = applied.returncode == 0 and sha256(folder / f"{layout}.iso") == sha256(folder / "images/u8.iso")
        c.check(f"apply makes the image from the {layout}", right, applied.stderr)
    missing = run(REMASTER, "apply", "layout", "--name", "nobody", "-o", "x.iso", cwd=folder)
    c.check("an image that is not there is told", missing.returncode == 2 and "has no image" in missing.stderr, missing.stderr)
    blobs = list((folder / "copy/blobs/sha256").iterdir())
    c.check("the copy has the base once", sum(blob.stat().st_size >= 1 << 20 for blob in blobs) == 1, blobs)
    c.check("all blobs are what their names say", all(blob.name == sha256(blob) for blob in blobs))


def faults_of(out, form, whole):
    """What is wrong under final names."""
    faults = []
    if form == "oci":
        blobs = out / "blobs/sha256"
        found = [path for path in blobs.iterdir() if not path.name.startswith(".")] if blobs.is_dir() else []
        faults += [path for path in found if path.name != sha256(path)]
        if (out / "index.json").exists():
            listed = json.loads((out / "index.json").read_text())["manifests"]
            faults += [entry for entry in listed if not (blobs / entry["digest"].split(":")[1]).exists()]
        return faults, len(found)
    found = [path for path in out.iterdir() if not path.name.startswith(".")] if out.is_dir() else []
    faults += [path for path in found if sha256(path) != whole.get(path.name)]
    return faults, len(found)


def kill_at(command, folder, out, seconds, files):
    """Starts a batch, and kills it after seconds, and not before it has named this many files."""
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    end = time.monotonic() + seconds
    watched = out / "blobs/sha256" if "oci" in command else out
    while process.poll() is None:
        try:
            named = sum(not name.startswith(".") for name in os.listdir(watched)) if files else 0
        except FileNotFoundError:
            named = -1
        if named >= files and time.monotonic() >= end:
            break
    process.kill()
    process.wait()


def kills(c, folder):
    suffix = {"image": ".iso", "patch": ".remaster"}
    for form, count in [("image", KILLS // 4), ("patch", KILLS // 2), ("oci", KILLS // 4)]:
        command = [REMASTER, "stamp", "base.iso", "users.jsonl", "--as", form, "-q", "-j", "1", "-o"]
        start = time.monotonic()
        run(*command, f"whole-{form}", cwd=folder, check=True)
        took = time.monotonic() - start
        whole = {path.name: sha256(path) for path in (folder / f"whole-{form}").glob(f"*{suffix.get(form, 'none')}")}
        bad, some, resumed = [], 0, []
        for number in range(count):
            out = folder / "killed"
            shutil.rmtree(out, ignore_errors=True)
            if number % 2:
                kill_at([*command, "killed"], folder, out, took * number / count, 0)
            else:
                kill_at([*command, "killed"], folder, out, 0, 1 + number * (USERS - 1) // count)
            faults, found = faults_of(out, form, whole)
            bad += faults
            some += 0 < found < (USERS if form != "oci" else 3 * USERS)
            if number % 5 == 0:
                again = run(*command, "killed", "--resume", cwd=folder)
                faults, found = faults_of(out, form, whole)
                if again.returncode or faults or (form != "oci" and found != USERS):
                    resumed.append((number, again.stderr, faults))
        print(f"      {form}: {took:.2f} s alone; {some} of {count} kills left a part")
        c.check(f"{form}: killed at {count} points, only whole files have names", not bad, bad)
        c.check(f"{form}: some kills left a part", some > count // 10, some)
        c.check(f"{form}: --resume finishes what was killed", not resumed, resumed)


def interrupts(c, folder):
    command = [REMASTER, "stamp", "base.iso", "users.jsonl", "-q", "-j", "1", "-o", "stopped"]
    process = subprocess.Popen(["env", "--default-signal=INT", *command], cwd=folder, stderr=subprocess.PIPE, text=True)
    while not (folder / "stopped").exists() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    c.check("Ctrl-C ends a batch", process.returncode in (130, 0), said)
    again = run(*command, "--resume", "--json", "--no-image-sha256", cwd=folder)
    c.check("--resume makes the rest", len(again.stdout.splitlines()) == USERS and again.returncode == 0, again.stderr)


def main():
    c = Checks()
    with tempfile.TemporaryDirectory(dir=fast_folder(1 << 30)) as name:
        folder = pathlib.Path(name)
        run("zstd", "-dq", HERE / "tiny/tiny.iso.zst", "-o", folder / "base.iso", check=True)
        keygen(folder / "user", "ed25519")
        users_of(folder)
        for part in [signatures, rsa, agent, passphrases, records, oci, interrupts, kills]:
            part(c, folder)
    return c.end()


if __name__ == "__main__":
    sys.exit(main())
