"""The direct serialization graph of a history, and the anomalies that its cycles are.

Adya, Liskov and O'Neil (ICDE 2000); Kingsbury and Alvaro, Elle (VLDB 2020). Edges: ww, whose
version follows whose; wr, who read whose; rw, who read what another overwrote, an own kind where a
scan missed it; rt, who was told of its end before the other began, through nodes that stand for
moments, so that there are as many of them as events and not as pairs.

What a level forbids:
  read-committed   a cycle of ww and wr
  snapshot         a cycle in which no two rw follow one another (Fekete et al., TODS 2005)
  serializable     a cycle
Each with rt where real time counts. A reader's rw edges count for what its own level promises, so
that transactions of several levels can stand in one graph (Adya's mixing-correct).
"""

from collections import deque

WW, WR, RT, RW, PRW, WEAK_RW, WEAK_PRW = range(7)
WORDS = ("ww", "wr", "rt", "rw", "rw (scan)", "rw", "rw (scan)")
DEPENDS = (WW, WR)
ALL_RW = (RW, PRW, WEAK_RW, WEAK_PRW)
# What is looked for in a strongly connected part, the worst first: (name, plain edges, rw edges,
# may two rw follow one another).
CLASSES = (("G0", (WW,), (), False), ("G1c", DEPENDS, (), False),
           ("G-single", DEPENDS, ALL_RW, False), ("G2", DEPENDS, (RW, PRW), True))
CYCLES_REPORTED = 20


class Graph:
    def __init__(self, node_count):
        self.node_count = node_count    # transactions; moments follow
        self.edges = [[] for _ in range(node_count)]  # target << 3 | kind
        self.has_weak = False

    def add(self, source, target, kind):
        if source != target:
            self.edges[source].append(target << 3 | kind)

    def add_read(self, txn, target, is_scan=False):
        """txn missed what target wrote. At read committed that says nothing."""
        if txn.level == "snapshot":
            self.has_weak = True
            self.add(txn.index, target, WEAK_PRW if is_scan else WEAK_RW)
        elif txn.level != "read-committed":
            self.add(txn.index, target, PRW if is_scan else RW)

    def add_real_time(self, txns):
        """Of committed transactions, and of those whose effects were seen."""
        moments = sorted([(txn.end_t, 1, txn.index) for txn in txns if txn.status == "ok"] +
                         [(txn.begin_t, 0, txn.index) for txn in txns])
        ended = []
        moment = None
        for _, is_end, index in moments:
            if is_end:
                ended.append(index)
                continue
            if ended:
                self.edges.append([])
                latest = len(self.edges) - 1
                for source in ended + ([] if moment is None else [moment]):
                    self.add(source, latest, RT)
                ended, moment = [], latest
            if moment is not None:
                self.add(moment, index, RT)

    def successors(self, kinds, rw_kinds, may_follow):
        """As plain adjacency. When two rw may not follow one another each node n is two: 2n, come
        to by another edge, and 2n + 1, come to by rw."""
        plain, rw = set(kinds), set(rw_kinds)
        if may_follow or not rw:
            plain |= rw
            return [[edge >> 3 for edge in edges if edge & 7 in plain] for edges in self.edges]
        found = []
        for edges in self.edges:
            stay = [edge >> 3 << 1 for edge in edges if edge & 7 in plain]
            found.append(stay + [(edge >> 3 << 1) + 1 for edge in edges if edge & 7 in rw])
            found.append(stay)
        return found

    def part(self, nodes):
        """The same graph, with edges inside of nodes only."""
        smaller = Graph(self.node_count)
        inside = set(nodes)
        smaller.edges = [[edge for edge in edges if edge >> 3 in inside] if node in inside else []
                         for node, edges in enumerate(self.edges)]
        return smaller


def peel(successors):
    """Nodes that are left when those without predecessor have gone, again and again."""
    incoming = [0] * len(successors)
    for targets in successors:
        for target in targets:
            incoming[target] += 1
    free = [node for node, count in enumerate(incoming) if count == 0]
    for node in free:
        for target in successors[node]:
            incoming[target] -= 1
            if incoming[target] == 0:
                free.append(target)
    return [node for node, count in enumerate(incoming) if count > 0]


