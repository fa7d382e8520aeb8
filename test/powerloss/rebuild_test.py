"""The states that rebuild.py makes: each is legal, and what is legal comes up.

Random histories of one file are judged by an oracle that shares no code with content.py: it keeps
whole images of the file after every operation, and wants each sector to be one of them. Cases by
name say the rest: sizes, syncs of several kinds, names.
"""

import os
import random
import shutil
import tempfile
import unittest
from unittest import mock

import rebuild
from disk import Disk
from recording import (DIRECTORY, FILE, SYMLINK, SYNC_ALL, SYNC_DATA, SYNC_RANGE, Event,
                       TraceError)

SEED = int(os.environ.get("KH_TEST_SEED", "1"))
SECTOR = 512
ROOT = 1


class Script:
    """A history, written by hand. Files and directories are numbers, which are their inodes."""

    def __init__(self):
        self.events = []
        self.add("root", ROOT)

    def add(self, kind, inode=0, **fields):
        for name in ("directory", "to_directory"):
            if name in fields:
                fields[name] = (7, fields[name])
        self.events.append(Event(len(self.events), kind, node=(7, inode), **fields))
        return self.events[-1].number

    def create(self, inode, name, directory=ROOT, kind=FILE):
        self.add("create", inode, flags=kind, directory=directory, text=name)

    def write(self, inode, offset, payload):
        self.add("write", inode, offset=offset, length=len(payload), payload=payload)

    def truncate(self, inode, length):
        self.add("truncate", inode, length=length)

    def rename(self, inode, old, new, source=ROOT, target=ROOT, flags=0):
        self.add("rename", inode, directory=source, to_directory=target, flags=flags,
                 text=old + b"\0" + new)

    def unlink(self, inode, name, directory=ROOT):
        self.add("unlink", inode, directory=directory, text=name)

    def begin_sync(self, inode, flags=0, **fields):
        return self.add("sync", inode, flags=flags, **fields)

    def end_sync(self, inode, begun):
        self.add("synced", inode, begun=begun)

    def sync(self, inode, flags=0, **fields):
        self.end_sync(inode, self.begin_sync(inode, flags, **fields))

    def named(self, inode, name, content=b""):
        """A file that is durable, with its name."""
        self.create(inode, name)
        if content:
            self.write(inode, 0, content)
        self.sync(inode)
        self.sync(ROOT)


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def found(self, path=None):
        """{path: content} below the folder; directories end with a slash."""
        path = path or self.folder
        files = {}
        for name in sorted(os.listdir(path)):
            below = os.path.join(path, name)
            key = os.path.relpath(below, self.folder)
            if os.path.islink(below):
                files[key] = os.readlink(below)
            elif os.path.isdir(below):
                files[key + "/"] = None
                files.update(self.found(below))
            else:
                with open(below, "rb") as file:
                    files[key] = file.read()
        return files

    def all_found(self, script, model="random", directories="strict", tries=150):
        """What may be found at the end of a script, by so many seeds."""
        disk = Disk(script.events, directories=directories)
        disk.advance(len(script.events))
        states = []
        for number in range(tries):
            rebuild.write_state(disk, model, f"{SEED} {number}", self.folder)
            state = self.found()
            if state not in states:
                states.append(state)
        return states

    def one_found(self, script, model, directories="strict"):
        states = self.all_found(script, model, directories, tries=3)
        self.assertEqual(len(states), 1)
        return states[0]


