/* semantic_list.c - see semantic_list.h.
 *
 * Invariant: while there is something in [first, end), exactly the pages with a number of it are in
 * `pages`. */
#include "db/semantic_list.h"

#include <string.h>

enum { FIRST_PAGES = 16 };

static uint32_t slot_of(uint64_t number) {
    return (uint32_t)(number % SEMANTIC_PAGE);
}

static struct semantic_page **page_of(const struct semantic_list *list, uint64_t number) {
    return &list->pages[number / SEMANTIC_PAGE & (list->page_capacity - 1)];
}

static bool is_empty(const struct semantic_list *list) {
    return list->first == list->end;
}

static uint64_t cost_of(const kh_delta *delta) {
    return delta->block_bytes + (delta->is_sparse ? 0 : delta_set_row_bytes(delta->dimension));
}

/* ---- pages ----------------------------------------------------------------------------------- */

static void release_below(struct semantic_page *page, uint32_t slot) {
    for (; page->from < slot; page->from++) kh_delta_release(page->items[page->from].delta);
}

static void empty_page(struct semantic_page *page) {
    release_below(page, page->to);
    delta_set_destroy(atomic_load_explicit(&page->codes, memory_order_relaxed));
}

static void free_page(struct semantic_page *page) {
    if (page != NULL) mem_own_free(page->mem, page, sizeof *page);
}

/* True: that was the last hold. */
static bool let_go(struct semantic_page *page) {
    return atomic_fetch_sub_explicit(&page->refs, 1, memory_order_acq_rel) == 1;
}

/* The list has nothing in it any more. */
static void drop_page(struct semantic_list *list, uint64_t number) {
    struct semantic_page **place = page_of(list, number);
    struct semantic_page *page = *place;
    *place = NULL;
    if (!let_go(page)) return;
    empty_page(page);
    if (list->spare != NULL)
        free_page(page);
    else
        list->spare = page;
}

static void drop_first(struct semantic_list *list) {
    uint64_t number = list->first++;
    struct semantic_page *page = *page_of(list, number);
    const struct recent_delta *oldest = &page->items[slot_of(number)];
    list->floor = oldest->commit;
    list->bytes -= cost_of(oldest->delta);
    if (slot_of(list->first) == 0 || is_empty(list))
        drop_page(list, number);
    else if (atomic_load_explicit(&page->refs, memory_order_acquire) == 1)
        release_below(page, slot_of(list->first));
}

/* ---- life ------------------------------------------------------------------------------------ */

void semantic_list_init(struct semantic_list *list, struct mem *mem, uint32_t count_max,
                        uint64_t bytes_max) {
    memset(list, 0, sizeof *list);
    list->mem = mem;
    list->count_max = count_max;
    list->bytes_max = bytes_max;
    lock_init(&list->lock, RANK_SEMANTIC);
}

static void free_places(struct semantic_list *list) {
    if (list->pages == NULL) return;
    mem_own_free(list->mem, list->pages, list->page_capacity * sizeof(struct semantic_page *));
}

void semantic_list_fini(struct semantic_list *list) {
    while (!is_empty(list)) drop_first(list);
    free_page(list->spare);
    free_places(list);
    lock_fini(&list->lock);
}

/* ---- adding ---------------------------------------------------------------------------------- */

/* Is there a place for the page of a number beside those that are there? */
static bool has_place(const struct semantic_list *list, uint64_t number) {
    uint64_t first = is_empty(list) ? list->next : list->first;
    return number / SEMANTIC_PAGE - first / SEMANTIC_PAGE < list->page_capacity;
}

static void grow_places(struct semantic_list *list) {
    size_t capacity = list->page_capacity == 0 ? FIRST_PAGES : list->page_capacity * 2;
    struct semantic_page **pages = mem_own_alloc(list->mem, capacity * sizeof *pages);
    if (pages == NULL) return;
    memset(pages, 0, capacity * sizeof *pages);
    for (uint64_t i = list->first; i < list->end; i += SEMANTIC_PAGE - slot_of(i))
        pages[i / SEMANTIC_PAGE & (capacity - 1)] = *page_of(list, i);
    free_places(list);
    list->pages = pages;
    list->page_capacity = capacity;
}

