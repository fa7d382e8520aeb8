"""Reading a history in the format kh1, and checking every rule of the format on the way.

A history that breaks a rule is Malformed: nothing can be said of a store by a history whose driver
is wrong. What the rules leave is a list of transactions, each with what it asked and what it was
told. Knows nothing of the library.
"""

import json

LEVELS = ("read-committed", "snapshot", "serializable", "strict-serializable")
RANK = {name: rank for rank, name in enumerate(LEVELS)}
KV_FUNCTIONS = {"read": "r", "write": "w", "cas": "cas", "delete": "d"}
BANK_FUNCTIONS = {"transfer": "t", "read": "accounts"}
OPS = {"list-append": ("r", "append"), "rw-register": ("r", "w", "scan", "d"),
       "group": ("r", "w", "scan"), "kv": ("r", "w", "cas", "d"), "bank": ("t", "accounts")}
EVENTS = ("invoke", "ok", "fail", "info")


class Malformed(Exception):
    """The line, counted from 1, and what is wrong with it."""

    def __init__(self, line, what):
        super().__init__(f"line {line}: {what}")


class Report:
    """Anomalies by name: how many, and the first few in words."""

    EXAMPLES = 3

    def __init__(self):
        self.counts = {}
        self.examples = []

    def add(self, name, words):
        count = self.counts.get(name, 0)
        self.counts[name] = count + 1
        if count < self.EXAMPLES:
            self.examples.append((name, words))


class Txn:
    __slots__ = ("index", "process", "function", "status", "ops", "level", "snap", "commit",
                 "begin_i", "begin_t", "end_i", "end_t")

    def __init__(self, index, event, level):
        self.index = index
        self.process = event["p"]
        self.function = event["f"]
        self.ops = event["ops"]
        self.begin_i = event["i"]
        self.begin_t = event["t"]
        self.status = "open"
        self.level = level
        self.snap = self.commit = self.end_i = self.end_t = None

    def __str__(self):
        ops = json.dumps(self.ops, separators=(",", ":"))
        if len(ops) > 200:
            ops = ops[:200] + "..."
        return f"{self.status} {self.begin_i}..{self.end_i} p{self.process} {ops}"


class History:
    def __init__(self, header):
        self.header = header
        self.workload = header["workload"]
        self.isolation = header["isolation"]
        self.initial = header["initial"]
        self.txns = []

    def committed(self):
        return [txn for txn in self.txns if txn.status == "ok"]


