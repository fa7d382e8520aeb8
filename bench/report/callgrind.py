"""Where the instructions of a callgrind file were spent, by the room of the source.

Read from callgrind's format: `fl=`, `fi=` and `fe=` name the file that the cost lines after them
belong to (`cfi=`, `cfl=` that of a called function), `(7) name` defines an abbreviation and `(7)`
uses it; the line after `calls=` is what the called function took, which its own lines say too.
"""

import re

# What a path says, first match wins. The last one takes the system's libraries.
ROOMS = ((re.compile(r"/src/(base|batch|store|log|txn|db)/"), r"\1"),
         (re.compile(r"/bench/driver/"), "driver"),
         (re.compile(r"/bench/engines/"), "engine's glue"),
         (re.compile(r"xxh"), "hash"), (re.compile(r""), "system"))
FILE = re.compile(r"(c?)f[lie]=\((\d+)\)(?: (.*))?$")
COST = re.compile(r"[+\-*\d][\d]* (\d+)$")


def room_of(path):
    for pattern, room in ROOMS:
        found = pattern.search(path)
        if found:
            return found.expand(room) if found.groups() else room
    raise ValueError(path)


def total(text):
    """All instructions that were counted."""
    return int(re.search(r"^totals: (\d+)", text, re.MULTILINE).group(1))


def by_room(text):
    """{room: instructions}, which add up to the total."""
    rooms, names = {}, {}
    room, is_callee = "system", False
    for line in text.split("\n"):
        file = FILE.match(line)
        if file:
            called, number, name = file.groups()
            if name is not None:
                names[number] = name
            if not called:
                room = room_of(names[number])
            continue
        cost = COST.match(line)
        if cost and not is_callee:
            rooms[room] = rooms.get(room, 0) + int(cost.group(1))
        is_callee = line.startswith("calls=")
    return rooms