void semantic_list_reserve(struct semantic_list *list) {
    if (!has_place(list, list->next + SEMANTIC_PAGE)) grow_places(list);
    if (list->spare != NULL) return;
    list->spare = mem_own_alloc(list->mem, sizeof *list->spare);
    if (list->spare != NULL) list->spare->mem = list->mem;
}

static struct semantic_page *open_page(struct semantic_list *list) {
    struct semantic_page *page = list->spare;
    list->spare = NULL;
    page->from = page->to = slot_of(list->next);
    atomic_init(&page->refs, 1);
    atomic_init(&page->compared, 0);
    atomic_init(&page->codes, NULL);
    *page_of(list, list->next) = page;
    return page;
}

/* NULL: there is none, and nothing is left in the list. */
static struct semantic_page *page_for_next(struct semantic_list *list) {
    if (!is_empty(list) && slot_of(list->next) != 0) return *page_of(list, list->next);
    while (!is_empty(list) && (list->spare == NULL || !has_place(list, list->next)))
        drop_first(list);
    return list->spare != NULL && has_place(list, list->next) ? open_page(list) : NULL;
}

static bool is_full(const struct semantic_list *list, uint64_t size_bytes) {
    return list->end - list->first >= list->count_max || list->bytes + size_bytes > list->bytes_max;
}

void semantic_list_add(struct semantic_list *list, const struct recent_delta *recent) {
    uint64_t size_bytes = cost_of(recent->delta);
    /* Numbers that were taken back are not given again: whoever searches may look at them. */
    bool has_gap = list->next != list->end;
    while (!is_empty(list) && (has_gap || is_full(list, size_bytes))) drop_first(list);
    struct semantic_page *page = page_for_next(list);
    if (page == NULL) {
        list->floor = recent->commit;
        return;
    }
    if (is_empty(list)) list->first = list->next;
    struct recent_delta *item = &page->items[page->to++];
    *item = *recent;
    (void)kh_delta_retain(recent->delta);
    list->end = ++list->next;
    list->bytes += size_bytes;
}

void semantic_list_take_back(struct semantic_list *list, uint64_t commit) {
    while (!is_empty(list) && semantic_list_at(list, list->end - 1)->commit >= commit) {
        uint64_t number = --list->end;
        list->bytes -= cost_of((*page_of(list, number))->items[slot_of(number)].delta);
        if (slot_of(number) == 0 || is_empty(list)) drop_page(list, number);
    }
}

/* ---- looking --------------------------------------------------------------------------------- */

const struct recent_delta *semantic_list_at(const struct semantic_list *list, uint64_t number) {
    return &(*page_of(list, number))->items[slot_of(number)];
}

uint64_t semantic_list_above(const struct semantic_list *list, uint64_t timestamp) {
    uint64_t low = list->first;
    uint64_t high = list->end;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (semantic_list_at(list, middle)->commit > timestamp)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void semantic_list_pin(struct semantic_list *list, uint64_t from, struct semantic_run *run) {
    if (from < list->first) from = list->first;
    if (from > list->end) from = list->end;
    uint64_t most = (from / SEMANTIC_PAGE + SEMANTIC_RUN_PAGES) * SEMANTIC_PAGE;
    run->from = from;
    run->to = list->end < most ? list->end : most;
    size_t count = 0;
    for (uint64_t i = from; i < run->to; i += SEMANTIC_PAGE - slot_of(i)) {
        run->pages[count] = *page_of(list, i);
        atomic_fetch_add_explicit(&run->pages[count++]->refs, 1, memory_order_relaxed);
    }
}

void semantic_run_unpin(struct semantic_run *run) {
    size_t count = 0;
    for (uint64_t i = run->from; i < run->to; i += SEMANTIC_PAGE - slot_of(i)) {
        struct semantic_page *page = run->pages[count++];
        if (!let_go(page)) continue;
        empty_page(page);
        free_page(page);
    }
}
