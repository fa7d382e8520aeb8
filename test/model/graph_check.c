/* graph_check.c - orders of appends from the longest lists, edges, and a search for a cycle. */
#include "model/graph_check.h"

#include <stdlib.h>
#include <string.h>

enum { NOBODY = -1 };

struct edge {
    int from;
    int to;
};

struct graph {
    const struct graph_history *history;
    int *writer;    /* by value: transaction */
    int *writer_op; /* by value: which of its operations */
    const int **longest; /* by key */
    int *longest_count;
    struct edge *edges;
    int edge_count;
    int edge_capacity;
    int node_count;
};

static void *zeroed(size_t count, size_t size) {
    void *block = calloc(count == 0 ? 1 : count, size);
    if (block == NULL) {
        abort();
    }
    return block;
}

static void add_edge(struct graph *graph, int from, int to) {
    if (from == to || from == NOBODY || to == NOBODY) {
        return;
    }
    if (graph->edge_count == graph->edge_capacity) {
        graph->edge_capacity = graph->edge_capacity * 2 + 1024;
        graph->edges = realloc(graph->edges, (size_t)graph->edge_capacity * sizeof *graph->edges);
        if (graph->edges == NULL) {
            abort();
        }
    }
    graph->edges[graph->edge_count++] = (struct edge){from, to};
}

/* ---- orders of versions ---------------------------------------------------------------------- */

static void collect(struct graph *graph) {
    const struct graph_history *history = graph->history;
    for (int v = 0; v < history->value_count; v++) {
        graph->writer[v] = NOBODY;
    }
    for (int t = 0; t < history->txn_count; t++) {
        const struct graph_txn *txn = &history->txns[t];
        for (int i = 0; i < txn->op_count; i++) {
            const struct graph_op *op = &txn->ops[i];
            if (op->is_append) {
                graph->writer[op->value] = t;
                graph->writer_op[op->value] = i;
            } else if (txn->is_committed && op->list_count > graph->longest_count[op->key]) {
                graph->longest[op->key] = op->list;
                graph->longest_count[op->key] = op->list_count;
            }
        }
    }
}

/* How many values at the end of the list the transaction has appended itself before operation at;
 * -1: one is missing. */
static int own_suffix(const struct graph_txn *txn, int at) {
    const struct graph_op *read = &txn->ops[at];
    int own = 0;
    for (int i = at - 1; i >= 0; i--) {
        if (txn->ops[i].is_append && txn->ops[i].key == read->key) {
            own++;
            if (own > read->list_count || read->list[read->list_count - own] != txn->ops[i].value) {
                return -1;
            }
        }
    }
    return own;
}

/* Is value the last append of its writer to that key? */
static bool is_final(const struct graph *graph, int value) {
    const struct graph_txn *txn = &graph->history->txns[graph->writer[value]];
    int at = graph->writer_op[value];
    for (int i = at + 1; i < txn->op_count; i++) {
        if (txn->ops[i].is_append && txn->ops[i].key == txn->ops[at].key) {
            return false;
        }
    }
    return true;
}

static const char *check_read(struct graph *graph, int t, int at) {
    const struct graph_txn *txn = &graph->history->txns[t];
    const struct graph_op *read = &txn->ops[at];
    int own = own_suffix(txn, at);
    if (own < 0) {
        return "own append not seen";
    }
    int seen = read->list_count - own;
    if (memcmp(read->list, graph->longest[read->key],
               (size_t)read->list_count * sizeof *read->list) != 0) {
        return "incompatible orders";
    }
    for (int i = 0; i < seen; i++) {
        int writer = graph->writer[read->list[i]];
        if (writer == NOBODY || !graph->history->txns[writer].is_committed) {
            return "aborted read";
        }
    }
    if (seen > 0) {
        int last = read->list[seen - 1];
        if (!is_final(graph, last)) {
            return "intermediate read";
        }
        add_edge(graph, graph->writer[last], t);
    }
    /* Whoever appended next was missed; after an own append, that is in the order of appends. */
    if (own == 0 && seen < graph->longest_count[read->key]) {
        add_edge(graph, t, graph->writer[graph->longest[read->key][seen]]);
    }
    return NULL;
}

static const char *check_reads(struct graph *graph) {
    for (int t = 0; t < graph->history->txn_count; t++) {
        const struct graph_txn *txn = &graph->history->txns[t];
        for (int i = 0; txn->is_committed && i < txn->op_count; i++) {
            if (!txn->ops[i].is_append && txn->ops[i].list_count > 0) {
                const char *wrong = check_read(graph, t, i);
                if (wrong != NULL) {
                    return wrong;
                }
            } else if (!txn->ops[i].is_append && graph->longest_count[txn->ops[i].key] > 0) {
                if (own_suffix(txn, i) < 0) {
                    return "own append not seen";
                }
                add_edge(graph, t, graph->writer[graph->longest[txn->ops[i].key][0]]);
            }
        }
    }
    return NULL;
}

