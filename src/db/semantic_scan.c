/* semantic_scan.c - see semantic_scan.h. */
#include "db/semantic_scan.h"

/* Making the codes of a page takes as long as comparing so many pairs: 400 to 600 ns a delta of 384
 * floats, where a pair takes 50 to 150, as it comes from a cache or from memory. */
enum { PAIRS_OF_CODES = 8 * SEMANTIC_PAGE };
/* Of one dimension, in a page: fewer are compared as fast one by one. */
enum { CODED_LEAST = 64 };
/* Slots of a page: for fewer it is not worth making a query. */
enum { SLOTS_LEAST = 16 };

/* Slots [from, to) of a page. */
struct part {
    struct semantic_page *page;
    size_t from;
    size_t to;
};

void semantic_probe_init(struct semantic_probe *probe, const kh_delta *delta,
                         const kh_delta_thresholds *thresholds) {
    probe->delta = delta;
    probe->thresholds = thresholds;
    probe->has_query = false;
    probe->wants_codes = !delta->is_sparse;
    probe->credit = PAIRS_OF_CODES;
}

void semantic_probe_fini(struct semantic_probe *probe) {
    if (probe->has_query) delta_query_fini(&probe->query);
    probe->has_query = false;
}

/* ---- codes ----------------------------------------------------------------------------------- */

/* Of what the page has, whoever searches which part of it. NULL: too few, or no memory. */
static struct delta_set *make_codes(const struct semantic_page *page, size_t dimension) {
    const kh_delta *deltas[SEMANTIC_PAGE] = {NULL};
    size_t count = 0;
    for (size_t i = page->from; i < SEMANTIC_PAGE; i++) {
        const kh_delta *delta = page->items[i].delta;
        if (delta->is_sparse || delta->dimension != dimension) continue;
        deltas[i] = delta;
        count++;
    }
    struct delta_set *made = NULL;
    if (count < CODED_LEAST) return NULL;
    kh_status status = delta_set_create(page->mem, dimension, deltas, SEMANTIC_PAGE, &made, NULL);
    return status == KH_OK ? made : NULL;
}

/* The page is full, and so stays as it is. Whoever is first has made the codes of all. */
static const struct delta_set *add_codes(struct semantic_probe *probe, const struct part *part) {
    struct delta_set *there = NULL;
    probe->credit -= PAIRS_OF_CODES;
    struct delta_set *made = make_codes(part->page, probe->delta->dimension);
    if (made == NULL) {
        atomic_store_explicit(&part->page->compared, 0, memory_order_relaxed);
        return NULL;
    }
    if (atomic_compare_exchange_strong_explicit(&part->page->codes, &there, made,
                                                memory_order_acq_rel, memory_order_acquire))
        return made;
    delta_set_destroy(made);
    return there;
}

/* NULL: there are none. */
static const struct delta_set *codes_of(struct semantic_probe *probe, const struct part *part) {
    struct semantic_page *page = part->page;
    const struct delta_set *codes = atomic_load_explicit(&page->codes, memory_order_acquire);
    if (codes != NULL || part->to < SEMANTIC_PAGE) return codes;
    uint32_t slots = (uint32_t)(part->to - part->from);
    uint32_t before = atomic_fetch_add_explicit(&page->compared, slots, memory_order_relaxed);
    if (before >= PAIRS_OF_CODES && probe->credit >= PAIRS_OF_CODES) return add_codes(probe, part);
    probe->credit += slots;
    return NULL;
}

/* False: nobody is ruled out. */
static bool find_suspects(struct semantic_probe *probe, const struct part *part,
                          struct delta_suspects *suspects) {
    if (!probe->wants_codes || part->to - part->from < SLOTS_LEAST) return false;
    const struct delta_set *codes = codes_of(probe, part);
    if (codes == NULL) return false;
    if (!probe->has_query) {
        probe->has_query = delta_query_init(&probe->query, probe->delta, NULL) == KH_OK;
        probe->wants_codes = probe->has_query;
        if (!probe->has_query) return false;
    }
    delta_set_suspects(codes, &probe->query, part->from, part->to, probe->thresholds->opposite,
                       probe->thresholds->conflicting, suspects);
    return true;
}

/* ---- the scan -------------------------------------------------------------------------------- */

/* False: found stopped it. */
static bool compare(const struct semantic_probe *probe, const struct recent_delta *recent,
                    semantic_found_fn *found, void *context) {
    float similarity = 0;
    kh_delta_class kind =
        kh_delta_classify(probe->delta, recent->delta, probe->thresholds, &similarity);
    return !semantic_is_against(kind) || found(context, recent, kind, similarity);
}

static bool scan_suspects(const struct semantic_probe *probe, const struct part *part,
                          const struct delta_suspects *suspects, semantic_found_fn *found,
                          void *context) {
    for (size_t word = 0; word < SEMANTIC_PAGE / 64; word++) {
        for (uint64_t bits = suspects->bits[word]; bits != 0; bits &= bits - 1) {
            size_t slot = word * 64 + (size_t)__builtin_ctzll(bits);
            if (!compare(probe, &part->page->items[slot], found, context)) return false;
        }
    }
    return true;
}

static bool scan_part(struct semantic_probe *probe, const struct part *part,
                      semantic_found_fn *found, void *context) {
    struct delta_suspects suspects;
    if (find_suspects(probe, part, &suspects))
        return scan_suspects(probe, part, &suspects, found, context);
    for (size_t slot = part->from; slot < part->to; slot++)
        if (!compare(probe, &part->page->items[slot], found, context)) return false;
    return true;
}

bool semantic_scan(struct semantic_probe *probe, const struct semantic_run *run,
                   semantic_found_fn *found, void *context) {
    size_t index = 0;
    uint64_t next;
    for (uint64_t number = run->from; number < run->to; number = next) {
        uint64_t begin = number / SEMANTIC_PAGE * SEMANTIC_PAGE;
        next = begin + SEMANTIC_PAGE < run->to ? begin + SEMANTIC_PAGE : run->to;
        struct part part = {run->pages[index++], (size_t)(number - begin), (size_t)(next - begin)};
        if (!scan_part(probe, &part, found, context)) return false;
    }
    return true;
}
