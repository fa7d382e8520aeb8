"""Workspaces: what several agents' edits of shared notes mean to each other.

Each agent begins from the same notes and rewrites one. An edit's delta is the embedding of the note
after it minus the one before; the class of two deltas is what a workspace in the mode "guard" or
"merge" would decide by. The example embeds the edits, prints the class of every pair beside what
the two sentences are to each other in fact, and draws the similarities as an SVG picture.

``pip install khonsu[embed]`` brings the model; nothing is downloaded when it runs.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

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


def deltas(edits: Sequence[Edit], embed: Callable[[Sequence[str]], Any]) -> Any:
    """A row for each edit: what a workspace gets as its embeddings after, minus those before."""
    return embed([edit.after for edit in edits]) - embed([edit.before for edit in edits])


def compare_all(edits: Sequence[Edit], rows: Any) -> list[Pair]:
    """Every pair, the most similar first."""
    pairs = []
    for j, second in enumerate(edits):
        for i, first in enumerate(edits[:j]):
            likeness = thresholds.compare(rows[i], rows[j])
            kind = thresholds.classify(likeness, "same" if first.key == second.key else "different")
            pairs.append(Pair(i, j, likeness.cosine, kind))
    return sorted(pairs, key=lambda pair: (-pair.cosine, pair.i, pair.j))


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
        rows = deltas(EDITS, thresholds.embedder(options.embed))
    except ImportError as error:
        parser.exit(1, f"{error}\n")
    pairs = compare_all(EDITS, rows)
    print_table(EDITS, pairs)
    print()
    print_verdict(EDITS, pairs)
    draw(EDITS, pairs, options.out)
    print(f"picture: {options.out}")


if __name__ == "__main__":
    main()
