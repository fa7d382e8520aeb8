"""docs/performance.md and its plots from a report: nothing here measures, and no number is typed.

The words that say what bounds a figure stand in bounds.md, one section per figure; a figure
without its section is an error.
"""

import os
import re

import durable
import durable_section
import plot
from bars import all_bars, figure_of, MISSING, Report, scaling_of, spread
from plan import label, RR, SCALES, SER
from tables import cells, scaled, series, table

HERE = os.path.dirname(os.path.abspath(__file__))
WORKLOADS = (("c", "one read"), ("a", "half reads half writes"), ("rw16", "10 reads and 6 writes"),
             ("bank", "bank transfer"))
KHONSU = tuple(label("khonsu", isolation) for isolation in (RR, SER))


def read_bounds(path):
    """{figure: words} of the hand-written file."""
    with open(path, encoding="utf-8") as file:
        parts = re.split(r"^## (\w+)\n", file.read(), flags=re.MULTILINE)
    return {name: words.strip() for name, words in zip(parts[1::2], parts[2::2])}


def bars_of(values):
    """Those of each of the two plans of which something was measured."""
    kept = [durable.is_durable(name) for name in values["figures"]]
    found = [] if kept and all(kept) else all_bars(values, SCALES[values["scale"]].begin_keys)
    return found + (durable.all_bars(values) if any(kept) else [])


def bars_table(values):
    heads = ("asked", "bar", "measured", "met", "besides")
    rows = []
    for bar in bars_of(values):
        verdict = {True: "yes", False: "**no**", None: MISSING}[bar.is_met]
        rows.append((bar.what, bar.asked, spread(bar.values, bar.unit), verdict, bar.beside))
    return table(heads, rows), rows


def instructions_table(values):
    found = {}
    for cell in cells(values, "instructions"):
        workload, engine = cell["name"].split(" ", 1)
        found.setdefault(engine, {})[workload] = spread(series(cell, "instructions"))
    heads = tuple(title for _, title in WORKLOADS)
    engines = table(("engine", *heads),
                    [(engine, *(by.get(workload, MISSING) for workload, _ in WORKLOADS))
                     for engine, by in found.items()])
    return f"{engines}\n\nOf khonsu's at serializable, by where the source stands:\n\n" + table(
        ("room", *heads), rooms_rows(values, KHONSU[1]))


def rooms_rows(values, engine):
    """One row for each part of the source, the greatest in the longest transaction first."""
    report = Report(values)
    found = {}
    for workload, _ in WORKLOADS:
        for run in report.runs("instructions", f"{workload} {engine}")[:1]:
            found[workload] = run["rooms"]
    names = sorted({room for rooms in found.values() for room in rooms},
                   key=lambda room: -max(rooms.get(room, 0) for rooms in found.values()))
    return [(room, *(figure_of(found.get(workload, {}).get(room, 0)) for workload, _ in WORKLOADS))
            for room in names]


def begin_table(values):
    names = {"empty": "nothing", "c": "one read"}
    rows = []
    for cell in cells(values, "begin"):
        workload, keys, engine = cell["name"].split(" ", 2)
        rows.append((engine, names[workload], f"{int(keys):,}",
                     spread(series(cell, "instructions"))))
    return table(("engine", "between begin and end", "keys", "instructions"), rows)


def timed_table(values, figure):
    rows = []
    for cell in cells(values, figure):
        rows.append((cell["name"], spread(series(cell, "cpu_us")),
                     spread(series(cell, "thread_cpu_us")),
                     spread(scaled(series(cell, "per_second"), 1e-3)),
                     spread(series(cell, "aborts_per_commit"))))
    return table(("engine", "CPU, us per transaction", "of that in the callers' threads",
                  "thousand per second, wall clock", "aborts per commit"), rows)


def scaling_table(values):
    report = Report(values)
    rows = []
    for workload, title in WORKLOADS[:3]:
        for engine in (*KHONSU, "bare"):
            rows.append((title, engine,
                         *(spread(scaled(report.series("scaling", f"{workload} {n} {engine}",
                                                       "per_second"), 1e-3)) for n in (1, 2)),
                         spread(scaling_of(report, workload, engine, "per_second")),
                         spread(scaling_of(report, workload, engine, "cpu_us"))))
    return table(("transaction", "engine", "one thread, thousand per second", "two threads",
                  "scaling by wall clock", "by CPU time"), rows)


