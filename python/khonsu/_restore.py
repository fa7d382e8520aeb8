"""New databases from others and from backups, as of a moment."""

from __future__ import annotations

from typing import Any

from . import _core
from ._options import Moment, timestamp_of
from ._sources import PathLike


def restore(source: PathLike, target: PathLike, to: Moment = 0) -> dict[str, Any]:
    """Make a new database with the state of another at a moment.

    Args:
        source: The directory of a database that no process has open.
        target: A directory that is not there yet.
        to: A commit timestamp or a datetime; 0: the newest state.

    Raises:
        TooOldError: The source does not have that moment any more.
        InUseError, InvalidError, CorruptError, StorageError, UnsupportedError: as kh_restore says.
    """
    return _core.restore(source, target, timestamp_of(to))


def backup_restore(
    directory: PathLike, target: PathLike, number: int = 0, to: Moment = 0
) -> dict[str, Any]:
    """Make a new database of a backup.

    Args:
        directory: Where the backups are.
        target: A directory that is not there yet.
        number: Of the backup; 0: the newest.
        to: A commit timestamp or a datetime; 0: the newest state that the backup has.

    Raises:
        NotFoundError: There is no such backup.
        TooOldError: The backup does not have that moment.
        InvalidError, CorruptError, StorageError, UnsupportedError: as kh_backup_restore says.
    """
    return _core.backup_restore(directory, target, number, timestamp_of(to))
