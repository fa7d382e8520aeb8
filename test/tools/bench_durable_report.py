"""The durable part of the benchmark report: its bars are judged by what was measured, it stands
alone or beside the rest, and what is missing is said to be missing."""

import copy
import os
import sys
import unittest
import xml.etree.ElementTree as ElementTree

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "bench", "report"))

import bars  # noqa: E402
import durable  # noqa: E402
import measure  # noqa: E402
import plan  # noqa: E402
import render  # noqa: E402
import report  # noqa: E402
import strace  # noqa: E402

import bench_report  # noqa: E402

SCALE = plan.SCALES["trial"]


def run_of(cell, turn):
    """A run in which khonsu is three times as fast as the peers and as quick as the bare call."""
    run = {"sums": "kept", "load": 0.5}
    if cell.is_traced:
        return {**run, "calls_per_commit": {"fdatasync": 0.5, "fsync": 0.0}, "groups": 50,
                "fdatasync_per_group": 1.0, "commits": 100}
    rate = (3000.0 if cell.engine == "khonsu" else 1000.0) + turn
    return {**run, "per_second": rate, "cpu_us": 20.0, "thread_cpu_us": 10.0,
            "aborts_per_commit": 0.0, "written_bytes_per_commit": 124.0, "mean_us": 100.0,
            "p50_us": 100.0, "p99_us": 200.0 + turn, "p999_us": 300.0, "max_us": 400.0}


def measured():
    """What measure.py makes of the durable plan alone, from runs that meet every bar."""
    values = copy.deepcopy(bench_report.measured())
    for engine in values["engines"]:
        engine["durable"] = {"none": "terms", "sync": "others"}
    values["durable_place"] = "some file system"
    values["figures"] = {
        figure.name: {"title": figure.title, "cells": [
            {"name": cell.name, "engine": cell.engine, "isolation": cell.isolation,
             "arguments": cell.arguments(),
             "runs": [run_of(cell, turn) for turn in range(cell.rounds or 3)]}
            for cell in figure.cells]}
        for figure in durable.figures(SCALE)}
    return values


def verdicts(values):
    return {bar.what: bar.is_met for bar in durable.all_bars(values)}


class Bars(unittest.TestCase):
    def missed(self, figure, name, key, factor):
        """The bars that are no longer met when this cell's numbers change."""
        values = measured()
        for cell in values["figures"][figure]["cells"]:
            for run in cell["runs"] if cell["name"] == name else ():
                run[key] *= factor
        return [what for what, is_met in verdicts(values).items() if not is_met]

    def test_all_are_met_by_figures_that_meet_them(self):
        self.assertEqual(set(verdicts(measured()).values()), {True})
        self.assertEqual(len(verdicts(measured())), 11)

    def test_each_is_missed_by_figures_that_miss_it(self):
        mine = durable.KHONSU
        for figure, name, key, factor, words in (
                ("durable_1", mine, "per_second", 0.3, "RocksDB's transactions"),
                ("durable_1", mine, "per_second", 0.2, "against WiredTiger"),
                ("durable_8", mine, "per_second", 0.45, "8 committers, against the best"),
                ("durable_64", mine, "per_second", 0.6, "64 committers, against the best"),
                ("durable_1", mine, "p99_us", 3.1, "p99 latency of a commit, one"),
                ("durable_8", mine, "p99_us", 3.1, "p99 latency of a commit, 8"),
                ("durable_64", durable.SHARED, "p99_us", 0.3,
                 "p99 latency of a commit, 64"),
                ("durable_calls", f"1 {mine}", "fdatasync_per_group", 1.06, "per group, one"),
                ("durable_calls", f"8 {mine}", "fdatasync_per_group", 0.5, "per group, 8"),
                ("durable_none", f"1 {mine}", "per_second", 0.25, "without sync, one"),
                ("durable_none", "8 as many bytes: bare-rocksdb", "per_second", 4,
                 "without sync, 8")):
            missed = self.missed(figure, name, key, factor)
            self.assertTrue(any(words in what for what in missed), (figure, name, key, missed))

    def test_the_best_peer_counts(self):
        for peer in durable.RIVALS:
            self.assertEqual(self.missed("durable_8", peer, "per_second", 2.5),
                             ["durable commits, 8 committers, against the best peer"])

    def test_floors_and_sqlite_are_no_peers(self):
        for name in ("sqlite", *durable.BATCHES, durable.SHARED):
            self.assertEqual(self.missed("durable_64", name, "per_second", 9), [])