def scans_table(values):
    rows = []
    for cell in cells(values, "scans"):
        alone, beside = (series(cell, f"writer_{when}_per_second") for when in ("alone", "beside"))
        rows.append((cell["name"], spread(scaled(series(cell, "thread_cpu_us"), 1e-3)),
                     spread([1e3 / rate for rate in series(cell, "per_second")]),
                     spread(scaled(alone, 1e-3)), spread(scaled(beside, 1e-3)),
                     spread([b / a for a, b in zip(alone, beside)])))
    return table(("engine", "scan, ms of CPU", "scan, ms by the clock",
                  "writer alone, thousand transfers per second", "beside scans", "kept"), rows)


def reader_table(values):
    rows = []
    for cell in cells(values, "reader"):
        growth = [run["rss_peak"] - run["rss_loaded"] for run in cell["runs"]]
        rows.append((cell["name"], spread(scaled(series(cell, "versions_peak"), 1e-3)),
                     spread(scaled(series(cell, "versions"), 1e-3)),
                     spread(scaled(growth, 2 ** -20))))
    return table(("engine", "versions per key, at worst", "after the reader has ended",
                  "growth of resident memory, MiB"), rows)


def memory_table(values):
    rows = []
    for cell in cells(values, "memory"):
        keys = int(cell["arguments"][cell["arguments"].index("--keys") + 1])
        loaded = [(run["rss_loaded"] - run["rss_start"]) / keys for run in cell["runs"]]
        rows.append((cell["name"], spread(loaded), spread(series(cell, "rss_bytes_per_key"))))
    return table(("engine", "bytes per key after the load", "after the overwrites"), rows)


TABLES = {"instructions": instructions_table, "begin": begin_table, "scaling": scaling_table,
          "scans": scans_table, "reader": reader_table, "memory": memory_table}


def instructions_plot(values):
    ceilings = {"khonsu repeatable read": {"c": 600, "a": 1080, "rw16": 11300, "bank": 3100},
                "khonsu serializable": {"c": 620, "a": 1110, "rw16": 12000, "bank": 3300}}
    panels = []
    for workload, title in WORKLOADS:
        rows = []
        for cell in cells(values, "instructions"):
            name, engine = cell["name"].split(" ", 1)
            if name == workload:
                rows.append(plot.Row(engine, tuple(series(cell, "instructions")),
                                     ceilings.get(engine, {}).get(workload, 0)))
        panels.append(plot.Panel(title, rows, "instructions"))
    return plot.dots("Instructions per transaction, driver included", panels)


def time_plot(values):
    panels = []
    for figure in ("reads_zipf", "reads_uniform", "single", "mixed", "bank", "hot"):
        rows = [plot.Row(cell["name"], tuple(series(cell, "cpu_us")))
                for cell in cells(values, figure) if ":" not in cell["name"]]
        title = values["figures"].get(figure, {}).get("title", figure)
        panels.append(plot.Panel(title, rows, "microseconds of CPU"))
    return plot.dots("CPU time per transaction", panels)


def scaling_plot(values):
    report = Report(values)
    panels = []
    for workload, title in WORKLOADS[:3]:
        rows = [plot.Row(engine, tuple(found)) for engine in ("bare", *KHONSU)
                if (found := scaling_of(report, workload, engine, "per_second"))]
        panels.append(plot.Panel(title, rows, "times"))

    def floor_of(panel):
        return 0.9 * next((row.middle() for row in panel.rows if row.name == "bare"), 0)

    return plot.bars("Rate at two threads over one", panels, "times", floor_of,
                     "asked, at least: 0.9 of the bare table's")


def scans_plot(values):
    times, kept = [], []
    for cell in cells(values, "scans"):
        times.append(plot.Row(cell["name"], tuple(scaled(series(cell, "thread_cpu_us"), 1e-3))))
        alone, beside = (series(cell, f"writer_{when}_per_second") for when in ("alone", "beside"))
        kept.append(plot.Row(cell["name"], tuple(100 * b / a for a, b in zip(alone, beside))))
    return plot.dots("A snapshot scan beside a writer",
                     [plot.Panel("time of a scan", times, "milliseconds of CPU", is_linear=True),
                      plot.Panel("the writer's rate", kept, "% of its rate alone",
                                 is_linear=True)])


