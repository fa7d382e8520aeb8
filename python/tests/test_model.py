"""Random programs against a model: dicts. KHONSU_FUZZ=20 runs 20 times as many."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)
from tables import ROWS, content

import khonsu

SCALE = int(os.environ.get("KHONSU_FUZZ", "1"))
Rows = dict[int, int]
KEYS = st.sampled_from(["a", "a/1", "a/2", "b", "b/1", "ü", "z\udcff"])
ROWS_OF = st.dictionaries(st.integers(0, 4), st.integers(-9, 9), max_size=4)


def batch(rows: Rows) -> khonsu.Batch:
    return ROWS.rows(list(rows.items()))


def raw(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


class Twin:
    """A transaction and what it must be: its snapshot, its view, and what it wrote."""

    def __init__(self, db: Any, store: dict[str, Rows]) -> None:
        self.txn = db.begin()
        self.snapshot = dict(store)
        self.view = dict(store)
        self.written: set[str] = set()
        self.savepoints: list[tuple[Any, dict[str, Rows], set[str]]] = []


class Model(RuleBasedStateMachine):
    """Snapshot isolation, first committer wins."""

    twins = Bundle("twins")

    def __init__(self) -> None:
        super().__init__()
        self.db = khonsu.open()
        self.store: dict[str, Rows] = {}
        self.changed: dict[str, int] = {}
        self.clock = 0

    def teardown(self) -> None:
        self.db.close()

    @rule(target=twins)
    def begin(self) -> Twin:
        twin = Twin(self.db, self.store)
        twin.began = self.clock  # type: ignore[attr-defined]
        return twin

    @rule(twin=twins, key=KEYS, rows=ROWS_OF)
    def put(self, twin: Twin, key: str, rows: Rows) -> None:
        twin.txn[key] = batch(rows)
        twin.view[key] = rows
        twin.written.add(key)

    @rule(twin=twins, key=KEYS)
    def delete(self, twin: Twin, key: str) -> None:
        del twin.txn[key]
        twin.view.pop(key, None)
        twin.written.add(key)

    @rule(twin=twins, key=KEYS)
    def get(self, twin: Twin, key: str) -> None:
        found = twin.txn.get(raw(key) if len(key) % 2 else key)
        assert (None if found is None else content(found)) == twin.view.get(key)
        assert (key in twin.txn) == (key in twin.view)

    @rule(
        twin=twins,
        prefix=st.sampled_from(["", "a", "b/", "q"]),
        reverse=st.booleans(),
        limit=st.integers(0, 3),
        start=st.sampled_from(["", "a/1", "b"]),
    )
    def scan(self, twin: Twin, prefix: str, reverse: bool, limit: int, start: str) -> None:
        found = list(twin.txn.scan(prefix, reverse=reverse, limit=limit, start=start))
        expected = sorted(
            (k for k in twin.view if raw(k).startswith(raw(prefix)) and raw(k) >= raw(start)),
            key=raw,
            reverse=reverse,
        )
        expected = expected[: limit or None]
        assert [(k, content(b)) for k, b in found] == [(k, twin.view[k]) for k in expected]

    @rule(twin=twins, prefix=st.sampled_from(["a", "b/", "q"]))
    def delete_range(self, twin: Twin, prefix: str) -> None:
        gone = [key for key in twin.view if key.startswith(prefix)]
        assert twin.txn.delete_range(prefix) == len(gone)
        for key in gone:
            del twin.view[key]
        twin.written.update(gone)

    @rule(twin=twins, key=KEYS, rows=ROWS_OF, column=st.sampled_from(["id"]))
    def swap(self, twin: Twin, key: str, rows: Rows, column: str) -> None:
        before = twin.view.get(key)
        assert twin.txn.compare_and_swap(
            key, None if before is None else batch(before), batch(rows)
        )
        twin.view[key] = rows
        twin.written.add(key)
        assert not twin.txn.compare_and_swap(key, None, None)

    @rule(twin=twins)
    def savepoint(self, twin: Twin) -> None:
        twin.savepoints.append((twin.txn.savepoint(), dict(twin.view), set(twin.written)))

    @rule(twin=twins, which=st.integers(0, 9), release=st.booleans())
    def rollback_to(self, twin: Twin, which: int, release: bool) -> None:
        if which < len(twin.savepoints):
            savepoint, view, written = twin.savepoints[which]
            savepoint.rollback()
            twin.view, twin.written = dict(view), set(written)
            stale = twin.savepoints[which + 1 :]
            del twin.savepoints[which + 1 :]
            if release:
                savepoint.release()
                stale.append(twin.savepoints.pop())
            for other, _, _ in stale:
                with pytest.raises(khonsu.InvalidError):
                    other.rollback()

    @rule(twin=consumes(twins))
    def commit(self, twin: Twin) -> None:
        rivals = [
            key
            for key in twin.written
            if self.changed.get(key, -1) > twin.began  # type: ignore[attr-defined]
        ]
        if rivals:
            with pytest.raises(khonsu.ConflictError) as caught:
                twin.txn.commit()
            assert caught.value.key in rivals
            return
        twin.txn.commit()
        self.clock += 1
        for key in twin.written:
            self.changed[key] = self.clock
            if key in twin.view:
                self.store[key] = twin.view[key]
            else:
                self.store.pop(key, None)

    @rule(twin=consumes(twins), how=st.sampled_from(["rollback", "close", "raise"]))
    def abort(self, twin: Twin, how: str) -> None:
        if how == "raise":
            with pytest.raises(ZeroDivisionError), twin.txn:
                raise ZeroDivisionError
        else:
            getattr(twin.txn, how)()

    @invariant()
    def committed(self) -> None:
        with self.db.begin(read_only=True) as txn:
            assert {key: content(rows) for key, rows in txn.scan()} == self.store


def test_model() -> None:
    run_state_machine_as_test(
        Model,
        settings=settings(
            max_examples=30 * SCALE,
            stateful_step_count=30,
            deadline=None,
            derandomize=SCALE == 1,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
