"""SVG plots, written by hand: dots with their spread on an axis, margins, and grouped bars."""

import dataclasses
import math
from xml.sax.saxutils import escape

INK, FAINT, PAPER = "#1f2933", "#d8dee6", "#ffffff"
COLOURS = {"khonsu repeatable read": "#1664c0", "khonsu serializable": "#0b3c74",
           "lmdb": "#c2571a", "lmdb-pwrite": "#e08e5a", "wiredtiger": "#2e8b57",
           "rocksdb-optimistic": "#9b4dca", "rocksdb-pessimistic": "#6f2da8",
           "sqlite": "#a8862b", "bare": "#7b8794", "null": "#aab2bd",
           "bare-rocksdb": "#b58ad6", "bare-rocksdb-recycled": "#c9a9e3"}
CEILING = "#c81e3a"
FONT = "font-family='Helvetica, Arial, sans-serif'"


class Drawing:
    def __init__(self, width, height, title):
        self.width, self.height = width, height
        self.parts = []
        self.text(20, 28, title, size=17, weight="bold")

    def text(self, x, y, words, size=12, anchor="start", weight="normal", colour=INK):
        self.parts.append(f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' fill='{colour}' "
                          f"text-anchor='{anchor}' font-weight='{weight}'>{escape(words)}</text>")

    def line(self, x1, y1, x2, y2, colour=INK, width=1.0, dash=""):
        dashes = f" stroke-dasharray='{dash}'" if dash else ""
        self.parts.append(f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' "
                          f"stroke='{colour}' stroke-width='{width}'{dashes}/>")

    def rectangle(self, x, y, width, height, colour):
        self.parts.append(f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' "
                          f"height='{height:.1f}' fill='{colour}'/>")

    def dot(self, x, y, colour, radius=5.0):
        self.parts.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{radius}' fill='{colour}'/>")

    def svg(self):
        return (f"<svg xmlns='http://www.w3.org/2000/svg' width='{self.width}' "
                f"height='{self.height}' viewBox='0 0 {self.width} {self.height}' {FONT}>\n"
                f"<rect width='{self.width}' height='{self.height}' fill='{PAPER}'/>\n"
                + "\n".join(self.parts) + "\n</svg>\n")


@dataclasses.dataclass
class Row:
    """One mark: the median and the spread of the rounds."""

    name: str
    values: tuple
    ceiling: float = 0.0  # 0: none is asked

    def middle(self):
        ordered = sorted(self.values)
        half = len(ordered) // 2
        return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


@dataclasses.dataclass
class Panel:
    title: str
    rows: list
    unit: str
    is_linear: bool = False  # from 0; else logarithmic


def short(value):
    """A number that fits beside its mark."""
    if value >= 10_000:
        return f"{value / 1000:,.3g}k" if value < 999_500 else f"{value / 1e6:,.3g}M"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def decades(least, most):
    """Bounds of a logarithmic axis on whole thirds of a decade, and its ticks (1, 2, 5)."""
    low, high = 10 ** math.floor(math.log10(least)), 10 ** math.ceil(math.log10(most))
    ticks = [step * 10 ** power
             for power in range(round(math.log10(low)), round(math.log10(high)) + 1)
             for step in (1, 2, 5)]
    low = max(tick for tick in ticks if tick <= least)
    high = min(tick for tick in ticks if tick >= most)
    if low == high:
        high *= 2
    shown = [tick for tick in ticks if low <= tick <= high]
    wide = math.log10(high / low) > 2
    return low, high, [tick for tick in shown if not wide or tick == 10 ** round(math.log10(tick))]