def unique_pairs(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object names a key twice")
    return found


def is_int(value):
    return type(value) is int  # a bool is none


def is_value(value):
    return value is None or is_int(value)


def is_list_of_ints(value):
    return value is None or (isinstance(value, list) and all(map(is_int, value)))


def is_map_of_ints(value):
    return isinstance(value, dict) and all(map(is_int, value.values()))


# What follows the key in an operation that is told nothing.
WRITE_FORMS = {"d": (), "w": (is_int,), "append": (is_int,), "t": (lambda to: isinstance(to, str),
                                                                   is_int)}


def is_swap(rest, is_told):
    return len(rest) == 2 + is_told and is_value(rest[0]) and is_int(rest[1]) and \
        isinstance(rest[-1], bool) == is_told


def check_header(header):
    if not isinstance(header, dict) or header.get("kh") != 1:
        raise Malformed(1, "no header of kh 1")
    if header.get("workload") not in OPS:
        raise Malformed(1, f"workload {header.get('workload')!r}")
    if header.get("isolation") not in LEVELS:
        raise Malformed(1, f"isolation {header.get('isolation')!r}")
    initial = header.get("initial")
    if not isinstance(initial, dict) or not all(map(is_value, initial.values())):
        raise Malformed(1, "initial is not a map of integers")
    if header["workload"] == "bank" and (not initial or not is_map_of_ints(initial)):
        raise Malformed(1, "initial names no balance, or null")
    for name, kind in (("seed", int), ("nodes", list), ("faults", list)):
        if name in header and type(header[name]) is not kind:
            raise Malformed(1, f"{name} is {header[name]!r}")


class Reader:
    """State of the reading: who has something open, what was written, what comes next."""

    def __init__(self, header):
        self.history = History(header)
        self.line = 1
        self.open = {}
        self.gone = set()       # processes after an info
        self.written = set()
        self.last_t = 0
        functions = {"kv": KV_FUNCTIONS, "bank": BANK_FUNCTIONS}
        self.functions = functions.get(self.history.workload, {"txn": None})

    def fail(self, what):
        raise Malformed(self.line, what)

    def op_is_right(self, op, is_told):
        """The form of one operation, without (invoke, fail, info) or with its answer (ok)."""
        if not isinstance(op, list) or not op or op[0] not in OPS[self.history.workload]:
            return False
        kind, rest = op[0], op[1:]
        if kind == "accounts":
            return self.is_answered(kind, rest, is_told)
        if not rest or not isinstance(rest.pop(0), str):
            return False
        if kind in WRITE_FORMS:
            return len(rest) == len(WRITE_FORMS[kind]) and \
                all(is_right(item) for is_right, item in zip(WRITE_FORMS[kind], rest))
        if kind == "cas":
            return is_swap(rest, is_told)
        return self.is_answered(kind, rest, is_told)

    def is_answered(self, kind, rest, is_told):
        return len(rest) == 1 and \
            (self.answer_is_right(kind, rest[0]) if is_told else rest[0] is None)

    def answer_is_right(self, kind, answer):
        if kind != "r":
            return is_map_of_ints(answer)
        return is_list_of_ints(answer) if self.history.workload == "list-append" else \
            is_value(answer)

    def check_ops(self, event, is_told):
        ops = event.get("ops")
        if not isinstance(ops, list) or not ops:
            self.fail("no ops")
        for op in ops:
            if not self.op_is_right(op, is_told):
                self.fail(f"the operation {op!r}")
        wanted = self.functions[event["f"]]
        if wanted is not None and (len(ops) != 1 or ops[0][0] != wanted):
            self.fail(f"{event['f']} is one {wanted!r}")

    def invoke(self, event):
        process = event["p"]
        if process in self.open:
            self.fail(f"process {process} has an event outstanding")
        if process in self.gone:
            self.fail(f"process {process} is used after an info")
        if event.get("f") not in self.functions:
            self.fail(f"f {event.get('f')!r}")
        self.check_ops(event, False)
        for op in event["ops"]:
            if op[0] in ("w", "append", "cas"):
                written = (op[1], op[-1])
                if written in self.written:
                    self.fail(f"{op[-1]} is written to {op[1]} a second time")
                self.written.add(written)
        txn = Txn(len(self.history.txns), event, self.history.isolation)
        self.history.txns.append(txn)
        self.open[process] = txn

    def same_ops(self, txn, event):
        """The completion repeats the invocation; only what was null is filled in."""
        if len(txn.ops) != len(event["ops"]):
            return False
        for asked, told in zip(txn.ops, event["ops"]):
            if asked[0] == "cas":
                told = told[:4]
            elif asked[0] in ("r", "scan", "accounts"):
                told = told[:-1] + [None]
            if asked != told:
                return False
        return True

    def take_numbers(self, txn, event):
        for name in ("snap", "commit"):
            if name in event:
                if not is_int(event[name]):
                    self.fail(f"{name} {event[name]!r}")
                setattr(txn, name, event[name])
        if "iso" in event:
            if event["iso"] not in LEVELS:
                self.fail(f"iso {event['iso']!r}")
            txn.level = event["iso"]

    def complete(self, event):
        process = event["p"]
        txn = self.open.pop(process, None)
        if txn is None:
            self.fail(f"process {process} has nothing outstanding")
        if event.get("f") != txn.function:
            self.fail(f"f {event.get('f')!r} completes {txn.function!r}")
        status = event["ev"]
        self.check_ops(event, status == "ok")
        if not self.same_ops(txn, event):
            self.fail("the operations are not those of the invocation")
        if status == "ok":
            txn.ops = event["ops"]
        else:
            word = event.get("err")
            if not isinstance(word, str) or not word or len(word) > 40 or " " in word:
                self.fail(f"err {word!r} is no short word")
        self.take_numbers(txn, event)
        if status == "info":
            self.gone.add(process)
        txn.status, txn.end_i, txn.end_t = status, event["i"], event["t"]

    def event(self, event):
        if not isinstance(event, dict):
            self.fail("no event")
        if event.get("i") != self.line - 2 or not is_int(event["i"]):
            self.fail(f"i is {event.get('i')!r}, not {self.line - 2}")
        if not is_int(event.get("t")) or event["t"] < self.last_t:
            self.fail(f"t is {event.get('t')!r}, after {self.last_t}")
        self.last_t = event["t"]
        if event.get("p") == "nemesis":
            if event.get("ev") != "info" or not isinstance(event.get("f"), str):
                self.fail("a fault is an info with a name in f")
            return
        if not is_int(event.get("p")) or event.get("ev") not in EVENTS:
            self.fail(f"p {event.get('p')!r}, ev {event.get('ev')!r}")
        if event["ev"] == "invoke":
            self.invoke(event)
        else:
            self.complete(event)

    def finish(self):
        for txn in self.open.values():
            self.fail(f"the end, and process {txn.process} was never told of {txn.begin_i}")
        return self.history


def read(lines):
    """The history in an iterable of lines (text or bytes). Raises Malformed."""
    decoder = json.JSONDecoder(object_pairs_hook=unique_pairs)
    reader = None
    number = 0
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8") if isinstance(line, bytes) else line
            if not text.endswith("\n"):
                raise Malformed(number, "the line does not end")
            event = decoder.decode(text)
        except ValueError as error:
            raise Malformed(number, f"no JSON: {error}") from error
        if reader is None:
            check_header(event)
            reader = Reader(event)
        else:
            reader.line = number
            reader.event(event)
    if reader is None:
        raise Malformed(1, "empty")
    return reader.finish()
