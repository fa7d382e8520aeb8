"""khonsu-bench, built against an installation of this build: every engine runs every workload, its
sums hold, and an engine that loses something is told."""

import collections
import concurrent.futures
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.dirname(os.environ["KHONSU_LIB"])
sys.path.insert(0, os.path.join(ROOT, "bench", "report"))

import callgrind  # noqa: E402

WORKLOADS = ("c", "b", "a", "rw16", "bank", "scan", "put", "empty")
PLANTED = ("bare-lossy-write", "bare-lossy-commit")
UNPROMISED = ("null", "fdatasync", "fdatasync-overwrite", "fdatasync-grouped")
# What the prototype's driver took, and its floor: ours may not make anybody look worse.
DRIVER_CEILINGS = {"c": 169, "a": 168, "rw16": 2173, "bank": 296}


def quietly(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout}")


def setUpModule():
    """One build for all tests, against an installation in a place of its own."""
    Case.work = tempfile.mkdtemp()
    unittest.addModuleCleanup(shutil.rmtree, Case.work)
    prefix, build = os.path.join(Case.work, "prefix"), os.path.join(Case.work, "build")
    quietly("cmake", "--install", BUILD, "--prefix", prefix)
    quietly("cmake", "-S", os.path.join(ROOT, "bench"), "-B", build, "-G", "Ninja",
            f"-DCMAKE_PREFIX_PATH={prefix}", "-DBENCH_WERROR=ON")
    quietly("cmake", "--build", build, "--parallel", "2")
    Case.program = os.path.join(build, "khonsu-bench")
    listed = json.loads(subprocess.run([Case.program, "--list"], stdout=subprocess.PIPE,
                                       check=True).stdout)
    Case.levels = {engine["engine"]: list(engine["levels"]) for engine in listed
                   if "levels" in engine}
    Case.missing = [engine["engine"] for engine in listed if "levels" not in engine]
    Case.durable = [engine["engine"] for engine in listed if engine.get("durable")]


