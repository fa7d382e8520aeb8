"""Names of Arrow types, and the format strings of the Arrow C data interface."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

# https://arrow.apache.org/docs/format/CDataInterface.html#data-type-description-format-strings
_FORMATS = {
    "null": "n",
    "bool": "b",
    "int8": "c",
    "uint8": "C",
    "int16": "s",
    "uint16": "S",
    "int32": "i",
    "uint32": "I",
    "int64": "l",
    "uint64": "L",
    "float16": "e",
    "float32": "f",
    "float64": "g",
    "binary": "z",
    "large_binary": "Z",
    "binary_view": "vz",
    "utf8": "u",
    "large_utf8": "U",
    "utf8_view": "vu",
    "date32": "tdD",
    "date64": "tdm",
    "time32[s]": "tts",
    "time32[ms]": "ttm",
    "time64[us]": "ttu",
    "time64[ns]": "ttn",
    "duration[s]": "tDs",
    "duration[ms]": "tDm",
    "duration[us]": "tDu",
    "duration[ns]": "tDn",
}
_ALIASES = {
    "string": "utf8",
    "str": "utf8",
    "large_string": "large_utf8",
    "string_view": "utf8_view",
    "bytes": "binary",
    "boolean": "bool",
    "int": "int64",
    "float": "float64",
    "double": "float64",
    "date32[day]": "date32",
    "date64[ms]": "date64",
}
_NAMES = {format: name for name, format in _FORMATS.items()}
_UNITS = {"s": "s", "ms": "m", "us": "u", "ns": "n"}
_UNIT_NAMES = {letter: unit for unit, letter in _UNITS.items()}

_TIMESTAMP = re.compile(r"timestamp\[(s|ms|us|ns)(?:,\s*(?:tz=)?([^\]]+))?\]")
_DECIMAL = re.compile(r"decimal(32|64|128|256)?\((\d+),\s*(-?\d+)\)")
_FIXED = re.compile(r"fixed_size_binary\[(\d+)\]")


def columns(columns: Any) -> Any:
    """Pairs of a name and a format, of a dict or an iterable of pairs of a name and a type.

    A type is a name ("int64", "utf8", "timestamp[us, UTC]", "decimal128(10, 2)"; with " not null"
    behind it for a column without nulls), a Python type (int, float, str, bool, bytes), or an
    object with ``__arrow_c_schema__`` (a pyarrow.DataType or Field): then the answer is a
    pyarrow.Schema. A format begins with "!" where nulls are not allowed.

    Raises:
        TypeError: These are no columns.
        ValueError: A type is not known.
    """
    pairs = columns.items() if isinstance(columns, Mapping) else columns
    if isinstance(pairs, str | bytes) or not isinstance(pairs, Iterable):
        raise TypeError(f"columns are a dict or pairs of names and types, not {columns!r:.80}")
    named = [_named(pair) for pair in pairs]
    if any(hasattr(kind, "__arrow_c_schema__") for _, kind in named):
        return _whole(named)
    return [(name, _format_of(name, kind)) for name, kind in named]


def _whole(named: list[tuple[str, Any]]) -> Any:
    """A pyarrow.Schema: types that are objects may have children, which formats do not tell."""
    from khonsu import _core
    from khonsu._optional import require

    pa = require("pyarrow", "a type that is an object")
    fields = []
    for name, kind in named:
        if isinstance(kind, pa.Field):
            fields.append(kind.with_name(name))
        elif hasattr(kind, "__arrow_c_schema__"):
            fields.append(pa.field(name, kind))
        else:
            fields.append(_core.Schema({name: kind}).to_pyarrow().field(0))
    return pa.schema(fields)


def schema_text(pair: tuple[list[str], list[str]]) -> str:
    """The repr of a Schema of names and formats."""
    texts = [f"{name} {type_name(format)}" for name, format in zip(*pair, strict=True)]
    return f"<khonsu.Schema: {', '.join(texts)}>"


def type_names(formats: list[str]) -> list[str]:
    """The names of several."""
    return [type_name(format) for format in formats]


def type_name(format: str) -> str:
    """The name of a format string's type; of one without a name, the format string itself."""
    if format.startswith("!"):
        return type_name(format[1:]) + " not null"
    if format in _NAMES:
        return _NAMES[format]
    if format.startswith("dictionary:"):
        _, index, value = format.split(":", 2)
        return f"dictionary[{type_name(index)}, {type_name(value)}]"
    if format.startswith("ts") and format[3:4] == ":":
        unit, zone = _UNIT_NAMES.get(format[2], format[2]), format[4:]
        return f"timestamp[{unit}, {zone}]" if zone else f"timestamp[{unit}]"
    if format.startswith("d:"):
        precision, scale, *bits = format[2:].split(",")
        return f"decimal{bits[0] if bits else '128'}({precision}, {scale})"
    if format.startswith("w:"):
        return f"fixed_size_binary[{format[2:]}]"
    return repr(format)


def _named(pair: Any) -> tuple[str, Any]:
    try:
        name, kind = pair
    except (TypeError, ValueError):
        raise TypeError(f"a column is a pair of a name and a type, not {pair!r:.80}") from None
    if not isinstance(name, str):
        raise TypeError(f"a column's name is a str, not {name!r:.80}")
    return name, kind


def _format_of(name: str, kind: Any) -> str:
    text = kind.__name__ if kind in (int, float, str, bool, bytes) else kind
    if not isinstance(text, str):
        raise TypeError(f"column {name!r}: a type is a name such as 'int64', not {kind!r:.80}")
    bare, not_null, rest = text.strip().partition(" not null")
    format = _known(bare.strip())
    if format is None or rest:
        known = ", ".join(_FORMATS)
        raise ValueError(f"column {name!r}: {kind!r} is no type; types are {known} and others")
    return "!" + format if not_null else format


def _known(text: str) -> str | None:
    text = _ALIASES.get(text, text)
    if text in _FORMATS:
        return _FORMATS[text]
    if match := _TIMESTAMP.fullmatch(text):
        return f"ts{_UNITS[match[1]]}:{(match[2] or '').strip()}"
    if match := _DECIMAL.fullmatch(text):
        bits = "" if match[1] in (None, "128") else f",{match[1]}"
        return f"d:{match[2]},{match[3]}{bits}"
    if match := _FIXED.fullmatch(text):
        return f"w:{match[1]}"
    return None
