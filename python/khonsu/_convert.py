"""From khonsu's batches and tables to Polars, pandas and lists of dicts.

Everything goes through Arrow's PyCapsule protocol. pyarrow, Polars and pandas are imported when
they are asked for, and not before. All functions may be called from any thread.
"""

from typing import Any

from khonsu._formats import columns, schema_text
from khonsu._optional import require
from khonsu._scalars import scalar

__all__ = [
    "check_polars",
    "columns",
    "empty_batch",
    "from_pandas",
    "is_pandas",
    "scalar",
    "schema_text",
    "to_pandas",
    "to_polars",
    "to_pyarrow_table",
    "to_pylist",
]


def to_polars(obj: Any) -> Any:
    """A ``polars.DataFrame`` of an object that offers Arrow data.

    Raises:
        ImportError: Polars is not installed.
        TypeError: obj offers neither ``__arrow_c_stream__`` nor ``__arrow_c_array__``.
    """
    _check(obj)
    return require("polars", "to_polars()").DataFrame(obj)


def to_pandas(obj: Any) -> Any:
    """A ``pandas.DataFrame`` of an object that offers Arrow data, made by pyarrow.

    Raises:
        ImportError: pandas or pyarrow is not installed.
        TypeError: obj offers neither ``__arrow_c_stream__`` nor ``__arrow_c_array__``.
    """
    _check(obj)
    require("pandas", "to_pandas()")
    return _table(obj, "to_pandas()").to_pandas()


def to_pylist(obj: Any) -> list[dict[str, Any]]:
    """The rows as dicts from column names to Python values, made by pyarrow.

    Raises:
        ImportError: pyarrow is not installed.
        TypeError: obj offers neither ``__arrow_c_stream__`` nor ``__arrow_c_array__``.
    """
    _check(obj)
    rows: list[dict[str, Any]] = _table(obj, "to_pylist()").to_pylist()
    return rows


def _table(obj: Any, purpose: str) -> Any:
    pyarrow = require("pyarrow", purpose)
    # The array comes first: for one batch it is cheaper than a stream of one.
    if hasattr(obj, "__arrow_c_array__"):
        return pyarrow.record_batch(obj)
    return pyarrow.table(obj)


def _check(obj: Any) -> None:
    if not hasattr(obj, "__arrow_c_stream__") and not hasattr(obj, "__arrow_c_array__"):
        raise TypeError(f"{type(obj).__name__} is no Arrow data: it has no __arrow_c_stream__")


def to_pyarrow_table(obj: Any) -> Any:
    """A ``pyarrow.Table`` of an object that offers ``__arrow_c_stream__``, over the same memory.

    Raises:
        ImportError: pyarrow is not installed.
    """
    return require("pyarrow", "to_pyarrow()").table(obj)


def check_polars(frame: Any) -> None:
    """That a polars.DataFrame has no column of Polars' own types: they have no Arrow data.

    Raises:
        TypeError: It has Python objects, or integers of 128 bits.
    """
    polars = require("polars", "a polars.DataFrame")
    if not hasattr(frame, "__arrow_c_stream__") or not hasattr(frame, "schema"):
        return  # a LazyFrame (whose schema costs a plan), a Series
    dtypes = frame.schema
    for name, dtype in dtypes.items():
        if dtype == polars.Object:
            raise TypeError(
                f"column {name!r} has Python objects (polars.Object): cast it to a type of Arrow's"
            )
        if _has_wide_integers(dtype):
            raise TypeError(
                f"column {name!r} is {dtype}, which Arrow has not: cast it, to polars.Int64 or "
                "polars.Decimal(38, 0)"
            )


def _has_wide_integers(dtype: Any) -> bool:
    if str(dtype) in ("Int128", "UInt128"):
        return True
    inner = [dtype.inner] if getattr(dtype, "inner", None) is not None else []
    inner += [field.dtype for field in getattr(dtype, "fields", ())]
    return any(_has_wide_integers(each) for each in inner)


def is_pandas(obj: Any) -> bool:
    """Whether it is of pandas, or of a class derived from one of pandas."""
    return any(kind.__module__.split(".")[0] == "pandas" for kind in type(obj).__mro__)


def from_pandas(frame: Any) -> Any:
    """A ``pyarrow.Table`` of a pandas.DataFrame's columns, without pandas' metadata.

    The columns are copied: a frame can be changed, what is stored must not change with it. An index
    of integers without a name only numbers the rows (or did, before they were filtered or sorted),
    and is left out.

    Raises:
        ImportError: pyarrow is not installed.
        TypeError: The object is of pandas and no DataFrame.
        ValueError: The frame's index is data: it has a name, or is not of integers.
    """
    pyarrow = require("pyarrow", "a pandas.DataFrame")
    if not hasattr(frame, "columns"):
        raise TypeError(f"a pandas.DataFrame is rows, a {type(frame).__name__} is not")
    _check_index(frame.index)
    frame = frame.copy()
    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    return table.replace_schema_metadata(None)


def _check_index(index: Any) -> None:
    names = list(index.names)
    if any(name is not None for name in names):
        raise ValueError(
            f"the frame's index {names} would be lost: make it columns by "
            "frame.reset_index(), or leave it out by frame.reset_index(drop=True)"
        )
    is_of_integers = len(names) == 1 and getattr(index.dtype, "kind", "O") in "iu"
    if len(index) and not is_of_integers:
        kind = "of several levels" if len(names) > 1 else f"of {index.dtype}"
        raise ValueError(
            f"the frame's index {kind} without a name would be lost: name it "
            "(frame.index.names = [...]) and make it columns by frame.reset_index(), or leave it "
            "out by frame.reset_index(drop=True)"
        )


def empty_batch(schema: Any) -> Any:
    """A ``pyarrow.RecordBatch`` without rows of an object that offers ``__arrow_c_schema__``.

    Raises:
        ImportError: pyarrow is not installed.
    """
    pyarrow = require("pyarrow", "a stream without batches")
    fields = pyarrow.schema(schema)
    arrays = [pyarrow.array([], field.type) for field in fields]
    return pyarrow.RecordBatch.from_arrays(arrays, schema=fields)
