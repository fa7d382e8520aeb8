"""khonsu's IPC against pyarrow's: what one writes the other reads, for every Arrow type, in streams
and files, compressed or not, sliced or whole, with dictionaries that change."""
import io
import struct
import unittest

import pyarrow as pa
import pyarrow.ipc as ipc

import _ipc_cases as kh

FORMATS = (kh.STREAM, kh.FILE)
CODECS = ((kh.NONE, None), (kh.LZ4, "lz4"), (kh.ZSTD, "zstd"))


def arrow_writes(batches, file_format, codec=None, **options):
    sink = io.BytesIO()
    options = ipc.IpcWriteOptions(compression=codec, **options)
    make = ipc.new_file if file_format == kh.FILE else ipc.new_stream
    with make(sink, batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()


def arrow_reads(data, file_format):
    if file_format == kh.FILE:
        reader = ipc.open_file(data)
        return [reader.get_batch(i) for i in range(reader.num_record_batches)]
    return list(ipc.open_stream(data))


def slices(array):
    yield "whole", array
    yield "slice", array[3:8]
    yield "tail", array[len(array) - 1:]
    yield "empty", array[:0]
    yield "empty slice", array[4:4]


class Ipc(unittest.TestCase):
    def same(self, got, expected):
        self.assertEqual(len(got), len(expected))
        for one, other in zip(got, expected):
            one.validate(full=True)
            self.assertTrue(one.schema.equals(other.schema, check_metadata=True),
                            f"{one.schema}\n{other.schema}")
            self.assertEqual(one.num_rows, other.num_rows)
            self.assertTrue(one.equals(other), f"\n{one.columns}\n{other.columns}")

    def test_arrow_writes_khonsu_reads(self):
        for name, whole in kh.cases():
            for part, array in slices(whole):
                batch = kh.batch_of(array)
                for file_format in FORMATS:
                    for _, codec in CODECS:
                        with self.subTest(name=name, part=part, file=file_format, codec=codec):
                            data = arrow_writes([batch, batch], file_format, codec)
                            self.same(kh.decode(data), [batch, batch])

    def test_khonsu_writes_arrow_reads(self):
        for name, whole in kh.cases():
            for part, array in slices(whole):
                batch = kh.batch_of(array)
                for file_format in FORMATS:
                    for compression, codec in CODECS:
                        with self.subTest(name=name, part=part, file=file_format, codec=codec):
                            data = kh.encode([batch, batch], file_format, compression)
                            self.same(arrow_reads(data, file_format), [batch, batch])
                            self.same(kh.decode(data), [batch, batch])
                            again = kh.encode([batch, batch], file_format, compression)
                            self.assertEqual(data, again)

    def test_slice_is_all_that_is_written(self):
        for kind in (pa.utf8(), pa.string_view(), pa.list_(pa.int64())):
            values = range(20000)
            array = pa.array([[i] * 5 for i in values] if pa.types.is_list(kind)
                             else [f"a rather long text, number {i}" for i in values], kind)
            data = kh.encode([kh.batch_of(array[10000:10010])], kh.STREAM, kh.NONE)
            self.assertLess(len(data), 4096)
            self.same(kh.decode(data), [kh.batch_of(array[10000:10010])])

    def test_shared_view_bytes_do_not_multiply(self):
        views = pa.array(["one text of which there are many views" * 100] * 2, pa.string_view())
        _, first, text, *_ = views.buffers()
        array = pa.Array.from_buffers(pa.string_view(), 5000,
                                      [None, pa.py_buffer(first[:16].to_pybytes() * 5000), text])
        data = kh.encode([kh.batch_of(array)], kh.STREAM, kh.NONE)
        self.assertLess(len(data), 5000 * 16 + 3 * 3900)
        self.same(kh.decode(data), [kh.batch_of(array)])

    def test_wide_and_long(self):
        columns = {name: array for name, array in kh.cases() if len(array) == 10}
        schema = pa.schema([pa.field(n, a.type, nullable=n != "no_nulls")
                            for n, a in columns.items()])
        batch = pa.RecordBatch.from_arrays(list(columns.values()), schema=schema)
        table = pa.Table.from_batches([batch] * 300)
        long = [c.combine_chunks() for c in table.columns if pa.types.is_primitive(c.type)]
        names = [f.name for f in schema if pa.types.is_primitive(f.type)]
        large = pa.RecordBatch.from_arrays(long, names=names)
        for batches in ([batch], [batch.slice(2, 5), batch], [large, large.slice(1001, 777)]):
            for file_format in FORMATS:
                for compression, codec in CODECS:
                    self.same(kh.decode(arrow_writes(batches, file_format, codec)), batches)
                    data = kh.encode(batches, file_format, compression)
                    self.same(arrow_reads(data, file_format), batches)

    def test_rows_without_columns(self):
        batch = pa.RecordBatch.from_struct_array(pa.array([{}] * 7, pa.struct([])))
        self.assertEqual(batch.num_rows, 7)
        for file_format in FORMATS:
            self.assertEqual([b.num_rows for b in kh.decode(arrow_writes([batch], file_format))],
                             [7])
            data = kh.encode([batch], file_format, kh.NONE)
            self.assertEqual([b.num_rows for b in arrow_reads(data, file_format)], [7])

    def test_no_batches(self):
        schema = pa.schema([("a", pa.int32()), ("b", pa.dictionary(pa.int8(), pa.utf8()))])
        for make in (ipc.new_file, ipc.new_stream):
            sink = io.BytesIO()
            make(sink, schema).close()
            self.assertEqual(kh.decode(sink.getvalue()), [])

    def test_plain_end(self):
        batch = kh.batch_of(pa.array([1, 2, 3]))
        data = arrow_writes([batch], kh.STREAM)
        self.assertEqual(data[-8:], b"\xff\xff\xff\xff\0\0\0\0")
        self.same(kh.decode(data[:-8]), [batch])

    def test_versions(self):
        batch = kh.batch_of(pa.array(["a", None, "b"]))
        for options in ({"metadata_version": ipc.MetadataVersion.V4},
                        {"use_legacy_format": True}):
            self.same(kh.decode(arrow_writes([batch], kh.STREAM, **options)), [batch])

    def test_unions_with_bitmaps(self):
        """Before version 5 of the metadata a union had a bitmap: it is skipped, or refused."""
        for name in ("sparse_union", "dense_union"):
            union = kh.batch_of(dict(kh.struct_cases())[name])
            for file_format in FORMATS:
                data = arrow_writes([union, union], file_format,
                                    metadata_version=ipc.MetadataVersion.V4)
                self.same(kh.decode(data), [union, union])
            node = struct.pack("<qq", union.num_rows, 0)
            self.assertIn(node, data)
            self.refused(data.replace(node, struct.pack("<qq", union.num_rows, 1), 1),
                         kh.UNSUPPORTED)

    def test_buffers_that_overlap(self):
        """Copies of misaligned buffers are bounded by the body, however many share its bytes."""
        def pointing(rows, columns, spans):
            batch = pa.RecordBatch.from_pydict({str(i): pa.array(range(rows), pa.int8())
                                                for i in range(columns)})
            old = [number for i in range(columns) for number in (rows * i, 0, rows * i, rows)]
            new = [number for i in range(columns) for number in (rows * i, 0, *spans[i])]
            form = f"<{4 * columns}q"
            data = arrow_writes([batch], kh.STREAM)
            self.assertEqual(data.count(struct.pack(form, *old)), 1)
            return data.replace(struct.pack(form, *old), struct.pack(form, *new))

        read = kh.decode(pointing(8, 2, [(1, 8), (8, 8)]))[0]
        self.assertEqual(read.column(0).to_pylist(), [1, 2, 3, 4, 5, 6, 7, 0])
        self.assertEqual(read.column(1).to_pylist(), list(range(8)))
        kh.decode(pointing(64, 4, [(1, 255), (0, 64), (0, 255), (64, 64)]))
        self.refused(pointing(64, 4, [(1, 255), (1, 255), (1, 255), (1, 255)]), kh.CORRUPT)

    def refused(self, data, *statuses):
        with self.assertRaises(kh.Failure) as caught:
            kh.decode(data)
        self.assertIn(caught.exception.status, statuses)

    def test_refusals(self):
        batch = kh.batch_of(pa.array(["a", None, "b"]))
        file_bytes = arrow_writes([batch], kh.FILE)
        self.refused(b"", kh.CORRUPT)
        self.refused(file_bytes[:-1], kh.CORRUPT)
        self.refused(file_bytes + b"x", kh.CORRUPT)
        with self.assertRaises(kh.Failure) as caught:
            kh.encode([batch, kh.batch_of(pa.array([1]))], kh.STREAM, kh.NONE)
        self.assertEqual(caught.exception.status, kh.MISMATCH)


def colours(*words, kind=pa.int8(), indices=None):
    indices = list(range(len(words))) if indices is None else indices
    array = pa.DictionaryArray.from_arrays(pa.array(indices, kind), pa.array(words))
    return pa.RecordBatch.from_arrays([array], names=["colour"])


def words(batches):
    return [batch.column(0).to_pylist() for batch in batches]


class Dictionaries(unittest.TestCase):
    def test_replacement_in_streams(self):
        batches = [colours("red", "green"), colours("blue", "red"), colours("blue", "red"),
                   colours("x", "y", "z", indices=[2, None, 0])]
        self.assertEqual(words(kh.decode(arrow_writes(batches, kh.STREAM))), words(batches))
        data = kh.encode(batches, kh.STREAM, kh.NONE)
        self.assertEqual(words(arrow_reads(data, kh.STREAM)), words(batches))
        self.assertEqual(words(kh.decode(data)), words(batches))

    def test_deltas(self):
        batches = [colours("red"), colours("red", "green"), colours("red", "green", "blue"),
                   colours("red", "green", "blue", indices=[2, 0, None, 1])]
        for file_format in FORMATS:
            data = arrow_writes(batches, file_format, emit_dictionary_deltas=True)
            self.assertEqual(words(kh.decode(data)), words(batches))
            data = kh.encode(batches, file_format, kh.NONE)
            self.assertEqual(words(arrow_reads(data, file_format)), words(batches))
            self.assertEqual(words(kh.decode(data)), words(batches))

    def test_deltas_of_every_type(self):
        for name, values in kh.cases():
            if "dictionary" in name or len(values) != 10 or name in ("extension", "uuid"):
                continue
            arrays = [pa.DictionaryArray.from_arrays(pa.array([0, None, 3], pa.int8()),
                                                     values[:4]),
                      pa.DictionaryArray.from_arrays(pa.array([9, 5, None, 3, 0], pa.int8()),
                                                     values)]
            batches = [pa.RecordBatch.from_arrays([a], names=["d"]) for a in arrays]
            for file_format in FORMATS:
                with self.subTest(name=name, file=file_format):
                    data = kh.encode(batches, file_format, kh.NONE)
                    got = kh.decode(data)
                    for one, other in zip(got, batches):
                        one.validate(full=True)
                        self.assertTrue(one.column(0).indices.equals(other.column(0).indices))
                        least = one.column(0).dictionary[:len(other.column(0).dictionary)]
                        self.assertTrue(least.equals(other.column(0).dictionary))

    def test_files_gather_changed_dictionaries(self):
        batches = [colours("red", "green"), colours("blue", "red"), colours("red", "green"),
                   colours("blue", "red", "pink"), colours("", "x", indices=[1, None, 0])]
        data = kh.encode(batches, kh.FILE, kh.ZSTD)
        self.assertEqual(words(arrow_reads(data, kh.FILE)), words(batches))
        self.assertEqual(words(kh.decode(data)), words(batches))

    def test_files_refuse_what_they_cannot_hold(self):
        many = [colours(*(f"{batch} {i}" for i in range(100))) for batch in range(2)]
        with self.assertRaises(kh.Failure) as caught:
            kh.encode(many, kh.FILE, kh.NONE)
        self.assertEqual(caught.exception.status, kh.UNSUPPORTED)
        wide = [colours(*(f"{batch} {i}" for i in range(100)), kind=pa.uint8())
                for batch in range(2)]
        self.assertEqual(words(arrow_reads(kh.encode(wide, kh.FILE, kh.NONE), kh.FILE)),
                         words(wide))

    def nested(self, inner_words, codes):
        inner = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), pa.array(inner_words))
        outer = pa.DictionaryArray.from_arrays(
            pa.array(codes, pa.int8()), pa.StructArray.from_arrays([inner], ["in"]))
        return pa.RecordBatch.from_arrays([outer], names=["d"])

    def test_nested_dictionaries(self):
        batches = [self.nested(["a", "b"], [0, 1, None]), self.nested(["c", "d"], [1, 1, 0]),
                   self.nested(["c", "d"], [0])]
        data = kh.encode(batches, kh.STREAM, kh.LZ4)
        self.assertEqual(words(arrow_reads(data, kh.STREAM)), words(batches))
        self.assertEqual(words(kh.decode(data)), words(batches))
        self.assertEqual(words(kh.decode(arrow_writes(batches, kh.STREAM))), words(batches))
        same = [batches[1], batches[2]]
        self.assertEqual(words(arrow_reads(kh.encode(same, kh.FILE, kh.NONE), kh.FILE)),
                         words(same))
        with self.assertRaises(kh.Failure) as caught:
            kh.encode(batches, kh.FILE, kh.NONE)
        self.assertEqual(caught.exception.status, kh.UNSUPPORTED)

    def test_all_null_without_values(self):
        data = arrow_writes([colours("red", indices=[None, None])], kh.STREAM)
        self.assertEqual(words(kh.decode(data)), [[None, None]])


if __name__ == "__main__":
    unittest.main()
