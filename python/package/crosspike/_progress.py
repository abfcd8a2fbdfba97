"""Progress of long calls, for people."""

import sys
import time


class Bar:
    """Shows on a stream how far long work is: one line that changes, and a line for whatever is worth keeping."""

    def __init__(self, stream=None):
        self.stream = stream or sys.stderr
        self.shown = 0
        self.what = None

    def line(self, text):
        """Prints a line worth keeping."""
        self._clear()
        print(text, file=self.stream)

    def update(self, what, done, total, note):
        """Shows that so much of something is done."""
        now = time.monotonic()
        if what != self.what or done < self.skipped:
            # What was there already took no time.
            self.what, self.began, self.skipped = what, now, done
        worked = done - self.skipped
        left = f", {(now - self.began) / worked * (total - done):.0f} s left" if worked > 0 and done < total else ""
        text = f"{what}: {done} of {total}{left}{'; ' + note if note else ''}"
        self.stream.write("\r" + text.ljust(self.shown))
        self.stream.flush()
        self.shown = len(text)

    def end(self):
        """Takes the line away."""
        self._clear()
        self.what = None

    def _clear(self):
        if self.shown:
            self.stream.write("\r" + " " * self.shown + "\r")
            self.shown = 0


def _is_watched():
    """Whether somebody sees a line that changes: on a terminal, or in a notebook."""
    try:
        if sys.stderr.isatty():
            return True
    except (AttributeError, ValueError):
        return False
    return "ipykernel" in sys.modules


def shown(progress):
    """The object that shows progress; None for none. True asks for a bar, None for one where it can be seen."""
    if progress is True or (progress is None and _is_watched()):
        return Bar()
    if progress is False or progress is None:
        return None
    missing = [name for name in ("line", "update", "end") if not callable(getattr(progress, name, None))]
    if missing:
        raise TypeError(f"progress has no {missing[0]}(); expected True, False, or an object with line, update and end")
    return progress
