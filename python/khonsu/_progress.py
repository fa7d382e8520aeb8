"""A bar of progress on standard error, in the manner of tqdm."""

import sys
import time
from collections.abc import Callable
from typing import TextIO, TypeAlias

Report: TypeAlias = Callable[[int, int | None], object]  # of what is done, and of all (if known)

_CELLS = " ▏▎▍▌▋▊▉█"
_WIDTH = 24
_EVERY = 0.1  # seconds between two drawings


def reporter(progress: bool | Report | None, what: str, unit: str) -> "Bar | Report":
    """What to call with (done, total): a bar, or the caller's own function.

    Args:
        progress: A function is called as it is; True is a bar, False silence, None a bar if
            standard error is a terminal.
        what: A word before the bar.
        unit: What is counted.
    """
    if progress is not None and not isinstance(progress, bool):
        return progress
    is_shown = sys.stderr.isatty() if progress is None else progress
    return Bar(what, unit, stream=sys.stderr) if is_shown else _be_silent


def finish(report: "Bar | Report") -> None:
    """End the line of a bar."""
    if isinstance(report, Bar):
        report.close()


class Bar:
    """A line that is drawn again and again. Used by one thread at a time."""

    def __init__(
        self,
        what: str,
        unit: str,
        *,
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Draw nothing yet."""
        self._what = what
        self._unit = unit
        self._stream = stream
        self._clock = clock
        self._begun = clock()
        self._drawn_at: float | None = None
        self._first: int | None = None
        self._last = ""
        self._shown = ""

    def __call__(self, done: int, total: int | None = None) -> None:
        """Draw, unless it was drawn a moment ago; the last line is drawn by close()."""
        now = self._clock()
        if self._first is None:
            self._first = done  # of a load that goes on: not the work of this one
        self._last = self._line(done, total, now - self._begun)
        if self._drawn_at is None or now - self._drawn_at >= _EVERY:
            self._drawn_at = now
            self._draw()

    def close(self) -> None:
        """Draw the last state and end the line."""
        if self._last:
            self._draw()
            self._stream.write("\n")
            self._stream.flush()
            self._last = ""

    def _draw(self) -> None:
        padding = " " * max(0, len(self._shown) - len(self._last))
        self._stream.write("\r" + self._last + padding)
        self._stream.flush()
        self._shown = self._last

    def _line(self, done: int, total: int | None, seconds: float) -> str:
        rate = (done - (self._first or 0)) / seconds if seconds > 0 else 0.0
        pace = f"{_count(rate)} {self._unit}/s"
        if not total:
            return f"{self._what}: {_count(done)} {self._unit} [{_time(seconds)}, {pace}]"
        share = min(1.0, done / total)
        left = _time((total - done) / rate) if rate > 0 else "?"
        return (
            f"{self._what}: {share:4.0%}|{_bar(share)}| {_count(done)}/{_count(total)} {self._unit}"
            f" [{_time(seconds)}<{left}, {pace}]"
        )


def _be_silent(done: int, total: int | None) -> None:
    pass


def _bar(share: float) -> str:
    eighths = round(share * _WIDTH * 8)
    full, rest = divmod(eighths, 8)
    return (_CELLS[8] * full + (_CELLS[rest] if rest else "")).ljust(_WIDTH)


def _count(number: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            value = number / size
            digits = 2 if value < 10 else 1 if value < 100 else 0
            return f"{value:.{digits}f}{letter}"
    return f"{number:.0f}"


def _time(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute:02}:{second:02}"
