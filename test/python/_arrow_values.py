"""Random Arrow arrays of every type, and their cells as plain Python values.

make(kind, random, length, nulls) gives an array; KINDS lists the kinds; nested(random) makes up
another one out of them. cells(array) reads any array back by hand, so that comparing does not rest
on the conversions of the library that made it: floats become their bits, times their integers,
unions (type id, value), and dictionaries and run ends are looked through.
"""

import decimal

import pyarrow as pa

NULLS = ("none", "some", "all")


def mask(random, length, nulls):
    """True where an element is to be null."""
    if nulls == "none":
        return [False] * length
    if nulls == "all":
        return [True] * length
    return [random.random() < 0.4 for _ in range(length)]


def flat(arrow_type, value):
    def build(random, length, nulls):
        is_null = mask(random, length, nulls)
        return pa.array([None if is_null[i] else value(random) for i in range(length)], arrow_type)
    return build


def through(arrow_type, carrier, value):
    """Types without Python values of their own, by the integers below them."""
    def build(random, length, nulls):
        return flat(carrier, value)(random, length, nulls).view(arrow_type)
    return build


def integer(bits, is_signed):
    low = -(1 << (bits - 1)) if is_signed else 0
    high = (1 << (bits - is_signed)) - 1
    return lambda random: random.choice([low, high, 0, random.randint(low, high)])


def text(random):
    size = random.choice([0, 1, 3, 11, 12, 13, 30])
    return "".join(random.choice("abcdeßü€") for _ in range(size))


def blob(random):
    return bytes(random.randrange(256) for _ in range(random.choice([0, 1, 12, 13, 25])))


def number(digits, scale):
    return lambda random: decimal.Decimal(
        random.randint(-10**digits + 1, 10**digits - 1)).scaleb(-scale)


def month_day_nano(random):
    return pa.MonthDayNano([random.randint(-9, 9), random.randint(-9, 9), random.randint(-99, 99)])


# ---- arrays made of arrays ----------------------------------------------------------------------

def sizes_of(random, length, most=3):
    return [random.randint(0, most) for _ in range(length)]


def list_of(child, array_class=pa.ListArray, offset_type=pa.int32()):
    def build(random, length, nulls):
        is_null = mask(random, length, nulls)
        offsets = [random.randint(0, 2)]
        for size in sizes_of(random, length):
            offsets.append(offsets[-1] + size)
        values = child(random, offsets[-1] + 1, nulls if nulls != "all" else "some")
        return array_class.from_arrays(pa.array(offsets, offset_type), values,
                                       mask=pa.array(is_null, pa.bool_()))
    return build


def list_view_of(child, array_class=pa.ListViewArray, offset_type=pa.int32()):
    """Views in any order, overlapping, with gaps."""
    def build(random, length, nulls):
        is_null = mask(random, length, nulls)
        total = random.choice([0, 5, 4 * length])
        values = child(random, total, nulls if nulls != "all" else "some")
        offsets = [random.randint(0, total) for _ in range(length)]
        sizes = [random.randint(0, min(3, total - offset)) for offset in offsets]
        return array_class.from_arrays(pa.array(offsets, offset_type), pa.array(sizes, offset_type),
                                       values, mask=pa.array(is_null, pa.bool_()))
    return build


def fixed_list_of(child, size):
    def build(random, length, nulls):
        is_null = mask(random, length, nulls)
        values = child(random, length * size, nulls if nulls != "all" else "some")
        if size == 0:
            return pa.array([None if gone else [] for gone in is_null], pa.list_(values.type, 0))
        return pa.FixedSizeListArray.from_arrays(values, size, mask=pa.array(is_null, pa.bool_()))
    return build


def struct_of(*children):
    def build(random, length, nulls):
        names = [f"f{i}" for i in range(len(children))]
        arrays = [child(random, length, nulls if nulls != "all" else "some") for child in children]
        return pa.StructArray.from_arrays(arrays, names,
                                          mask=pa.array(mask(random, length, nulls), pa.bool_()))
    return build