/* The longest list of a key holds every committed append of it, if the history ends with a read of
 * every key; and gives their order. */
static const char *check_appends(struct graph *graph) {
    const struct graph_history *history = graph->history;
    bool *is_listed = zeroed((size_t)history->value_count, sizeof *is_listed);
    const char *wrong = NULL;
    for (int key = 0; key < history->key_count; key++) {
        for (int i = 0; i < graph->longest_count[key]; i++) {
            is_listed[graph->longest[key][i]] = true;
            if (i > 0) {
                add_edge(graph, graph->writer[graph->longest[key][i - 1]],
                         graph->writer[graph->longest[key][i]]);
            }
        }
    }
    for (int v = 0; v < history->value_count; v++) {
        int writer = graph->writer[v];
        if (writer != NOBODY && history->txns[writer].is_committed && !is_listed[v]) {
            wrong = "lost append";
        }
    }
    free(is_listed);
    return wrong;
}

/* ---- real time ------------------------------------------------------------------------------- */

struct moment {
    int64_t ns;
    int txn;
    bool is_end;
};

static int compare_moments(const void *a, const void *b) {
    const struct moment *x = a;
    const struct moment *y = b;
    if (x->ns != y->ns) {
        return x->ns < y->ns ? -1 : 1;
    }
    return (int)x->is_end - (int)y->is_end; /* at the same moment: began before it ended */
}

/* A node for each end, in a row: whatever began after it comes after it, by way of the row. */
static void add_real_time(struct graph *graph) {
    int count = graph->history->txn_count;
    struct moment *moments = zeroed((size_t)count * 2, sizeof *moments);
    int used = 0;
    for (int t = 0; t < count; t++) {
        const struct graph_txn *txn = &graph->history->txns[t];
        if (txn->is_committed) {
            moments[used++] = (struct moment){txn->begin_ns, t, false};
            moments[used++] = (struct moment){txn->end_ns, t, true};
        }
    }
    qsort(moments, (size_t)used, sizeof *moments, compare_moments);
    int row = NOBODY;
    for (int i = 0; i < used; i++) {
        if (moments[i].is_end) {
            int next = graph->node_count++;
            add_edge(graph, row, next);
            add_edge(graph, moments[i].txn, next);
            row = next;
        } else {
            add_edge(graph, row, moments[i].txn);
        }
    }
    free(moments);
}

/* ---- cycles ---------------------------------------------------------------------------------- */

/* Take away nodes that nothing leads to until none is left; what stays is on or behind a cycle. */
static bool has_cycle(const struct graph *graph) {
    int nodes = graph->node_count;
    int *incoming = zeroed((size_t)nodes + 1, sizeof *incoming);
    int *first = zeroed((size_t)nodes + 2, sizeof *first);
    int *to = zeroed((size_t)graph->edge_count, sizeof *to);
    int *queue = zeroed((size_t)nodes, sizeof *queue);
    int taken = 0;
    int queued = 0;
    for (int i = 0; i < graph->edge_count; i++) {
        incoming[graph->edges[i].to]++;
        first[graph->edges[i].from + 2]++;
    }
    for (int n = 0; n < nodes; n++) {
        first[n + 1] += first[n];
    }
    for (int i = 0; i < graph->edge_count; i++) {
        to[first[graph->edges[i].from + 1]++] = graph->edges[i].to;
    }
    for (int n = 0; n < nodes; n++) {
        if (incoming[n] == 0) {
            queue[queued++] = n;
        }
    }
    while (taken < queued) {
        int n = queue[taken++];
        for (int i = first[n]; i < first[n + 1]; i++) {
            if (--incoming[to[i]] == 0) {
                queue[queued++] = to[i];
            }
        }
    }
    free(incoming);
    free(first);
    free(to);
    free(queue);
    return taken < nodes;
}

const char *graph_check(const struct graph_history *history) {
    struct graph graph = {.history = history, .node_count = history->txn_count};
    graph.writer = zeroed((size_t)history->value_count, sizeof *graph.writer);
    graph.writer_op = zeroed((size_t)history->value_count, sizeof *graph.writer_op);
    graph.longest = zeroed((size_t)history->key_count, sizeof *graph.longest);
    graph.longest_count = zeroed((size_t)history->key_count, sizeof *graph.longest_count);
    collect(&graph);
    const char *wrong = check_reads(&graph);
    if (wrong == NULL) {
        wrong = check_appends(&graph);
    }
    if (wrong == NULL && history->is_strict) {
        add_real_time(&graph);
    }
    if (wrong == NULL && has_cycle(&graph)) {
        wrong = "cycle";
    }
    free(graph.writer);
    free(graph.writer_op);
    free(graph.longest);
    free(graph.longest_count);
    free(graph.edges);
    return wrong;
}
