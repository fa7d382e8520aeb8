"""khonsu demo: consistent runs, found sabotage, and the scripted anomalies."""

import datetime
import os
import re
import signal
import subprocess
import unittest

import pyarrow

from _cli import BIN, CliCase, khonsu, on_terminal, write_file

CARRIERS = ["UA", "DL", "B6", "AA"]
AIRPORTS = ["JFK", "LGA", "EWR"]


def flights(rows=3000, days=12):
    """A year's worth in small: some early, some late, every 29th cancelled."""
    delays = [None if i % 29 == 0 else (i * 7919) % 90 - 20 for i in range(rows)]
    return pyarrow.table({
        "id": pyarrow.array(range(1, rows + 1), pyarrow.int64()),
        "day": [datetime.date(2013, 1, 1) + datetime.timedelta(i * days // rows)
                for i in range(rows)],
        "carrier": [CARRIERS[i * 31 % 4] for i in range(rows)],
        "origin": [AIRPORTS[i * 17 % 3] for i in range(rows)],
        "sched_dep_time": pyarrow.array([600 + i % 600 for i in range(rows)], pyarrow.int16()),
        "dep_time": pyarrow.array([None if d is None else 700 for d in delays], pyarrow.int16()),
        "dep_delay": pyarrow.array(delays, pyarrow.int16()),
    })


class Demo(CliCase):
    def setUp(self):
        super().setUp()
        self.file = self.path("flights.arrow")
        write_file(self.file, flights(), max_chunksize=1000)

    def demo(self, *arguments):
        return khonsu("demo", self.file, *arguments)

    def test_every_snapshot_is_consistent(self):
        done = self.demo("--transactions", "2000", "--writers", "3", "--readers", "2")
        text = done.stdout.decode()
        self.assertEqual(done.returncode, 0, done.stderr.decode() + text)
        self.assertIn("3,000 flights in 48 keys: 12 days, 4 carriers, 3 airports", text)
        self.assertRegex(text, r"(?m)^all +2,000 ")
        self.assertRegex(text, r"snapshots verified, the last one included: all consistent\n$")
        self.assertIn("Which carrier and which airport fared worst?", text)
        self.assertRegex(text, r"before: carrier (UA|DL|B6|AA) \(.*\), \d+\.\d\d minutes late")
        for kind in ("delay flights", "cancel a flight", "rebook flights", "recover delays"):
            self.assertRegex(text, rf"(?m)^{kind} +[1-9]")

    def test_the_answer_before_is_the_file_s(self):
        text = self.demo("--transactions", "1", "--writers", "1", "--readers", "0").stdout.decode()
        rows = flights().to_pylist()
        def mean(name, value):
            own = [r["dep_delay"] for r in rows if r[name] == value and r["dep_delay"] is not None]
            return sum(d for d in own if d > 0) / len(own)
        for name, values in (("carrier", CARRIERS), ("airport", AIRPORTS)):
            column = "origin" if name == "airport" else name
            worst = max(values, key=lambda value: mean(column, value))
            self.assertRegex(text, rf"(before: |        ){name} {worst}\b.*"
                                   rf"{mean(column, worst):.2f} minutes")

    def test_one_writer_ends_the_same_every_time(self):
        def end():
            text = self.demo("--transactions", "500", "--writers", "1", "--readers", "1", "--seed",
                             "7").stdout.decode()
            return text[text.index("\ncarrier "):text.rindex("\n\n")]
        self.assertEqual(end(), end())

    def test_repeatable_read_is_consistent_too(self):
        done = self.demo("-n", "500", "-w", "2", "-r", "1", "-i", "repeatable_read")
        self.assertEqual(done.returncode, 0, done.stderr.decode())

    def test_a_forgotten_summary_is_found(self):
        done = self.demo("--transactions", "300", "--sabotage", "10", "--readers", "1")
        self.assertEqual(done.returncode, 1)
        message = done.stderr.decode()
        self.assertRegex(message, r"^khonsu: \d+ inconsistent snapshots; the first: snapshot \d+, "
                                  r"airport (JFK|LGA|EWR): the summary says .*; the rows say ")
        self.assertEqual(message.count("\n"), 1)
        self.assertIn("NOT all consistent", done.stdout.decode())

    def test_read_committed_shows_its_anomalies(self):
        done = self.demo("--isolation", "read_committed")
        text = done.stdout.decode()
        self.assertEqual(done.returncode, 0, done.stderr.decode() + text)
        self.assertIn("=> 120 minutes are missing: a read skew, as expected at read_committed",
                      text)
        self.assertIn("=> 45 minutes are missing: a lost update, as expected at read_committed",
                      text)
        self.assertIn("=> nothing is missing: no read skew at serializable", text)
        self.assertIn("=> nothing is missing: no lost update at serializable", text)
        self.assertIn("the commit is refused", text)
        numbers = [int(n.replace(",", "")) for n in re.findall(r"([\d,]+) minutes\n", text)]
        self.assertEqual(numbers[2] - numbers[0], 120)
        self.assertEqual(numbers[6] - numbers[5], 45)
        self.assertEqual(numbers[9] - numbers[7], 0)
        self.assertEqual(numbers[13] - numbers[12], 0)

    def test_quiet(self):
        done = self.demo("-n", "50", "--quiet")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))

    def test_days_in_three_columns(self):
        table = flights(600, 3)
        days = table["day"].to_pylist()
        path = self.path("split.arrow")
        table = table.drop_columns(["day"])
        for part in ("year", "month", "day"):
            numbers = pyarrow.array([getattr(day, part) for day in days], pyarrow.int16())
            table = table.append_column(part, numbers)
        write_file(path, table)
        done = khonsu("demo", "--file", path, "-n", "300", "-w", "2", "-r", "1")
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertIn("600 flights in 12 keys", done.stdout.decode())

    def test_files_that_will_not_do(self):
        table = flights(100, 2)
        path = self.path("bad.arrow")
        for name in ("id", "day", "carrier", "origin", "dep_delay"):
            write_file(path, table.drop_columns([name]))
            self.run_wrong(1, "demo", path, says=f"no column '{name}'")
        write_file(path, table.slice(0, 0))
        self.run_wrong(1, "demo", path, says="no rows")
        column = table.schema.get_field_index("dep_delay")
        write_file(path, table.set_column(column, "dep_delay", table["dep_delay"].cast("double")))
        self.run_wrong(1, "demo", path, says="dep_delay must be")
        self.run_wrong(1, "demo", self.path("none"), says="No such file")

    def test_progress_on_a_terminal_is_one_line(self):
        code, shown = on_terminal("demo", self.file, "--seconds", "0.5", columns=60)
        self.assertEqual(code, 0, shown)
        lines = re.findall(r"\r([^\r\n]*)\x1b\[K", shown)
        progress = [line for line in lines if "tx/s" in line]
        self.assertGreaterEqual(len(progress), 1)
        self.assertLessEqual(len(progress), 6)
        self.assertTrue(all(len(line) < 60 for line in progress), progress)

    def test_an_interrupt_ends_it_with_its_results(self):
        process = subprocess.Popen([BIN, "demo", self.file, "--seconds", "50"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        seen = part = b"start"
        while b"tx/s  " not in seen and part:
            part = os.read(process.stdout.fileno(), 4096)
            seen += part
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0, errors)
        self.assertIn(b"all consistent", rest)


if __name__ == "__main__":
    unittest.main()
