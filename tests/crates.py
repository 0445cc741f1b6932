#!/usr/bin/env python3
"""Holds the lock file to .deny.toml: licences, crates in two versions, sources. Needs cargo, and no network.

cargo-deny reads the same file, and knows advisories too: the weekly workflow runs it. Prints `N passed, N failed`.
"""
import collections
import json
import os
import re
import subprocess
import sys
import tomllib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


def allowed(expression, licences):
    """Whether an SPDX expression can be fulfilled by these licences. A slash is the older form of OR."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    at = 0

    def atom():
        nonlocal at
        if tokens[at] == "(":
            at += 1
            value = either()
            at += 1
            return value
        name = tokens[at]
        at += 1
        if tokens[at:at + 1] == ["WITH"]:
            name, at = f"{name} WITH {tokens[at + 1]}", at + 2
        return name in licences

    def both():
        nonlocal at
        value = atom()
        while tokens[at:at + 1] == ["AND"]:
            at += 1
            value = atom() and value
        return value

    def either():
        nonlocal at
        value = both()
        while tokens[at:at + 1] == ["OR"]:
            at += 1
            value = both() or value
        return value

    return either()


def is_skipped(name, version, skip):
    """Whether a version is one that may be there beside another one."""
    return any(entry == f"{name}@{version}" or f"{name}@{version}".startswith(f"{entry}.") for entry in skip)


def main():
    with open(os.path.join(ROOT, ".deny.toml"), "rb") as file:
        rules = tomllib.load(file)
    # What is built for other systems alone is not looked at, here and by cargo-deny.
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", rules["graph"]["targets"][0]]
    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    packages = [package for package in json.loads(told.stdout)["packages"] if package["source"]]
    faults = {"licences are those that are allowed": [], "each crate is there once": [], "all come from the registry": []}
    licence, twice, source = faults.values()
    versions = collections.defaultdict(list)
    for package in packages:
        name, version = package["name"], package["version"]
        if not allowed(package["license"] or "none", rules["licenses"]["allow"]):
            licence.append(f"{name} {version}: {package['license']}")
        if not package["source"].startswith("registry+"):
            source.append(f"{name} {version}: {package['source']}")
        if not is_skipped(name, version, rules["bans"]["skip"]):
            versions[name].append(version)
    twice += [f"{name}: {' and '.join(found)}" for name, found in versions.items() if len(found) > 1]
    names = [f"{package['name']}@{package['version']}" for package in packages]
    unused = [entry for entry in rules["bans"]["skip"] if not any(f"{name}.".startswith(f"{entry}.") for name in names)]
    faults["each exception is needed"] = unused
    for what, wrong in faults.items():
        print(f"{'FAIL' if wrong else 'ok  '}  {what}", *wrong, sep="\n      " if wrong else "")
    failed = sum(map(bool, faults.values()))
    print(f"{len(faults) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
