"""Judges what appender.c has left: _log_check.py DIR ACKFILE. It knows the format, not the code."""

import os
import struct
import sys
import zlib

HEAD = struct.Struct("<III")
ADLER_AT = 8


def records(path):
    """The numbers of the records of a file, up to the first that is not whole."""
    with open(path, "rb") as file:
        content = file.read()
    at, numbers = 0, []
    while at + HEAD.size <= len(content):
        number, length, adler = HEAD.unpack_from(content, at)
        record = bytearray(content[at:at + HEAD.size + length])
        record[ADLER_AT:HEAD.size] = bytes(4)
        if len(record) != HEAD.size + length or zlib.adler32(record) != adler:
            break
        numbers.append(number)
        at += len(record)
    return numbers


def lost(directory, marks):
    """The marks that are not true of a directory."""
    found = {"record": set(), "checkpoint": set()}
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if name.startswith("segment-"):
            found["record"].update(records(path))
        elif name == "checkpoint":
            # A newer one stands for all before.
            found["checkpoint"].update(range(max(records(path), default=0) + 1))
    return [mark for mark in marks
            if int(mark.split()[1]) not in found[mark.split()[0]]]


def main():
    with open(sys.argv[2], encoding="utf-8") as file:
        missing = lost(sys.argv[1], file.read().splitlines())
    print("\n".join(f"lost: {mark}" for mark in missing))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
