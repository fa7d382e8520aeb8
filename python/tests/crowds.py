"""Several threads that begin at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

THREADS = 8


def in_threads(body: Callable[[int], object], count: int = THREADS) -> None:
    """Calls body(0), ..., at once, and passes on what the first of them raised."""
    raised: list[BaseException] = []
    ready = threading.Barrier(count)

    def run(number: int) -> None:
        ready.wait()
        try:
            body(number)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]
