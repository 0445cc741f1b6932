"""What is different each time or in each version, replaced by words: the version, times, speeds, digests of bytes with a version in them."""
import hashlib
import json
import re

TIMES = ("probe_seconds", "write_seconds", "verify_seconds")
ID = re.compile(r'("(?:remaster\.)?(?:recipe|edits|recipe_id|content_id)": ?")([0-9a-f]{64})(?=")')
CHANCE = ("rate", "seconds_left", "seconds_left_in_all", "direct", "done")


class Masks:
    """Knows one program's version, and which digests stand for which."""

    def __init__(self, version):
        self.version = version
        self.known = {}
        self.ids = {}
        self.sizes = set()
        self.stands = re.compile(rb'("(?:version|remaster)": ?")' + re.escape(version).encode() + rb'(?=")|' + ID.pattern.encode())

    def digest(self, content, packed=None):
        """The SHA-256 of bytes as if they had no version in them; texts that name the true one will show it, too.

        Of bytes that are packed, those that are in them count, and texts do not tell the packed size.
        """
        real, masked = hashlib.sha256(content if packed is None else packed), hashlib.sha256()
        if packed is not None:
            self.sizes.add(len(packed))
        at = 0
        for start, stands, word in sorted(self.places(content)):
            masked.update(content[at:start])
            masked.update(word)
            at = start + len(stands)
        masked.update(content[at:])
        if real.digest() != masked.digest():
            self.known[real.hexdigest()] = masked.hexdigest()
        return masked.hexdigest()

    def places(self, content):
        """Where something stands that is masked: begin, bytes, what is hashed instead."""
        for found in self.stands.finditer(content):
            yield found.start(), found[0], found[1] or found[2]
        for size in self.sizes:
            for found in re.finditer(rb'("size": ?)%d\b' % size, content):
                yield found.start(), found[0], found[1]
        for real, masked in self.known.items():
            at = content.find(real.encode())
            while at >= 0:
                yield at, real.encode(), masked.encode()
                at = content.find(real.encode(), at + 1)

    def text(self, text):
        # Ids take the version in: what is told of one is which others are the same.
        text = ID.sub(lambda found: found[1] + self.ids.setdefault(found[2], f"ID {len(self.ids) + 1}"), text)
        for real, masked in self.known.items():
            text = text.replace(real, masked)
        for size in self.sizes:
            text = re.sub(rf'("size": ?){size}\b', r'\1"PACKED"', re.sub(rf"\b({size} bytes|{size:#x}\b)", "PACKED bytes", text))
        text = re.sub(rf"(?<![\d.]){re.escape(self.version)}(?![\d.])", "VERSION", text)
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r\n", "\n")
        text = re.sub(r"[^\n]*\r", "", text)
        text = re.sub(r"^.*\d+ % \(.*\n", "", text, flags=re.M)
        text = re.sub(r"\b\d+(\.\d+)? (s|ms|min)\b", "N s", text)
        # A file system that shares blocks is a matter of where this runs.
        return text.replace(", sharing the base's blocks", "")

    def events(self, found):
        """A line of JSON without what the clock and the machine had to do with; none for mere progress."""
        if not isinstance(found, dict):
            return found
        if found.get("event") == "progress":
            return None
        return {key: "N" if key in CHANCE or (key in TIMES and part is not None) else part for key, part in found.items()}

    def json(self, text):
        """Documents, one or one per line."""
        try:
            return [json.loads(text)]
        except ValueError:
            found = [self.events(json.loads(line)) for line in text.splitlines()]
            return [line for line in found if line is not None]