def tenths(most):
    """A linear axis from 0: its end and five steps of 1, 2, 2.5 or 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(most / 5))
    step = next(each * power for each in (1, 2, 2.5, 5, 10) if each * power * 5 >= most)
    return 5 * step, [step * count for count in range(6)]


LABEL_WIDTH, ROW_HEIGHT, VALUE_WIDTH, PANEL_HEAD, PANEL_FOOT = 150, 22, 52, 30, 44


def axis_of(panel):
    """Where a value lies between the ends of the panel's axis (0 to 1), and the ticks."""
    values = [value for row in panel.rows for value in (*row.values, row.ceiling) if value > 0]
    if panel.is_linear:
        end, ticks = tenths(max(values))
        return lambda value: value / end, ticks
    low, high, ticks = decades(min(values) * 0.95, max(values) * 1.05)
    return lambda value: math.log(value / low) / math.log(high / low), ticks


def draw_axis(drawing, left, top, width, panel):
    """The grid of one panel; how a value becomes a place on it."""
    share_of, ticks = axis_of(panel)
    bottom = top + len(panel.rows) * ROW_HEIGHT

    def place(value):
        return left + width * share_of(value)

    for tick in ticks:
        drawing.line(place(tick), top, place(tick), bottom, FAINT)
        drawing.text(place(tick), bottom + 15, short(tick), size=11, anchor="middle")
    unit = panel.unit if panel.is_linear else f"{panel.unit} (logarithmic)"
    drawing.text(left + width / 2, bottom + 31, unit, size=11, anchor="middle")
    return place


def draw_panel(drawing, left, top, width, panel):
    drawing.text(left, top + 16, panel.title, size=13, weight="bold")
    inner_left, inner_top = left + LABEL_WIDTH, top + PANEL_HEAD
    inner_width = width - LABEL_WIDTH - VALUE_WIDTH
    place = draw_axis(drawing, inner_left, inner_top, inner_width, panel)
    for index, row in enumerate(panel.rows):
        y = inner_top + (index + 0.5) * ROW_HEIGHT
        colour = COLOURS.get(row.name, INK)
        drawing.text(inner_left - 8, y + 4, row.name, anchor="end")
        drawing.line(inner_left, y, inner_left + inner_width, y, FAINT, 0.5)
        drawing.line(place(min(row.values)), y, place(max(row.values)), y, colour, 3)
        drawing.dot(place(row.middle()), y, colour)
        if row.ceiling:
            drawing.line(place(row.ceiling), y - 9, place(row.ceiling), y + 9, CEILING, 2.5)
        drawing.text(left + width, y + 4, short(row.middle()), anchor="end", colour=colour)


def draw_legend(drawing, y, has_ceiling):
    drawing.dot(26, y, INK)
    drawing.text(38, y + 4, "median of the rounds", size=11)
    drawing.line(172, y, 196, y, INK, 3)
    drawing.text(203, y + 4, "least to greatest", size=11)
    if has_ceiling:
        drawing.line(318, y - 8, 318, y + 8, CEILING, 2.5)
        drawing.text(326, y + 4, "asked", size=11)


def dots(title, panels):
    """Panels in two columns, each a list of marks on an axis of its own."""
    panels = [panel for panel in panels if panel.rows]
    column = 460
    rows_of_panels = [panels[i:i + 2] for i in range(0, len(panels), 2)]
    heights = [PANEL_HEAD + PANEL_FOOT + ROW_HEIGHT * max(len(panel.rows) for panel in pair)
               for pair in rows_of_panels]
    drawing = Drawing(2 * column + 60, 74 + sum(heights) + 10 * len(heights), title)
    draw_legend(drawing, 50, any(row.ceiling for panel in panels for row in panel.rows))
    top = 70
    for pair, height in zip(rows_of_panels, heights):
        for index, panel in enumerate(pair):
            draw_panel(drawing, 20 + index * (column + 20), top, column, panel)
        top += height + 10
    return drawing.svg()


MARGIN_LABEL, MARGIN_WIDTH = 430, 400
MET, MISSED = "#2e8b57", "#c81e3a"


