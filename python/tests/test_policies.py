"""What becomes of a write that meets a rival: the policies, and the resolve function."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from tables import ROWS, content, get, put, row

import khonsu


def meet(db: Any, mine: Any, theirs: Any, **options: Any) -> Any:
    """A transaction that read k and wrote mine, after a rival has committed theirs."""
    put(db, "k", (1, 1), (2, 2))
    txn = db.begin(**options)
    txn["k"]
    txn["k"] = mine
    with db.begin() as rival:
        rival["k"] = theirs
    return txn


BASE_1 = ROWS.rows([(1, 10), (2, 2)])
BASE_2 = ROWS.rows([(1, 1), (2, 20)])


def test_fail(db: Any) -> None:
    with pytest.raises(khonsu.ConflictError):
        meet(db, BASE_1, BASE_2, policy="fail").commit()
    assert get(db, "k") == {1: 1, 2: 20}


def test_ignore(db: Any) -> None:
    txn = meet(db, BASE_1, BASE_2, policy="ignore")
    txn.commit()
    assert get(db, "k") == {1: 1, 2: 20}
    assert [entry[:3] for entry in txn.resolved()] == [("k", "dropped", "ignore")]


@pytest.mark.parametrize("make", [lambda b: b, lambda b: b.to_pyarrow(), lambda b: pa.table(b)])
def test_policy_of_one_write_of_each_kind_of_rows(db: Any, make: Any) -> None:
    """The transaction's policy is for the writes that do not say."""
    put(db, "k", (1, 1))
    with db.begin(policy="fail") as txn:
        txn.put("k", make(BASE_1), policy="replace")
        put(db, "k", (5, 5))
    assert get(db, "k") == {1: 10, 2: 2}
    with db.begin(policy="replace") as txn:
        txn.put("k", make(row(7)), policy="ignore")
        put(db, "k", (6, 6))
    assert get(db, "k") == {6: 6}


def test_replace(db: Any) -> None:
    txn = meet(db, BASE_1, BASE_2, policy="replace")
    txn.commit()
    assert get(db, "k") == {1: 10, 2: 2}
    assert [entry[:3] for entry in txn.resolved()] == [("k", "resolved", "replace")]


def test_append(db: Any) -> None:
    meet(db, row(7, 7), BASE_2, policy="append").commit()
    assert get(db, "k") == {1: 1, 2: 20, 7: 7}


def test_merge(db: Any) -> None:
    meet(db, BASE_1, BASE_2, policy="merge").commit()
    assert get(db, "k") == {1: 10, 2: 20}
    with pytest.raises((khonsu.ConflictError, khonsu.MergeConflictError)) as caught:
        meet(db, BASE_1, ROWS.rows([(1, 11), (2, 2)]), policy="merge").commit()
    assert caught.value.key == "k"


def test_policy_of_one_write(db: Any) -> None:
    put(db, "a", (1, 1))
    put(db, "b", (1, 1))
    txn = db.begin()
    txn.put("a", row(2), policy="replace")
    txn.delete("b", policy="ignore")
    put(db, "a", (3, 3))
    put(db, "b", (3, 3))
    txn.commit()
    assert get(db, "a") == {2: 0} and get(db, "b") == {3: 3}


def test_policy_of_the_database() -> None:
    db = khonsu.open(policy="replace")
    meet(db, BASE_1, BASE_2).commit()
    assert get(db, "k") == {1: 10, 2: 2}


# ---- the resolve function ------------------------------------------------------------------------


def test_resolve_is_asked(db: Any) -> None:
    asked: list[Any] = []

    def resolve(key: str, base: Any, mine: Any, theirs: Any) -> Any:
        asked.append((key, content(base), content(mine), content(theirs)))
        return row(9, 9)

    txn = meet(db, BASE_1, BASE_2, policy="callback", resolve=resolve)
    txn.commit()
    assert asked == [("k", {1: 1, 2: 2}, {1: 10, 2: 2}, {1: 1, 2: 20})]
    assert get(db, "k") == {9: 9} and txn.resolved()[0][2] == "callback"


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        (pa.record_batch({"id": [5], "v": [6]}), {5: 6}),
        (pa.table({"id": [5], "v": [6]}), {5: 6}),
        (None, None),
        (khonsu.DROP, {1: 1, 2: 20}),
    ],
)
def test_resolve_answers(db: Any, answer: Any, left: Any) -> None:
    meet(db, BASE_1, BASE_2, policy="callback", resolve=lambda *_: answer).commit()
    assert get(db, "k") == left


