#!/usr/bin/env python3
"""Check a proof that a record is part of a khonsu history. Needs nothing but Python 3.

usage: check_proof.py [--expect DIGEST] FILE
       FILE is a proof as JSON (- for the standard input). DIGEST is the digest of the history's
       head, 64 hexadecimal digits, as you got it from whom you trust: the database's operator, an
       auditor, a newspaper; NUMBER:DIGEST, as khonsu head prints it, will do. Without it the
       digest in the file is taken, which proves only that the file agrees with itself.

Prints what was proved and what the record says. Exit code 0: the proof holds; 1: it does not, or it
is no proof; 2: wrong usage.

What is computed, with H = SHA-256 (docs/log-format.md has every byte):
  the digest of a head       H(02, the 192 bytes of the head)
  what stands for a database H(03, database, timeline)
  the leaf of a record       H(00, frame)
  a node of the tree         H(01, left, right)
The digest of the first head must be the expected one. Each head names the digests of two older
ones: of the one before it, and of the one of its number without the lowest bit. So each further
head must be one of those two of the head above it. The last one holds the root of a Merkle tree
(RFC 6962) over its records: the record and its path must give that root.

A transaction in two steps has its writes in a PREPARE record and takes effect by a later DECIDE
COMMIT record: a proof of it has both, and the same is checked of the decision, whose group is one
of the heads.
"""

import argparse
import datetime
import hashlib
import json
import struct
import sys

HEAD_BYTES, DIGEST_BYTES, ID_BYTES, FRAME_HEAD_BYTES = 192, 32, 16, 96
KINDS = {1: "COMMIT", 2: "PREPARE", 3: "DECIDE COMMIT", 4: "DECIDE ABORT", 5: "SCHEMA",
         6: "HORIZON"}
PREPARE, DECIDE_COMMIT = 2, 3
SECTION_WRITES, PUT, DELETE = 1, 1, 2


class Refused(Exception):
    """The proof does not hold; the message says why."""


def require(is_so, why):
    if not is_so:
        raise Refused(why)


def digest(prefix, *parts):
    return hashlib.sha256(bytes([prefix]) + b"".join(parts)).digest()


# ---- reading the file ----

def member(parent, name, kind):
    require(isinstance(parent, dict) and name in parent, f"the file has no {name}")
    value = parent[name]
    require(type(value) is kind, f"{name} is no {kind.__name__}")  # a bool is no number here
    return value


def number(parent, name, bits):
    value = member(parent, name, int)
    require(0 <= value < 1 << bits, f"{name} does not fit {bits} bits")
    return value


def from_hex(text, what, size=None):
    require(isinstance(text, str), f"{what} is no text")
    try:
        # Without the spaces that bytes.fromhex would skip.
        value = bytes.fromhex(text) if text.isalnum() or text == "" else None
    except ValueError:
        value = None
    require(value is not None, f"{what} is not hexadecimal")
    require(size is None or len(value) == size, f"{what} has not {size} bytes")
    return value


def without_doubles(pairs):
    """Another reader might take the other of two members of one name."""
    require(len(dict(pairs)) == len(pairs), "a name occurs twice in one object")
    return dict(pairs)


