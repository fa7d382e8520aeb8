#!/usr/bin/env python3
"""Make the file that the load's benchmark loads: 3,000,000 flights that never were, as Arrow IPC.

usage: flights.py FILE [--rows N] [--seed N]

Sorted by day, 3,000 of them on each day; columns of int64, float64, date and utf8, with the nulls
of flights that were cancelled; some 90 bytes a row. The same seed makes the same bytes.
"""

import argparse
import os

import pyarrow
import pyarrow.compute as pc
import pyarrow.ipc

ROWS, ROWS_A_DAY, BATCH_ROWS, FIRST_DAY = 3_000_000, 3_000, 65_536, 15_706
CARRIERS = ("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX",
            "WN")
PLACES = ("EWR", "LGA", "JFK", "ATL", "ORD", "LAX", "BOS", "MCO", "CLT", "SFO", "FLL", "MIA", "DCA",
          "DTW", "DFW", "RDU", "TPA", "DEN", "IAH", "MSP")


class Dice:
    """Columns of random values, one seed after the other."""

    def __init__(self, rows, seed):
        self.rows, self.seed = rows, seed * 1000

    def doubles(self, low, high):
        self.seed += 1
        draws = pc.random(self.rows, initializer=self.seed)
        return pc.add(pc.multiply(draws, high - low), low)

    def integers(self, low, high):
        return pc.cast(pc.floor(self.doubles(low, high)), pyarrow.int64())

    def words(self, words):
        return pc.take(pyarrow.array(words), self.integers(0, len(words)))

    def delays(self):
        """One in fifty flights has none."""
        minutes = pc.round(self.doubles(-20, 180), ndigits=1)
        is_cancelled = pc.less(self.doubles(0, 50), 1.0)
        return pc.if_else(is_cancelled, pyarrow.scalar(None, pyarrow.float64()), minutes)


def day_column(rows):
    numbers = pc.divide(pyarrow.array(range(rows), pyarrow.int64()), ROWS_A_DAY)
    days = pc.cast(pc.add(numbers, FIRST_DAY), pyarrow.int32())
    return pc.cast(days, pyarrow.date32())


def make(rows, seed):
    dice = Dice(rows, seed)
    numbers = pc.cast(dice.integers(10_000, 99_999), pyarrow.utf8())
    columns = {
        "id": pyarrow.array(range(1, rows + 1), pyarrow.int64()),
        "day": day_column(rows),
        "carrier": dice.words(CARRIERS),
        "flight": dice.integers(1, 8_500),
        "tailnum": pc.binary_join_element_wise("N", numbers, ""),
        "origin": dice.words(PLACES[:3]),
        "dest": dice.words(PLACES[3:]),
        "sched_dep_time": dice.integers(0, 1_440),
        "dep_delay": dice.delays(),
        "arr_delay": dice.delays(),
        "air_time": pc.round(dice.doubles(20, 700), ndigits=1),
        "distance": dice.integers(80, 5_000),
    }
    return pyarrow.table(columns)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("file")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    table = make(options.rows, options.seed)
    os.makedirs(os.path.dirname(os.path.abspath(options.file)), exist_ok=True)
    with pyarrow.ipc.new_file(options.file + ".part", table.schema) as writer:
        writer.write_table(table, max_chunksize=BATCH_ROWS)
    os.replace(options.file + ".part", options.file)
    print(f"{options.file}: {table.num_rows:,} rows, {os.path.getsize(options.file):,} bytes")


if __name__ == "__main__":
    main()
