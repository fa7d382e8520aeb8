"""Reading what the shim has recorded: a trace file as a list of events.

An event's number is its place in the list; a cut at n is the moment after the first n events.
"""

import mmap
import os
import struct
from typing import NamedTuple

HEAD = struct.Struct("<8sIIQ4096s")
RECORD = struct.Struct("<IHHIIQQQQQQ")
MAGIC, VERSION = b"KHPOWER1", 1

# The numbers of shim.h's enum kind.
KINDS = {1: "root", 2: "entry", 3: "create", 4: "write", 5: "mapped", 6: "truncate",
         7: "allocate", 8: "rename", 9: "unlink", 10: "link", 11: "sync", 12: "synced",
         13: "hint", 14: "close", 15: "mark", 16: "note", 17: "gap"}
SYNC_DATA, SYNC_RANGE, SYNC_ALL = 1, 2, 4
FILE, DIRECTORY, SYMLINK, OTHER = 1, 2, 3, 4
WITH_BYTES = ("write", "mapped")


class TraceError(Exception):
    """The trace is not one, or tells of something that its own events do not explain."""


class Event(NamedTuple):
    number: int
    kind: str
    flags: int = 0
    thread: int = 0
    node: tuple = (0, 0)
    directory: tuple = (0, 0)
    to_directory: tuple = (0, 0)
    offset: int = 0
    length: int = 0
    text: bytes = b""
    payload: bytes = b""
    begun: int = -1  # of synced: the number of the sync that it ends

    def words(self, names):
        """What happened; names: of inodes, for those that have one."""
        words = [f"{self.number}:", self.kind]
        if self.node[1] and self.kind not in ("root", "rename"):
            words.append(names.get(self.node, f"inode {self.node[1]}"))
        if self.kind in ("write", "mapped", "allocate", "hint"):
            words.append(f"at {self.offset}, {self.length} bytes")
        if self.kind in ("allocate", "rename") and self.flags:
            words.append(f"flags {self.flags}")
        if self.kind == "truncate":
            words.append(f"to {self.length} bytes")
        if self.kind == "sync":
            words.append({0: "(all of it)", 1: "(data)", 3: f"({self.offset}, {self.length} bytes)",
                          4: "(everything)"}.get(self.flags, ""))
        if self.kind == "synced":
            words.append(f"(begun at {self.begun})")
        if self.text and self.kind not in ("create", "entry", "link", "unlink"):
            words.append(" -> ".join(part.decode(errors="replace")
                                     for part in self.text.rstrip(b"\n").split(b"\0")))
        return " ".join(words)

    def __str__(self):
        return self.words({})


def read(path):
    """(the root's path, the events) of a trace. What was written stays in the file, mapped."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size < HEAD.size:
            raise TraceError(f"{path}: too short for a trace")
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    magic, version, at, end, root = HEAD.unpack_from(whole)
    if magic != MAGIC or version != VERSION:
        raise TraceError(f"{path}: not a trace of version {VERSION}")
    if end > len(whole):
        raise TraceError(f"{path}: ends at {len(whole)}, should at {end}")
    events, begun_at = [], {}
    while at < end:
        (size, kind, flags, thread, text_bytes, device, inode, directory, to_directory, offset,
         length) = RECORD.unpack_from(whole, at)
        name = KINDS.get(kind)
        if name is None or size < RECORD.size or at + size > end:
            raise TraceError(f"{path}: no record at {at}")
        text_at = at + RECORD.size
        payload_at = text_at + (text_bytes + 7) // 8 * 8
        payload = whole[payload_at:payload_at + length] if name in WITH_BYTES else b""
        if name == "sync":
            begun_at[at] = len(events)
        events.append(Event(
            len(events), name, flags, thread, (device, inode), (device, directory),
            (device, to_directory), offset, length, bytes(whole[text_at:text_at + text_bytes]),
            payload, begun_at[offset] if name == "synced" else -1))
        at += size
    return root.split(b"\0")[0].decode(), events


def told(events):
    """What happened, in words, with the name that each file had last."""
    names = {}
    for event in events:
        if event.kind in ("create", "entry", "link", "rename") and event.text:
            name = event.text.split(b"\0")[event.kind == "rename"]
            names[event.node] = name.decode(errors="replace")
        elif event.kind == "root":
            names[event.node] = "the root"
        yield event.words(names)


def marks_of(events):
    """The lines that the program has said, in order, as text."""
    return [line for event in events if event.kind == "mark"
            for line in event.text.decode(errors="replace").splitlines()]
