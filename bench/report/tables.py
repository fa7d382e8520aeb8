"""What tables of the report are made of: cells of a figure, series of their runs, Markdown."""


def table(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|" + "|".join("---" for _ in heads) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def cells(values, figure):
    return values["figures"].get(figure, {}).get("cells", [])


def series(cell, key):
    return [run[key] for run in cell["runs"] if key in run]


def scaled(numbers, factor):
    return [number * factor for number in numbers]
