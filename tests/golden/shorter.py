"""Long reports made short: equal parts are counted, and what is left out is known by its digest."""
import difflib
import hashlib
import json
import re

WIDTH, ITEMS, LINES = 180, 3, 6


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def left_out(rest, what):
    return f"… {len(rest)} more {what}, SHA-256 {digest(chr(10).join(rest))}"


def lines(text, whole=False):
    """Many lines that are indented below one, and many in a row that begin with the same word, lose what comes behind the first few."""
    found = text.splitlines()
    if whole:
        return found
    out = []
    for heads in runs(groups(found, 0), lambda part: "" if isinstance(part, list) else part.split(" ")[0]):
        out += few([line for head in heads[:LINES] for line in few(head)], [line for head in heads[LINES:] for line in head])
    return out


def runs(parts, word):
    """Lines with what is indented below them, those together that begin with the same word."""
    out, last = [], None
    for part in parts:
        if isinstance(part, list):
            if not out:
                out.append([[]])
            out[-1][-1] += part
        elif out and part and word(part) == last:
            out[-1].append([part])
        else:
            out.append([[part]])
            last = word(part)
    return out


def few(kept, rest=None):
    """The first lines, and how many more there are."""
    if rest is None:
        kept, rest = (kept, []) if len(kept) <= LINES + 3 else (kept[:LINES + 1], kept[LINES + 1:])
    return kept + (["  " + left_out(rest, "lines")] if rest else [])


def value(found, whole=False):
    """JSON with long lists cut."""
    if isinstance(found, dict):
        return {key: value(part, whole) for key, part in found.items()}
    if not isinstance(found, list):
        return found
    keep = ITEMS if not any(isinstance(part, (dict, list)) for part in found) else 1
    if whole or len(found) <= keep + 1:
        return [value(part, whole) for part in found]
    return [value(part) for part in found[:keep]] + [left_out([json.dumps(part, sort_keys=True) for part in found[keep:]], "items")]


def shown(found, indent=""):
    """JSON as lines: what fits onto one line stands on one."""
    flat = re.sub(r"\b([0-9a-f]{16})[0-9a-f]{48}\b", r"\1", json.dumps(found, ensure_ascii=False))
    if len(flat) + len(indent) <= WIDTH or not isinstance(found, (dict, list)) or not found:
        return [indent + flat]
    is_map = isinstance(found, dict)
    out = [indent + "[{"[is_map]]
    for key, part in found.items() if is_map else enumerate(found):
        below = shown(part, indent + " ")
        if is_map:
            below[0] = f"{indent} {json.dumps(key, ensure_ascii=False)}: {below[0].lstrip()}"
        out += below
    return [*out, indent + "]}"[is_map]]


def groups(lines, depth):
    """Lines, with what is indented deeper than so many blanks as lists of their own."""
    out = []
    for line in lines:
        if not line.startswith(" " * (depth + 1)):
            out.append(line)
        elif out and isinstance(out[-1], list):
            out[-1].append(line)
        else:
            out.append([line])
    return out


def words(before, after):
    """What became of the lines of a menu, word by word: equal changes are counted."""
    found = {}
    old, new = before.splitlines(), after.splitlines()
    for tag, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        left, right = old[a:b], new[c:d]
        pairs = zip(left, right) if len(left) == len(right) else [*((x, "") for x in left), *(("", x) for x in right)]
        for x, y in pairs:
            gone, come = minus(x.split(), y.split()), minus(y.split(), x.split())
            stays = (x.split() or [""])[0] if x and y else ""
            change = " ".join([*([stays + ":"] if stays else []), *("-" + word for word in gone), *("+" + word for word in come)])
            found[change] = found.get(change, 0) + 1
    return [f"{count} × {change or 'blanks'}" for change, count in found.items()]


def minus(these, those):
    """The words of one line that the other has not, as often as it has them."""
    those, out = list(those), []
    for word in these:
        if word in those:
            those.remove(word)
        else:
            out.append(word)
    return out


def is_json(text):
    return re.match(r"\s*[{\[]", text) is not None
