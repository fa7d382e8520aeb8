"""khonsu: serializable transactions over Arrow data, in memory and on disk.

>>> import khonsu
>>> accounts = khonsu.Schema({"id": "int64", "balance": "int64"})
>>> with khonsu.open() as db:                               # or khonsu.open("bank")
...     with db.begin() as txn:                             # commits, or rolls back
...         txn["accounts/ann"] = accounts.row(1, 100)      # or a pyarrow.RecordBatch, a
...         txn["accounts/bob"] = accounts.row(2, 50)       #    polars.DataFrame, ...
...
...     def transfer(txn, amount):
...         ann, bob = txn["accounts/ann"], txn["accounts/bob"]
...         txn["accounts/ann"] = accounts.row(1, ann.value("balance") - amount)
...         txn["accounts/bob"] = accounts.row(2, bob.value("balance") + amount)
...
...     db.run(transfer, 30, isolation="serializable")      # again while a rival is in the way
...     with db.begin(read_only=True) as txn:
...         [batch.value("balance") for _, batch in txn.scan("accounts/")]
[70, 80]

The guide is docs/python.md.
"""

from __future__ import annotations

from ._changes import Change, ChangeFeed
from ._core import (
    CONFLICT,
    DROP,
    Batch,
    Candidate,
    Classified,
    Delta,
    OpenWorkspace,
    Operation,
    Pair,
    Savepoint,
    Scan,
    Schema,
    Table,
    Watch,
    __version__,
    backup_list,
    backup_purge,
    classify_all,
    from_ipc,
    has_feature,
    merge_order,
    verify,
)
from ._database import Database, open
from ._errors import (
    AskError,
    BusyError,
    CancelledError,
    ConflictError,
    CorruptError,
    DeadlockError,
    DuplicateIdError,
    Error,
    ExpiredError,
    FinishedError,
    ForkedError,
    HeldError,
    InUseError,
    InvalidDataError,
    InvalidError,
    LockConflictError,
    MergeConflictError,
    MismatchError,
    MisuseError,
    NoIdColumnError,
    NoSpaceError,
    NotFoundError,
    NotSerializableError,
    NullIdError,
    OutcomeUnknownError,
    OutOfMemoryError,
    PendingError,
    PoisonedError,
    ReadOnlyError,
    RetryError,
    RowExistsError,
    RowNotFoundError,
    SchemaMismatchError,
    SemanticConflictError,
    StopError,
    StorageError,
    TooBigError,
    TooOldError,
    UnsupportedError,
)
from ._files import Loaded, LoadOptions
from ._options import (
    Isolation,
    Mode,
    Moment,
    Policy,
    Sync,
    Thresholds,
    TransactionOptions,
    Victim,
    WorkspaceOptions,
    datetime_of,
    timestamp_of,
)
from ._restore import backup_restore, restore
from ._save import Saved, SaveOptions
from ._transaction import Transaction
from ._workspace import Workspace, classify

__all__ = [
    "CONFLICT",
    "DROP",
    "AskError",
    "Batch",
    "BusyError",
    "CancelledError",
    "Candidate",
    "Change",
    "ChangeFeed",
    "Classified",
    "ConflictError",
    "CorruptError",
    "Database",
    "DeadlockError",
    "Delta",
    "DuplicateIdError",
    "Error",
    "ExpiredError",
    "FinishedError",
    "ForkedError",
    "HeldError",
    "InUseError",
    "InvalidDataError",
    "InvalidError",
    "Isolation",
    "LoadOptions",
    "Loaded",
    "LockConflictError",
    "MergeConflictError",
    "MismatchError",
    "MisuseError",
    "Mode",
    "Moment",
    "NoIdColumnError",
    "NoSpaceError",
    "NotFoundError",
    "NotSerializableError",
    "NullIdError",
    "OpenWorkspace",
    "Operation",
    "OutOfMemoryError",
    "OutcomeUnknownError",
    "Pair",
    "PendingError",
    "PoisonedError",
    "Policy",
    "ReadOnlyError",
    "RetryError",
    "RowExistsError",
    "RowNotFoundError",
    "SaveOptions",
    "Saved",
    "Savepoint",
    "Scan",
    "Schema",
    "SchemaMismatchError",
    "SemanticConflictError",
    "StopError",
    "StorageError",
    "Sync",
    "Table",
    "Thresholds",
    "TooBigError",
    "TooOldError",
    "Transaction",
    "TransactionOptions",
    "UnsupportedError",
    "Victim",
    "Watch",
    "Workspace",
    "WorkspaceOptions",
    "__version__",
    "backup_list",
    "backup_purge",
    "backup_restore",
    "classify",
    "classify_all",
    "datetime_of",
    "from_ipc",
    "has_feature",
    "merge_order",
    "open",
    "restore",
    "timestamp_of",
    "verify",
]
