"""Workspaces that do not commit together: who is to blame, why, and what becomes of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tables import content, edit, get, meaning, put, python, row
from teams import begin, refused

import khonsu

# ---- by a rule -----------------------------------------------------------------------------------


def test_two_write_one_key(db: Any) -> None:
    team = [begin(db, "a"), begin(db, "b"), begin(db, "a")]
    error = refused(db, team, khonsu.ConflictError, team[2])
    assert (error.key, error.rival, error.holder) == ("a", None, team[0].id)
    assert error.transaction == team[2].id and "same commit writes this key: 'a'" in str(error)
    assert isinstance(error, khonsu.RetryError)
    team[1]["d"] = row(4)  # the others go on
    db.commit_together(team[:2])
    assert get(db, "d") == {4: 0}
    with pytest.raises(khonsu.ConflictError) as raised:
        db.commit_together([team[2]])  # it has failed: as commit, it says so again
    assert raised.value.workspace is team[2]
    team[2].retry()
    assert team[2]["a"] is not None and team[2].state == "active" and not team[2].closed
    team[2]["a"] = row(2)
    db.commit_together([team[2]])
    assert get(db, "a") == {2: 0}


def test_a_rival_was_first(db: Any) -> None:
    team = [begin(db, "a"), begin(db, "b")]
    timestamp = put(db, "b", (2, 2))
    error = refused(db, team, khonsu.ConflictError, team[1])
    assert (error.key, error.rival, error.holder) == ("b", timestamp, None)
    assert "A rival" in str(error) or "a rival" in str(error)
    team[0].commit()


def test_a_circle(db: Any) -> None:
    """Write skew among them."""
    put(db, "a", (1, 1))
    put(db, "b", (1, 1))
    team = [db.workspace(isolation="serializable") for _ in range(3)]
    for ws, mine, other in zip(team, ("a", "b", "c"), ("b", "a", "x"), strict=True):
        ws[mine] = row(content(ws[other])[1] if other in ws else 7)
    with pytest.raises(khonsu.NotSerializableError, match="what each other writes") as raised:
        db.commit_together(team)
    error = raised.value
    assert error.workspace in team[:2] and error.rival is None
    other = team[1 - team.index(error.workspace)]
    assert error.holder == other.id and error.key in ("a", "b")
    assert [ws.state for ws in team].count("active") == 2 and error.workspace.state == "failed"
    db.commit_together([ws for ws in team if ws.state == "active"])


def test_what_it_has_read_was_changed(db: Any) -> None:
    put(db, "a", (1, 1))
    old = db.workspace(isolation="serializable")
    old["b"] = old["a"]
    timestamp = put(db, "a", (1, 2))
    team = [begin(db, "c", isolation="serializable"), old]
    error = refused(db, team, khonsu.NotSerializableError, old)
    assert (error.key, error.rival, error.holder) == ("a", timestamp, None)


def test_against_each_other(db: Any) -> None:
    team = [
        edit(db, key, after, mode=mode)
        for key, after, mode in (
            ("a", (1.0, 0.0), "keys"), ("b", (0.0, 1.0), "guard"), ("c", (-1.0, 0.0), "guard")
        )
    ]  # fmt: skip
    error = refused(db, team, khonsu.SemanticConflictError, team[2])
    assert (error.rival, error.rival_transaction) == (None, team[0].id)
    assert (error.kind, error.similarity, list(error.keys)) == ("opposite", -1.0, ["a"])
    assert error.delta.values == [1.0, 0.0] and error.transaction == team[2].id
    assert f"opposite to what transaction {team[0].id} commits together with it" in str(error)
    db.commit_together(team[:2])
    assert team[0].delta.keys == ["a"]


def test_against_what_was_committed(db: Any) -> None:
    team = [edit(db, key, (1.0, 0.1), mode="guard") for key in "ab"]
    team[1].rollback()
    team[1] = edit(db, "b", (0.0, 1.0), mode="guard")
    with edit(db, "c", (1.0, 0.0)) as rival:
        pass
    error = refused(db, team, khonsu.SemanticConflictError, team[0])
    assert (error.rival, error.rival_transaction) == (rival.timestamp, rival.id)
    assert (error.kind, error.keys) == ("conflicting", ["c"]) and "meanwhile" in str(error)
    team[0].retry()  # it sees the rival now
    meaning(team[0], 1.0, 0.1)["a"] = row(1)
    db.commit_together(team)


def test_held_and_locked(db: Any) -> None:
    prepared, locker = db.begin(), db.begin()
    prepared["a"] = row(1)
    prepared.prepare()
    locker.lock("b")
    team = [begin(db, "c"), begin(db, "a")]
    error = refused(db, team, khonsu.HeldError, team[1])
    assert error.holder == prepared.id and error.key == "a"
    team[1] = begin(db, "b")
    error = refused(db, team, khonsu.LockConflictError, team[1])
    assert error.holder == locker.id and error.key == "b"
    db.commit_together(team[:1])


def test_rows_that_are_there(db: Any) -> None:
    put(db, "t", (1, 1))
    team = [db.workspace() for _ in range(2)]
    for ws in team:
        ws.insert_rows("t", row(2))
    with pytest.raises(khonsu.RowExistsError) as raised:
        db.commit_together(team)
    assert raised.value.workspace is team[1] and raised.value.key == "t"
    assert [ws.state for ws in team] == ["active", "failed"] and team[1].closed
    team[0].commit()


def test_cancelled(db: Any) -> None:
    team = [begin(db, "a"), begin(db, "b")]
    db.cancel_workspace(team[0].id)
    error = refused(db, team, khonsu.CancelledError, team[0])
    assert isinstance(error, khonsu.StopError)
    team[0].retry()
    team[0]["a"] = row(1)
    db.commit_together(team)


def test_expired(db: Any) -> None:
    team = [begin(db, "a"), begin(db, "b", timeout=0.02)]
    while team[0].age < 0.1:
        db.step()
    refused(db, team, khonsu.ExpiredError, team[1])
    team[0].commit()


def test_no_room_for_another_transaction() -> None:
    """The commit is a transaction of its own; nobody is to blame."""
    with khonsu.open(limits={"txns": 3}) as db:
        team = [begin(db, "a"), begin(db, "b"), begin(db, "c")]
        refused(db, team, khonsu.BusyError, None)
        team.pop().close()
        db.commit_together(team)


FULL = """
import resource, signal, sys
import khonsu
from tables import ROWS, row

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
db = khonsu.open(sys.argv[1])
teams = [[db.workspace(timeout=600) for _ in range(2)] for _ in range(2)]
for n, ws in enumerate(ws for team in teams for ws in team):
    ws[f"{n}"] = row(n)
