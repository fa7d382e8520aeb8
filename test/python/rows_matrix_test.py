"""Row operations against a model: every id type, every column type, nulls, slices, errors.

The model knows rows as tuples of plain values and does each operation by the documented rule with
dictionaries and lists. Each result must be a valid Arrow batch of the same schema with the model's
rows in the model's order; its inputs must be unchanged. Prints its seed; KHONSU_SEED replays it.
"""

import os
import random as random_module
import sys
import time

import pyarrow as pa

import _arrow_values as arrow_values
import _khonsu_rows as kh
from _arrow_values import KINDS, NULLS, cells

SHAPES = ("plain", "sliced", "offset")


class Table:
    """A batch of the library and the rows that it must have."""

    def __init__(self, batch, schema, rows):
        self.batch = batch
        self.schema = schema
        self.rows = rows

    def ids(self, at=0):
        return [row[at] for row in self.rows]


def as_rows(record_batch):
    columns = [cells(column) for column in record_batch.columns]
    return list(zip(*columns)) if columns else [()] * record_batch.num_rows


def check(batch, schema, expected, what):
    found = batch.record_batch()
    assert found.schema.equals(schema, check_metadata=True), (what, found.schema, schema)
    rows = as_rows(found)
    assert rows == expected, f"{what}\nfound    {rows}\nexpected {expected}"
    return Table(batch, schema, expected)


def make_table(columns, schema, shape, random):
    """columns: makers of an array of a given length, each called once with `length` + margins."""
    before = random.randint(1, 9) if shape != "plain" else 0
    after = random.randint(0, 3) if shape != "plain" else 0
    arrays = [column(before, after) for column in columns]
    if shape == "sliced":
        arrays = [array.slice(before, len(array) - before - after) for array in arrays]
        root_offset = 0
    else:
        arrays = [array.slice(0, len(array) - after) for array in arrays]
        root_offset = before
    visible = [array.slice(root_offset) for array in arrays]
    rows = list(zip(*[cells(array) for array in visible]))
    return Table(kh.import_batch(arrays, schema, root_offset), schema, rows)


# ---- ids: from a small number to a value of the type --------------------------------------------

def id_values(arrow_type):
    if pa.types.is_decimal(arrow_type):
        return lambda k: arrow_values.decimal.Decimal(k - 3).scaleb(-arrow_type.scale)
    if pa.types.is_fixed_size_binary(arrow_type):
        return lambda k: (k * 2654435761 % 2**32).to_bytes(4, "little") + b"xyz"
    if arrow_type in (pa.binary(), pa.large_binary(), pa.binary_view()):
        return lambda k: b"" if k == 0 else bytes([k % 256]) * (1 + k % 15) + str(k).encode()
    if pa.types.is_date64(arrow_type):
        return lambda k: k * 86400000
    if pa.types.is_integer(arrow_type) or pa.types.is_temporal(arrow_type):
        return lambda k: k
    return lambda k: "" if k == 0 else "ü" * (k % 3) + f"id-{k}" + "-long enough" * (k % 2)


ID_TYPES = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(),
            pa.uint64(), pa.utf8(), pa.large_utf8(), pa.string_view(), pa.binary(),
            pa.large_binary(), pa.binary_view(), pa.binary(7), pa.decimal32(7, 1),
            pa.decimal64(16, 2), pa.decimal128(38, 2), pa.decimal256(60, 2), pa.date32(),
            pa.date64(), pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"),
            pa.timestamp("s"), pa.timestamp("ns", "UTC"), pa.duration("ms"),
            pa.dictionary(pa.int8(), pa.utf8()), pa.dictionary(pa.uint16(), pa.large_binary()),
            pa.dictionary(pa.int32(), pa.string_view()), pa.dictionary(pa.int64(), pa.int32())]


def id_array(arrow_type, numbers, random):
    if pa.types.is_dictionary(arrow_type):
        distinct = sorted(set(numbers), key=lambda k: random.random())
        values = id_array(arrow_type.value_type, distinct, random)
        indexes = pa.array([distinct.index(k) for k in numbers], arrow_type.index_type)
        return pa.DictionaryArray.from_arrays(indexes, values)
    value = id_values(arrow_type)
    raw = [value(k) for k in numbers]
    if pa.types.is_temporal(arrow_type):
        carrier = {32: pa.int32(), 64: pa.int64()}[arrow_type.bit_width]
        return pa.array(raw, carrier).view(arrow_type)
    return pa.array(raw, arrow_type)


