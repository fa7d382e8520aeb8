"""The ways in which semantic workspaces are used most: as examples/workspaces.c, in Python.

First: begin, put two accounts, ask for the affected keys, commit. Then two editors of one table of
facts: begin, operations, embeddings before and after, candidates for a merge, and the commits, one
of which is merged into the other's change, while a third that contradicts them is stopped. At last
three who want to commit together, as one record: who does not fit is left out.
"""

from collections.abc import Sequence

import khonsu

ACCOUNT = khonsu.Schema({"id": "int64", "balance": "int64", "limit": "int64"})
CITY = khonsu.Schema({"id": "int64", "population": "int64", "area": "int64"})
BEFORE = [0, 0, 1, 0]


def put_accounts(db: khonsu.Database) -> None:
    with db.workspace() as ws:
        ws["account/ann"] = ACCOUNT.row(1, 100, 500)
        ws["account/ben"] = ACCOUNT.row(2, 250, 0)
        keys = ws.affected_keys
        print(f"{len(ws.operations)} operations on {len(keys)} keys: {' '.join(keys)}")
    print("committed:", "yes" if ws.timestamp else "no")


def edit(
    db: khonsu.Database, key: str, facts: Sequence[tuple[int, ...]], after: Sequence[float]
) -> khonsu.Workspace:
    ws = db.workspace(mode="merge")
    ws[key] = CITY.rows(facts)
    ws.before(BEFORE)
    ws.after(after)
    ws.compute_delta()  # from here on others see it
    return ws


def end(ws: khonsu.Workspace, who: str) -> None:
    try:
        ws.commit()
        print(f"{who}: KH_OK")
    except khonsu.SemanticConflictError as error:
        print(f"{who}: {error.status}")
        print(f"{who} is {error.kind} to what was committed, cosine {error.similarity:.2f}")
    ws.close()


def edit_facts(db: khonsu.Database) -> None:
    with db.begin() as txn:
        txn["cities"] = CITY.rows([(1, 3600, 890), (2, 1500, 310)])
    grown = [(1, 3700, 890), (2, 1500, 310)]
    measured = [(1, 3600, 891), (2, 1500, 310)]
    ann = edit(db, "cities", grown, [1, 0, 1, 0])
    ben = edit(db, "cities", measured, [0, 1, 1, 0])
    eve = edit(db, "notes", grown, [-1, 0, 1, 0.1])
    for number, other in enumerate(ben.merge_candidates(threshold=0.1, window=60), 1):
        print(
            f"candidate {number}: {other.kind}, cosine {other.similarity:.2f}, "
            f"{other.shared_keys} shared keys"
        )
    end(ann, "ann")
    end(ben, "ben")
    end(eve, "eve")
    show_facts(db)


def show_facts(db: khonsu.Database) -> None:
    with db.begin(read_only=True) as txn:
        cities = txn["cities"]
        for number in range(len(cities)):
            city, population, area = cities.row(number)
            print(f"city {city}: population {population}, area {area}")


def edit_together(db: khonsu.Database) -> None:
    grown = [(1, 3800, 891), (2, 1500, 310)]
    measured = [(1, 3700, 891), (2, 1500, 312)]
    editors = {
        "dan": edit(db, "cities", grown, [1, 0, 1, 0]),
        "fay": edit(db, "cities", measured, [0, 1, 1, 0]),
        "gil": edit(db, "notes", grown, [-1, 0, 1, 0.1]),
    }
    while editors:
        try:
            db.commit_together(editors.values())
        except (khonsu.ConflictError, khonsu.SemanticConflictError) as error:
            print(f"{len(editors)} together: {error.status}")
            [culprit] = [who for who, ws in editors.items() if ws is error.workspace]
            print(f"{culprit} is left out")
            editors.pop(culprit).close()
        else:
            print(f"{len(editors)} together: KH_OK")
            break
    show_facts(db)


def main() -> None:
    with khonsu.open() as db:
        put_accounts(db)
        edit_facts(db)
        edit_together(db)


if __name__ == "__main__":
    main()
