"""Workspaces: what several agents' edits of shared notes mean to each other.

Each agent begins from the same notes and rewrites one. An edit's delta is the embedding of the note
after it minus the one before; the class of two deltas is what a workspace in the mode "guard" or
"merge" decides by. The example embeds the edits, prints the class of every pair beside what the two
sentences are to each other in fact, and draws the similarities as an SVG picture. Then all agents
commit their edits in workspaces, one after the other: guarded, and merged.

``pip install khonsu[embed]`` brings the model; nothing is downloaded when it runs.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import khonsu
from khonsu import thresholds

NOTES = {
    "hours": "The library is open from Monday to Friday, nine to five.",
    "sign": "Sign at the door: open Monday to Friday, nine to five.",
    "loans": "Books may be kept for four weeks.",
    "questions": "How long can I keep a book? Four weeks.",
    "café": "The café on the ground floor serves drinks.",
    "heating": "The heating is serviced every September.",
}


class Edit(NamedTuple):
    """One agent's change of one note."""

    agent: str
    key: str
    after: str

    @property
    def name(self) -> str:
        return f"{self.agent}: {self.key}"

    @property
    def before(self) -> str:
        return NOTES[self.key]


EDITS = [
    Edit("Ann", "hours", "The library is open from Monday to Saturday, nine to five."),
    Edit("Bob", "hours", "The library is open from Monday to Saturday, nine to five."),
    Edit("Cleo", "sign", "Sign at the door: open Monday to Saturday, nine to five."),
    Edit("Dan", "sign", "Sign at the door: open Monday to Thursday, nine to five."),
    Edit("Eve", "loans", "Books may be kept for six weeks."),
    Edit("Fay", "questions", "How long can I keep a book? Three weeks."),
    Edit("Gil", "café", "The café on the ground floor serves drinks and warm meals."),
    Edit("Hal", "café", "The café on the ground floor serves drinks. It takes no cards."),
    Edit("Ida", "heating", "The heating is serviced every October."),
]
# As people judge it; all other pairs are independent.
CONTRADICT = {("Ann", "Dan"), ("Bob", "Dan"), ("Cleo", "Dan"), ("Eve", "Fay")}
AGREE = {("Ann", "Bob"), ("Ann", "Cleo"), ("Bob", "Cleo")}


class Pair(NamedTuple):
    """Two edits, by number, and what their deltas say of them."""

    i: int
    j: int
    cosine: float
    kind: str


class Sides(NamedTuple):
    """A row of numbers for each edit: what its note meant before, and means after."""

    before: Any
    after: Any


def sides_of(edits: Sequence[Edit], embed: Callable[[Sequence[str]], Any]) -> Sides:
    return Sides(embed([edit.before for edit in edits]), embed([edit.after for edit in edits]))


def compare_all(edits: Sequence[Edit], sides: Sides) -> list[Pair]:
    """Every pair, the most similar first."""
    deltas = [
        khonsu.Delta.between(before, after, keys=[edit.key])
        for edit, before, after in zip(edits, *sides, strict=True)
    ]
    pairs = [Pair(i, j, cosine, kind) for i, j, kind, cosine in khonsu.classify_all(deltas)]
    return sorted(pairs, key=lambda pair: (-pair.cosine, pair.j, pair.i))


def in_fact(first: Edit, second: Edit) -> str:
    agents = (first.agent, second.agent)
    if agents in CONTRADICT:
        return "contradict each other"
    return "say the same" if agents in AGREE else "independent"


def print_table(edits: Sequence[Edit], pairs: Sequence[Pair]) -> None:
    for edit in edits:
        print(f"{edit.name:<15}{edit.after}")
    print(f"\n{'cosine':>7}  {'class':<14}{'first':<16}{'second':<16}in fact")
    for pair in pairs:
        first, second = edits[pair.i], edits[pair.j]
        print(
            f"{pair.cosine:7.3f}  {pair.kind:<14}{first.name:<16}{second.name:<16}"
            f"{in_fact(first, second)}"
        )


def print_verdict(edits: Sequence[Edit], pairs: Sequence[Pair]) -> None:
    """What the mode guard would make of them, if each pair met."""
    for fact in ("contradict each other", "say the same", "independent"):
        kinds = [pair.kind for pair in pairs if in_fact(edits[pair.i], edits[pair.j]) == fact]
        stopped = sum(kind in thresholds.STOPPED for kind in kinds)
        print(f"{fact}: guard would stop {stopped} of {len(kinds)}")


# ---- committed -----------------------------------------------------------------------------------

NOTE = khonsu.Schema({"id": "int64", "text": "utf8"})


def one_key_each(edit: Edit | None) -> Iterator[tuple[str, khonsu.Batch]]:
    """What is written: a key for each note, with one row."""
    for number, (key, text) in enumerate(NOTES.items()):
        if edit is None or edit.key == key:
            yield f"notes/{key}", NOTE.row(number, text if edit is None else edit.after)


def one_table(edit: Edit | None) -> Iterator[tuple[str, khonsu.Batch]]:
    """The same with all notes under one key, a row each: who writes it meets all others."""
    texts = NOTES if edit is None else NOTES | {edit.key: edit.after}
    yield "notes", NOTE.rows(list(enumerate(texts.values())))