class Oracle:
    """One file's versions since all of it was last durable."""

    def __init__(self):
        self.images, self.sizes, self.shrinks = [b""], [0], []

    def note(self, image):
        if len(image) < self.sizes[-1]:
            self.shrinks.append((len(self.sizes), len(image)))
        self.images.append(bytes(image))
        self.sizes.append(len(image))

    def durable(self, version):
        """All before that version is gone for good."""
        self.images, self.sizes = self.images[version:], self.sizes[version:]
        self.shrinks = [(at - version, size) for at, size in self.shrinks if at > version]

    def sector(self, version, number, size):
        """A sector of a version; with the cut of the file that a later shrink makes."""
        whole = self.images[version][number * SECTOR:(number + 1) * SECTOR].ljust(SECTOR, b"\0")
        cut = min(max(size - number * SECTOR, 0), SECTOR)
        return whole[:cut].ljust(SECTOR, b"\0")

    def is_legal(self, found):
        if len(found) not in self.sizes:
            return f"a size of {len(found)}, of {self.sizes}"
        fresh = -(-self.sizes[0] // SECTOR)
        for number in range(-(-len(found) // SECTOR)):
            have = found[number * SECTOR:(number + 1) * SECTOR]
            legal = {self.sector(version, number, size)[:len(have)]
                     for version in range(len(self.images))
                     for size in [1 << 40] + [size for at, size in self.shrinks if at > version]}
            if number >= fresh:
                legal.add(bytes(len(have)))  # the size has arrived, the sector has not
            if have not in legal:
                return f"sector {number} has {have[:20]}..., none of its versions"
        return ""


def random_history(dice, script, oracle):
    """Writes, cuts and syncs of one file, written into both."""
    image, version, inode = bytearray(), 0, 2
    script.create(inode, b"file")
    script.sync(ROOT)
    for _ in range(dice.randint(1, 25)):
        action = dice.random()
        if action < 0.7:
            at = dice.randint(0, len(image) + dice.choice((0, 0, 700)))
            payload = bytes([dice.randrange(1, 256)]) * dice.randint(1, 2000)
            script.write(inode, at, payload)
            image.extend(bytes(max(0, at - len(image))))
            image[at:at + len(payload)] = payload
        elif action < 0.85:
            size = dice.randint(0, len(image) + 600)
            if size == len(image):
                continue
            script.truncate(inode, size)
            if size < len(image):
                del image[size:]
            image.extend(bytes(size - len(image)))
        else:
            # What comes while the sync is under way is not covered by it.
            begun, covered = script.begin_sync(inode), version
            if dice.random() < 0.5:
                script.write(inode, 0, b"late")
                image[0:4] = b"late"
                version += 1
                oracle.note(image)
            script.end_sync(inode, begun)
            oracle.durable(covered)
            version -= covered
            continue
        version += 1
        oracle.note(image)


class RandomHistories(Folder):
    # Garbage could be told from a fault by nothing; Contents has a case of its own for it.
    @mock.patch.object(rebuild.Chooser, "_garbage", lambda chooser: None)
    def test_every_state_is_legal(self):
        kinds = set()
        for number in range(int(os.environ.get("KH_TEST_HISTORIES", "150"))):
            dice = random.Random(f"{SEED} history {number}")
            script, oracle = Script(), Oracle()
            random_history(dice, script, oracle)
            disk = Disk(script.events)
            disk.advance(len(script.events))
            for attempt in range(8):
                model = rebuild.MODELS[attempt % 5]
                rebuild.write_state(disk, model, attempt, self.folder)
                content = self.found()["file"]
                wrong = oracle.is_legal(content)
                self.assertEqual(wrong, "", f"seed {SEED}, history {number}, {model}, {attempt}")
                kinds.add((model, content == oracle.images[-1], content == oracle.images[0]))
                if model == "keep":
                    self.assertEqual(content, oracle.images[-1])
                if model == "drop":
                    self.assertEqual(content, oracle.images[0])
        # Neither everything nor nothing: the models do more than the two first ones.
        for model in ("random", "torn", "reorder"):
            self.assertIn((model, False, False), kinds)


class Contents(Folder):
    def test_sectors_arrive_one_by_one(self):
        script = Script()
        script.named(2, b"f", b"a" * 1024)
        script.write(2, 0, b"b" * 1024)
        states = {state["f"] for state in self.all_found(script, "torn")}
        self.assertEqual(states, {one * 512 + other * 512 for one in (b"a", b"b")
                                  for other in (b"a", b"b")})

    def test_a_sector_holds_what_was_there_before(self):
        script = Script()
        script.named(2, b"f", b"a" * 512)
        script.write(2, 0, b"b" * 100)
        script.write(2, 100, b"c" * 100)
        states = {state["f"][:200] for model in ("random", "reorder", "torn")
                  for state in self.all_found(script, model)}
        self.assertEqual(states, {b"a" * 200, b"b" * 100 + b"a" * 100, b"b" * 100 + b"c" * 100})

    def test_sizes_without_bytes(self):
        script = Script()
        script.named(2, b"f", b"a" * 512)
        script.write(2, 512, b"b" * 512)
        states = {state["f"] for state in self.all_found(script)}
        self.assertTrue({b"a" * 512, b"a" * 512 + bytes(512), b"a" * 512 + b"b" * 512} < states)
        # And one with garbage.
        self.assertTrue({state[512:] for state in states} - {b"", bytes(512), b"b" * 512})

    def test_a_sync_covers_what_was_before_it_began(self):
        script = Script()
        script.named(2, b"f", b"a" * 512)
        script.write(2, 0, b"b" * 512)
        begun = script.begin_sync(2)
        script.write(2, 512, b"c" * 512)
        self.assertEqual(self.one_found(script, "drop")["f"], b"a" * 512)
        script.end_sync(2, begun)
        self.assertEqual(self.one_found(script, "drop")["f"], b"b" * 512)
        self.assertEqual(self.one_found(script, "keep")["f"], b"b" * 512 + b"c" * 512)

    def test_syncing_bytes_takes_the_size_only_to_read_them(self):
        script = Script()
        script.named(2, b"f", b"a" * 1000)
        script.truncate(2, 600)
        script.sync(2, SYNC_DATA)
        self.assertEqual({len(state["f"]) for state in self.all_found(script)}, {600, 1000})
        script.write(2, 600, b"b" * 200)
        script.sync(2, SYNC_DATA)
        self.assertEqual(self.one_found(script, "random")["f"], b"a" * 600 + b"b" * 200)
        # And nothing waits for ever.
        disk = Disk(script.events)
        disk.advance(len(script.events))
        self.assertFalse(rebuild.is_waiting(disk))

    def test_a_range_that_was_synced(self):
        script = Script()
        script.named(2, b"f", b"a" * 1024)
        script.write(2, 0, b"b" * 512)
        script.write(2, 512, b"c" * 600)
        script.sync(2, SYNC_DATA | SYNC_RANGE, offset=512, length=600)
        self.assertEqual({state["f"] for state in self.all_found(script)},
                         {first * 512 + b"c" * 600 for first in (b"a", b"b")})
        script.sync(2)
        self.assertEqual(self.one_found(script, "drop")["f"], b"b" * 512 + b"c" * 600)

    def test_a_cut_that_did_not_arrive_gives_the_bytes_back(self):
        script = Script()
        script.named(2, b"f", b"a" * 1024)
        script.truncate(2, 0)
        self.assertEqual({state["f"] for state in self.all_found(script)}, {b"a" * 1024, b""})
        script.write(2, 0, b"b" * 10)
        states = {state["f"] for state in self.all_found(script)}
        # The sector as it was written over, in a file whose cut was lost.
        self.assertIn(b"b" * 10 + bytes(502) + b"a" * 512, states)

    def test_mapped_bytes_end_with_the_file(self):
        script = Script()
        script.named(2, b"f", b"a" * 100)
        script.add("mapped", 2, offset=0, length=4096, payload=b"b" * 100 + bytes(3996))
        script.sync(2)
        self.assertEqual(self.one_found(script, "drop")["f"], b"b" * 100)


class Names(Folder):
    def test_a_synced_file_without_a_durable_name(self):
        script = Script()
        script.create(2, b"f")
        script.write(2, 0, b"x")
        script.sync(2)
        self.assertEqual(self.one_found(script, "drop"), {})
        self.assertEqual(self.one_found(script, "drop", "ordered"), {"f": b"x"})
        script.sync(ROOT)
        self.assertEqual(self.one_found(script, "drop"), {"f": b"x"})

    def test_a_name_without_its_bytes(self):
        script = Script()
        script.create(2, b"f")
        script.write(2, 0, b"x")
        script.sync(ROOT)
        self.assertEqual(self.one_found(script, "drop"), {"f": b""})

    def test_rename_is_one_step(self):
        script = Script()
        script.named(2, b"f", b"old")
        script.create(3, b"f.new")
        script.write(3, 0, b"new")
        script.sync(3)
        script.rename(3, b"f.new", b"f")
        for directories in ("strict", "ordered"):
            states = self.all_found(script, "random", directories)
            self.assertEqual({state["f"] for state in states}, {b"old", b"new"})
            self.assertEqual({tuple(state) for state in states if state["f"] == b"new"}, {("f",)})
        script.sync(ROOT)
        self.assertEqual(self.one_found(script, "drop"), {"f": b"new"})

    def test_rename_of_a_file_to_another_name_of_its_own(self):
        script = Script()
        script.named(2, b"a")
        script.add("link", 2, directory=ROOT, text=b"b")
        script.rename(2, b"a", b"b")
        self.assertEqual(self.one_found(script, "keep"), {"a": b"", "b": b""})

    def test_a_directory_sync_covers_what_was_before_it_began(self):
        for directories in ("strict", "ordered"):
            script = Script()
            script.create(2, b"a")
            begun = script.begin_sync(ROOT)
            script.create(3, b"b")
            script.end_sync(ROOT, begun)
            self.assertEqual(self.one_found(script, "drop", directories), {"a": b""})

    def test_files_that_nobody_can_find_take_no_memory(self):
        script = Script()
        script.named(2, b"f", b"x")
        disk = Disk(script.events)
        script.unlink(2, b"f")
        disk.advance(len(script.events))
        self.assertEqual([bytes(node.content.durable) for node in disk.files()], [b"x"])
        script.write(2, 1, b"by an open descriptor")
        script.sync(ROOT)
        script.write(2, 2, b"again")
        disk.advance(len(script.events))
        self.assertEqual(disk.files(), [])

    def test_order_of_names(self):
        script = Script()
        script.create(2, b"first")
        script.create(3, b"second")
        ordered = {tuple(state) for state in self.all_found(script, "random", "ordered")}
        self.assertEqual(ordered, {(), ("first",), ("first", "second")})
        strict = {tuple(state) for state in self.all_found(script, "random", "strict")}
        self.assertEqual(strict, ordered | {("second",)})

    def test_a_file_has_one_name_after_any_renames(self):
        script = Script()
        script.named(2, b"a")
        script.rename(2, b"a", b"b")
        script.rename(2, b"b", b"c")
        self.assertEqual({tuple(state) for state in self.all_found(script)},
                         {("a",), ("b",), ("c",)})

    def test_unlinked_files_come_back(self):
        script = Script()
        script.named(2, b"f", b"x")
        script.unlink(2, b"f")
        self.assertEqual(self.one_found(script, "drop"), {"f": b"x"})
        # Another file has the same inode now.
        script.create(2, b"g")
        script.write(2, 0, b"y")
        self.assertEqual(self.one_found(script, "drop"), {"f": b"x"})
        self.assertEqual(self.one_found(script, "keep"), {"g": b"y"})
        script.sync(ROOT)
        self.assertEqual(self.one_found(script, "drop"), {"g": b""})

    def test_renames_between_directories(self):
        script = Script()
        script.create(5, b"d", kind=DIRECTORY)
        script.named(2, b"f", b"x")
        script.rename(2, b"f", b"g", target=5)
        script.sync(5)
        self.assertEqual(self.one_found(script, "drop"), {"d/": None, "f": b"x"})
        self.assertEqual(self.one_found(script, "drop", "ordered"), {"d/": None, "d/g": b"x"})
        script.sync(ROOT)
        self.assertEqual(self.one_found(script, "drop"), {"d/": None, "d/g": b"x"})

    def test_exchange_links_and_symbolic_links(self):
        script = Script()
        script.named(2, b"a", b"A")
        script.named(3, b"b", b"B")
        script.rename(2, b"a", b"b", flags=2)
        script.add("link", 2, directory=ROOT, text=b"c")
        script.create(4, b"l\0target", kind=SYMLINK)
        self.assertEqual(self.one_found(script, "drop"), {"a": b"A", "b": b"B"})
        self.assertEqual(self.one_found(script, "keep"),
                         {"a": b"B", "b": b"A", "c": b"A", "l": "target"})

    def test_a_lost_directory_takes_all_along(self):
        script = Script()
        script.create(5, b"d", kind=DIRECTORY)
        script.create(2, b"f", directory=5)
        script.sync(2)
        script.sync(5)
        self.assertEqual(self.one_found(script, "drop"), {})
        script.sync(0, SYNC_ALL)
        self.assertEqual(self.one_found(script, "drop"), {"d/": None, "d/f": b""})

    def test_what_no_event_explains(self):
        script = Script()
        script.write(9, 0, b"x")
        with self.assertRaises(TraceError):
            Disk(script.events).advance(len(script.events))


class Interface(Folder):
    def test_states_are_made_again_by_their_numbers(self):
        script = Script()
        script.named(2, b"f", b"a" * 5000)
        for number in range(8):
            script.write(2, number * 700, bytes([number]) * 3000)
            script.create(10 + number, b"file %d" % number)
            script.add("mark", text=b"ack %d" % number)
        cuts = [3, 10, 17, len(script.events)]
        made = [(state, self.found()) for state in
                rebuild.states(script.events, cuts, 5, SEED, self.folder)]
        self.assertEqual([state.cut for state, _ in made if state.model == "drop"], cuts)
        for state, found in made:
            self.assertEqual(len(state.marks), sum(event.kind == "mark" for event in
                                                   script.events[:state.cut]))
            disk = Disk(script.events)
            disk.advance(state.cut)
            rebuild.write_state(disk, state.model, state.seed, self.folder)
            self.assertEqual(self.found(), found)

    def test_cuts_are_where_it_matters(self):
        script = Script()
        for number in range(300):
            script.create(2 + number, b"file %d" % number)
        script.sync(2)
        script.add("mark", text=b"ack")
        cuts = rebuild.choose_cuts(script.events, 10, SEED)
        self.assertEqual(len(cuts), 10)
        self.assertEqual({cut for cut in cuts if cut > 301} - {302, 303, 304}, set())
        self.assertTrue({302, 303, 304} <= set(cuts))

    def test_what_was_there_before(self):
        before = os.path.join(self.folder, "before")
        os.mkdir(before)
        with open(os.path.join(before, "f"), "wb") as file:
            file.write(b"before")
        state = os.path.join(self.folder, "state")
        script = Script()
        script.add("entry", 2, flags=FILE, directory=ROOT, text=b"f", length=6)
        script.write(2, 0, b"after.")
        with self.assertRaises(TraceError):
            Disk(script.events).advance(2)
        disk = Disk(script.events, before)
        disk.advance(len(script.events))
        for model, content in (("drop", b"before"), ("keep", b"after.")):
            rebuild.write_state(disk, model, SEED, state)
            with open(os.path.join(state, "f"), "rb") as file:
                self.assertEqual(file.read(), content)


if __name__ == "__main__":
    unittest.main()