def margins(title, rows):
    """How far each bar is passed or missed: one row per (words, ratios), met from 1 upwards."""
    low, high, ticks = 0.1, 10, (0.1, 0.2, 0.5, 1, 2, 5, 10)
    bottom = 66 + len(rows) * ROW_HEIGHT
    drawing = Drawing(MARGIN_LABEL + MARGIN_WIDTH + 90, bottom + 50, title)
    drawing.text(20, 50, "median and spread of the rounds; right of the line: met", size=11)

    def place(value):
        """What lies beyond the axis is drawn at its end."""
        value = min(max(value, low), high)
        return MARGIN_LABEL + MARGIN_WIDTH * math.log(value / low) / math.log(high / low)

    for tick in ticks:
        drawing.line(place(tick), 62, place(tick), bottom, FAINT)
        drawing.text(place(tick), bottom + 15, short(tick), size=11, anchor="middle")
    drawing.line(place(1), 58, place(1), bottom, INK, 1.5)
    drawing.text(MARGIN_LABEL + MARGIN_WIDTH / 2, bottom + 33,
                 "times better than asked (logarithmic)", size=11, anchor="middle")
    for index, (words, ratios) in enumerate(rows):
        y = 66 + (index + 0.5) * ROW_HEIGHT
        middle = Row(words, ratios).middle()
        colour = MET if middle >= 1 else MISSED
        drawing.text(MARGIN_LABEL - 8, y + 4, words, size=11, anchor="end")
        drawing.line(place(min(ratios)), y, place(max(ratios)), y, colour, 3)
        drawing.dot(place(middle), y, colour)
        drawing.text(drawing.width - 20, y + 4, short(middle), anchor="end", colour=colour)
    return drawing.svg()


def draw_group(drawing, left, panel, place, floor_of):
    """The bars of one group side by side; the width they took."""
    for index, row in enumerate(panel.rows):
        x = left + index * 44
        colour = COLOURS.get(row.name, INK)
        top, bottom = place(row.middle()), place(0)
        drawing.rectangle(x, top, 34, bottom - top, colour)
        drawing.line(x + 17, place(min(row.values)), x + 17, place(max(row.values)), INK, 1.5)
        drawing.text(x + 17, place(max(row.values)) - 5, f"{row.middle():.2f}", size=11,
                     anchor="middle")
    width = 44 * len(panel.rows) - 10
    floor = floor_of(panel)
    if floor:
        drawing.line(left - 6, place(floor), left + width + 6, place(floor), CEILING, 2, "5,3")
    drawing.text(left + width / 2, place(0) + 18, panel.title, anchor="middle")
    return width


def bars(title, panels, unit, floor_of, floor_words):
    """Groups of vertical bars from 0; floor_of(panel) is what the group must reach."""
    panels = [panel for panel in panels if panel.rows]
    most, steps = tenths(max(value for panel in panels for row in panel.rows
                             for value in row.values))
    names = []
    for panel in panels:
        names += [row.name for row in panel.rows if row.name not in names]
    width = 110 + sum(44 * len(panel.rows) + 40 for panel in panels) + 20
    drawing = Drawing(max(width, 760), 380, title)
    left, top, bottom = 80, 90, 340

    def place(value):
        return bottom - (bottom - top) * value / most

    x = 26
    for name in names:
        drawing.rectangle(x, 44, 12, 12, COLOURS.get(name, INK))
        drawing.text(x + 18, 54, name, size=11)
        x += 34 + 6.3 * len(name)
    drawing.line(x, 50, x + 22, 50, CEILING, 2, "5,3")
    drawing.text(x + 28, 54, floor_words, size=11)
    for value in steps:
        drawing.line(left - 10, place(value), drawing.width - 20, place(value), FAINT)
        drawing.text(left - 16, place(value) + 4, f"{value:g}", size=11, anchor="end")
    drawing.text(26, top - 12, unit, size=11)
    x = left + 10
    for panel in panels:
        x += draw_group(drawing, x, panel, place, floor_of) + 50
    return drawing.svg()