def map_of(key, value):
    def build(random, length, nulls):
        arrow_type = pa.map_(key(random, 0, "none").type, value(random, 0, "none").type)
        is_null = mask(random, length, nulls)
        offsets = [0]
        for i, size in enumerate(sizes_of(random, length)):
            offsets.append(offsets[-1] + (0 if is_null[i] else size))
        keys = key(random, offsets[-1], "none")
        items = value(random, offsets[-1], nulls if nulls != "all" else "some")
        starts = [None if i < length and is_null[i] else offset for i, offset in enumerate(offsets)]
        return pa.MapArray.from_arrays(pa.array(starts, pa.int32()), keys, items, type=arrow_type)
    return build


UNION_CODES = [5, 0, 127]


def union_of(mode, *children):
    def build(random, length, nulls):
        codes = UNION_CODES[:len(children)]
        names = [f"u{i}" for i in range(len(children))]
        chosen = [random.randrange(len(children)) for _ in range(length)]
        types = pa.array([codes[i] for i in chosen], pa.int8())
        if mode == "sparse":
            arrays = [child(random, length, nulls) for child in children]
            return pa.UnionArray.from_sparse(types, arrays, names, codes)
        used = [0] * len(children)
        offsets = []
        for i in chosen:
            offsets.append(used[i])
            used[i] += 1
        arrays = [child(random, used[i] + random.randint(0, 1), nulls)
                  for i, child in enumerate(children)]
        return pa.UnionArray.from_dense(types, pa.array(offsets, pa.int32()), arrays, names, codes)
    return build


def run_end_of(child, end_type):
    def build(random, length, nulls):
        ends = []
        while (ends[-1] if ends else 0) < length:
            ends.append(min(length, (ends[-1] if ends else 0) + random.choice([1, 2, 5])))
        return pa.RunEndEncodedArray.from_arrays(pa.array(ends, end_type),
                                                 child(random, len(ends), nulls))
    return build


def dictionary_of(child, index_type, ordered=False, most=7):
    """A dictionary of its own for each array, with repeats and nulls among its values."""
    def build(random, length, nulls):
        count = random.randint(1, most)
        values = child(random, count, "some" if nulls == "some" and random.random() < 0.3 else
                       "none")
        is_null = mask(random, length, nulls)
        indexes = pa.array([None if is_null[i] else random.randrange(count)
                            for i in range(length)], index_type)
        return pa.DictionaryArray.from_arrays(indexes, values, ordered=ordered)
    return build


def extension_of(arrow_type, storage):
    def build(random, length, nulls):
        return pa.ExtensionArray.from_storage(arrow_type, storage(random, length, nulls))
    return build


def null_array(random, length, nulls):
    return pa.nulls(length)


KINDS = {
    "null": null_array,
    "bool": flat(pa.bool_(), lambda random: random.random() < 0.5),
    "float16": through(pa.float16(), pa.uint16(), integer(16, False)),
    "float32": through(pa.float32(), pa.uint32(), integer(32, False)),
    "float64": through(pa.float64(), pa.uint64(), integer(64, False)),
    "decimal32": flat(pa.decimal32(9, 2), number(9, 2)),
    "decimal64": flat(pa.decimal64(18, 3), number(18, 3)),
    "decimal128": flat(pa.decimal128(38, 5), number(30, 5)),
    "decimal256": flat(pa.decimal256(76, 5), number(27, 5)),
    "date32": through(pa.date32(), pa.int32(), integer(32, True)),
    "date64": through(pa.date64(), pa.int64(), lambda random: random.randint(-99, 99) * 86400000),
    "time32": through(pa.time32("ms"), pa.int32(), lambda random: random.randrange(86400000)),
    "time64": through(pa.time64("ns"), pa.int64(), lambda random: random.randrange(86400 * 10**9)),
    "timestamp": through(pa.timestamp("ns", "Europe/Zurich"), pa.int64(), integer(64, True)),
    "duration": through(pa.duration("us"), pa.int64(), integer(64, True)),
    "month_day_nano": flat(pa.month_day_nano_interval(), month_day_nano),
    "utf8": flat(pa.utf8(), text),
    "large_utf8": flat(pa.large_utf8(), text),
    "utf8_view": flat(pa.string_view(), text),
    "binary": flat(pa.binary(), blob),
    "large_binary": flat(pa.large_binary(), blob),
    "binary_view": flat(pa.binary_view(), blob),
    "fixed_binary": flat(pa.binary(5), lambda random: random.randbytes(5)),
    "fixed_binary_0": flat(pa.binary(0), lambda random: b""),
}
for bits_ in (8, 16, 32, 64):
    KINDS[f"int{bits_}"] = flat(getattr(pa, f"int{bits_}")(), integer(bits_, True))
    KINDS[f"uint{bits_}"] = flat(getattr(pa, f"uint{bits_}")(), integer(bits_, False))

