"""kv: is each key linearizable? (Herlihy and Wing 1990; the search is that of Wing and Gong, taken
just in time: an operation gets its place no earlier than its end asks for one; Lowe 2017.)

A configuration is a value and the set of operations that are open and have taken effect already.
Operations that change nothing (reads, failed swaps) take effect as soon as the value allows: that
never closes a way. What remains to be tried are orders of overlapping writes of one key.

An operation of unknown end may take effect at any time, or never. So of two configurations that
differ only in which of these have, the one with fewer can do all that the other can, and is kept.
"""

from collections import deque

from history_format import Malformed

CONFIGURATIONS_MAX = 200000


class Operation:
    __slots__ = ("txn", "kind", "old", "new", "is_swapped")

    def __init__(self, txn):
        self.txn = txn
        op = txn.ops[0]
        self.kind = op[0]
        self.old = self.new = None
        self.is_swapped = None      # of a cas: unknown unless it was told
        if self.kind == "r":
            self.old = op[2]
        elif self.kind == "w":
            self.new = op[2]
        elif self.kind == "cas":
            self.old, self.new = op[2], op[3]
            self.is_swapped = op[4] if len(op) > 4 else None

    def is_pure(self):
        return self.kind == "r" or (self.kind == "cas" and self.is_swapped is False)

    def may_see(self, value):
        """Of a pure one: is this the value that it was told of?"""
        return value == self.old if self.kind == "r" else value != self.old

    def apply(self, value):
        """(may it take effect, the value then) of one that is not pure."""
        if self.kind != "cas":
            return True, self.new
        if self.is_swapped is None:     # info: it may have failed, which changes nothing
            return value == self.old, self.new
        return value == self.old, self.new


class Configurations:
    """Some, without those that others make superfluous."""

    def __init__(self, endless):
        self.endless = endless
        self.kept = {}      # (value, done of known end) -> the least sets of the others
        self.count = 0

    def add(self, value, done):
        """False: nothing new."""
        free = done & self.endless
        least = self.kept.setdefault((value, done - self.endless), [])
        if any(other <= free for other in least):
            return False
        least[:] = [other for other in least if not free <= other] + [free]
        self.count += 1
        return True

    def __iter__(self):
        for (value, done), least in self.kept.items():
            for free in least:
                yield value, done | free


class Key:
    """Configurations of one key while its events pass."""

    def __init__(self, value, endless):
        self.open = {}      # index -> operation
        self.endless = endless
        self.states = {(value, frozenset())}

    def settle(self, value, done):
        """Let pure operations take effect."""
        more = [index for index, operation in self.open.items()
                if index not in done and operation.is_pure() and operation.may_see(value)]
        return value, done.union(more) if more else done

    def begin(self, operation):
        self.open[operation.txn.index] = operation
        if operation.is_pure():
            self.states = {self.settle(*state) for state in self.states}

    def end(self, index):
        """False: no order explains what this operation was told."""
        finished, tried = Configurations(self.endless), Configurations(self.endless)
        queue = deque()     # the fewest first
        for state in self.states:
            if index in state[1]:
                finished.add(*state)
            elif tried.add(*state):
                queue.append(state)
        while queue:
            value, done = queue.popleft()
            for other, operation in self.open.items():
                if other in done or operation.is_pure():
                    continue
                is_possible, new = operation.apply(value)
                if not is_possible:
                    continue
                state = self.settle(new, done | {other})
                if index in state[1]:
                    finished.add(*state)
                elif tried.add(*state):
                    queue.append(state)
            if tried.count > CONFIGURATIONS_MAX:
                raise Malformed(0, "too many overlapping operations of one key to judge")
        del self.open[index]
        self.states = {(value, done - {index}) for value, done in finished}
        return bool(self.states)


def check_key(key, value, txns, report):
    state = Key(value, frozenset(txn.index for txn in txns if txn.status == "info"))
    moments = [(txn.begin_i, txn, True) for txn in txns]
    moments += [(txn.end_i, txn, False) for txn in txns if txn.status == "ok"]
    moments.sort(key=lambda moment: moment[0])
    for _, txn, is_begin in moments:
        if is_begin:
            state.begin(Operation(txn))
        elif not state.end(txn.index):
            report.add("non-linearizable", f"{key}: no order of what overlaps explains [{txn}]")
            return


def check(history, report):
    by_key = {}
    for txn in history.txns:
        # What failed was never there; a read of unknown end says nothing.
        if txn.status == "ok" or (txn.status == "info" and txn.function != "read"):
            by_key.setdefault(txn.ops[0][1], []).append(txn)
    for key, txns in sorted(by_key.items()):
        check_key(key, history.initial.get(key), txns, report)