def components(successors):
    """Strongly connected components of two nodes and more (Tarjan 1972, without recursion)."""
    left = set(peel(successors))
    order, low, stack, on_stack, found = {}, {}, [], set(), []
    for root in left:
        if root in order:
            continue
        work = [(root, iter(successors[root]))]
        order[root] = low[root] = len(order)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, targets = work[-1]
            for target in targets:
                if target not in left:
                    continue
                if target not in order:
                    order[target] = low[target] = len(order)
                    stack.append(target)
                    on_stack.add(target)
                    work.append((target, iter(successors[target])))
                    break
                if target in on_stack:
                    low[node] = min(low[node], order[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    cut = stack.index(node) if len(stack) < 8 else rindex(stack, node)
                    members = stack[cut:]
                    del stack[cut:]
                    on_stack.difference_update(members)
                    if len(members) > 1:
                        found.append(members)
    return found


def rindex(items, wanted):
    position = len(items) - 1
    while items[position] != wanted:
        position -= 1
    return position


def shortest_cycle(successors, members):
    """The shortest of the cycles through the first members."""
    inside = set(members)
    best = None
    for start in members[:64]:
        before = {start: None}
        queue = deque([start])
        while queue:
            node = queue.popleft()
            if start in successors[node]:
                path = [node]
                while before[path[-1]] is not None:
                    path.append(before[path[-1]])
                if best is None or len(path) < len(best):
                    best = path[::-1]
                break
            for target in successors[node]:
                if target in inside and target not in before:
                    before[target] = node
                    queue.append(target)
    return best


def kinds_of(graph, cycle, allowed):
    """The kind of each edge of a cycle of nodes."""
    found = []
    for source, target in zip(cycle, cycle[1:] + cycle[:1]):
        found.append(min(edge & 7 for edge in graph.edges[source]
                         if edge >> 3 == target and edge & 7 in allowed))
    return found


def name_of(name, kinds):
    rw_count = sum(kind in ALL_RW for kind in kinds)
    if name == "G-single" and rw_count > 1:
        return "G-nonadjacent"
    if name == "G2" and rw_count == 1:
        return "G-single"
    if name == "G2" and PRW not in kinds:
        return "G2-item"
    return name


def describe(graph, txns, cycle, kinds):
    words = []
    for node, kind in zip(cycle, kinds):
        if node < graph.node_count:
            words.append(f"[{txns[node]}] -{WORDS[kind]}->")
        elif words and not words[-1].endswith("-rt->"):
            words.append("-rt->")
    return " ".join(words)


def name_part(graph, members, has_real_time):
    """(name, cycle, kinds) of the worst that is in a strongly connected part."""
    part = graph.part(members)
    for suffix, real_time in (("", ()), ("-realtime", (RT,)))[:2 if has_real_time else 1]:
        for name, kinds, rw_kinds, may_follow in CLASSES:
            successors = part.successors(kinds + real_time, rw_kinds, may_follow)
            is_double = bool(rw_kinds) and not may_follow
            found = components(successors)
            if not found:
                continue
            cycle = shortest_cycle(successors, found[0])
            if is_double:
                cycle = [node >> 1 for node in cycle]
            edges = kinds_of(part, cycle, kinds + real_time + rw_kinds)
            return name_of(name, edges) + suffix, cycle, edges
    return None


def judge(graph, txns, report, has_real_time):
    """Report each cycle that the levels of its transactions forbid."""
    plain = DEPENDS + ((RT,) if has_real_time else ())
    doubled = graph.successors(plain, ALL_RW, False) if graph.has_weak else []
    parts = components(graph.successors(plain, (RW, PRW), True))
    covered = {node for members in parts for node in members}
    for members in components(doubled):
        nodes = {node >> 1 for node in members}
        if not nodes & covered:
            parts.append(sorted(nodes))
    for members in parts[:CYCLES_REPORTED]:
        named = name_part(graph, members, has_real_time)
        if named is None:
            raise AssertionError("a strongly connected part without a cycle")
        name, cycle, kinds = named
        report.add(name, describe(graph, txns, cycle, kinds))
