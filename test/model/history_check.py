#!/usr/bin/env python3
"""Judge histories in the format kh1 by the isolation that their header asked for.

usage: history_check.py [--real-time] [--no-timestamps] [--isolation LEVEL] FILE...

  --real-time      at every level, who was told of an end before another began comes first (at
                   strict-serializable that is so without asking)
  --no-timestamps  do not look at the store's own numbers (snap, commit)
  --isolation      judge by this level, not by the header's

Prints each anomaly with an example, and for each file one line of JSON. Exit status: 0 no anomaly,
1 some, 2 a file is no history.
"""

import argparse
import gzip
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import history_bank  # noqa: E402  (the path comes first)
import history_graph  # noqa: E402
import history_kv  # noqa: E402
import history_lists  # noqa: E402
import history_registers  # noqa: E402
import history_stamps  # noqa: E402
from history_format import LEVELS, Malformed, Report, read  # noqa: E402


def check_graph(history, report, stamped, has_real_time):
    """The anomalies that are cycles; returns what was read."""
    if history.workload == "list-append":
        graph, reads = history_lists.build(history, report)
    else:
        graph, reads = history_registers.build(history, report, stamped, has_real_time)
        if history.workload == "group":
            reads.check_atomic()
    if has_real_time:
        seen = {edge >> 3 for edges in graph.edges for edge in edges}
        seen |= {index for index, edges in enumerate(graph.edges) if edges}
        graph.add_real_time([txn for txn in history.txns
                             if txn.status == "ok" or txn.index in seen])
    history_graph.judge(graph, history.txns, report, has_real_time)
    return reads


def check(history, real_time=False, timestamps=True):
    """The report on a history."""
    report = Report()
    has_real_time = real_time or history.isolation == "strict-serializable"
    stamped = timestamps and history_stamps.are_there(history)
    reads = None
    if history.workload == "bank":
        history_bank.check(history, report, stamped)
    elif history.workload == "kv":
        history_kv.check(history, report)
    else:
        reads = check_graph(history, report, stamped, has_real_time)
    if stamped:
        history_stamps.check(history, report, reads, has_real_time)
    return report


def check_file(path, options):
    """(exit status, the line of JSON as a dict), having printed the examples."""
    began = time.monotonic()
    opener = gzip.open if path.endswith(".gz") else open
    verdict = {"file": path, "valid": False, "anomalies": {}}
    try:
        with opener(path, "rb") as file:
            history = read(file)
        if options.isolation:
            history.isolation = options.isolation
            for txn in history.txns:
                txn.level = options.isolation
        report = check(history, options.real_time, options.timestamps)
    except (Malformed, OSError) as error:
        print(f"{path}: malformed: {error}")
        verdict["anomalies"] = {"malformed": 1}
        return 2, verdict
    for name, words in report.examples:
        print(f"{path}: {name}: {words}")
    by_status = {status: sum(txn.status == status for txn in history.txns)
                 for status in ("ok", "fail", "info")}
    verdict.update(valid=not report.counts, anomalies=report.counts, workload=history.workload,
                   isolation=history.isolation, **by_status,
                   seconds=round(time.monotonic() - began, 3))
    return (1 if report.counts else 0), verdict


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real-time", action="store_true")
    parser.add_argument("--no-timestamps", dest="timestamps", action="store_false")
    parser.add_argument("--isolation", choices=LEVELS)
    parser.add_argument("files", nargs="+")
    options = parser.parse_args(arguments)
    worst = 0
    for path in options.files:
        status, verdict = check_file(path, options)
        print(json.dumps(verdict), flush=True)
        worst = max(worst, status)
    return worst


if __name__ == "__main__":
    sys.exit(main())
