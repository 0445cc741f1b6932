#!/usr/bin/env python3
"""The action and the workflow of docs/how-to/ci.md: valid by GitHub's schemas, and run as a runner would. Usage: tests/action.py REMASTER.

A runner that is made up here evaluates the inputs, writes each step's script to a file and calls bash as GitHub's does. The last
line is `N passed, N failed`."""
import hashlib, json, os, pathlib, re, shutil, subprocess, sys, tempfile

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent
sys.path.insert(0, str(HERE))
from checks import ED25519, Checks  # noqa: E402

REMASTER = os.path.realpath(sys.argv[1])
ACTION = TOP / ".github/actions/remaster/action.yml"
USERS = 12
CARGO = """#!/bin/bash
# Stands for cargo, which would take minutes: it installs what was built already, where cargo would.
[ "$1 $2 $3" = "install --locked --path" ] && grep -q '^name = "remaster"' "$4/Cargo.toml" || exit 1
mkdir -p "${CARGO_HOME:-$HOME/.cargo}/bin" && cp "$BUILT" "${CARGO_HOME:-$HOME/.cargo}/bin/remaster" && echo installed >> "$HOME/installs"
"""

CURL = """#!/bin/bash
# Stands for curl: the server has what is in a folder.
echo "${@: -1}" >> "$HOME/asked"
cp "$RELEASES/$(basename "${@: -1}")" "$3"
"""


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)


def workflow():
    """The workflow of the book, with a head."""
    text = (TOP / "docs/how-to/ci.md").read_text()
    block = text.split("\n```yaml\n", 1)[1].split("\n```", 1)[0]
    return "on: push\n" + block + "\n"


def evaluated(text, known):
    """The text with its expressions evaluated, which are names here."""
    return re.sub(r"\$\{\{\s*([\w.-]+)\s*\}\}", lambda found: str(known[found[1]]), str(text))


class Runner:
    """Runs composite actions."""

    def __init__(self, folder, path, repository=""):
        self.folder, self.path, self.repository = folder, path, repository
        self.temp, self.home = folder / "temp", folder / "home"
        for place in (self.temp, self.home):
            place.mkdir(exist_ok=True)

    def use(self, action, given):
        """The outcome of the last step, and the outputs."""
        inputs = {name: given.get(name, about.get("default", "")) for name, about in action["inputs"].items()}
        known = {f"inputs.{name}": value for name, value in inputs.items()}
        known |= {"github.action_repository": self.repository, "github.action_ref": "v1" if self.repository else "", "github.server_url": "https://server",
                  "github.workflow_ref": "own/stamps/.github/workflows/stamp.yml@refs/heads/main"}
        known |= {f"steps.stamp.outputs.{name}": "" for name in action["outputs"]}
        for number, step in enumerate(step for step in action["runs"]["steps"] if "run" in step):
            script, output = self.temp / f"{number}.sh", self.temp / f"{number}.out"
            script.write_text(evaluated(step["run"], known))
            output.write_text("")
            env = {"PATH": self.path, "HOME": str(self.home), "RUNNER_TEMP": str(self.temp), "GITHUB_ACTION_PATH": str(ACTION.parent),
                   "GITHUB_OUTPUT": str(output), "CI": "true", "BUILT": REMASTER, "RELEASES": str(self.folder / "releases"), **{name: evaluated(text, known) for name, text in step.get("env", {}).items()}}
            ended = run("bash", "--noprofile", "--norc", "-eo", "pipefail", script, cwd=self.folder, env=env)
            for line in output.read_text().splitlines():
                name, value = line.split("=", 1)
                known[f"steps.{step['id']}.outputs.{name}"] = value
            if ended.returncode:
                break
        return ended, {name: evaluated(about["value"], known) for name, about in action["outputs"].items()}


def made(outputs):
    return [json.loads(line) for line in pathlib.Path(outputs["made"]).read_text().splitlines()]