def id_column(arrow_type, numbers, random):
    return lambda before, after: id_array(
        arrow_type, [90 + i for i in range(before)] + list(numbers) +
        [110 + i for i in range(after)], random)


def value_column(maker, length, nulls, random):
    return lambda before, after: maker(random, before + length + after, nulls)


# ---- the model ----------------------------------------------------------------------------------

def model_upsert(base, rows, at=0):
    new = {row[at]: row for row in rows}
    old = {row[at] for row in base}
    return [new.get(row[at], row) for row in base] + [row for row in rows if row[at] not in old]


def model_update(base, patch, columns, at=0, patch_at=0):
    """columns[i]: the column of base that the patch's column i goes to."""
    new = {row[patch_at]: row for row in patch}
    result = []
    for row in base:
        row = list(row)
        if row[at] in new:
            for i, to in enumerate(columns):
                row[to] = new[row[at]][i]
        result.append(tuple(row))
    return result


def model_pairs(base, mine, theirs, at):
    """The result's rows as (base row, mine row, theirs row), or the first conflict."""
    sides = [{row[at]: i for i, row in enumerate(side)} for side in (base, mine, theirs)]
    trios = []
    for row in theirs + [row for row in mine if row[at] not in sides[2]]:
        b, m, t = (side.get(row[at], -1) for side in sides)
        if b < 0 or (m >= 0 and t >= 0):
            trios.append((b, m, t))
        elif row != base[b]:
            return None, (m, t, b, -1)
    return trios, None


def model_cell(original, mine, theirs):
    """The merged cell in a tuple; None: a conflict. original is a tuple, empty without a base."""
    if theirs in original:
        return (mine,)
    if mine in original or mine == theirs:
        return (theirs,)
    return None


def model_merge(base, mine, theirs, at=0):
    """(rows, None), or (None, (mine row, theirs row, base row, column)) of the first conflict."""
    trios, conflict = model_pairs(base, mine, theirs, at)
    if conflict is not None:
        return None, conflict
    result = [list(mine[m] if t < 0 else theirs[t]) for _, m, t in trios]
    for column in range(len(result[0]) if result else 0):
        for row, (b, m, t) in zip(result, trios):
            if m < 0 or t < 0:
                continue
            original = () if b < 0 else (base[b][column],)
            cell = model_cell(original, mine[m][column], theirs[t][column])
            if cell is None:
                return None, (m, t, b, column)
            row[column] = cell[0]
    return [tuple(row) for row in result], None


# ---- one combination of types through all operations --------------------------------------------

