"""A directory on a disk that may lose power: what its files and names may be found to be.

A Disk is fed with the events of a trace, in order, up to a cut. It knows the files as the program
sees them and, apart from that, what is durable. A file's bytes are content.py's; here are names:
directories change by create, rename, link and unlink, each atomic, and a change is durable when
its directory has been synced after it. How changes that no sync has covered may be found:

    strict   Any of them, in any combination, but of one file in order: POSIX promises no more. A
             rename between directories is durable when both have been synced. A file that was
             synced in a directory that was not may be missing.
    prefix   Durable as in strict, but of each directory the first so many: no file system loses a
             name and keeps a later one. RocksDB's own directories need that.
    ordered  Of each directory the first so many: as file systems with a journal do. Syncing a file
             takes the changes along that gave it its name, and those before them.
"""

import os

from content import Content
from recording import (DIRECTORY, FILE, SYMLINK, SYNC_ALL, SYNC_DATA, SYNC_RANGE, TraceError,
                       marks_of)

MODES = ("strict", "prefix", "ordered")
# renameat2's and fallocate's flags.
RENAME_EXCHANGE = 2
KEEP_SIZE, PUNCH_HOLE, COLLAPSE, ZERO_RANGE, INSERT = 1, 2, 8, 16, 32


class Node:
    """A file, a directory or a symbolic link, whatever its names."""

    def __init__(self, serial, kind, target=b""):
        self.serial, self.kind, self.target = serial, kind, target
        self.content = Content() if kind == FILE else None
        self.names = {}          # of a directory: as the program sees it
        self.durable_names = {}  # and as it is on the disk
        self.references = 0      # names of both kinds, and changes under way that mention it


class Change:
    """parts: (directory, name, node or None) each; nodes: all that it gives or takes a name."""

    def __init__(self, number, parts, nodes):
        self.number, self.parts, self.nodes = number, parts, nodes
        self.directories = {part[0].serial for part in parts}
        self.synced = set()
        self.is_durable = False


