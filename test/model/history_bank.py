"""bank: money is neither made nor lost, and no account is overdrawn.

With commit numbers the transfers are played again in their order: every read must show exactly the
balances of its snapshot. Without, every read must show the total, and a read that began after all
transfers had ended the exact balances, unless the fate of one is unknown.
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


def check_last(history, report):
    transfers = [txn for txn in history.txns if txn.function == "transfer"]
    if any(txn.status == "info" for txn in transfers):
        return
    balances = dict(history.initial)
    for txn in transfers:
        if txn.status == "ok":
            apply(balances, txn)
    ended = max((txn.end_i for txn in transfers), default=-1)
    for txn in history.committed():
        if txn.function == "read" and txn.begin_i > ended and txn.ops[0][1] != balances:
            report.add("lost-transfer", f"[{txn}] should show {balances}")


def is_whole(history):
    """Has every committed transaction its numbers, and every transfer a known end?"""
    return all(txn.commit is not None and txn.snap is not None for txn in history.committed()) and \
        not any(txn.status == "info" and txn.function == "transfer" for txn in history.txns)


def check_stamps(history, report):
    """Play the transfers again in the order of their commit numbers."""
    balances = dict(history.initial)
    steps = []
    for txn in history.committed():
        is_read = txn.function == "read"
        steps.append((txn.snap if is_read else txn.commit, is_read, txn.index))
    for _, is_read, index in sorted(steps):
        txn = history.txns[index]
        if is_read:
            if txn.ops[0][1] != balances:
                report.add("wrong-snapshot", f"[{txn}] at {txn.snap} should show {balances}")
            continue
        apply(balances, txn)
        if not history.header.get("negative_ok") and balances[txn.ops[0][1]] < 0:
            report.add("negative-balance", f"after [{txn}]")


def check(history, report, stamped):
    check_reads(history, report)
    check_last(history, report)
    if stamped and is_whole(history):
        check_stamps(history, report)
