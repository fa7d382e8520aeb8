"""Transactions that are run again when a rival was faster."""

import functools
import inspect
import random
import time
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar

from khonsu import _core
from khonsu._errors import RetryError

_Txn = TypeVar("_Txn", bound=_core.Transaction)
_Txn_co = TypeVar("_Txn_co", bound=_core.Transaction, covariant=True)
_P = ParamSpec("_P")
_R = TypeVar("_R")

OnRetry: TypeAlias = Callable[[int, RetryError], object]

# The same as those of kh_db_run: docs/limits.md.
_BACKOFF_MIN = 50e-6
_BACKOFF_MAX = 20e-3


class Begins(Protocol[_Txn_co]):
    """What begins transactions: a database."""

    def begin(self, *args: Any, **options: Any) -> _Txn_co:
        """Begin a transaction."""


def run(
    db: Begins[_Txn],
    fn: Callable[Concatenate[_Txn, ...], _R],
    *args: Any,
    attempts: int = 100,
    on_retry: OnRetry | None = None,
    **txn_options: Any,
) -> _R:
    """Call ``fn(txn, *args)`` in a transaction, commit it and return what fn returned.

    When fn or the commit raises a :class:`khonsu.RetryError` (a conflict, say) nothing of the
    transaction was applied: after a pause, fn is called again in a new transaction. The pauses are
    random, up to 50 microseconds at first and twice as long each time up to 20 ms, so that rivals
    do not meet again. fn may therefore be called several times: it should do nothing that cannot be
    repeated but through its transaction.

    Args:
        db: The database.
        fn: A function of a transaction and args.
        attempts: How many times fn is called before the last RetryError is raised.
        on_retry: Called with the number of the attempt (from 1) and its RetryError before the next.
        **txn_options: As for ``db.begin``.

    Raises:
        RetryError: The last of attempts calls failed too.
        ValueError: attempts is below 1.
        TypeError: fn is a coroutine function or a generator function, or returned what one makes:
            it would run after the commit. Nothing is committed.
        Exception: Any other exception of fn rolls back and is passed on.

    Any thread may call it; each call has a transaction of its own.
    """
    _check(fn, attempts)
    for attempt in range(1, attempts + 1):
        try:
            with db.begin(**txn_options) as txn:
                result = fn(txn, *args)
                _check_result(result)
            return result
        except RetryError as error:
            if attempt == attempts:
                raise
            if on_retry is not None:
                on_retry(attempt, error)
        time.sleep(_pause(attempt))
    raise AssertionError("unreachable")


def transactional(
    db: Begins[_Txn],
    *,
    attempts: int = 100,
    on_retry: OnRetry | None = None,
    **txn_options: Any,
) -> Callable[[Callable[Concatenate[_Txn, _P], _R]], Callable[_P, _R]]:
    """A decorator that makes of ``fn(txn, ...)`` a function that runs it by :func:`run`.

    The decorated function is called without the transaction::

        @db.transactional()
        def deposit(txn, account, amount): ...

        deposit("accounts/ann", 10)

    Args, exceptions and threads are those of :func:`run`.
    """

    def decorate(fn: Callable[Concatenate[_Txn, _P], _R]) -> Callable[_P, _R]:
        _check(fn, attempts)

        @functools.wraps(fn)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            def body(txn: _Txn) -> _R:
                return fn(txn, *args, **kwargs)

            return run(db, body, attempts=attempts, on_retry=on_retry, **txn_options)

        return call

    return decorate


def _check(fn: Callable[..., object], attempts: int) -> None:
    if not isinstance(attempts, int):
        raise TypeError(f"attempts is an int, not {attempts!r:.80}")
    if not callable(fn):
        raise TypeError(f"a transaction is run by a function, not by {fn!r:.80}")
    if attempts < 1:
        raise ValueError(f"attempts is {attempts}: at least 1 is needed")
    if inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError("a transaction is run by a plain function, not by a coroutine function")
    if inspect.isgeneratorfunction(fn):
        raise TypeError("a transaction is run by a plain function, not by a generator function")


def _check_result(result: object) -> None:
    """That fn has run: what it returns could be its body, to be run by somebody later."""
    if inspect.iscoroutine(result) or inspect.isgenerator(result):
        result.close()
    elif not inspect.isasyncgen(result):
        return
    raise TypeError(
        f"the function has returned a {type(result).__name__}, which would run after the commit: "
        "return values (a list, say)"
    )


def _pause(attempt: int) -> float:
    """Seconds before the next call: full jitter, uniform from 0 to the bound."""
    bound = min(_BACKOFF_MAX, _BACKOFF_MIN * 2.0 ** min(attempt - 1, 16))
    return random.uniform(0.0, bound)
