"""Counts what is checked and prints a line each; shared by the test programs."""


class Checks:
    """How many checks were right, and how many not."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def check(self, name, right, detail=""):
        if right:
            self.passed += 1
            print(f"ok    {name}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL  {name}{': ' + str(detail)[:1500] if detail else ''}", flush=True)
        return bool(right)

    def end(self):
        """Prints the last line that tests/run reads; the exit code."""
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0
