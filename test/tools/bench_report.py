"""The benchmark report: bars are judged by what was measured, documents say what report.json says,
and the committed report is up to date."""

import copy
import os
import shutil
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "bench", "report"))

import bars  # noqa: E402
import callgrind  # noqa: E402
import measure  # noqa: E402
import plan  # noqa: E402
import plot  # noqa: E402
import render  # noqa: E402
import report  # noqa: E402

SCALE = plan.SCALES["trial"]


def run_of(cell, turn):
    """A run in which khonsu is ten times as fast as the peers, scales, lets its writer be."""
    is_khonsu = cell.engine == "khonsu"
    run = {"sums": "kept", "load": 0.5}
    if cell.is_counted:
        return {**run, "instructions": 400.0 + turn, "rooms": {"db": 300.0, "store": 100.0 + turn}}
    cpu = (1.0 if is_khonsu else 10.0) + turn / 10
    threads = 2 if "--threads" in cell.options and \
        cell.options[cell.options.index("--threads") + 1] == "2" else 1
    return {**run, "per_second": 1e6 * threads / cpu, "cpu_us": cpu, "thread_cpu_us": cpu,
            "aborts_per_commit": 0.1, "rss_bytes_per_key": 250.0, "rss_start": 1e6,
            "rss_loaded": 2e6, "rss_peak": 3e6, "rss_end": 2.5e6, "versions": 1000,
            "versions_peak": 2000, "writer_alone_per_second": 1e5,
            "writer_beside_per_second": 0.95e5}


def measured():
    """A whole report as measure.py makes it, from runs that meet every bar."""
    engines = [{"engine": name, "version": "1", "levels": {plan.RR: "terms", plan.SER: "others"}}
               for name in ("khonsu", "lmdb", "lmdb-pwrite", "wiredtiger", "rocksdb-optimistic",
                            "rocksdb-pessimistic", "sqlite", "bare", "null")]
    found = {}
    for figure in plan.figures(SCALE):
        found[figure.name] = {"title": figure.title, "cells": [
            {"name": cell.name, "engine": cell.engine, "isolation": cell.isolation,
             "arguments": cell.arguments(), "runs": [run_of(cell, turn) for turn in range(3)]}
            for cell in figure.cells]}
    machine = {"cpu": "some", "cores": 2, "memory_gib": 8, "kernel": "Linux 6", "system": "Debian",
               "is_virtual": True, "compiler": "cc 1", "valgrind": "valgrind-3"}
    return {"scale": "trial", "date": "2000-01-01", "minutes": 1.0, "machine": machine,
            "engines": engines, "figures": found}


def change(values, figure, engine, key, factor, only=""):
    for cell in values["figures"][figure]["cells"]:
        if cell["engine"] == engine and only in cell["name"]:
            for run in cell["runs"]:
                run[key] *= factor


def verdicts(values):
    return {bar.what: bar.is_met for bar in bars.all_bars(values, SCALE.begin_keys)}


class Bars(unittest.TestCase):
    def missed(self, figure, engine, key, factor, only=""):
        """The bars that are no longer met when this engine's numbers change."""
        values = measured()
        change(values, figure, engine, key, factor, only)
        return [what for what, is_met in verdicts(values).items() if not is_met]

    def test_all_are_met_by_figures_that_meet_them(self):
        self.assertEqual({is_met for is_met in verdicts(measured()).values()}, {True})
        self.assertGreaterEqual(len(verdicts(measured())), 30)

    def test_each_is_missed_by_figures_that_miss_it(self):
        for figure, key, factor, words, only in (
                ("instructions", "instructions", 2, "one read", "c khonsu"),
                ("instructions", "instructions", 4, "half reads", "a khonsu"),
                ("instructions", "instructions", 40, "6 writes", "rw16 khonsu"),
                ("instructions", "instructions", 9, "bank transfer", "bank khonsu"),
                ("reads_zipf", "cpu_us", 4, "reads, zipf", ""),
                ("reads_uniform", "cpu_us", 6, "reads, uniform", ""),
                ("single", "cpu_us", 3, "one operation", ""),
                ("mixed", "cpu_us", 5, "16 operations", ""),
                ("bank", "cpu_us", 6, "serializable transfers", ""),
                ("hot", "aborts_per_commit", 3, "aborts per commit", ""),
                ("hot", "per_second", 0.01, "rate on 16 hot accounts", ""),
                ("scaling", "per_second", 0.5, "scaling over the bare", " 2 khonsu"),
                ("scans", "thread_cpu_us", 6, "time of a scan", ""),
                ("scans", "writer_beside_per_second", 0.9, "the writer's rate", ""),
                ("begin", "instructions", 1.2, "begin and end", f"empty {SCALE.begin_keys}"),
                ("reader", "versions_peak", 3, "versions per key", ""),
                ("memory", "rss_bytes_per_key", 1.2, "bytes of resident memory", "")):
            missed = self.missed(figure, "khonsu", key, factor, only)
            self.assertTrue(any(words in what for what in missed), (figure, key, missed))

    def test_the_best_peer_counts(self):
        for peer in ("lmdb-pwrite", "wiredtiger", "rocksdb-optimistic", "rocksdb-pessimistic"):
            missed = self.missed("bank", peer, "cpu_us", 0.15)
            self.assertTrue(any("serializable transfers" in what for what in missed), peer)
        self.assertEqual(self.missed("bank", "lmdb", "cpu_us", 0.15),
                         ["the same, LMDB with WRITEMAP among them"])

    def test_what_was_not_measured_is_not_met(self):
        values = measured()
        for figure in values["figures"].values():
            figure["cells"] = [cell for cell in figure["cells"] if cell["engine"] != "wiredtiger"]
        unknown = [what for what, is_met in verdicts(values).items() if is_met is None]
        self.assertEqual(len(unknown), 6, unknown)
        self.assertIn(bars.MISSING, render.render(values)[0])

    def test_ratios_are_taken_within_a_round(self):
        """A machine that is ten times slower in one round changes no ratio."""
        values = measured()
        for cell in values["figures"]["reads_zipf"]["cells"]:
            cell["runs"][1]["cpu_us"] *= 10
        ratios = [bars.Report(each).ratios("reads_zipf", "lmdb", "khonsu serializable", "cpu_us")
                  for each in (measured(), values)]
        self.assertEqual(len(ratios[0]), 3)
        for before, after in zip(*ratios):
            self.assertAlmostEqual(before, after)


