"""How many calls of fdatasync a group of the log takes: run it under strace.

    strace -f -c -e trace=fdatasync python bench/python/groups.py DIRECTORY COMMITTERS [SECONDS]

Prints groups (by the number of the history's head) and commits; strace counts the calls. The
directory must not be there. Ends without closing, whose own syncs do not belong to a group.
"""

import os
import sys
import threading
import time

import khonsu


def main() -> None:
    path, committers = sys.argv[1], int(sys.argv[2])
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 4.0
    schema = khonsu.Schema({"id": "int64"})
    db = khonsu.open(path)
    first = db.head()[0]
    end = time.monotonic() + seconds

    def commit(committer: int) -> None:
        count = 0
        while time.monotonic() < end:
            with db.begin() as txn:
                txn[f"{committer}/{count % 100}"] = schema.row(count)
            count += 1

    threads = [threading.Thread(target=commit, args=(i,)) for i in range(committers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{db.head()[0] - first} groups, {db.stats()['commits']} commits", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