class Documents(unittest.TestCase):
    def test_the_section_stands_alone(self):
        text, plots = render.render(measured())
        self.assertEqual(set(plots), {"bars", "durable"})
        self.assertIn("Of 11 bars 11 are met", text)
        self.assertIn("Measured on some file system.", text)
        for name, svg in plots.items():
            self.assertIn(f"](performance/{name}.svg)", text)
            ElementTree.fromstring(svg)

    def test_the_section_stands_beside_the_rest(self):
        values = measured()
        values["figures"] = {**bench_report.measured()["figures"], **values["figures"]}
        text, plots = render.render(values)
        alone = len(bars.all_bars(values, SCALE.begin_keys))
        self.assertIn(f"Of {alone + 11} bars", text)
        self.assertLess(text.index("## Resident memory"), text.index("## Durable"))
        self.assertIn("durable", plots)

    def test_without_it_nothing_is_said_of_it(self):
        text, plots = render.render(bench_report.measured())
        self.assertNotIn("urable commit", text)
        self.assertNotIn("durable", plots)

    def test_parts_of_it_can_be_shown(self):
        whole = measured()
        for name in whole["figures"]:
            values = copy.deepcopy(whole)
            values["figures"] = {name: whole["figures"][name]}
            self.assertIn(bars.MISSING, render.render(values)[0])
            values["figures"][name]["cells"] = []
            self.assertIn("Not measured.", render.render(values)[0])

    def test_an_engine_may_be_missing(self):
        for missing in ("khonsu", "wiredtiger", "fdatasync"):
            values = measured()
            for figure in values["figures"].values():
                figure["cells"] = [cell for cell in figure["cells"] if cell["engine"] != missing]
            self.assertIn(bars.MISSING, render.render(values)[0])

    def test_every_row_has_its_command(self):
        values = measured()
        text = render.render(values)[0]
        for figure in values["figures"].values():
            for cell in figure["cells"]:
                self.assertIn("build/bench/program/khonsu-bench " + " ".join(cell["arguments"]),
                              text)
                self.assertIn(f"--path {durable.PATH} --sync", " ".join(cell["arguments"]))


class Parts(unittest.TestCase):
    def test_names_of_cells_are_unique(self):
        for scale in plan.SCALES.values():
            for figure in durable.figures(scale):
                names = [cell.name for cell in figure.cells]
                self.assertEqual(len(names), len(set(names)), figure.name)

    def test_an_engine_without_files_is_left_out(self):
        engines = [{"engine": "khonsu", "levels": {plan.RR: "x"}, "durable": {"none": "x"}}]
        by_sync = {sync: measure.is_there(engines, durable.kept(
            "khonsu", plan.RR, "", "put", 10, sync, "x")) for sync in ("none", "sync")}
        self.assertEqual(by_sync, {"none": True, "sync": False})

    def test_calls_are_counted_between_two_runs(self):
        text = ("% time     seconds  usecs/call     calls    errors syscall\n"
                "------ ----------- ----------- --------- --------- ----------------\n"
                " 99.00    1.000000          10       120         1 fdatasync\n"
                "  1.00    0.000010          10         3           fsync\n"
                "------ ----------- ----------- --------- --------- ----------------\n"
                "100.00    1.000010          10       123         1 total\n")
        self.assertEqual(strace.parse(text), {"fdatasync": 120, "fsync": 3, "msync": 0,
                                              "sync_file_range": 0})
        self.assertEqual(strace.twice(["--transactions", "50", "--sync", "sync"]),
                         ["--transactions", "100", "--sync", "sync"])

    @unittest.skipIf(strace.why_not(), "nothing can be traced here")
    def test_a_program_is_traced(self):
        program = ("import json, sys, tempfile, os; count = int(sys.argv[2]); "
                   "file = tempfile.TemporaryFile(); "
                   "[os.fdatasync(file.fileno()) for _ in range(count + 7)]; "
                   "print(json.dumps({'commits': count, 'groups': 0, 'threads': 1, 'sums': ''}))")
        found = strace.count(measure.run_program, sys.executable,
                             ["-c", program, "--transactions", "50"])
        self.assertEqual((found["fdatasync_per_group"], found["commits"]), (1.0, 50))

    def test_a_later_report_goes_into_an_earlier_one(self):
        earlier, later = bench_report.measured(), measured()
        whole = report.put_into(earlier, later)
        self.assertEqual(set(whole["figures"]), {*earlier["figures"], *later["figures"]})
        self.assertEqual(whole["minutes"], earlier["minutes"] + later["minutes"])
        with self.assertRaises(SystemExit):
            report.put_into(earlier, {**later, "scale": "full"})

    def test_the_file_system_is_named(self):
        self.assertRegex(measure.place_of("build/nowhere/yet"), r"^[\w.]+ \(.*\)$")


if __name__ == "__main__":
    unittest.main()