class Documents(unittest.TestCase):
    def setUp(self):
        self.docs = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.docs)
        for path, text in report.documents(measured()).items():
            report.write(os.path.join(self.docs, path), text)

    def test_they_are_what_the_report_says(self):
        self.assertEqual(report.check(self.docs), [])

    def test_a_typed_number_is_found(self):
        path = os.path.join(self.docs, "performance.md")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.assertIn("| 401 ", text)
        report.write(path, text.replace("| 401 ", "| 301 ", 1))
        self.assertEqual(report.check(self.docs), ["performance.md"])

    def test_every_plot_is_shown_and_well_formed(self):
        text, plots = render.render(measured())
        self.assertEqual(set(plots), {"bars", "instructions", "time", "scaling", "scans"})
        for name, svg in plots.items():
            self.assertIn(f"](performance/{name}.svg)", text)
            root = ElementTree.fromstring(svg)
            self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")

    def test_a_figure_without_words_is_refused(self):
        path = os.path.join(self.docs, "bounds.md")
        report.write(path, "## method\nx\n\n## repeat\ny\n")
        with self.assertRaisesRegex(ValueError, "says nothing of instructions"):
            render.render(measured(), path)

    def test_a_small_run_says_that_it_is_small(self):
        values = measured()
        self.assertIn("A trial run", render.render(values)[0])
        values = copy.deepcopy(values)
        values["scale"] = "full"
        self.assertNotIn("A trial run", render.render(values)[0])

    def test_no_path_or_name_of_the_machine_gets_in(self):
        text = render.render(measured())[0]
        self.assertNotIn(os.uname().nodename, text.split())
        self.assertNotIn(ROOT, text)
        self.assertNotIn(os.uname().nodename, measure.describe_machine().values())

    def test_the_committed_report_is_current(self):
        docs = os.path.join(ROOT, "docs")
        if not os.path.exists(os.path.join(docs, "performance.md")):
            self.skipTest("no report is committed")
        self.assertEqual(report.check(docs), [])


class Parts(unittest.TestCase):
    def test_a_broken_sum_ends_the_report(self):
        with self.assertRaises(measure.Broken):
            measure.run_program([sys.executable, "-c", "import sys; print('{}'); sys.exit(1)"])

    def test_names_of_cells_are_unique(self):
        for scale in plan.SCALES.values():
            for figure in plan.figures(scale):
                names = [cell.name for cell in figure.cells]
                self.assertEqual(len(names), len(set(names)), figure.name)

    def test_logarithmic_axes_hold_their_values(self):
        for least, most in ((0.13, 4.5), (60, 700_000), (1, 1), (99, 101), (0.001, 0.0011)):
            low, high, ticks = plot.decades(least, most)
            self.assertLessEqual(low, least)
            self.assertGreaterEqual(high, most)
            self.assertGreater(len(ticks), 0)

    def test_callgrind_files_are_split_by_room(self):
        text = ("fl=(1) /x/src/db/begin.c\nfn=(1) kh_txn_begin\n10 5\n+1 7\n"
                "cfi=(2) /x/src/txn/txn.h\ncfn=(2) f\ncalls=3 4\n12 100\n"
                "fi=(2)\n20 30\nfe=(1)\n* 8\n"
                "fl=(3) ./string/memcpy.S\nfn=(4) memcpy\n1 50\n\ntotals: 100\n")
        self.assertEqual(callgrind.by_room(text), {"db": 20, "txn": 30, "system": 50})
        self.assertEqual(callgrind.total(text), 100)


if __name__ == "__main__":
    unittest.main()