FLAT = dict(KINDS)
K = KINDS
KINDS.update({
    "list": list_of(K["int32"]),
    "list_utf8": list_of(K["utf8"]),
    "list_bool": list_of(K["bool"]),
    "large_list": list_of(K["utf8"], pa.LargeListArray, pa.int64()),
    "list_view": list_view_of(K["int16"]),
    "list_view_utf8_view": list_view_of(K["utf8_view"]),
    "large_list_view": list_view_of(K["utf8"], pa.LargeListViewArray, pa.int64()),
    "fixed_list": fixed_list_of(K["int64"], 3),
    "fixed_list_0": fixed_list_of(K["int8"], 0),
    "fixed_list_bool": fixed_list_of(K["bool"], 5),
    "struct": struct_of(K["int32"], K["utf8"], K["bool"]),
    "struct_0": lambda random, length, nulls: pa.array(
        [None if gone else {} for gone in mask(random, length, nulls)], pa.struct([])),
    "map": map_of(K["utf8"], K["int32"]),
    "sparse_union": union_of("sparse", K["int32"], K["utf8"], K["bool"]),
    "dense_union": union_of("dense", K["int32"], K["utf8"], K["null"]),
    "run_end_16": run_end_of(K["utf8"], pa.int16()),
    "run_end_32": run_end_of(K["int64"], pa.int32()),
    "run_end_64": run_end_of(K["bool"], pa.int64()),
    "dictionary_int8": dictionary_of(K["utf8"], pa.int8()),
    "dictionary_uint8": dictionary_of(K["utf8"], pa.uint8(), most=90),
    "dictionary_int16": dictionary_of(K["int64"], pa.int16()),
    "dictionary_uint16": dictionary_of(K["utf8_view"], pa.uint16()),
    "dictionary_int32_ordered": dictionary_of(K["utf8"], pa.int32(), ordered=True),
    "dictionary_uint32": dictionary_of(K["float64"], pa.uint32()),
    "dictionary_int64": dictionary_of(K["decimal128"], pa.int64()),
    "dictionary_uint64": dictionary_of(K["bool"], pa.uint64()),
    "uuid": extension_of(pa.uuid(), flat(pa.binary(16), lambda random: random.randbytes(16))),
    "json": extension_of(pa.json_(), flat(pa.utf8(), text)),
})
KINDS.update({
    "dictionary_list": dictionary_of(K["list_utf8"], pa.int32()),
    "dictionary_struct": dictionary_of(K["struct"], pa.int16()),
    "struct_of_unions": struct_of(K["sparse_union"], K["dense_union"], K["run_end_32"]),
    "list_of_dictionary": list_of(K["dictionary_int8"]),
    "list_of_dense_union": list_of(K["dense_union"]),
    "list_of_struct": list_of(struct_of(K["utf8_view"], list_view_of(K["int8"]))),
    "fixed_list_of_struct": fixed_list_of(struct_of(K["bool"], K["dictionary_int16"]), 2),
    "sparse_union_of_struct": union_of("sparse", K["struct"], K["list_view"]),
    "dense_union_of_list": union_of("dense", K["list_utf8"], K["sparse_union"]),
    "run_end_of_struct": run_end_of(K["struct"], pa.int32()),
    "run_end_of_dictionary": run_end_of(K["dictionary_int8"], pa.int16()),
    "map_of_list": map_of(K["utf8"], K["list"]),
})


