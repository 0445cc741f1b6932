#!/usr/bin/env python3
"""Whether events are those that the documentation describes, and all that it describes were seen or are told of elsewhere.

Usage: events.py DOCUMENT EVENTS
"""

import json
import re
import sys

# Those of recipes, manifests and resets, which flashing an image does not bring about.
ELSEWHERE = {"host_key", "verified", "reset"}
COMMON = {"v", "event"}


def documented(text):
    """The fields that each event may have."""
    events = {}
    # `progress` first, as others refer to it.
    for line in sorted(text.splitlines(), key=lambda line: not line.startswith("| `progress`")):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3:
            names = re.findall(r"`([a-z_]+)`", cells[1])
            if "as `progress`" in cells[1]:
                names = list(events["progress"])
            events[cells[0].strip("`")] = set(names) | COMMON
    more = text[text.index('A `result` with `"ok": true`'):text.index("| status |")]
    events["result"] |= set(re.findall(r"`([a-z_]+)`", more)) - {"permission"}
    return events


def main():
    text = open(sys.argv[1]).read()
    events = documented(text)
    version = int(re.search(r"`v` is (\d+)", text).group(1))
    causes = set(re.findall(r"`([a-z]+)`", text[text.index("`likely.cause`"):text.index("A `result` with")]))
    seen = set()
    for line in open(sys.argv[2]):
        if not line.startswith("{"):
            continue
        event = json.loads(line)
        name = event["event"]
        assert event["v"] == version, event
        assert name in events, f"{name} is not documented"
        assert set(event) <= events[name], f"{name}: {set(event) - events[name]} is not documented"
        if name != "result":
            assert events[name] <= set(event), f"{name}: {events[name] - set(event)} is missing"
        if name == "difference":
            assert event["likely"]["cause"] in causes, event
        seen.add(name)
    assert seen == set(events) - ELSEWHERE, f"not seen: {set(events) - ELSEWHERE - seen}"


main()
