"""Where rows to load come from: files of four formats, and Arrow data that is there already."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from khonsu._convert import check_polars, from_pandas, is_pandas
from khonsu._optional import require

PathLike: TypeAlias = str | os.PathLike[str]
Format: TypeAlias = Literal["parquet", "csv", "json", "ipc", "feather", "arrow", "stream"]

FORMATS = ("parquet", "csv", "json", "ipc", "stream")
_SUFFIXES = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".ipc": "ipc",
    ".arrow": "ipc",
    ".feather": "ipc",
    ".arrows": "stream",
}
_PACKED = (".gz", ".bz2", ".zst", ".lz4")
_MAGIC = b"ARROW1"  # of an IPC file; a stream has none


class Source(NamedTuple):
    """Rows in a fixed order.

    Attributes:
        name: For people.
        identity: The same for the same rows, so that a load can go on; None: it cannot.
        total: Rows, where that is known without reading them.
        batches: Makes the pyarrow.RecordBatches without the first so many rows.
    """

    name: str
    identity: list[Any] | None
    total: int | None
    batches: "Batches"


class Batches:
    """How the rows of a source are read."""

    def schema(self) -> Any:
        """The pyarrow.Schema."""
        raise NotImplementedError

    def read(self, skip: int) -> Iterator[Any]:
        """The record batches, without the first `skip` rows."""
        raise NotImplementedError


def format_of(path: PathLike, given: str | None) -> str:
    """The format of a file, by its suffix unless it is given.

    Raises:
        ValueError: It is not one of FORMATS, or the suffix does not tell.
    """
    if given is not None:
        name = "ipc" if given in ("feather", "arrow") else given
        if name not in FORMATS:
            raise ValueError(f"a format is one of {', '.join(FORMATS)}, not {given!r}")
        return name
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    name = _SUFFIXES.get(suffixes[-1] if suffixes else "", "")
    if not name:
        raise ValueError(f"{os.fspath(path)!r}: say format=..., one of {', '.join(FORMATS)}")
    return name


def open_source(source: Any, format: str | None, columns: Sequence[str] | None) -> Source:
    """What `load` reads.

    Args:
        source: A path, a list of paths, a directory, a pyarrow Dataset, or anything that offers
            ``__arrow_c_stream__`` or ``__arrow_c_array__``.
        format: One of FORMATS; None: by the suffix.
        columns: Only these; None: all.

    Raises:
        ImportError: pyarrow is not installed.
        FileNotFoundError: There is no such file.
        ValueError: The format is not known, or there are no files.
        TypeError: The source is none of these.
        ValueError: It is a pandas.DataFrame whose index has a name.
    """
    pa = require("pyarrow", "load()")
    dataset = require("pyarrow.dataset", "load()")
    if isinstance(source, dataset.Dataset):
        return _of_dataset(source, "rows", None, columns)
    if is_pandas(source):
        source = from_pandas(source)
    elif type(source).__module__.startswith("polars"):
        check_polars(source)
    if hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__"):
        total = getattr(source, "num_rows", None)
        reader = _reader(pa, source)
        return Source("rows", None, total, _Stream(reader.schema, reader, columns))
    files, name, is_directory = _files(source)
    if format is None:
        os.stat(files[0])  # that it is absent is told before that its suffix tells no format
    kind = format_of(files[0], format)
    identity = [_identity(file) for file in files]
    if kind == "stream" or (kind == "ipc" and not _has_magic(files[0])):
        streams = _IpcStreams(files, columns)
        return Source(name, identity, None, streams)
    base = os.fspath(source) if is_directory else None
    partitioning = "hive" if is_directory else None  # directories named day=2013-01-01
    rows = dataset.dataset(
        files,
        format=_dataset_format(kind, files[0]),
        partitioning=partitioning,
        partition_base_dir=base,
    )
    return _of_dataset(rows, name, identity, columns, is_counted=kind in ("parquet", "ipc"))


def _of_dataset(
    rows: Any,
    name: str,
    identity: list[Any] | None,
    columns: Sequence[str] | None,
    *,
    is_counted: bool = False,
) -> Source:
    total = rows.count_rows() if is_counted else None
    return Source(name, identity, total, _Dataset(rows, columns))


class _Dataset(Batches):
    def __init__(self, rows: Any, columns: Sequence[str] | None) -> None:
        self._rows = rows
        self._columns = None if columns is None else list(columns)

    def schema(self) -> Any:
        return self._scanner(self._rows).projected_schema

    def read(self, skip: int) -> Iterator[Any]:
        rows, skip = _skip_row_groups(self._rows, skip)
        return _drop(self._scanner(rows).to_batches(), skip)

    def _scanner(self, rows: Any) -> Any:
        return rows.scanner(columns=self._columns, batch_readahead=8, fragment_readahead=2)


class _Stream(Batches):
    def __init__(self, schema: Any, rows: Iterable[Any], columns: Sequence[str] | None) -> None:
        self._schema = schema
        self._rows = rows
        self._columns = None if columns is None else list(columns)

    def schema(self) -> Any:
        if self._columns is None:
            return self._schema
        return require("pyarrow", "load()").schema([self._schema.field(c) for c in self._columns])

    def read(self, skip: int) -> Iterator[Any]:
        return _drop((self._select(batch) for batch in self._rows), skip)

    def _select(self, batch: Any) -> Any:
        return batch if self._columns is None else batch.select(self._columns)


class _IpcStreams(_Stream):
    def __init__(self, files: list[str], columns: Sequence[str] | None) -> None:
        pa = require("pyarrow", "load()")
        with pa.OSFile(files[0]) as file, pa.ipc.open_stream(file) as first:
            schema = first.schema
        super().__init__(schema, self._batches(files), columns)

    def _batches(self, files: list[str]) -> Iterator[Any]:
        pa = require("pyarrow", "load()")
        for path in files:
            with pa.OSFile(path) as file, pa.ipc.open_stream(file) as reader:
                yield from reader


def _reader(pa: Any, source: Any) -> Any:
    if hasattr(source, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(source)
    batch = pa.record_batch(source)
    return pa.RecordBatchReader.from_batches(batch.schema, [batch])


def _files(source: Any) -> tuple[list[str], str, bool]:
    """The files in order, a name for all of them, and whether they are those of a directory."""
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        if not isinstance(path, str):
            raise TypeError("a path is a str")
        name = os.path.basename(os.path.normpath(path))
        is_directory = os.path.isdir(path)
        return (_walk(path) if is_directory else [path]), name, is_directory
    if isinstance(source, list | tuple) and source:
        files = [os.fspath(item) for item in source]
        return files, f"{len(files)} files", False
    raise TypeError(
        f"load() takes a path, a list of paths, a pyarrow Dataset or Arrow data, not {source!r:.80}"
    )


def _walk(directory: str) -> list[str]:
    """The files of a directory and those below; hidden ones and `_metadata` are left out."""
    files = []
    for root, directories, names in os.walk(directory):
        directories[:] = sorted(name for name in directories if not name.startswith((".", "_")))
        files += [os.path.join(root, n) for n in sorted(names) if not n.startswith((".", "_"))]
    if not files:
        raise ValueError(f"there are no files in {directory!r}")
    return files


def _identity(path: str) -> list[Any]:
    """A file that was changed is another file."""
    status = os.stat(path)
    return [os.path.abspath(path), status.st_size, status.st_mtime_ns]


def _has_magic(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _dataset_format(kind: str, path: str) -> Any:
    dataset = require("pyarrow.dataset", "load()")
    if kind == "csv" and ".tsv" in (suffix.lower() for suffix in Path(path).suffixes):
        csv = require("pyarrow.csv", "load()")
        return dataset.CsvFileFormat(parse_options=csv.ParseOptions(delimiter="\t"))
    return kind


def _skip_row_groups(rows: Any, skip: int) -> tuple[Any, int]:
    """A dataset of Parquet without its first row groups, and how many rows remain to be skipped."""
    dataset = require("pyarrow.dataset", "load()")
    is_parquet = isinstance(rows, dataset.FileSystemDataset) and isinstance(
        rows.format, dataset.ParquetFileFormat
    )
    if not is_parquet or skip == 0:
        return rows, skip
    kept: list[Any] = []
    rest = skip
    for fragment in rows.get_fragments():
        groups: list[int] = []
        for group in range(fragment.num_row_groups):
            count = fragment.metadata.row_group(group).num_rows
            if rest >= count and not groups and not kept:
                rest -= count
            else:
                groups.append(group)
        if groups:
            kept.append(fragment.subset(row_group_ids=groups))
    if not kept:
        return rows, skip  # nothing is left of it
    return dataset.FileSystemDataset(kept, rows.schema, rows.format, rows.filesystem), rest


def _drop(batches: Iterable[Any], skip: int) -> Iterator[Any]:
    """The batches without the first rows, and without empty ones."""
    for batch in batches:
        dropped = min(skip, batch.num_rows)
        skip -= dropped
        if dropped < batch.num_rows:
            yield batch.slice(dropped)
