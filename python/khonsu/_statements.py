"""Which tables a statement of DuckDB's SQL names, spelled as it spells them."""

import re
from collections.abc import Iterator
from typing import Any

from khonsu._optional import require

# What may name a table where DuckDB cannot tell: "quoted", 'quoted' and bare words.
_WORD = re.compile(r'"((?:[^"]|"")+)"|\'((?:[^\']|\'\')+)\'|([^\W\d]\w*)')


class Names:
    """Asks DuckDB for the names in statements."""

    def __init__(self, raw: Any) -> None:
        """For statements that a DuckDB connection will run."""
        self._duckdb = require("duckdb", "SQL over a snapshot")
        self._raw = raw
        self._empty: Any = None

    def missing(self, statement: str) -> list[str]:
        """Those that the connection does not know yet."""
        return self._ask(self._raw, statement)

    def spelled(self, statement: str) -> list[str]:
        """All of them: to a connection that knows none, none is missing."""
        if self._empty is None:
            self._empty = self._duckdb.connect(":memory:")
        return self._ask(self._empty, statement)

    def statements(self, query: Any) -> list[str]:
        """The statements of a query one by one; none: a syntax error, which DuckDB will tell."""
        if not isinstance(query, str):
            text = getattr(query, "query", None)  # a duckdb.Statement
            return [text] if isinstance(text, str) else []
        try:
            return [statement.query for statement in self._raw.extract_statements(query)]
        except self._duckdb.Error:
            return []

    def _ask(self, connection: Any, statement: str) -> list[str]:
        for text in (statement, self._without_parameters(statement)):
            try:
                return list(connection.get_table_names(text))
            except self._duckdb.Error:  # DuckDB does not say for some: "... where x = ?"
                continue
        return list(dict.fromkeys(_words(statement)))

    def _without_parameters(self, statement: str) -> str:
        """The statement with nulls where values are to come."""
        text = statement.encode()  # tokens are counted in bytes
        starts = [start for start, _ in self._duckdb.tokenize(statement)] + [len(text)]
        pieces, skipped = [text[: starts[0]]], False
        for start, end in zip(starts, starts[1:], strict=False):
            token = text[start:end]
            if skipped and re.match(rb"\w", token):  # the name or number behind "$"
                token = re.sub(rb"^\w+", b"", token)
            elif token[:1] in (b"?", b"$"):
                token = b" null " + token[1:]
                skipped = True
                pieces.append(token)
                continue
            skipped = False
            pieces.append(token)
        return b"".join(pieces).decode()


def _words(statement: str) -> Iterator[str]:
    for match in _WORD.finditer(statement):
        double, single, bare = match.groups()
        if double is not None:
            yield double.replace('""', '"')
        elif single is not None:
            yield single.replace("''", "'")
        else:
            yield bare