class Case(unittest.TestCase):
    work = program = ""
    levels, missing, durable = {}, [], []

    def run_program(self, *arguments):
        done = subprocess.run([self.program, *map(str, arguments)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    def answer(self, *arguments, status=0):
        code, out, err = self.run_program(*arguments, "--json")
        self.assertEqual(code, status, f"{arguments}: {out}{err}")
        return json.loads(out)

    def honest(self):
        return [engine for engine in self.levels if engine not in PLANTED]

    def each(self, check, cases):
        """Two at a time: the machine may have no more cores."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(check, cases))


class Program(Case):
    def check_runs(self, case):
        engine, workload = case
        answer = self.answer("--engine", engine, "--workload", workload, "--keys", 300,
                             "--transactions", 200, "--distribution", "zipf", "--verify")
        self.assertEqual((answer["engine"], answer["workload"], answer["commits"]),
                         (engine, workload, 200))
        self.assertEqual(answer["sums"], "not promised" if engine in UNPROMISED else "kept", case)

    def test_every_engine_runs_every_workload(self):
        self.assertLessEqual({"khonsu", "bare", "null"}, set(self.levels))
        self.each(self.check_runs, list(itertools.product(self.honest(), WORKLOADS)))

    def check_level(self, case):
        engine, level = case
        answer = self.answer("--engine", engine, "--isolation", level, "--workload", "bank",
                             "--keys", 16, "--transactions", 400, "--threads", 2)
        self.assertEqual(answer["isolation"], level)
        self.assertEqual(answer["commits"], 400)
        is_promised = engine in ("lmdb", "lmdb-pwrite", "sqlite") or \
            not engine.startswith("bare") and engine not in UNPROMISED and \
            level != "read_committed"
        self.assertEqual(answer["sums"], "kept" if is_promised else "not promised", case)

    def test_money_stays_at_every_level_with_two_threads(self):
        self.each(self.check_level, [(engine, level) for engine in self.honest()
                                     for level in self.levels[engine]])

    def test_scans_beside_a_writer_see_one_state(self):
        def check(engine):
            answer = self.answer("--engine", engine, "--workload", "scan", "--keys", 300,
                                 "--seconds", 0.02, "--writer")
            self.assertGreaterEqual(answer["commits"], 2)
            self.assertGreater(answer["writer_alone_per_second"], 0)
            self.assertGreater(answer["writer_beside_per_second"], 0)
        self.each(check, self.honest())

    def test_a_lost_write_is_told(self):
        answer = self.answer("--engine", "bare-lossy-write", "--workload", "bank", "--keys", 300,
                             "--transactions", 200, status=1)
        self.assertEqual((answer["sums"], answer["values_broken"]), ("broken", 2))

    def test_a_lost_transaction_is_told(self):
        """The total is what it was: only the sum weighted by account shows it."""
        answer = self.answer("--engine", "bare-lossy-commit", "--workload", "bank", "--keys", 300,
                             "--transactions", 200, status=1)
        self.assertEqual((answer["sums"], answer["values_broken"]), ("broken", 1))

    def test_a_scan_of_no_one_state_is_told(self):
        answer = self.answer("--engine", "bare-lossy-write", "--workload", "scan", "--keys", 300,
                             "--seconds", 0.02, "--writer", status=1)
        self.assertGreater(answer["scans_broken"], 0)

    def test_a_snapshot_held_open_keeps_a_constant_number_of_versions(self):
        answer = self.answer("--engine", "khonsu", "--workload", "put", "--keys", 100,
                             "--transactions", 20000, "--reader")
        self.assertGreater(answer["versions_peak"], 100)
        self.assertLess(answer["versions_peak"], 400)
        self.assertEqual((answer["versions"], answer["sums"]), (100, "kept"))

    def test_a_snapshot_that_moves_is_told(self):
        """The bare table has none, and promises none with a writer beside; the planted ones do."""
        answer = self.answer("--engine", "bare-lossy-commit", "--workload", "put", "--keys", 10,
                             "--transactions", 1000, "--reader", status=1)
        self.assertEqual((answer["snapshot_moved"], answer["sums"]), (True, "broken"))

    def test_what_is_not_there_is_named(self):
        code, _, err = self.run_program("--engine", "oracle")
        self.assertEqual((code, "no such engine" in err), (3, True))
        for engine in self.missing:
            code, _, err = self.run_program("--engine", engine)
            self.assertEqual((code, "left out of this build" in err), (3, True))
        if "wiredtiger" in self.levels:
            code, _, err = self.run_program("--engine", "wiredtiger", "--isolation", "serializable")
            self.assertEqual((code, "does not offer" in err), (3, True))

    def test_wrong_options_are_refused(self):
        for wrong in (["--keys", "1"], ["--keys", "ten"], ["--threads", "0"], ["--seconds", "0"],
                      ["--workload", "tpcc"], ["--isolation", "chaos"], ["--frobnicate", "1"],
                      ["--json", "--keys"], ["--seconds", "1", "--transactions", "1"],
                      ["--writer", "--seconds", "1"], ["--sync", "none"], ["--threads", "65"],
                      ["--path", "/x", "--directory", "/y"], ["--path", "/x", "--sync", "maybe"],
                      ["--value-bytes", "99"]):
            code, out, err = self.run_program("--engine", "null", *wrong)
            self.assertEqual((code, out), (2, ""), wrong)
            self.assertIn("khonsu-bench:", err)

    def test_peers_leave_no_files(self):
        with tempfile.TemporaryDirectory() as directory:
            for engine in self.honest():
                self.answer("--engine", engine, "--transactions", 10, "--keys", 10, "--directory",
                            directory)
            self.assertEqual(os.listdir(directory), [])

    def test_a_peer_that_is_ended_leaves_no_files(self):
        with tempfile.TemporaryDirectory() as directory:
            running = subprocess.Popen(
                [self.program, "--engine", "sqlite" if "sqlite" in self.levels else "bare",
                 "--workload", "a", "--keys", "100", "--seconds", "600", "--directory", directory])
            # It has made its directory: the event to wait for, told by the directory itself.
            while running.poll() is None and not os.listdir(directory):
                os.sched_yield()
            running.terminate()
            self.assertEqual(running.wait(timeout=60), 128 + signal.SIGTERM)
            self.assertEqual(os.listdir(directory), [])


class Durable(Case):
    """Stores in files, which stay when the program ends."""

    def setUp(self):
        self.place = tempfile.mkdtemp(dir=BUILD)
        self.addCleanup(shutil.rmtree, self.place)

    def durable_answer(self, engine, *arguments):
        path = os.path.join(self.place, f"{engine}-{threading.get_ident()}")
        return self.answer("--engine", engine, "--path", path, *arguments)

    def check_durable(self, case):
        engine, workload, sync = case
        answer = self.durable_answer(engine, "--sync", sync, "--workload", workload, "--keys", 200,
                                     "--transactions", 64, "--threads", 1, "--verify", "--latency")
        self.assertEqual((answer["commits"], answer["sync"]), (64, sync), case)
        is_promised = engine not in UNPROMISED
        self.assertEqual(answer["sums"], "kept" if is_promised else "not promised", case)
        self.assertEqual(answer["reopen_seconds"] > 0, is_promised, case)
        if case == ("khonsu", "put", "sync"):  # a lone committer is a group each time
            self.assertGreaterEqual(answer["groups"], 64)
        latency = answer["latency_us"]
        self.assertGreater(latency["p50"], 0)
        self.assertLessEqual(latency["p50"], latency["p99"])
        self.assertLessEqual(latency["p99"], latency["p999"])
        self.assertLessEqual(latency["p999"], latency["max"])
        self.assertLessEqual(latency["mean"], latency["max"])

    def test_every_engine_in_files_runs_the_workloads(self):
        self.assertIn("fdatasync", self.durable)
        self.assertNotIn("bare", self.durable)
        self.each(self.check_durable, list(itertools.product(
            self.durable, ("put", "a", "rw16", "bank"), ("sync", "none"))))

    def test_money_is_there_after_the_store_was_opened_again(self):
        def check(engine):
            answer = self.durable_answer(engine, "--workload", "bank", "--keys", 64, "--threads", 8,
                                         "--transactions", 400)
            is_promised = not engine.startswith("bare") and engine not in UNPROMISED
            self.assertEqual(answer["sums"], "kept" if is_promised else "not promised", engine)
        self.each(check, self.durable)

    def test_sixty_four_committers(self):
        def check(engine):
            answer = self.durable_answer(engine, "--workload", "put", "--keys", 1000, "--threads",
                                         64, "--transactions", 256)
            self.assertEqual((answer["threads"], answer["commits"]), (64, 256), engine)
            if engine == "khonsu":  # the report divides the calls by them
                self.assertGreater(answer["groups"], 0)
        self.each(check, self.durable)

    def test_the_sizes_of_a_floor_are_those_that_were_asked_for(self):
        for size in (100, 1000):
            answer = self.durable_answer("fdatasync", "--workload", "put", "--keys", 100,
                                         "--transactions", 50, "--value-bytes", size)
            if answer["written_bytes_per_commit"]:  # where the kernel counts them
                self.assertEqual(answer["written_bytes_per_commit"], 24 + size)
            self.assertGreaterEqual(answer["groups"], 50)
        code, _, err = self.run_program("--engine", "bare", "--value-bytes", "200")
        self.assertEqual((code, "one size" in err), (3, True))

    def test_the_directory_is_emptied_first_and_stays(self):
        old = os.path.join(self.place, "kept", "store", "deep", "file")
        os.makedirs(os.path.dirname(old))
        with open(old, "w", encoding="utf-8"):
            pass
        self.answer("--engine", "fdatasync", "--path", os.path.join(self.place, "kept"),
                    "--workload", "put", "--keys", 10, "--transactions", 10)
        self.assertEqual(os.listdir(os.path.join(self.place, "kept")), ["store"])
        self.assertEqual(os.listdir(os.path.join(self.place, "kept", "store")), ["commits"])

    def test_files_of_others_are_left_alone(self):
        path = os.path.join(self.place, "letters")
        with open(path, "w", encoding="utf-8") as file:
            file.write("dear")
        code, _, err = self.run_program("--engine", "fdatasync", "--path", self.place)
        self.assertEqual((code, "holds other files" in err), (2, True))
        self.assertTrue(os.path.exists(path))

    def test_what_keeps_nothing_in_files_says_so(self):
        code, _, err = self.run_program("--engine", "bare", "--path", self.place)
        self.assertEqual((code, "keeps nothing in files" in err), (3, True))


HISTOGRAM_PROGRAM = r"""
#include "driver/histogram.h"
#include <stdio.h>
#include <stdlib.h>
int main(void) {
    struct histogram *one = malloc(sizeof *one), *two = malloc(sizeof *two);
    unsigned long long ns;
    histogram_clear(one);
    histogram_clear(two);
    for (int i = 0; scanf("%llu", &ns) == 1; i++) histogram_note(i % 2 ? one : two, ns);
    histogram_add(one, two);
    struct percentiles found = histogram_percentiles(one);
    printf("%.6f %.6f %.6f %.6f %.6f\n", found.p50_us, found.p99_us, found.p999_us, found.max_us,
           found.mean_us);
}
"""


class Histogram(Case):
    def percentiles(self, values):
        program = os.path.join(self.work, "histogram")
        if not os.path.exists(program):
            source = program + ".c"
            with open(source, "w", encoding="utf-8") as file:
                file.write(HISTOGRAM_PROGRAM)
            quietly("cc", "-std=c11", "-Wall", "-Werror", "-I", os.path.join(ROOT, "bench"),
                    "-o", program, source, os.path.join(ROOT, "bench", "driver", "histogram.c"))
        done = subprocess.run([program], input="\n".join(map(str, values)), text=True,
                              stdout=subprocess.PIPE, check=True)
        return [float(word) * 1000 for word in done.stdout.split()]

    def test_percentiles_are_within_two_per_cent(self):
        draws = random.Random(7)
        for values in ([draws.randrange(1, 300) for _ in range(2000)],
                       [int(2 ** draws.uniform(0, 38)) for _ in range(20000)],
                       [round(draws.lognormvariate(11, 1.5)) for _ in range(20000)], [127] * 3,
                       [128], [255, 256, 257], list(range(1, 100_001))):
            ordered = sorted(values)
            p50, p99, p999, most, mean = self.percentiles(values)
            for found, millionths in ((p50, 500000), (p99, 990000), (p999, 999000)):
                exact = ordered[-(-len(ordered) * millionths // 1000000) - 1]
                self.assertLessEqual(abs(found - exact), max(1, 0.01 * exact), (exact, found))
            self.assertEqual(round(most), ordered[-1])
            self.assertAlmostEqual(mean / (sum(values) / len(values)), 1, places=3)

    def test_what_is_too_long_and_nothing_at_all(self):
        self.assertEqual(self.percentiles([]), [0, 0, 0, 0, 0])
        self.assertEqual(self.percentiles([2 ** 50])[3], 2 ** 50)


class Draws(Case):
    """The keys that a thread draws are what the distribution says."""

    def draws(self, workload, keys, count, distribution="uniform", seed=1):
        code, out, err = self.run_program("--engine", "null", "--workload", workload, "--keys",
                                          keys, "--distribution", distribution, "--seed", seed,
                                          "--draws", count)
        self.assertEqual(code, 0, err)
        rows = [line.split() for line in out.splitlines()]
        return [int(row[0]) for row in rows], [len(row) == 2 for row in rows]

    def test_uniform_draws_are_uniform(self):
        keys, _ = self.draws("c", 100, 100_000)
        seen = collections.Counter(keys)
        square = sum((seen[key] - 1000) ** 2 / 1000 for key in range(100))
        # 99 degrees of freedom: 149 is passed once in a thousand seeds, and the seed is fixed.
        self.assertLess(square, 149)
        self.assertEqual(sum(seen.values()), 100_000)

    def test_zipf_draws_follow_the_law(self):
        count, size = 200_000, 1000
        keys, _ = self.draws("c", size, count, "zipf")
        ranked = [number for _, number in collections.Counter(keys).most_common()]
        harmonic = sum(rank ** -0.99 for rank in range(1, size + 1))
        for rank in (1, 2, 3, 10, 50):
            expected = count * rank ** -0.99 / harmonic
            self.assertLess(abs(ranked[rank - 1] - expected), 0.1 * expected, rank)
        top = [key for key, _ in collections.Counter(keys).most_common(3)]
        self.assertGreater(min(abs(a - b) for a, b in itertools.combinations(top, 2)), 1)

    def test_coins_fall_as_the_workload_says(self):
        for workload, share in (("c", 0), ("b", 0.05), ("a", 0.5)):
            _, coins = self.draws(workload, 100, 50_000)
            self.assertAlmostEqual(sum(coins) / 50_000, share, delta=0.01)

    def test_transfers_have_two_accounts(self):
        for distribution in ("uniform", "zipf"):
            keys, _ = self.draws("bank", 2, 10_000, distribution)
            self.assertTrue(all(a != b for a, b in zip(keys[::2], keys[1::2])))

    def test_seeds_differ_and_repeat(self):
        self.assertEqual(self.draws("c", 1000, 100, seed=3), self.draws("c", 1000, 100, seed=3))
        self.assertNotEqual(self.draws("c", 1000, 100, seed=3), self.draws("c", 1000, 100, seed=4))


@unittest.skipUnless(shutil.which("valgrind"), "valgrind is not installed")
class Instructions(Case):
    def profile(self, engine, workload, transactions, threads=1):
        path = os.path.join(self.work, f"{engine}-{workload}-{transactions}-{threads}.out")
        quietly("valgrind", "--tool=callgrind", "--instr-atstart=no",
                f"--callgrind-out-file={path}", self.program, "--engine", engine, "--workload",
                workload, "--keys", "2000", "--transactions", str(transactions), "--threads",
                str(threads))
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.assertEqual(sum(callgrind.by_room(text).values()), callgrind.total(text))
        return text

    def test_the_driver_is_light(self):
        def check(workload):
            counted = callgrind.total(self.profile("null", workload, 2000))
            self.assertLessEqual(counted / 2000, DRIVER_CEILINGS[workload], workload)
        self.each(check, DRIVER_CEILINGS)

    def test_all_threads_count(self):
        one, two = (callgrind.total(self.profile("null", "rw16", 4000, threads))
                    for threads in (1, 2))
        self.assertAlmostEqual(two / one, 1, delta=0.1)

    def test_only_what_is_measured_counts(self):
        """Twice the transactions, nearly twice the count: loading and verifying are outside, the
        final reclamation is not."""
        one, two = (min((self.profile("khonsu", "bank", count) for _ in range(3)),
                        key=callgrind.total)  # what the janitor does meanwhile only adds
                    for count in (300, 600))
        self.assertAlmostEqual(callgrind.total(two) / callgrind.total(one), 2, delta=0.2)
        self.assertLessEqual({"db", "txn", "store", "batch", "driver"},
                             set(callgrind.by_room(one)))
        self.assertIn(" kh_db_step", one)
        self.assertNotIn(" kh_db_open", one)


if __name__ == "__main__":
    unittest.main()