teams[0][1]["big"] = ROWS.rows([(i, i * 7919) for i in range(100_000)])
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, resource.RLIM_INFINITY))
for team, kind in zip(teams, (khonsu.OutcomeUnknownError, khonsu.PoisonedError)):
    try:
        db.commit_together(team)
    except kind as error:
        assert error.workspace is None
        assert kind is khonsu.PoisonedError or error.transaction == team[0].id
        for ws in team:
            assert (ws.state, ws.cause, ws.closed) == ("failed", error.status, True)
    else:
        raise AssertionError(kind)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
db.close()
with khonsu.open(sys.argv[1]) as db:
    found = [[db.outcome(ws.id)[0] for ws in team] for team in teams]
    assert found[0] in (["aborted"] * 2, ["committed"] * 2), found
    assert found[1] == ["aborted"] * 2
    is_there = found[0][0] == "committed"
    assert [f"{n}" in db.begin() for n in range(4)] == [is_there, is_there, False, False]
"""


def test_the_log_fails(tmp_path: Path) -> None:
    """In the middle of a record: all have failed, nobody is to blame, and it is all or none."""
    python(FULL, str(tmp_path / "d"))


# ---- called wrongly ------------------------------------------------------------------------------


def test_nothing_twice_and_strangers(db: Any) -> None:
    ann, ben = begin(db, "a"), begin(db, "b")
    other = khonsu.open()
    stranger = begin(other, "a")
    for team, words in (
        ([], "no workspaces"),
        ([ann, ben, ann], "comes twice"),
        ([ann] * 300, "comes twice"),
        ([ann, stranger], "another database"),
        ([stranger], "another database"),
    ):
        with pytest.raises(khonsu.InvalidError, match=words) as raised:
            db.commit_together(team)
        assert raised.value.workspace is None
    for wrong in (None, 5, ann, "ab", [ann, None], [ann, db.begin()], [khonsu.Workspace], [[ann]]):
        with pytest.raises(TypeError):
            db.commit_together(wrong)
    with pytest.raises(TypeError):
        db.commit_together()
    assert {ws.state for ws in (ann, ben, stranger)} == {"active"}
    db.commit_together([ann, ben])
    stranger.commit()


def test_different_id_columns(db: Any) -> None:
    team = [begin(db, "a"), begin(db, "b", id_column="v")]
    refused(db, team, khonsu.InvalidError, team[1])
    for ws in team:
        ws.commit()


def test_too_many(db: Any) -> None:
    team = [begin(db, f"{i:03}") for i in range(257)]
    refused(db, team, khonsu.TooBigError, None)
    db.commit_together(team[:-1])
    team[-1].commit()
    assert len(list(db.begin().keys())) == 257


@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
def test_who_has_ended(db: Any, end: str) -> None:
    ann, ben = begin(db, "a"), begin(db, "b")
    getattr(ben, end)()
    with pytest.raises(khonsu.FinishedError) as raised:
        db.commit_together([ann, ben])
    assert raised.value.workspace is ben and ann.state == "active"
    ann.commit()


def test_who_has_not_begun(db: Any) -> None:
    ws = begin(db, "a")
    unborn = khonsu.Workspace.__new__(khonsu.Workspace)
    with pytest.raises(khonsu.FinishedError, match="not begun") as raised:
        db.commit_together([ws, unborn])
    assert raised.value.workspace is unborn
    ws.commit()


def test_prepared(db: Any) -> None:
    ann, ben = begin(db, "a"), begin(db, "b")
    ben.prepare()
    with pytest.raises(khonsu.MisuseError) as raised:
        db.commit_together([ann, ben])
    assert raised.value.workspace is ben
    assert (ann.state, ben.state, ben.closed) == ("active", "committing", False)
    ben.commit()
    ann.commit()


def test_a_closed_database() -> None:
    db = khonsu.open()
    ws = begin(db, "a")
    db.close()
    for team in ([], [ws]):
        with pytest.raises(khonsu.FinishedError, match="database is closed") as raised:
            db.commit_together(team)
        assert raised.value.workspace is None


def test_an_iterable_that_raises(db: Any) -> None:
    ws = begin(db, "a")

    def some() -> Iterator[Any]:
        yield ws
        raise LookupError

    with pytest.raises(LookupError):
        db.commit_together(some())

    def ending() -> Iterator[Any]:
        yield ws
        ws.rollback()

    with pytest.raises(khonsu.FinishedError):
        db.commit_together(ending())
