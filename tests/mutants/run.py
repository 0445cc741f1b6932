#!/usr/bin/env python3
"""Puts small faults into the source, all of them into one build, each behind a switch, and counts those that the faster tests miss.

Usage: run.py WORK_FOLDER [FILE...]. With FILEs (`src/formats/`, `src/flash/delta.rs`), only faults in these are tried. `--help` has how many
are chosen. WORK_FOLDER/result gets a line for each fault: its number, the test program that failed for it, MISSED, or NEVER REACHED by any test. A
fault that does not compile is left out. A run that was stopped goes on where it was: what is built, what each test comes by and each
result are kept in WORK_FOLDER.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
FIRST = re.compile(r"src/(formats/|target/|iso/verify|disk/verify)")
# Tests that take long and kill little, or look at the source and not at what it does.
LEFT_OUT = re.compile(r"^(book|cancel|flags|front_door|fuzzed|layers|limits|limits_table|manual|properties|random_trees|words)::|damage|whenever_power")
AT_ONCE = 2
MEMORY = 8 << 30
LONGEST = 60  # seconds for one test without a fault: what takes longer is left out
SWITCH = """
/// Whether the fault of this number is wished for.
#[doc(hidden)]
pub fn mutant(number: usize) -> bool {
    use std::io::Write as _;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering};
    static WISHED: LazyLock<Option<usize>> =
        LazyLock::new(|| std::env::var("REMASTER_MUTANT").ok()?.parse().ok());
    static SEEN: LazyLock<Option<std::fs::File>> = LazyLock::new(|| {
        let path = std::env::var_os("REMASTER_MUTANTS_SEEN")?;
        std::fs::File::options().append(true).create(true).open(path).ok()
    });
    static ONCE: [AtomicBool; 4096] = [const { AtomicBool::new(false) }; 4096];
    if let Some(mut seen) = SEEN.as_ref()
        && !ONCE[number].swap(true, Ordering::Relaxed)
    {
        let _ = seen.write_all(format!("{number}\\n").as_bytes());
    }
    *WISHED == Some(number)
}
"""


def chosen(work, seed, first, elsewhere):
    """Faults that do not lie in one another."""
    subprocess.run(["cargo", "build", "--quiet", "--release", "--target-dir", f"{work}/tool"], cwd=HERE, check=True)
    listed = subprocess.run([f"{work}/tool/release/mutants", "src"], cwd=TOP, stdout=subprocess.PIPE, text=True, check=True).stdout
    all_of_them = [line.split("\t", 5) for line in listed.splitlines()]
    # Text that goes over lines is not the same on one.
    all_of_them = [fault for fault in all_of_them if 'r"' not in fault[5] and "r#" not in fault[5]]
    random.Random(seed).shuffle(all_of_them)
    rooms, taken = {True: first, False: elsewhere}, []
    spans = collections.defaultdict(list)
    for file, start, end, kind, function, text in all_of_them:
        start, end, is_first = int(start), int(end), bool(FIRST.match(file))
        if rooms[is_first] == 0 or any(start < other[1] and other[0] < end for other in spans[file]):
            continue
        rooms[is_first] -= 1
        spans[file].append((start, end))
        taken.append({"number": len(taken), "file": file, "start": start, "end": end, "kind": kind, "in": function, "text": text})
    return taken


def write_tree(tree, faults):
    """The source with all faults in it; the line of each."""
    of_file = collections.defaultdict(list)
    for fault in faults:
        of_file[fault["file"]].append(fault)
    for file, inside in of_file.items():
        with open(os.path.join(TOP, file), "rb") as source:
            text = source.read()
        krate = "remaster" if file.startswith(("src/cli/", "src/main.rs")) else "crate"
        made, at = b"", 0
        for fault in sorted(inside, key=lambda fault: fault["start"]):
            made += text[at : fault["start"]]
            fault["line"] = made.count(b"\n") + 1
            made += fault["text"].replace("@", f"{krate}::mutant({fault['number']})", 1).encode()
            at = fault["end"]
        with open(os.path.join(tree, file), "wb") as out:
            out.write(made + text[at:] + (SWITCH.encode() if file == "src/lib.rs" else b""))
    if "src/lib.rs" not in of_file:
        shutil.copy(os.path.join(TOP, "src/lib.rs"), os.path.join(tree, "src/lib.rs"))
        with open(os.path.join(tree, "src/lib.rs"), "a", encoding="utf-8") as out:
            out.write(SWITCH)


def built(work, faults):
    """Builds the tests, without what does not compile; the faults that are left, and the programs."""
    tree = f"{work}/tree"
    shutil.rmtree(tree, ignore_errors=True)
    names = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        os.makedirs(os.path.dirname(os.path.join(tree, name)), exist_ok=True)
        shutil.copy(os.path.join(TOP, name), os.path.join(tree, name), follow_symlinks=False)
    for _ in range(8):
        write_tree(tree, faults)
        command = ["cargo", "test", "--locked", "--no-run", "--lib", "--bins", "--test", "suite", "--test", "flash", "--message-format=json"]
        environment = {**os.environ, "CARGO_TARGET_DIR": f"{work}/target", "CARGO_INCREMENTAL": "0"}
        done = subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode == 0:
            tests = [one for one in told if one.get("executable") and one["profile"]["test"]]
            return faults, {"cli" if "bin" in one["target"]["kind"] else one["target"]["name"]: one["executable"] for one in tests}
        errors = [one["message"] for one in told if one["reason"] == "compiler-message" and one["message"]["level"] == "error"]
        places = {(span["file_name"], line) for error in errors for span in error["spans"] for line in range(span["line_start"], span["line_end"] + 1)}
        wrong = [fault for fault in faults if (fault["file"], fault["line"]) in places]
        print(f"{len(wrong)} faults do not compile", flush=True)
        assert wrong, (done.stderr[-2000:], [error["rendered"] for error in errors[:3]])
        faults = [fault for fault in faults if fault not in wrong]
    sys.exit("there is no end of faults that do not compile")


def kept(path, make):
    """What a file has as JSON; if there is none, it is made."""
    if not os.path.exists(path):
        made = make()
        with open(f"{path}.new", "w", encoding="utf-8") as out:
            json.dump(made, out)
        os.rename(f"{path}.new", path)
    with open(path, encoding="utf-8") as lines:
        return json.load(lines)


def passes(work, program, tests, seconds, **more):
    """Whether these tests of a program pass in time. What does not end is ended, with all that it started."""
    command = ["nice", "timeout", "-k", "5", str(int(seconds)), program, "--exact", *tests]
    environment = {**os.environ, **more}
    done = subprocess.run(command, cwd=f"{work}/tree", env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def come_by(work, program, name):
    """The seconds that a test takes, and the faults that it comes by: none if it fails or takes too long."""
    seen = f"{work}/seen-{threading.get_ident()}"
    open(seen, "w", encoding="utf-8").close()
    began = time.monotonic()
    passed = passes(work, program, [name], LONGEST, REMASTER_MUTANTS_SEEN=seen)
    took = time.monotonic() - began
    with open(seen, encoding="utf-8") as lines:
        return took, sorted({int(line) for line in lines}) if passed else []


def tests_by_fault(work, program):
    """The tests that come by each fault, with the seconds that they take."""
    listed = subprocess.run([program, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout
    names = [line[: -len(": test")] for line in listed.splitlines() if line.endswith(": test")]
    names = [name for name in names if not LEFT_OUT.search(name)]
    found = collections.defaultdict(list)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as workers:
        for name, (took, faults) in zip(names, workers.map(lambda name: come_by(work, program, name), names)):
            for fault in faults:
                found[str(fault)].append((took, name))
    print(f"{os.path.basename(program)}: {len(names)} tests come by {len(found)} faults", flush=True)
    return found


def groups(tests):
    """The tests, those first that take the shortest, in groups that grow: most faults are killed by any test."""
    tests, size = sorted(tests), 2
    while tests:
        yield tests[:size]
        tests, size = tests[size:], 2 * size


def verdict(work, fault, reached):
    """The program whose tests fail for a fault, or that none does, or that none comes by it."""
    number, is_reached = str(fault["number"]), False
    for program, tests in reached:
        for group in groups(tests.get(number, [])):
            is_reached = True
            seconds = 10 + 5 * sum(took for took, _ in group)
            if not passes(work, program, [name for _, name in group], seconds, REMASTER_MUTANT=number):
                return os.path.basename(program)
    return "MISSED" if is_reached else "NEVER REACHED"


def arguments():
    parser = argparse.ArgumentParser(description="Counts the faults that the faster tests miss.")
    parser.add_argument("work", type=os.path.abspath, help="folder of the build and of the results")
    parser.add_argument("files", nargs="*", help="tries only faults in files that start so")
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--policy", type=int, default=80, help="how many faults of formats, the last checks and the policy of targets")
    parser.add_argument("--elsewhere", type=int, default=150, help="how many faults of everything else")
    return parser.parse_args()


def main():
    given = arguments()
    work = given.work
    os.makedirs(work, exist_ok=True)
    faults, programs = kept(f"{work}/built.json", lambda: built(work, chosen(work, given.seed, given.policy, given.elsewhere)))
    # What takes all the memory there is would end other programs.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    names = ("remaster", "cli", "flash", "suite")
    reached = [(programs[name], kept(f"{work}/reached-{name}.json", lambda: tests_by_fault(work, programs[name]))) for name in names]
    path = f"{work}/result"
    done = {int(line.split("\t")[0]) for line in open(path, encoding="utf-8")} if os.path.exists(path) else set()
    left = [fault for fault in faults if fault["number"] not in done and (not given.files or fault["file"].startswith(tuple(given.files)))]
    left.sort(key=lambda fault: not FIRST.match(fault["file"]))
    with open(path, "a", encoding="utf-8") as result, concurrent.futures.ThreadPoolExecutor(AT_ONCE) as workers:
        tried = {workers.submit(verdict, work, fault, reached): fault for fault in left}
        for one in concurrent.futures.as_completed(tried):
            fault = tried[one]
            result.write(f"{fault['number']}\t{one.result()}\t{fault['file']}:{fault['line']} {fault['in']}: {fault['kind']}: {fault['text'][:200]}\n")
            result.flush()
    with open(path, encoding="utf-8") as lines:
        print(collections.Counter(line.split("\t")[1] for line in lines))


if __name__ == "__main__":
    sys.exit(main())
