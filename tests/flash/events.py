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
    events, name = {}, None
    for line in text.splitlines():
        title, row = re.fullmatch(r"## `([a-z_]+)`", line), re.match(r"\| `([a-z_]+)` \|", line)
        if title:
            name = title[1]
            events[name] = set(COMMON)
        elif row:
            events[name].add(row[1])
    return events


def main():
    text = open(sys.argv[1]).read()
    events = documented(text)
    version = int(re.search(r"`v` is (\d+)", text).group(1))
    causes = set(re.findall(r"`([a-z]+)`", text[text.index("its `cause`"):text.index("## `result`")]))
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