def nested(random, depth=3):
    """A type made up of others: a maker like those in KINDS."""
    if depth == 0 or random.random() < 0.2:
        return KINDS[random.choice(sorted(KINDS))]

    def child():
        return nested(random, depth - 1)
    return random.choice([
        lambda: list_of(child()),
        lambda: list_of(child(), pa.LargeListArray, pa.int64()),
        lambda: list_view_of(child()),
        lambda: list_view_of(child(), pa.LargeListViewArray, pa.int64()),
        lambda: fixed_list_of(child(), random.randint(1, 3)),
        lambda: struct_of(child(), child()),
        lambda: union_of("sparse", child(), child()),
        lambda: union_of("dense", child(), child(), child()),
        # pyarrow refuses run ends of run ends.
        lambda: run_end_of(K[random.choice([k for k in sorted(K) if "run_end" not in k])],
                           pa.int32()),
    ])()


# ---- reading back -------------------------------------------------------------------------------

def bits_type(arrow_type):
    """The integer type that a type without exact Python values is read as, or None."""
    if pa.types.is_floating(arrow_type):
        return {16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}[arrow_type.bit_width]
    if pa.types.is_interval(arrow_type):
        return None
    if pa.types.is_temporal(arrow_type):
        return {32: pa.int32(), 64: pa.int64()}[arrow_type.bit_width]
    return None


def run_end_cells(array):
    values = cells(array.values)
    ends = array.run_ends.to_pylist()
    found = []
    at = 0
    for row in range(array.offset, array.offset + len(array)):
        while ends[at] <= row:
            at += 1
        found.append(values[at])
    return found


def union_cells(array):
    # type_codes and offsets of pyarrow forget the array's own offset.
    _, types, *rest = array.buffers()
    rows = slice(array.offset, array.offset + len(array))
    codes = list(memoryview(types).cast("b")[rows]) if len(array) > 0 else []
    children = {array.type.type_codes[i]: cells(array.field(i))
                for i in range(array.type.num_fields)}
    if array.type.mode == "sparse":
        return [(code, children[code][i]) for i, code in enumerate(codes)]
    offsets = list(memoryview(rest[0]).cast("i")[rows]) if len(array) > 0 else []
    return [(code, children[code][at]) for code, at in zip(codes, offsets)]


def struct_cells(array):
    if array.type.num_fields == 0:
        return [() if valid else None for valid in array.is_valid().to_pylist()]
    children = [cells(array.field(i)) for i in range(array.type.num_fields)]
    return [tuple(row) if valid else None
            for valid, row in zip(array.is_valid().to_pylist(), zip(*children))]


def is_list(arrow_type):
    return (pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type) or
            pa.types.is_fixed_size_list(arrow_type) or is_list_view(arrow_type) or
            pa.types.is_map(arrow_type))


def is_list_view(arrow_type):
    return pa.types.is_list_view(arrow_type) or pa.types.is_large_list_view(arrow_type)


def list_cells(array):
    """By offsets: pyarrow's scalars of some nested types crash."""
    kind = array.type
    rows = len(array)
    if pa.types.is_map(kind):
        values = list(zip(cells(array.keys), cells(array.items)))
    else:
        values = cells(array.values)
    if pa.types.is_fixed_size_list(kind):
        size = kind.list_size
        ranges = [(row * size, (row + 1) * size)
                  for row in range(array.offset, array.offset + rows)]
    elif is_list_view(kind):
        ranges = [(offset, offset + size) for offset, size in
                  zip(array.offsets.to_pylist(), array.sizes.to_pylist())]
    else:
        offsets = array.offsets.to_pylist()
        ranges = list(zip(offsets, offsets[1:]))
    return [tuple(values[begin:end]) if valid else None
            for valid, (begin, end) in zip(array.is_valid().to_pylist(), ranges)]


def cells(array):
    """One plain, hashable value a row; None for null."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return cells(array.storage)
    if pa.types.is_dictionary(kind):
        values = cells(array.dictionary)
        return [None if i is None else values[i] for i in array.indices.to_pylist()]
    if pa.types.is_run_end_encoded(kind):
        return run_end_cells(array)
    if pa.types.is_union(kind):
        return union_cells(array)
    if pa.types.is_struct(kind):
        return struct_cells(array)
    if is_list(kind):
        return list_cells(array)
    as_bits = bits_type(kind)
    return (array.view(as_bits) if as_bits is not None else array).to_pylist()
