"""A shared notebook: many threads edit copies of the same tables, and edits are merged by row.

Each page is a table of tasks. An editor takes a copy of a page, changes a cell with pyarrow, adds a
task or strikes one out, thinks for a moment, and writes the whole page back, as people do. With the
policy "merge" a commit that meets a newer version compares both with the version they began from:
different rows, and different columns of one row, go together. When a cell was changed to two
values, or a row changed by one and struck out by the other, the commit is refused, and db.run()
makes the edit again on the page as it is now. The policy "fail", shown beside, refuses all of them.

At the end the pages must be what the acknowledged edits make, done one after the other.
"""

import argparse
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

import khonsu

PAGE = pa.schema(
    [("id", pa.int64()), ("task", pa.string()), ("owner", pa.string()), ("state", pa.string())]
)
Pages = dict[str, dict[int, dict[str, object]]]  # rows by page and id


class Edit(NamedTuple):
    """What one commit has done to a task: new cells, or struck it out."""

    timestamp: int
    page: str
    id: int
    cells: dict[str, object] | None


class Editor:
    """Someone with a keyboard, and what was acknowledged to them."""

    def __init__(self, db: khonsu.Database, pages: list[str], number: int) -> None:
        self.db, self.pages, self.name = db, pages, f"editor {number}"
        self.dice, self.next_id = random.Random(number), 1_000_000 * (number + 1)
        self.edits: list[Edit] = []
        self.counts = Counter[str]()

    def edit(self, txn: khonsu.Transaction) -> Edit:
        """One edit of one page."""
        self.counts["attempts"] += 1
        key = self.dice.choice(self.pages)
        page = txn[key].to_pyarrow()
        row = self.dice.randrange(len(page))
        id = page["id"][row].as_py()
        cells: dict[str, object] | None = None
        kind = self.dice.choices(["state", "owner", "task", "add", "strike"], [4, 3, 3, 2, 1])[0]
        if kind == "add":
            id = self.next_id = self.next_id + 1
            cells = {"id": id, "task": f"task {id}", "owner": self.name, "state": "open"}
            page = pa.concat_batches([page, pa.RecordBatch.from_pylist([cells], PAGE)])
        elif kind == "strike":
            page = page.filter(pc.not_equal(page["id"], id))
        else:
            words = {
                "state": self.dice.choice(["open", "doing", "done", "blocked"]),
                "owner": self.name,
                "task": f"task {id}, as {self.name} has put it",
            }
            same = page[kind][row].as_py() == words[kind]  # no edit: another's may stand
            cells = {} if same else {kind: words[kind]}
            column = pc.if_else(pc.equal(page["id"], id), words[kind], page[kind])
            page = page.set_column(PAGE.names.index(kind), PAGE.field(kind), column)
        time.sleep(self.dice.uniform(0, 0.005))
        txn[key] = page
        timestamp = txn.commit()  # here, and not by run(), to see what became of the write
        self.counts["merged"] += len(txn.resolved())
        return Edit(timestamp, key, id, cells)

    def work(self, end: float, policy: khonsu.Policy) -> None:
        """Edit until the end of the day."""
        while time.monotonic() < end:
            try:
                self.edits.append(self.db.run(self.edit, policy=policy, attempts=5))
            except khonsu.ConflictError:
                self.counts["given up"] += 1


def contents(db: khonsu.Database) -> Pages:
    """All pages, of one snapshot."""
    with db.begin(read_only=True) as txn:
        pages = {key: {row["id"]: row for row in page.to_pylist()} for key, page in txn.scan()}
    return pages


def replay(pages: Pages, edits: list[Edit]) -> Pages:
    """Make the edits one after the other, in the order of their commits."""
    for edit in sorted(edits, key=lambda edit: edit.timestamp):
        if edit.cells is None:
            pages[edit.page].pop(edit.id, None)  # two may strike out the same: they agree
        elif edit.cells:
            pages[edit.page].setdefault(edit.id, {}).update(edit.cells)
    return pages


def run(policy: khonsu.Policy, editors: int, pages: int, seconds: float) -> Counter[str]:
    """Let editors loose on a new notebook; what happened."""
    with khonsu.open() as db:
        keys = [f"notebook/page {number}" for number in range(pages)]
        with db.begin() as txn:
            for key in keys:
                tasks = [(id, f"task {id}", "nobody", "open") for id in range(40)]
                txn[key] = khonsu.Schema(PAGE).rows(tasks)
        before = contents(db)
        people = [Editor(db, keys, number) for number in range(editors)]
        end = time.monotonic() + seconds
        with ThreadPoolExecutor(editors) as pool:
            for done in [pool.submit(editor.work, end, policy) for editor in people]:
                done.result()
        edits = [edit for editor in people for edit in editor.edits]
        if replay(before, edits) != contents(db):
            raise AssertionError("the pages are not what the acknowledged edits make")
    counts = sum((editor.counts for editor in people), Counter[str]())
    counts["committed"] = len(edits)
    counts["refused"] = counts["attempts"] - len(edits)
    counts["retried"] = counts["refused"] - counts["given up"]
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--editors", type=int, default=8)
    parser.add_argument("--pages", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=4, help="of each policy")
    options = parser.parse_args()
    print(f"{options.editors} editors, {options.pages} pages, {options.seconds:g} seconds each")
    columns = ("committed", "merged", "refused", "retried", "given up")
    print(f"{'policy':<8}" + "".join(f"{column:>11}" for column in columns))
    policies: tuple[khonsu.Policy, ...] = ("merge", "fail")
    for policy in policies:
        counts = run(policy, options.editors, options.pages, options.seconds)
        print(f"{policy:<8}" + "".join(f"{counts[column]:>11,}" for column in columns))
    print("both notebooks are what the acknowledged edits make, one after the other")


if __name__ == "__main__":
    main()