def outcome_of(ws: khonsu.Workspace, agents: dict[int, str]) -> str:
    """Commits it, and says what came of that."""
    try:
        ws.commit()
    except khonsu.SemanticConflictError as error:
        rival = agents[error.rival_transaction]
        return f"stopped: {error.kind}, {rival}, {error.similarity:.2f}"
    except khonsu.ConflictError:
        return "stopped: by its key"
    return "merged" if ws.resolved() else "committed"


def commit_all(edits: Sequence[Edit], sides: Sides, mode: Any, layout: Any) -> list[str]:
    """All agents begin from the same notes, and commit one after the other."""
    outcomes, agents = [], {}
    with khonsu.open(semantic=mode) as db:
        with db.begin() as txn:
            for key, rows in layout(None):
                txn[key] = rows
        open_edits = []
        for edit, *meaning in zip(edits, *sides, strict=True):
            ws = db.workspace(embed=lambda operations, meaning=meaning: meaning, timeout=60)
            for key, rows in layout(edit):
                ws[key] = rows
            agents[ws.id] = edit.agent
            open_edits.append(ws)
        for ws in open_edits:
            outcomes.append(outcome_of(ws, agents))
    return outcomes


def print_outcomes(edits: Sequence[Edit], sides: Sides) -> None:
    guarded = commit_all(edits, sides, "guard", one_key_each)
    merged = commit_all(edits, sides, "merge", one_table)
    print(f"{'committed by':<15}{'guard, a key a note':<36}merge, all notes in one table")
    for edit, first, second in zip(edits, guarded, merged, strict=True):
        print(f"{edit.name:<15}{first:<36}{second}")


# ---- drawn ---------------------------------------------------------------------------------------

CELL, LEFT, TOP = 64, 130, 96
SHORT = {"low conflict": "low", "conflicting": "conflict", "orthogonal": "orthog."}


def colour(cosine: float) -> str:
    """White at 0; orange towards 1, blue towards -1."""
    full = (224, 120, 20) if cosine > 0 else (50, 110, 190)
    share = min(1.0, abs(cosine))
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in full)


def cell(edits: Sequence[Edit], pair: Pair) -> str:
    """A square below the diagonal: cosine, class, and a border around what guard stops."""
    x, y = LEFT + CELL * pair.i, TOP + CELL * pair.j
    first, second = edits[pair.i], edits[pair.j]
    note = f"{first.name} / {second.name}: {in_fact(first, second)}"
    border = "#b00000" if pair.kind in thresholds.STOPPED else "#bbb"
    mark = {"contradict each other": "≠", "say the same": "="}.get(in_fact(first, second), "")
    return (
        f'<g><title>{escape(note)}</title><rect x="{x + 1}" y="{y + 1}" width="{CELL - 3}" '
        f'height="{CELL - 3}" fill="{colour(pair.cosine)}" stroke="{border}" stroke-width="2"/>'
        f'<text x="{x + CELL / 2}" y="{y + 18}" font-weight="bold">{mark}</text>'
        f'<text x="{x + CELL / 2}" y="{y + 36}">{pair.cosine:.2f}</text>'
        f'<text x="{x + CELL / 2}" y="{y + 53}" font-size="10">'
        f"{SHORT.get(pair.kind, pair.kind)}</text></g>"
    )


def draw(edits: Sequence[Edit], pairs: Sequence[Pair], path: str) -> None:
    """The matrix of similarities."""
    width, height = LEFT + CELL * (len(edits) - 1) + 40, TOP + CELL * len(edits) + 20
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-size="13" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        '<text x="20" y="28" font-weight="bold">cosine of the deltas of two edits, and their class'
        "</text>",
        '<text x="20" y="50">in fact: ≠ contradict each other, = say the same, '
        "else independent</text>",
        '<text x="20" y="70" fill="#b00000">red border: guard would stop the later of the two'
        "</text>",
    ]
    for number, edit in enumerate(edits):
        y = TOP + CELL * number + CELL / 2 + 5
        out.append(f'<text x="{LEFT - 10}" y="{y}" text-anchor="end">{escape(edit.name)}</text>')
        x = LEFT + CELL * number + CELL / 2
        if number < len(edits) - 1:
            out.append(f'<text x="{x}" y="{y + 10}" text-anchor="middle">{edit.agent}</text>')
    out.append('<g text-anchor="middle">')
    out += [cell(edits, pair) for pair in sorted(pairs)]
    out.append("</g></svg>")
    Path(path).write_text("\n".join(out) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--out", default="workspaces.svg", help="the picture")
    parser.add_argument("--embed", default="khonsu.sentences:embed", metavar="MODULE:FUNCTION")
    options = parser.parse_args()
    try:
        sides = sides_of(EDITS, thresholds.embedder(options.embed))
    except ImportError as error:
        parser.exit(1, f"{error}\n")
    pairs = compare_all(EDITS, sides)
    print_table(EDITS, pairs)
    print()
    print_verdict(EDITS, pairs)
    print()
    print_outcomes(EDITS, sides)
    draw(EDITS, pairs, options.out)
    print(f"picture: {options.out}")


if __name__ == "__main__":
    main()