def schemas(c, tools, folder):
    (folder / "workflow.yml").write_text(workflow())
    own = sorted((TOP / ".github/workflows").glob("*.yml"))
    c.check("there are workflows", len(own) == 3, own)
    for schema, path in [("github-actions", ACTION), *(("github-workflows", path) for path in [folder / "workflow.yml", *own])]:
        found = run(tools / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", path)
        c.check(f"{path.name} is valid by the schema {schema}", found.returncode == 0, found.stdout + found.stderr)
    (folder / "broken.yml").write_text(ACTION.read_text().replace("using: composite", "using: composit"))
    found = run(tools / "check-jsonschema", "--builtin-schema", "vendor.github-actions", folder / "broken.yml")
    c.check("a broken one is not", found.returncode != 0)


def parsed(tools, text):
    code = "import json, sys, yaml; print(json.dumps(yaml.load(sys.stdin.read(), yaml.BaseLoader)))"
    return json.loads(run(tools / "python", "-c", code, input=text, check=True).stdout)


def readme(c, folder, action, jobs, path):
    """Runs the book's jobs, each shard in a folder of its own as runners have it."""
    first, job = jobs["jobs"]["base"], jobs["jobs"]["stamp"]
    [step] = [step for step in first["steps"] if step["uses"].endswith("/.github/actions/remaster")]
    ended, outputs = Runner(folder, path).use(action, {**step["with"], "base": "base.iso"})
    sha256 = hashlib.sha256((folder / "base.iso").read_bytes()).hexdigest()
    c.check("the first job tells the base", ended.returncode == 0 and outputs["sha256"] == sha256, ended.stderr)
    [step] = [step for step in job["steps"] if step.get("uses", "").endswith("/.github/actions/remaster")]
    last = job["steps"][-1]
    c.check("files are uploaded before the job fails", last.get("run") == "exit 1" and "upload" in job["steps"][-2]["uses"], last)
    c.check("the book gives the inputs there are", set(step["with"]) <= set(action["inputs"]), step["with"])
    needed = {name for name, about in action["inputs"].items() if about.get("required") == "true"}
    c.check("and all that are needed", needed <= set(step["with"]), step["with"])
    names, files = [], []
    for shard in job["strategy"]["matrix"]["shard"]:
        own = folder / f"job-{shard.replace('/', '-')}"
        own.mkdir()
        for name in ("base.iso", "users.toml"):
            shutil.copy(folder / name, own)
        given = {name: evaluated(text, {"matrix.shard": shard, "needs.base.outputs.sha256": sha256}) for name, text in step["with"].items()}
        # No base can be fetched here.
        ended, outputs = Runner(own, path).use(action, {**given, "base": "base.iso"})
        c.check(f"shard {shard} runs", ended.returncode == 0, ended.stderr)
        names += [line["name"] for line in made(outputs)]
        uploads = [step["with"]["path"] for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
        files += [path.name for place in uploads for path in (own / place).iterdir()]
    c.check("the shards make each user's file once", sorted(names) == sorted(f"user {n}" for n in range(USERS)), names)
    c.check("and the files are where they are uploaded from", sorted(files) == sorted(f"user {n}.remaster" for n in range(USERS)), files)


def direct(c, folder, action, path):
    runner = Runner(folder, path)
    given = {"base": "base.iso", "users": "users.toml"}
    (folder / "abc").write_text("what a*c would become")
    ended, outputs = runner.use(action, {**given, "as": "image", "output": "my images", "arguments": "--hostname a*c --no-image-sha256"})
    c.check("arguments are parted and not expanded", outputs["outcome"] == "partial" and "a*c" in ended.stderr, ended.stderr)
    ended, outputs = runner.use(action, {**given, "as": "image", "output": "my images", "arguments": "--hostname abc --no-image-sha256"})
    lines = made(outputs)
    right = all((folder / line["path"]).stat().st_size == line["size"] for line in lines)
    c.check("images are where the output says", ended.returncode == 0 and len(lines) == USERS and right, ended.stderr)
    ended, outputs = runner.use(action, {**given, "as": "image", "output": "my images", "arguments": "--hostname abc --no-image-sha256"})
    c.check("again, all are kept", all(line["kept"] for line in made(outputs)), ended.stderr)
    ended, _ = runner.use(action, {**given, "output": "proved", "arguments": "--provenance"})
    said = json.loads((folder / "proved/user 0.remaster.provenance.json").read_text())["predicate"]["runDetails"]["builder"]["id"]
    c.check("provenance names the workflow", said == "https://server/own/stamps/.github/workflows/stamp.yml@refs/heads/main", [said, ended.stderr])
    (folder / "bad.toml").write_text(f"[[user]]\nname = 'x'\nkey = 'nobody.pub'\n[[user]]\nname = 'y'\nkey = '{ED25519.strip()}'\n")
    ended, outputs = runner.use(action, {**given, "users": "bad.toml", "output": "bad"})
    lines = {line["name"]: line for line in made(outputs)}
    kept = [path.name for path in (folder / "bad").iterdir()]
    c.check("where a user fails, the others' files are kept", ended.returncode == 0 and outputs["outcome"] == "partial" and kept == ["y.remaster"], [ended.stderr, kept])
    c.check("and who failed is told", "error" in lines["x"] and "::error::" in ended.stdout, [lines, ended.stdout])
    c.check("the base of the batch is told", outputs["sha256"] == hashlib.sha256((folder / "base.iso").read_bytes()).hexdigest(), outputs)
    for users in ({}, {"users": ""}):
        ended, outputs = runner.use(action, {**given, **users, "sha256": "0" * 64})
        c.check(f"another base is refused {users}", ended.returncode == 3, [ended.returncode, ended.stderr])


def released(c, folder, action):
    """In another repository, the program that was released is taken, if it is whole."""
    (folder / "releases").mkdir()
    name = f"remaster-{os.uname().machine}-linux"
    program = pathlib.Path(REMASTER).read_bytes()
    (folder / "releases" / name).write_bytes(program)
    (folder / "bin/curl").write_text(CURL)
    (folder / "bin/curl").chmod(0o755)
    (folder / "home/installs").unlink()
    for digest, installs in ((hashlib.sha256(program).hexdigest(), 0), ("0" * 64, 1)):
        (folder / "releases" / f"{name}.sha256").write_text(f"{digest}  {name}\n")
        shutil.rmtree(folder / "home/.cargo", ignore_errors=True)
        shutil.rmtree(folder / "temp/remaster", ignore_errors=True)
        runner = Runner(folder, f"{folder}/bin:/usr/bin:/bin", "owner/repository")
        ended, outputs = runner.use(action, {"base": "base.iso", "users": "users.toml", "output": f"released-{installs}"})
        asked = (folder / "home/asked").read_text().splitlines()[0]
        found = len((folder / "home/installs").read_text().splitlines()) if (folder / "home/installs").exists() else 0
        right = ended.returncode == 0 and outputs["outcome"] == "success" and found == installs
        c.check(f"a released program is taken if it is whole, else compiled ({installs})", right, [found, ended.stderr])
        c.check("it is that of the tag", asked == f"https://server/owner/repository/releases/download/v1/{name}", asked)


def main():
    c = Checks()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        run(sys.executable, "-m", "venv", folder / "tools", check=True)
        tools = folder / "tools/bin"
        installed = run(tools / "pip", "install", "-q", "check-jsonschema", "pyyaml")
        if not c.check("the validator installs", installed.returncode == 0, installed.stderr):
            return c.end()
        run("zstd", "-dq", HERE / "tiny/tiny.iso.zst", "-o", folder / "base.iso", check=True)
        (folder / "users.toml").write_text("".join(f"[[user]]\nname = 'user {n}'\nkey = '{ED25519.strip()}'\n" for n in range(USERS)))
        schemas(c, tools, folder)
        action, jobs = parsed(tools, ACTION.read_text()), parsed(tools, workflow())
        (folder / "bin").mkdir()
        (folder / "bin/cargo").write_text(CARGO)
        (folder / "bin/cargo").chmod(0o755)
        path = f"{folder}/bin:/usr/bin:/bin"
        readme(c, folder, action, jobs, path)
        direct(c, folder, action, path)
        installs = (folder / "home/installs").read_text()
        c.check("the program is installed once", installs == "installed\n", installs)
        released(c, folder, action)
    return c.end()


if __name__ == "__main__":
    sys.exit(main())