def load(text):
    try:
        return json.loads(text, object_pairs_hook=without_doubles)
    except (ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {error}") from error


class Head:
    """A group's head."""

    def __init__(self, text):
        self.bytes = from_hex(text, "a head", HEAD_BYTES)
        magic, version, flags = struct.unpack_from("<4sHH", self.bytes)
        require(magic == b"KHLG", "a head does not begin with KHLG")
        require(version == 1, f"a head has format {version}, this checker reads 1")
        self.number, self.first, self.count, reserved = struct.unpack_from("<QQII", self.bytes, 32)
        (self.wall_ms,) = struct.unpack_from("<Q", self.bytes, 72)
        require(flags == 0 and reserved == 0, "a head's reserved bytes are not 0")
        require(self.number > 0, "a head has number 0")
        self.previous, self.skip, self.root = (self.bytes[at:at + DIGEST_BYTES]
                                               for at in (96, 128, 160))
        self.digest = digest(2, self.bytes)

    @property
    def skipped_to(self):
        return self.number & (self.number - 1)


# ---- the check ----

def check_step(newer, older):
    """The older head is one that the newer one names, by number and digest."""
    if older.number == newer.number - 1 and older.digest == newer.previous:
        require(older.first + older.count == newer.first,
                f"group {newer.number} does not begin where group {older.number} ends")
        return
    require(older.number == newer.skipped_to and older.digest == newer.skip,
            f"group {newer.number} names no group {older.number} with that digest")
    require(older.first + older.count <= newer.first,
            f"group {newer.number} begins before group {older.number} ends")


def root_of(leaf, index, count, path):
    """The root that a leaf and its path give (RFC 9162, section 2.1.3.2)."""
    own, last, value = index, count - 1, leaf
    for beside in path:
        require(last > 0, "the path is too long")
        while own % 2 == 0 and own == last:
            own, last = own // 2, last // 2
        value = digest(1, beside, value) if own % 2 == 1 else digest(1, value, beside)
        own, last = own // 2, last // 2
    require(last == 0, "the path is too short")
    return value


def check_record(record, group):
    """The record's frame, which the group has at its index."""
    index, count = number(record, "index", 32), number(record, "count", 32)
    frame = from_hex(member(record, "frame", str), "the frame")
    path = [from_hex(text, "a part of the path", DIGEST_BYTES)
            for text in member(record, "path", list)]
    require(count == group.count, f"group {group.number} has {group.count} records, not {count}")
    require(index < count, "the index is beyond the group")
    require(number(record, "position", 64) == group.first + index, "the position is another one")
    require(root_of(digest(0, frame), index, count, path) == group.root,
            f"the record is not in group {group.number}: another root")
    return frame


def transaction_of(frame):
    """(kind, id) of a record of format 1."""
    require(len(frame) >= FRAME_HEAD_BYTES and frame[:6] == b"KHRC\x01\x00",
            "a record of a two-step transaction is not of format 1")
    return frame[32], frame[40:56]


def check_decision(decision, heads, position, frame):
    """The decision's frame: in one of the groups, later than the writes, same transaction."""
    at = number(decision, "position", 64)
    groups = [head for head in heads if head.first <= at < head.first + head.count]
    require(groups, "none of the heads is that of the decision's group")
    require(at > position, "the decision comes before what it decides")
    decided = check_record(decision, groups[0])
    kind, identity = transaction_of(frame)
    decided_kind, decided_identity = transaction_of(decided)
    require(kind == PREPARE and decided_kind == DECIDE_COMMIT,
            "the two records are not the writes and the commit of a two-step transaction")
    require(identity == decided_identity, "the decision is of another transaction")
    return decided


def describe_decision(proof, heads, record, frame):
    """Of a two-step transaction: its decision, checked, in words."""
    if "decision" in proof:
        decision = member(proof, "decision", dict)
        decided = check_decision(decision, heads, record["position"], frame)
        return [f"decided by record {decision['position']}", *describe(decided)]
    if frame[:4] == b"KHRC" and frame[32:33] == bytes([PREPARE]):
        return ["  NOT DECIDED as far as this proof goes: these writes may never have taken effect"]
    return []


def check_database(heads, database, timeline):
    """The head that names the database and its timeline; None: no head of these does."""
    genesis = digest(3, database, timeline)
    for head in heads:
        if head.skipped_to == 0:
            require(head.skip == genesis,
                    f"group {head.number} is of another database or timeline")
            return head
    return None


def check(proof, expected=None):
    """What was proved, line by line. Refused: nothing was."""
    require(number(proof, "khonsu_proof", 32) == 1, "this checker reads proofs of version 1")
    database = from_hex(member(proof, "database", str), "database", ID_BYTES)
    timeline = from_hex(member(proof, "timeline", str), "timeline", ID_BYTES)
    claimed = member(proof, "head", dict)
    claimed_digest = from_hex(member(claimed, "digest", str), "the head's digest", DIGEST_BYTES)
    require(expected is None or expected == claimed_digest,
            f"the proof is for the head {claimed_digest.hex()}, which is not the expected one")
    heads = [Head(text) for text in member(proof, "groups", list)]
    require(heads, "there is no head")
    require(heads[0].digest == claimed_digest, "the first head has another digest")
    require(heads[0].number == number(claimed, "number", 64), "the first head has another number")
    for newer, older in zip(heads, heads[1:]):
        check_step(newer, older)
    named = check_database(heads, database, timeline)
    group = heads[-1]
    record = member(proof, "record", dict)
    frame = check_record(record, group)
    return [
        f"head: group {heads[0].number}, digest {claimed_digest.hex()}",
        "  as expected" if expected is not None else
        "  TAKEN FROM THE FILE: the file agrees with itself, no more; see --expect",
        f"database {database.hex()}, timeline {timeline.hex()}",
        f"  named by group {named.number}" if named else
        "  as the file says; none of these heads names them",
        f"record {record['position']}: number {record['index'] + 1} of the {group.count} in group "
        f"{group.number}, sealed {when(group.wall_ms)}; {len(heads)} heads lead there",
        *describe(frame), *describe_decision(proof, heads, record, frame)]


# ---- what the record says ----

def when(unix_ms):
    """In UTC; numbers that are no time stay numbers."""
    try:
        moment = datetime.datetime.fromtimestamp(unix_ms // 1000, datetime.timezone.utc)
    except (ValueError, OverflowError, OSError):
        return f"{unix_ms} ms"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{unix_ms % 1000:03d} UTC"


def key_text(key):
    """In quotes and ASCII, or in hexadecimal where it is no printable text."""
    try:
        text = key.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    return json.dumps(text) if text.isprintable() and text else "0x" + key.hex()


def padded(size):
    return (size + 7) // 8 * 8


def writes(content):
    """(verb, key) of each write in a section WRITES."""
    (count,) = struct.unpack_from("<I", content)
    at = 8
    for _ in range(count):
        value_bytes, _, key_bytes, kind = struct.unpack_from("<IIHB", content, at + 8)
        at += 24
        if kind not in (PUT, DELETE) or at + key_bytes > len(content):
            raise ValueError("a write that is malformed")
        yield "put" if kind == PUT else "delete", content[at:at + key_bytes]
        at += padded(key_bytes) + padded(value_bytes)


def sections(frame):
    """(type, content) of each section."""
    at = FRAME_HEAD_BYTES
    while at < len(frame):
        kind, _, length = struct.unpack_from("<HHI", frame, at)
        at += 8
        if at + length > len(frame):
            raise ValueError("a section that is cut off")
        yield kind, frame[at:at + length]
        at += padded(length)


def describe(frame):
    """The record in words. That it cannot be read makes the proof no worse: these are the bytes."""
    try:
        magic, version = struct.unpack_from("<4sH", frame)
        (length,) = struct.unpack_from("<I", frame, 24)
        if magic != b"KHRC" or version != 1 or length != len(frame):
            raise ValueError("not a record of format 1")
        kind = frame[32]
        high, low = struct.unpack_from("<QQ", frame, 40)
        (commit,) = struct.unpack_from("<Q", frame, 72)
        lines = [f"  {KINDS.get(kind, f'kind {kind}')}, transaction {high}:{low}"]
        if commit:
            lines.append(f"  commit timestamp {commit}: {when(commit >> 16)}")
        for kind, content in sections(frame):
            if kind == SECTION_WRITES:
                lines += [f"  {verb} {key_text(key)}" for verb, key in writes(content)]
        return lines
    except (ValueError, struct.error, IndexError) as error:
        return [f"  its {len(frame)} bytes cannot be read: {error}"]


def digest_argument(text):
    try:
        digits, colon, rest = text.strip().partition(":")
        require(not colon or digits.isdecimal(), "DIGEST begins with no number")
        return from_hex(rest if colon else digits, "DIGEST", DIGEST_BYTES)
    except Refused as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main():
    parser = argparse.ArgumentParser(
        description="Check a proof that a record is part of a khonsu history.")
    parser.add_argument("--expect", metavar="DIGEST", type=digest_argument,
                        help="digest of the history's head, from whom you trust")
    parser.add_argument("file", metavar="FILE", help="the proof, - for the standard input")
    options = parser.parse_args()
    try:
        if options.file == "-":
            text = sys.stdin.buffer.read()
        else:
            with open(options.file, "rb") as file:
                text = file.read()
        lines = check(load(text), options.expect)
    except OSError as error:
        print(f"check_proof: {error}", file=sys.stderr)
        return 1
    except Refused as error:
        print(f"REFUSED: {error}")
        return 1
    print("\n".join(lines))
    print("the proof holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