class Case:
    def __init__(self, random, id_type, makers, nulls, what, rows_most=9):
        self.random = random
        self.id_type = id_type
        self.makers = makers
        self.nulls = nulls
        self.what = what
        self.rows_most = rows_most
        fields = [pa.field("id", id_type)]
        for i, maker in enumerate(makers):
            fields.append(pa.field(f"c{i}", maker(random, 0, "none").type,
                                   metadata={"origin": f"column {i}"}))
        self.schema = pa.schema(fields, metadata={"table": "t"})

    def numbers(self, among=None):
        among = range(24) if among is None else among
        count = self.random.randint(0, min(self.rows_most, len(among)))
        numbers = self.random.sample(list(among), count)
        return sorted(numbers) if self.random.random() < 0.5 else numbers

    def table(self, numbers, columns=None):
        """Rows with these ids; columns: which of the schema's, in which order (0: the id)."""
        columns = range(len(self.schema)) if columns is None else columns
        makers = [id_column(self.id_type, numbers, self.random) if column == 0 else
                  value_column(self.makers[column - 1], len(numbers), self.nulls, self.random)
                  for column in columns]
        schema = pa.schema([self.schema.field(column) for column in columns],
                           metadata=self.schema.metadata)
        return make_table(makers, schema, self.random.choice(SHAPES), self.random)

    def verify(self, batch, expected, operation):
        return check(batch, self.schema, expected, f"{operation} of {self.what}")

    def plain_operations(self, base, rows):
        count = len(base.rows)
        picks = [self.random.randrange(count) for _ in range(7)] if count else []
        self.verify(kh.take(base.batch, picks), [base.rows[i] for i in picks], "take")
        start = self.random.randint(0, count)
        length = self.random.randint(0, count - start)
        part = self.verify(kh.slice_rows(base.batch, start, length),
                           base.rows[start:start + length], "slice")
        self.verify(kh.concat(part.batch, rows.batch), part.rows + rows.rows, "concat")
        self.verify(kh.concat(None, rows.batch), rows.rows, "concat to nothing")

    def insert(self, base, rows):
        present = [row[0] for row in rows.rows if row[0] in set(base.ids())]
        try:
            result = kh.insert(base.batch, rows.batch)
        except kh.Failed as failed:
            assert present and failed.status == "ROW_EXISTS", (self.what, failed)
            return
        assert not present, self.what
        self.verify(result, base.rows + rows.rows, "insert")

    def update(self, base, rows):
        """Any of the columns, in any order, for some of base's rows."""
        columns = [0] + self.random.sample(range(1, len(self.schema)),
                                           self.random.randint(0, len(self.schema) - 1))
        self.random.shuffle(columns)
        patch = self.table(rows, columns)
        expected = model_update(base.rows, patch.rows, columns, 0, columns.index(0))
        absent = set(patch.ids(columns.index(0))) - set(base.ids())
        try:
            result = kh.update(base.batch, patch.batch)
        except kh.Failed as failed:
            assert absent and failed.status == "ROW_NOT_FOUND", (self.what, failed)
            return base
        assert not absent, self.what
        return self.verify(result, expected, f"update {columns}")

    def delete(self, base, numbers):
        ids = self.table(numbers, [0] if self.random.random() < 0.5 else None)
        gone = set(ids.ids())
        return self.verify(kh.delete(base.batch, ids.batch),
                           [row for row in base.rows if row[0] not in gone], "delete")

    def merge(self, base, mine, theirs):
        rows, conflict = model_merge(base.rows, mine.rows, theirs.rows)
        try:
            result = kh.merge(base.batch, mine.batch, theirs.batch)
        except kh.Failed as failed:
            at = failed.conflict
            found = (at.mine, at.theirs, at.base, at.column)
            assert failed.status == "MERGE_CONFLICT", (self.what, failed)
            assert found == conflict, (self.what, failed, found, conflict)
            return False
        assert conflict is None, (self.what, conflict)
        self.verify(result, rows, "merge")
        return True

    def edit(self, table, numbers, added):
        """Some changes to rows with the given ids, by operations that were verified."""
        random = self.random
        chosen = random.sample(numbers, random.randint(0, len(numbers)))
        table = self.update(table, chosen)
        table = self.delete(table, random.sample(numbers, random.randint(0, min(1, len(numbers)))))
        rows = self.table(random.sample(added, random.randint(0, len(added))))
        return self.verify(kh.upsert(table.batch, rows.batch),
                           model_upsert(table.rows, rows.rows), "upsert")

    def run(self):
        numbers = self.numbers()
        base, rows = self.table(numbers), self.table(self.numbers())
        self.plain_operations(base, rows)
        upserted = self.verify(kh.upsert(base.batch, rows.batch),
                               model_upsert(base.rows, rows.rows), "upsert")
        self.verify(kh.upsert(None, rows.batch), rows.rows, "upsert of nothing")
        self.insert(base, rows)
        self.insert(base, self.table([k + 30 for k in self.numbers()]))
        self.update(base, self.numbers(numbers))
        self.update(upserted, self.numbers())
        self.delete(base, self.numbers())
        self.delete(base, numbers * 2)
        half = numbers[:len(numbers) // 2]
        mine = self.edit(base, half, [40, 41, 42])
        rest = numbers[len(half):] + self.random.sample(half, min(1, len(half)))
        theirs = self.edit(base, rest, self.random.choice([[43, 44], [42, 43]]))
        self.merge(base, mine, theirs)
        self.merge(base, theirs, base)
        self.merge(base, mine, mine)
        for table, name in ((base, "base"), (rows, "rows"), (mine, "mine"), (theirs, "theirs")):
            self.verify(table.batch, table.rows, f"afterwards {name}")


# ---- errors -------------------------------------------------------------------------------------

def expect(status, function, *arguments):
    try:
        function(*arguments)
    except kh.Failed as failed:
        assert failed.status == status, (failed.status, status, str(failed))
        assert str(failed) != f"{status}: ", "no message"
        return
    raise AssertionError(f"{status} expected")


def plain(arrow_types, *columns):
    names = ["id", "a", "b"][:len(columns)]
    arrays = [pa.array(values, kind) for values, kind in zip(columns, arrow_types)]
    return kh.import_batch(arrays, pa.schema(list(zip(names, arrow_types))))


def test_errors(random):
    types = [pa.int64(), pa.utf8()]
    base = plain(types, [1, 2, 3], ["x", "y", "z"])
    for operation in (kh.insert, kh.upsert, kh.update, kh.delete):
        expect("NO_ID_COLUMN", operation, base, base, b"key")
        expect("NULL_ID", operation, base, plain(types, [4, None], ["p", "q"]))
        expect("NULL_ID", operation, plain(types, [None], ["p"]), base)
        expect("DUPLICATE_ID", operation, plain(types, [7, 7], ["p", "q"]), base)
        expect("SCHEMA_MISMATCH", operation, base, plain([pa.int32(), pa.utf8()], [4], ["p"]))
        for kind, value in ((pa.float64(), 1.0), (pa.bool_(), True), (pa.float32(), 1.0),
                            (pa.list_(pa.int32()), [1]), (pa.struct([("x", pa.int8())]), {}),
                            (pa.month_day_nano_interval(), pa.MonthDayNano([1, 1, 1])),
                            (pa.null(), None)):
            batch = plain([kind], [value])
            expect("NO_ID_COLUMN", operation, batch, batch)
    for operation in (kh.insert, kh.upsert, kh.update):
        expect("DUPLICATE_ID", operation, base, plain(types, [7, 7], ["p", "q"]))
        expect("DUPLICATE_ID", operation, None, plain(types, [2, 1, 2], ["p", "q", "r"]))
    for operation in (kh.insert, kh.upsert, kh.concat):
        expect("SCHEMA_MISMATCH", operation, base, plain(types[:1], [4]))
        expect("SCHEMA_MISMATCH", operation, base, plain([pa.int64(), pa.binary()], [4], [b"x"]))
    expect("SCHEMA_MISMATCH", kh.update, base,
           kh.import_batch([pa.array([1])], pa.schema([("id", pa.int64())])) and
           plain([pa.int64(), pa.utf8(), pa.utf8()], [1], ["x"], ["y"]))
    expect("SCHEMA_MISMATCH", kh.update, base, plain([pa.int64(), pa.binary()], [1], [b"x"]))
    expect("ROW_NOT_FOUND", kh.update, None, base)
    expect("SCHEMA_MISMATCH", kh.merge, base, base, plain(types[:1], [4]))
    for row in (-1, 3):
        expect("INVALID", kh.take, base, [0, row])
    for offset, length in ((-1, 1), (0, 4), (4, 0), (1, -1)):
        expect("INVALID", kh.slice_rows, base, offset, length)
    strict = pa.schema([pa.field("id", pa.int64()), pa.field("a", pa.utf8(), nullable=False)])
    firm = kh.import_batch([pa.array([1]), pa.array(["x"])], strict)
    expect("SCHEMA_MISMATCH", kh.update, firm, plain(types, [1], [None]))
    named_twice = kh.import_batch([pa.array([1]), pa.array(["x"]), pa.array(["y"])],
                                  pa.schema([("id", pa.int64()), ("a", pa.utf8()),
                                             ("a", pa.utf8())]))
    expect("SCHEMA_MISMATCH", kh.update, base, named_twice)


def letters(values, index_type=pa.int8()):
    return pa.DictionaryArray.from_arrays(pa.array(range(len(values)), index_type),
                                          pa.array(values, pa.utf8()))


def test_dictionary_growth(random):
    """More values than the index type names: unused ones go; too many used ones are refused."""
    schema = pa.schema([("id", pa.int64()), ("a", pa.dictionary(pa.int8(), pa.utf8()))])
    full = kh.import_batch([pa.array(range(128)), letters([f"v{i}" for i in range(128)])], schema)
    one = kh.import_batch([pa.array([500]), letters(["new"])], schema)
    expect("TOO_BIG", kh.concat, full, one)
    ids = kh.import_batch([pa.array([5])], pa.schema([("id", pa.int64())]))
    result = kh.concat(kh.delete(full, ids), one).record_batch()
    wanted = [f"v{i}" for i in range(128) if i != 5] + ["new"]
    assert result.column(1).dictionary_decode().to_pylist() == wanted
    same = kh.concat(full, full).record_batch()
    assert len(same.column(1).dictionary) == 128


def test_run_end_growth(random):
    kind = pa.run_end_encoded(pa.int16(), pa.int64())
    array = pa.RunEndEncodedArray.from_arrays(pa.array([30000], pa.int16()), pa.array([1]))
    batch = kh.import_batch([array], pa.schema([("a", kind)]))
    expect("TOO_BIG", kh.concat, batch, batch)
    assert len(kh.concat(batch, kh.slice_rows(batch, 0, 2767)).record_batch()) == 32767


def test_shared_views(random):
    """Many views of the same bytes stay as small as they were."""
    value = "x" * 10000
    schema = pa.schema([("a", pa.string_view())])
    batch = kh.import_batch([pa.array([value], pa.string_view())], schema)
    result = kh.concat(kh.take(batch, [0] * 500), batch)
    assert result.record_batch().get_total_buffer_size() < 500 * 10000 / 10
    assert result.record_batch().column(0).to_pylist() == [value] * 501


def test_empty_and_wide(random):
    none = kh.import_batch([pa.array([], pa.int64())], pa.schema([("id", pa.int64())]))
    assert len(kh.concat(none, none).record_batch()) == 0
    assert kh.delete(None, none).handle is None
    assert kh.update(None, none).handle is None
    other = kh.import_batch([pa.array([1, 2]), pa.array(["a", "b"])],
                            pa.schema([("k", pa.int64()), ("v", pa.utf8())]))
    assert len(kh.upsert(other, other, b"k").record_batch()) == 2


# ---- the matrix ---------------------------------------------------------------------------------

def matrix(random):
    """All combinations, as functions to run."""
    some = [KINDS["int64"], KINDS["utf8"]]
    for arrow_type in ID_TYPES:
        for _ in range(12):
            yield Case(random, arrow_type, some, "some", f"id {arrow_type}")
    for name, maker in KINDS.items():
        for nulls in NULLS:
            for _ in range(3):
                yield Case(random, random.choice(ID_TYPES), [maker, KINDS["int32"], maker], nulls,
                           f"column {name}, nulls {nulls}")
    for _ in range(60):
        maker = arrow_values.nested(random)
        kind = maker(random, 0, "none").type
        yield Case(random, pa.int64(), [maker], random.choice(NULLS), f"nested {kind}")


def long_cases(random):
    """Batches too long to be packed, of flat and of a few nested types."""
    for names in (("int64", "utf8", "bool", "utf8_view"), ("dictionary_int32_ordered", "list"),
                  ("struct", "run_end_32", "dense_union")):
        case = Case(random, pa.int32(), [KINDS[name] for name in names], "some", f"long {names}")
        base = case.table(random.sample(range(100, 1100), 700))
        rows = case.table(random.sample(range(100, 1100), 500))
        case.plain_operations(base, rows)
        case.verify(kh.upsert(base.batch, rows.batch), model_upsert(base.rows, rows.rows), "upsert")
        mine = case.delete(base, random.sample(range(100, 1100), 3))
        case.merge(base, mine, base)
        case.merge(base, base, mine)


def main():
    seed = int(os.environ.get("KHONSU_SEED", random_module.randrange(1 << 32)))
    print(f"seed {seed}")
    random = random_module.Random(seed)
    started = time.monotonic()
    for test in (test_errors, test_dictionary_growth, test_run_end_growth, test_shared_views,
                 test_empty_and_wide, long_cases):
        test(random)
    count = 0
    for case in matrix(random):
        case.run()
        count += 1
    print(f"{count} combinations in {time.monotonic() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
