"""A feature store with time travel: what a model learns from is what was known at that time.

Purchases update the features of customers, in batches by shard (``features/07``). Now and then an
offer is made to a customer; whether it is accepted follows from the features of that moment. The
training set takes, for each offer, the features as of the commit at which the offer was made, by
``db.at``. Beside it stands the usual mistake: to join the offers with the features of today, which
know of purchases that came later. An account that is kept in plain Python checks both.

With ``--path`` the store is on disk; then a cache of all features is built from the change feed
alone, resumed half way, and compared.
"""

import argparse
import bisect
import random
import time
from collections import defaultdict
from typing import NamedTuple

import khonsu

FEATURES = khonsu.Schema({"id": "int64", "purchases": "int64", "spent": "float64"})
OFFERS = khonsu.Schema({"id": "int64", "customer": "int64", "moment": "int64", "accepted": "bool"})
SHARDS = 16


class Row(NamedTuple):
    """Features of a customer."""

    id: int
    purchases: int
    spent: float


NOTHING = Row(0, 0, 0.0)


def key_of(customer: int) -> str:
    return f"features/{customer % SHARDS:02}"


def features_of(txn: khonsu.Transaction, customer: int) -> Row:
    """The features that this transaction sees: of now, or of the moment it was begun at."""
    batch = txn.get(key_of(customer))
    rows = [] if batch is None else batch.to_pyarrow().to_pylist()
    return next((Row(**row) for row in rows if row["id"] == customer), NOTHING)


def is_tempted(row: Row) -> bool:
    """The rule that a model should find."""
    return row.spent >= 100 and row.purchases % 2 == 0


class Account:
    """What the features were at each commit: the truth to compare with."""

    def __init__(self) -> None:
        self.moments: dict[int, list[int]] = defaultdict(list)
        self.rows: dict[int, list[Row]] = defaultdict(list)

    def note(self, moment: int, row: Row) -> None:
        self.moments[row.id].append(moment)
        self.rows[row.id].append(row)

    def at(self, customer: int, moment: int) -> Row:
        place = bisect.bisect_right(self.moments[customer], moment)
        return self.rows[customer][place - 1] if place else NOTHING


def live(db: khonsu.Database, customers: int, purchases: int, seed: int) -> Account:
    """Customers buy, and get offers: features change, and labels are kept with their moment."""
    dice, account = random.Random(seed), Account()
    for number in range(purchases):
        customer = dice.randrange(customers)
        with db.begin(tag=f"purchase {number}") as txn:
            row = features_of(txn, customer)
            row = Row(customer, row.purchases + 1, row.spent + round(dice.uniform(1, 60), 2))
            txn.upsert(key_of(customer), FEATURES.row(*row))
        account.note(txn.timestamp or 0, row)
        if number % 4 == 0:
            customer = dice.randrange(customers)
            with db.begin(tag=f"offer {number}") as txn:
                accepted = is_tempted(features_of(txn, customer))
                txn.upsert("offers", OFFERS.row(number, customer, txn.snapshot, accepted))
    return account


def check_training_set(db: khonsu.Database, account: Account) -> None:
    """Features as of the offers, and as of today, beside the labels."""
    right = today = wrong_features = 0
    with db.begin(read_only=True) as now:
        offers = now["offers"].to_pylist()
        for offer in offers:
            with db.at(offer["moment"]) as then:
                row = features_of(then, offer["customer"])
            if row != account.at(offer["customer"], offer["moment"]):
                raise AssertionError(f"features of {offer} were not {row}")
            late = features_of(now, offer["customer"])
            wrong_features += late != row
            right += is_tempted(row) == offer["accepted"]
            today += is_tempted(late) == offer["accepted"]
    print(f"training set: {len(offers):,} offers, each with the features of its moment")
    print(f"  the rule explains {right / len(offers):.1%} of the labels")
    print(
        f"  joined with today's features: {wrong_features:,} rows know the future, "
        f"{today / len(offers):.1%} explained"
    )


def show_past(db: khonsu.Database, account: Account) -> None:
    """One customer's features over time, and one question about two moments."""
    customer = max(account.rows, key=lambda id: len(account.rows[id]))
    values: list[Row] = []
    for _, batch in reversed(db.history(key_of(customer))):  # the newest comes first
        rows = [Row(**row) for row in batch.to_pylist()] if batch is not None else []
        values += [row for row in rows if row.id == customer and row not in values]
    if values != account.rows[customer]:
        raise AssertionError("the history is not what was written")
    print(f"history of customer {customer}: {len(values)} values, the last three:")
    for value, moment in list(zip(values, account.moments[customer], strict=True))[-3:]:
        when = khonsu.datetime_of(moment).isoformat(timespec="milliseconds")
        print(f"  {when} purchases {value.purchases}, spent {value.spent:.2f}")
    moments = sorted(moment for moments in account.moments.values() for moment in moments)
    for name, at in (("half way", moments[len(moments) // 2]), ("now", moments[-1])):
        query = "select count(*), sum(purchases), avg(spent) from features"
        count, total, mean = db.sql(query, at=at).fetchall()[0]
        print(f"  {name}: {count} customers, {total:,} purchases, {mean:.2f} spent on average")


def follow(db: khonsu.Database) -> None:
    """A cache of the features, out of the change feed, which is left half way and resumed."""
    cache: dict[str, khonsu.Batch | None] = {}
    taken = 0
    with db.changes(prefix="features/") as feed:
        for change in feed:
            cache[change.key], taken = change.batch, taken + 1
            if change.is_last and taken >= 1000:
                break
        position = feed.position
    with db.changes(since=position, prefix="features/") as feed:
        rest = {change.key: change.batch for change in feed}
    with db.begin(read_only=True) as txn:
        if cache | rest != dict(txn.scan("features/")):
            raise AssertionError("the cache is not what the store has")
    print(f"change feed: left after {taken:,} changes, resumed, and the cache equals the store")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--path", help="keep it in this directory; default: in memory")
    parser.add_argument("--customers", type=int, default=200)
    parser.add_argument("--purchases", type=int, default=4000)
    options = parser.parse_args()
    with khonsu.open(options.path, retention=3600) as db:
        with db.begin(read_only=True) as txn:
            if "offers" in txn:
                parser.error(f"{options.path} has a store already: name a new directory")
        start = time.monotonic()
        account = live(db, options.customers, options.purchases, seed=1)
        print(
            f"{options.purchases:,} purchases of {options.customers} customers "
            f"in {time.monotonic() - start:.1f} seconds"
        )
        check_training_set(db, account)
        show_past(db, account)
        if db.path is not None:
            follow(db)


if __name__ == "__main__":
    main()
