"""The section "Durable" of docs/performance.md: its tables, its plots, and the commands that repeat
each row."""

import durable
import plot
import strace
from bars import figure_of, middle, MISSING, spread
from tables import cells, scaled, series, table


# Fewer per commit are of the background, not of the commit.
LEAST_CALLS = 0.005


def median_of(cell, key):
    found = series(cell, key)
    return figure_of(middle(found)) if found else MISSING


def timed_table(values, figure):
    rows = []
    for cell in cells(values, figure):
        rows.append((cell["name"], spread(scaled(series(cell, "per_second"), 1e-3)),
                     median_of(cell, "p50_us"), spread(series(cell, "p99_us")),
                     median_of(cell, "p999_us"), median_of(cell, "max_us"),
                     median_of(cell, "cpu_us"), median_of(cell, "written_bytes_per_commit"),
                     spread(series(cell, "aborts_per_commit"))))
    return table(("engine", "thousand commits per second", "p50, us", "p99, us", "p99.9, us",
                  "max, us", "CPU, us per commit", "bytes written per commit",
                  "aborts per commit"), rows)


def calls_table(values):
    rows = []
    for cell in cells(values, "durable_calls"):
        for run in cell["runs"]:
            per_commit = ", ".join(f"{count:.3g} {call}"
                                   for call, count in run["calls_per_commit"].items()
                                   if count >= LEAST_CALLS)
            per_group = run["fdatasync_per_group"]
            rows.append((cell["name"], per_commit or "none",
                         MISSING if per_group is None else f"{per_group:.3f}"))
    return table(("committers and engine", "calls per commit", "fdatasync per group"), rows)


def settings_table(values):
    rows = []
    for engine in values["engines"]:
        for sync, terms in sorted(engine.get("durable", {}).items(), reverse=True):
            rows.append((engine["engine"], engine["version"],
                         "each commit" if sync == "sync" else "none", terms))
    return table(("engine", "version", "synced", "how it is set up"), rows)


def plot_panel(values, committers, key, factor, title, unit):
    rows = [plot.Row(cell["name"].replace("alone: ", "one "),
                     tuple(scaled(series(cell, key), factor)))
            for cell in cells(values, f"durable_{committers}") if series(cell, key)]
    return plot.Panel(title, rows, unit)


def rates_plot(values):
    panels = []
    for committers in durable.COMMITTERS:
        words = "one committer" if committers == 1 else f"{committers} committers"
        panels += [plot_panel(values, committers, "per_second", 1e-3, f"rate, {words}",
                              "thousand commits per second"),
                   plot_panel(values, committers, "p99_us", 1, f"99th percentile, {words}",
                              "microseconds")]
    return plot.dots("Durable commits", panels)


def command_of(cell):
    """What repeats a row, from the root of the sources."""
    is_traced = any("calls_per_commit" in run for run in cell["runs"])
    return " ".join([*(strace.STRACE if is_traced else ()), "build/bench/program/khonsu-bench",
                     *cell["arguments"]])


def figure_lines(values, name, bounds):
    figure = values["figures"][name]
    loads = [run["load"] for cell in figure["cells"] for run in cell["runs"]]
    text = calls_table(values) if name == "durable_calls" else timed_table(values, name)
    lines = [f"### {figure['title']}", "", text if figure["cells"] else MISSING.capitalize() + ".",
             "", bounds[name], ""]
    if loads:
        rounds = max(len(cell["runs"]) for cell in figure["cells"])
        lines += [f"Rounds: {rounds}. Load average meanwhile: {min(loads):.1f} to "
                  f"{max(loads):.1f}.", "", "<details><summary>Each row by itself</summary>", "",
                  "```sh", *(command_of(cell) for cell in figure["cells"]), "```", "", "</details>",
                  ""]
    return lines


def lines_of(values, bounds, plots):
    """The section, its plot put into plots; nothing when nothing durable was measured."""
    names = [name for name in values["figures"] if durable.is_durable(name)]
    if not names:
        return []
    lines = ["## Durable", "", bounds["durable"], ""]
    if "durable_place" in values:
        lines += [f"Measured on {values['durable_place']}.", ""]
    if any(cells(values, f"durable_{committers}") for committers in durable.COMMITTERS):
        lines += ["![Durable commits](performance/durable.svg)", ""]
        plots["durable"] = rates_plot(values)
    for name in names:
        lines += figure_lines(values, name, bounds)
    return lines + ["### Engines in files", "", settings_table(values), "",
                    "### Opening, loading, and more than memory", "", bounds["durable_besides"],
                    ""]
