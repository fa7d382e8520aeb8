"""Workspaces that are to commit together."""

from __future__ import annotations

from typing import Any

import pytest
from tables import row

import khonsu


def begin(db: Any, *keys: str, **options: Any) -> Any:
    """A workspace that has written the keys."""
    ws = db.workspace(**options)
    for key in keys:
        ws[key] = row(1)
    return ws


def refused(db: Any, team: list[Any], kind: type[khonsu.Error], culprit: Any) -> Any:
    """The error of a call that changes nothing but the culprit, which fails by it."""
    before, states = db.now, [ws.state for ws in team]
    with pytest.raises(kind) as raised:
        db.commit_together(team)
    error = raised.value
    assert type(error) is kind and error.workspace is culprit and db.now == before
    for ws, state in zip(team, states, strict=True):
        is_failed = ws is culprit and issubclass(kind, (khonsu.RetryError, khonsu.CancelledError))
        assert ws.state == ("failed" if is_failed else state) and ws.timestamp is None
        assert ws.closed == (ws.state != "active")
        assert ws.cause == (error.status if is_failed else None)
    return error
