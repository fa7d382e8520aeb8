"""The variables that DuckDB may take for tables: those of the callers, and none of khonsu's.

DuckDB looks up a name that it does not know among the variables of the frame that calls it, and of
all frames below if it is told to: there stand khonsu's own functions first, with variables such as
`query` or `params`. So it is called from a frame whose variables are those of the user's frames.
"""

import functools
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

_T = TypeVar("_T")

_CALL = compile("_khonsu_call()", "<khonsu>", "eval")


def call(function: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
    """Call a function of DuckDB's that finds the variables of all callers, the nearest first."""
    bound = functools.partial(function, *args, **kwargs)
    found: _T = eval(_CALL, {"_khonsu_call": bound}, _variables(sys._getframe(1)))
    return found


def _variables(frame: FrameType | None) -> dict[str, Any]:
    """As DuckDB looks: in each frame those of the function before those of its module."""
    frames = []
    while frame is not None:
        if not _is_own(frame):
            frames.append(frame)
        frame = frame.f_back
    variables: dict[str, Any] = {}
    for outer in reversed(frames):
        if outer.f_globals is not outer.f_locals:
            variables.update(outer.f_globals)
        variables.update(outer.f_locals)
    return variables


def _is_own(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__", "")
    return isinstance(name, str) and name.partition(".")[0] == "khonsu"
