"""bank: money is neither made nor lost, and no account is overdrawn.

With commit numbers the transfers are played again in their order: every read must show exactly the
balances of its snapshot. Without, every read must show the total, and a read that began after all
transfers had ended the exact balances. Transfers whose fate is unknown may be part of them or not.
"""


def apply(balances, txn):
    _, source, target, amount = txn.ops[0]
    balances[source] = balances.get(source, 0) - amount
    balances[target] = balances.get(target, 0) + amount


def check_reads(history, report):
    total = sum(history.initial.values())
    for txn in history.committed():
        if txn.function != "read":
            continue
        found = txn.ops[0][1]
        if set(found) != set(history.initial):
            report.add("lost-account", f"[{txn}] does not see exactly the accounts that there are")
        if sum(found.values()) != total:
            report.add("lost-money", f"{sum(found.values())} of {total} in [{txn}]")
        if not history.header.get("negative_ok") and min(found.values(), default=0) < 0:
            report.add("negative-balance", f"[{txn}]")


class Unknown:
    """Transfers of unknown end: any of them may have taken place, at any time after its begin, and
    one that has taken place stays so. What of that is left possible is a set of sets."""

    MAX = 16    # all subsets are looked at; beyond, only the total is checked

    def __init__(self, history):
        self.txns = [txn for txn in history.txns
                     if txn.status == "info" and txn.function == "transfer"]
        self.accounts = sorted(history.initial)
        self.is_too_many = len(self.txns) > self.MAX
        self.by_effect = {}
        self.possible = {0}
        for mask, effect in enumerate([] if self.is_too_many else self.effects()):
            self.by_effect.setdefault(effect, []).append(mask)

    def effects(self):
        """What each subset moves, by its mask."""
        found = [tuple(0 for _ in self.accounts)]
        for txn in self.txns:
            moved = {}
            apply(moved, txn)
            found += [tuple(own + moved.get(account, 0)
                            for own, account in zip(before, self.accounts)) for before in found]
        return found

    def explains(self, txn, balances):
        """Does some subset make of the balances what the read has seen?"""
        begun = sum(1 << bit for bit, other in enumerate(self.txns) if other.begin_i < txn.end_i)
        found = txn.ops[0][1]
        wanted = tuple(found.get(account, 0) - balances[account] for account in self.accounts)
        now = {mask for mask in self.by_effect.get(wanted, ()) if mask & ~begun == 0 and
               any(before & ~mask == 0 for before in self.possible)}
        if now:
            self.possible = now
        return bool(now)


def check_last(history, report):
    transfers = [txn for txn in history.txns if txn.function == "transfer"]
    unknown = Unknown(history)
    if unknown.is_too_many:
        return
    balances = dict(history.initial)
    for txn in transfers:
        if txn.status == "ok":
            apply(balances, txn)
    ended = max((txn.end_i for txn in transfers), default=-1)
    for txn in history.committed():
        if txn.function == "read" and txn.begin_i > ended and \
                not unknown.explains(txn, balances):
            report.add("lost-transfer", f"[{txn}] should show {balances}")


def is_whole(history):
    """Has every committed transaction its numbers?"""
    return all(txn.commit is not None and txn.snap is not None for txn in history.committed())


def check_stamps(history, report):
    """Play the transfers again in the order of their commit numbers."""
    balances = dict(history.initial)
    unknown = Unknown(history)
    steps = []
    for txn in history.committed():
        is_read = txn.function == "read"
        steps.append((txn.snap if is_read else txn.commit, is_read, txn.index))
    for _, is_read, index in sorted([] if unknown.is_too_many else steps):
        txn = history.txns[index]
        if is_read:
            if not unknown.explains(txn, balances):
                report.add("wrong-snapshot", f"[{txn}] at {txn.snap} should show {balances}")
            continue
        apply(balances, txn)
        is_known = not unknown.txns and not history.header.get("negative_ok")
        if is_known and balances[txn.ops[0][1]] < 0:
            report.add("negative-balance", f"after [{txn}]")


def check(history, report, stamped):
    check_reads(history, report)
    check_last(history, report)
    if stamped and is_whole(history):
        check_stamps(history, report)
