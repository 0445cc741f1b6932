"""What is different each time or in each version, replaced by words: the version, times, speeds, digests of bytes with a version in them."""
import hashlib
import json
import re

TIMES = ("probe_seconds", "write_seconds", "verify_seconds")
CHANCE = ("rate", "seconds_left", "direct", "done")


class Masks:
    """Knows one program's version, and which digests stand for which."""

    def __init__(self, version):
        self.version = version
        self.known = {}
        self.stands = [f'"version": "{version}"'.encode(), f'"version":"{version}"'.encode()]

    def bytes(self, content):
        for stands, word in self.words():
            content = content.replace(stands, word)
        return content

    def words(self):
        return [(stands, b'"version": "VERSION"') for stands in self.stands] + [(real.encode(), masked.encode()) for real, masked in self.known.items()]

    def digest(self, content):
        """The SHA-256 of bytes as if they had no version in them; texts that name the true one will show it, too."""
        real, masked = hashlib.sha256(content), hashlib.sha256()
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
        for stands, word in self.words():
            at = content.find(stands)
            while at >= 0:
                yield at, stands, word
                at = content.find(stands, at + 1)

    def text(self, text):
        for real, masked in self.known.items():
            text = text.replace(real, masked)
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