def test_resolve_answers_conflict(db: Any) -> None:
    txn = meet(db, BASE_1, BASE_2, policy="callback", resolve=lambda *_: khonsu.CONFLICT)
    with pytest.raises(khonsu.ConflictError) as caught:
        txn.commit()
    assert caught.value.key == "k" and get(db, "k") == {1: 1, 2: 20}


@pytest.mark.parametrize("garbage", [5, "x", [1], object(), pa.array([1, 2]), {"id": 1}])
def test_resolve_answers_garbage(db: Any, garbage: Any) -> None:
    txn = meet(db, BASE_1, BASE_2, policy="callback", resolve=lambda *_: garbage)
    with pytest.raises((TypeError, khonsu.InvalidDataError)):
        txn.commit()
    assert txn.closed and get(db, "k") == {1: 1, 2: 20}


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_resolve_raises(db: Any, kind: type[BaseException]) -> None:
    def resolve(*_: Any) -> Any:
        raise kind("in resolve")

    for end in ("commit", "prepare", "commit_start"):
        txn = meet(db, BASE_1, BASE_2, policy="callback", resolve=resolve)
        with pytest.raises(kind, match="in resolve"):
            getattr(txn, end)()
        txn.close()
        assert get(db, "k") == {1: 1, 2: 20}


def test_resolve_with_the_wrong_signature(db: Any) -> None:
    with pytest.raises(TypeError, match="argument"):
        meet(db, BASE_1, BASE_2, policy="callback", resolve=lambda key: None).commit()


def test_resolve_may_use_the_database_but_not_its_transaction(db: Any) -> None:
    seen: list[Any] = []

    def resolve(key: str, base: Any, mine: Any, theirs: Any) -> Any:
        for call in (lambda: txn[key], txn.commit, txn.savepoint, txn.scan, txn.close):
            with pytest.raises(khonsu.MisuseError):
                call()
        seen.append(get(db, key))
        put(db, "other", (1, 1))
        return mine

    txn = meet(db, BASE_1, BASE_2, policy="callback", resolve=resolve)
    txn.commit()
    assert seen == [{1: 1, 2: 20}] and get(db, "other") == {1: 1} and get(db, "k") == {1: 10, 2: 2}


def test_resolve_may_not_close_the_database(db: Any) -> None:
    def resolve(key: str, base: Any, mine: Any, theirs: Any) -> Any:
        with pytest.raises(khonsu.InUseError):
            db.close()
        return mine

    meet(db, BASE_1, BASE_2, policy="callback", resolve=resolve).commit()
    assert get(db, "k") == {1: 10, 2: 2}


def test_resolve_of_the_database() -> None:
    db = khonsu.open(policy="callback", resolve=lambda key, base, mine, theirs: theirs)
    meet(db, BASE_1, BASE_2).commit()
    assert get(db, "k") == {1: 1, 2: 20}
    meet(db, BASE_1, BASE_2, resolve=lambda key, base, mine, theirs: row(4, 4)).commit()
    assert get(db, "k") == {4: 4}


def test_resolve_is_told_of_deletions(db: Any) -> None:
    asked: list[Any] = []

    def resolve(key: str, *versions: Any) -> Any:
        asked.append(versions)
        return khonsu.DROP

    put(db, "k", (1, 1))
    txn = db.begin(policy="callback", resolve=resolve)
    del txn["k"]
    with db.begin() as rival:
        del rival["k"]
    txn["new"] = row(1, 1)
    put(db, "new", (2, 2))
    txn.commit()
    assert asked == [(row(1, 1), None, None), (None, row(1, 1), row(2, 2))]


def test_callback_without_a_function(db: Any) -> None:
    with pytest.raises(khonsu.InvalidError):
        db.begin(policy="callback")
    with pytest.raises(TypeError):
        db.begin(resolve=5)