def bars_plot(values):
    rows = [(bar.what, bar.margins()) for bar in bars_of(values) if bar.margins()]
    return plot.margins("The bars", rows)


PLOTS = {"instructions": ("instructions", instructions_plot), "reads_zipf": ("time", time_plot),
         "scaling": ("scaling", scaling_plot), "scans": ("scans", scans_plot)}


def command_of(cell):
    command = " ".join(["khonsu-bench", *cell["arguments"]])
    if "--transactions" in cell["arguments"] and "instructions" in cell["runs"][0]:
        return "valgrind --tool=callgrind --instr-atstart=no " + command
    return command


def figure_section(values, name, bounds, plots):
    figure = values["figures"][name]
    loads = [run["load"] for cell in figure["cells"] for run in cell["runs"]]
    rounds = max((len(cell["runs"]) for cell in figure["cells"]), default=0)
    lines = [f"## {figure['title']}", ""]
    if name in PLOTS:
        lines += [f"![{figure['title']}](performance/{PLOTS[name][0]}.svg)", ""]
        plots[PLOTS[name][0]] = PLOTS[name][1](values)
    lines += [TABLES[name](values) if name in TABLES else timed_table(values, name), "",
              bounds[name], ""]
    if figure["cells"]:
        lines += [f"Rounds: {rounds}. Load average meanwhile: {min(loads):.1f} to {max(loads):.1f}."
                  " For example:", "", "```sh", command_of(figure["cells"][0]), "```", ""]
    return lines


def head(values, bar_rows):
    machine = values["machine"]
    met = sum(1 for row in bar_rows if row[3] == "yes")
    lines = ["<!-- Written by `make bench` from performance/report.json and bench/report/bounds.md:"
             " change those. -->", "# Performance", ""]
    if values["scale"] == "medium":
        lines += ["A medium run: stores of the size that the bars ask for, fewer and shorter "
                  "rounds than `make bench` takes.", ""]
    elif values["scale"] != "full":
        lines += [f"**A {values['scale']} run, smaller than the bars ask for: it shows that the "
                  "instrument works, not whether a bar is met.**", ""]
    lines += [f"Measured on {values['date']} in {values['minutes']} minutes: {machine['cpu']}, "
              f"{machine['cores']} cores{', virtual' if machine['is_virtual'] else ''}, "
              f"{machine['memory_gib']} GiB, {machine['system']}, {machine['kernel']}, "
              f"{machine['compiler']}, {machine['valgrind']}. "
              f"Of {len(bar_rows)} bars {met} are met.", ""]
    return lines


def engines_table(values):
    rows = []
    for engine in values["engines"]:
        if "missing" in engine:
            rows.append((engine["engine"], "-", "-", engine["missing"]))
            continue
        by_terms = {}
        for level, terms in engine["levels"].items():
            by_terms.setdefault(terms, []).append(level.replace("_", " "))
        for terms, levels in by_terms.items():
            levels = "every level" if len(levels) == 3 else ", ".join(levels)
            rows.append((engine["engine"], engine["version"], levels, terms))
    shown = [row for row in rows if "lossy" not in row[0] and row[0] not in durable.FLOORS]
    return table(("engine", "version", "level", "how it is set up, and what it gives"), shown)


def render(values, bounds_path=os.path.join(HERE, "bounds.md")):
    """The document's text, and {file name without ending: SVG}."""
    bounds = read_bounds(bounds_path)
    needed = (*values["figures"], "method", "durable", "durable_besides", "repeat")
    lacking = [name for name in needed if name not in bounds]
    if lacking:
        raise ValueError(f"{bounds_path} says nothing of {', '.join(lacking)}")
    bars_text, bar_rows = bars_table(values)
    plots = {"bars": bars_plot(values)} if any(bar.values for bar in bars_of(values)) else {}
    shown = ["![The bars](performance/bars.svg)", ""] if plots else []
    lines = head(values, bar_rows) + ["## The bars", "", *shown, bars_text, "", bounds["method"],
                                      ""]
    for name in values["figures"]:
        if not durable.is_durable(name):
            lines += figure_section(values, name, bounds, plots)
    lines += durable_section.lines_of(values, bounds, plots)
    lines += ["## The engines", "", engines_table(values), "", "## To repeat it", "",
              bounds["repeat"], ""]
    return "\n".join(lines).rstrip() + "\n", plots