class Disk:
    def __init__(self, events, initial=None, directories="strict"):
        """initial: a copy of the root as it was when the trace began; None: it was empty."""
        if directories not in MODES:
            raise ValueError(f"directories are {' or '.join(MODES)}, not {directories}")
        self.events, self.initial, self.is_strict = events, initial, directories != "ordered"
        self.is_prefix = directories == "prefix"
        self.cut = 0
        self.nodes = {}
        self.root = None
        self.changes = []
        self.serial = 0
        self.said = []

    def advance(self, cut):
        """Go on until `cut` events have happened."""
        if cut < self.cut or cut > len(self.events):
            raise ValueError(f"cut {cut}: between {self.cut} and {len(self.events)}")
        for event in self.events[self.cut:cut]:
            react = getattr(self, "_on_" + event.kind, None)
            if react:
                react(event)
        self.cut = cut

    def marks(self):
        return list(self.said)

    def _on_mark(self, event):
        self.said += marks_of([event])

    def files(self):
        """Every file that may be found, in the order of their creation."""
        found = {node.serial: node for node in self.nodes.values() if node.content}
        for change in self.changes:
            found.update((node.serial, node) for node in change.nodes if node.content)
        stack = [self.root] if self.root else []
        while stack:
            for node in stack.pop().durable_names.values():
                if node.content:
                    found[node.serial] = node
                stack.append(node)
        return [found[serial] for serial in sorted(found)]

    # ---- looking up ----

    def _new(self, event, kind, target=b""):
        self.serial += 1
        node = Node(self.serial, kind, target)
        self.nodes[event.node] = node
        return node

    def _node(self, event):
        node = self.nodes.get(event.node)
        if node is None:
            raise TraceError(f"{event}: no file is known by that inode")
        return node

    def _directory(self, event, key):
        node = self.nodes.get(key)
        if node is None or node.kind != DIRECTORY:
            raise TraceError(f"{event}: no directory is known by inode {key[1]}")
        return node

    # ---- names ----

    def _change(self, number, parts):
        nodes = []
        for directory, name, node in parts:
            nodes += [node, directory.names.get(name)]
        nodes = {node.serial: node for node in nodes if node}.values()
        for node in nodes:
            node.references += 1
        for directory, name, node in parts:
            self._assign(directory.names, name, node)
        self.changes.append(Change(number, parts, tuple(nodes)))

    def _assign(self, names, name, node):
        old = names.pop(name, None)
        if node:
            names[name] = node
            node.references += 1
        if old:
            self._release(old)

    @staticmethod
    def _release(node):
        node.references -= 1
        if node.references == 0:
            node.content = None  # nobody can find it any more

    def _on_root(self, event):
        self.root = self._new(event, DIRECTORY)
        self.root.references += 1

    def _on_entry(self, event):
        name = os.path.basename(event.text)
        directory = self._directory(event, event.directory)
        node = self.nodes.get(event.node)
        if node is None:
            node = self._new(event, event.flags)
            self._load(event, node)
        self._assign(directory.names, name, node)
        self._assign(directory.durable_names, name, node)

    def _load(self, event, node):
        if node.kind not in (FILE, SYMLINK):
            return
        if self.initial is None:
            raise TraceError(f"{event}: was there before, and no copy of it is given")
        path = os.path.join(os.fsencode(self.initial), event.text)
        if node.kind == SYMLINK:
            node.target = os.readlink(path)
            return
        with open(path, "rb") as file:
            node.content = Content(file.read())
        if node.content.size != event.length:
            raise TraceError(f"{event}: its copy has {node.content.size} bytes")

    def _on_create(self, event):
        name, _, target = event.text.partition(b"\0")
        node = self._new(event, event.flags, target)
        if name:
            directory = self._directory(event, event.directory)
            self._change(event.number, [(directory, name, node)])

    def _on_link(self, event):
        directory = self._directory(event, event.directory)
        self._change(event.number, [(directory, event.text, self._node(event))])

    def _on_unlink(self, event):
        directory = self._directory(event, event.directory)
        # What was not recorded (a socket, a FIFO) may go unrecorded.
        if event.text in directory.names:
            self._change(event.number, [(directory, event.text, None)])

    def _on_rename(self, event):
        old, _, new = event.text.partition(b"\0")
        source = self._directory(event, event.directory)
        target = self._directory(event, event.to_directory)
        node, other = source.names.get(old), target.names.get(new)
        if node is None or node is not self._node(event):
            raise TraceError(f"{event}: {old.decode()} was another file")
        if node is other:
            return  # two names of one file: rename does nothing
        left = other if event.flags & RENAME_EXCHANGE else None
        self._change(event.number, [(source, old, left), (target, new, node)])

    # ---- contents ----

    def _content(self, event):
        node = self._node(event)
        if node.content is None and node.kind == FILE:
            return Content()  # has neither a name nor a way back to one
        if node.content is None:
            raise TraceError(f"{event}: not a file")
        return node.content

    def _on_write(self, event):
        self._content(event).write(event.number, event.offset, event.payload)

    def _on_mapped(self, event):
        content = self._content(event)
        payload = event.payload[:max(0, content.size - event.offset)]
        if payload:
            content.write(event.number, event.offset, payload)

    def _on_truncate(self, event):
        self._content(event).resize(event.number, event.length)

    def _on_allocate(self, event):
        content = self._content(event)
        if event.flags & (COLLAPSE | INSERT):
            raise TraceError(f"{event}: collapsing and inserting ranges is not modelled")
        if not event.flags & KEEP_SIZE:
            content.resize(event.number, max(content.size, event.offset + event.length))
        if event.flags & (PUNCH_HOLE | ZERO_RANGE):
            content.zero(event.number, event.offset, event.length)

    @staticmethod
    def _on_gap(event):
        raise TraceError(f"{event}: a process was killed between a call and its record; there are "
                         "no certain states after that")

    # ---- syncs ----

    def _on_synced(self, event):
        sync = self.events[event.begun]
        if sync.flags & SYNC_ALL:
            for node in self.files():
                node.content.sync(sync.number)
            self._durable(change for change in self.changes if change.number < sync.number)
            return
        node = self._node(event)
        if node.kind == DIRECTORY:
            self._sync_directory(node, sync.number)
        elif node.content:
            span = ((sync.offset, sync.offset + sync.length) if sync.flags & SYNC_RANGE else None)
            node.content.sync(sync.number, bool(sync.flags & SYNC_DATA), span)
            if not self.is_strict:
                self._durable_in_order(change for change in self.changes
                                       if change.number < sync.number and node in change.nodes)

    def _sync_directory(self, node, before):
        covered = []
        for change in self.changes:
            if change.number < before and node.serial in change.directories:
                change.synced.add(node.serial)
                if not self.is_strict or change.synced == change.directories:
                    covered.append(change)
        if self.is_strict:
            self._durable(covered)
        else:
            self._durable_in_order(covered)

    def _durable_in_order(self, covered):
        """These changes, and those before them in the directories that they touch."""
        covered = set(covered)
        directories = set()
        for change in reversed(self.changes):
            if change in covered or directories & change.directories:
                covered.add(change)
                directories |= change.directories
        self._durable(covered)

    def _durable(self, covered):
        for change in covered:
            change.is_durable = True
        folded = 0
        for change in self.changes:
            if not change.is_durable:
                break
            for directory, name, node in change.parts:
                self._assign(directory.durable_names, name, node)
            for node in change.nodes:
                self._release(node)
            folded += 1
        del self.changes[:folded]

    # ---- what may be found ----

    def tree(self, kept):
        """{directory's serial: {name: node}} when of the changes under way `kept` arrived."""
        found = {}
        for change in self.changes:
            if change in kept or change.is_durable:
                for directory, name, node in change.parts:
                    names = found.setdefault(directory.serial, dict(directory.durable_names))
                    names.pop(name, None)
                    if node:
                        names[name] = node
        return found
