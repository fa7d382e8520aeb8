/* shim_mapping.c - files that are written through memory.
 *
 * Stores into a shared mapping cannot be seen. What a mapping shows is recorded as a write of all
 * of it when the program says that it counts (msync, or any sync of the file) and when it goes away
 * (munmap, the end of the process). Between these moments a power loss may keep any of the stores;
 * the states that are made from the trace know only the recorded ones. A note in the trace says
 * that such a mapping was made. */
#include "shim.h"

#include <stdarg.h>
#include <sys/mman.h>

NEXT(mmap)
NEXT(munmap)
NEXT(mremap)
NEXT(msync)

enum { MAPPINGS_MAX = 1024 };

struct mapping {
    unsigned char *address;
    size_t bytes;
    struct node node;
    uint64_t offset;
};

/* Under the trace's lock; the count is also read without, to see that there is nothing to do. */
static struct mapping mappings[MAPPINGS_MAX];
static _Atomic int mapping_count;

static void add(const struct mapping *mapping) {
    if (mapping->bytes == 0) return;
    if (mapping_count == MAPPINGS_MAX) shim_die("too many mappings");
    mappings[mapping_count++] = *mapping;
}

/* The part of a mapping that lies in a range of addresses; maybe of no bytes. */
static struct mapping within(const struct mapping *mapping, const void *from, size_t bytes) {
    uintptr_t first = (uintptr_t)mapping->address, last = first + mapping->bytes;
    uintptr_t low = (uintptr_t)from > first ? (uintptr_t)from : first;
    uintptr_t high = (uintptr_t)from + bytes < last ? (uintptr_t)from + bytes : last;
    struct mapping part = *mapping;
    part.bytes = high > low ? high - low : 0;
    if (part.bytes != 0) {
        part.address += low - first;
        part.offset += low - first;
    }
    return part;
}

static void record_part(const struct mapping *part) {
    struct record record = {.kind = KIND_MAPPED,
                            .device = part->node.device,
                            .inode = part->node.inode,
                            .offset = part->offset};
    if (part->bytes != 0) trace_append_memory(&record, part->address, part->bytes);
}

void mapping_record(const struct node *node) {
    for (int i = 0; i < mapping_count; i++) {
        const struct node *mapped = &mappings[i].node;
        if (node == NULL || (mapped->device == node->device && mapped->inode == node->inode))
            record_part(&mappings[i]);
    }
}

/* Record what lies in a range that is about to be unmapped. */
static void record_range(const void *from, size_t bytes) {
    for (int i = 0; i < mapping_count; i++) {
        struct mapping part = within(&mappings[i], from, bytes);
        record_part(&part);
    }
}

/* Forget a range; what is left of mappings before and behind it stays. */
static void forget_range(const void *from, size_t bytes) {
    int count = mapping_count;
    for (int i = count - 1; i >= 0; i--) {
        struct mapping whole = mappings[i];
        struct mapping part = within(&whole, from, bytes);
        if (part.bytes == 0) continue;
        mappings[i] = mappings[--mapping_count];
        struct mapping before = whole, behind = whole;
        before.bytes = (size_t)(part.address - whole.address);
        behind.bytes = whole.bytes - before.bytes - part.bytes;
        behind.address = part.address + part.bytes;
        behind.offset = part.offset + part.bytes;
        add(&before);
        add(&behind);
    }
}

/* A page is mapped as a whole. */
static size_t pages(size_t bytes) {
    return (bytes + 4095) & ~(size_t)4095;
}

SHIM_CALL void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset) {
    struct mapping mapping = {.bytes = pages(bytes), .offset = (uint64_t)offset};
    bool is_shared = (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;
    /* Protection may be changed later; to a descriptor for reading only it cannot. */
    bool is_followed = trace_is_on() && fd >= 0 && is_shared &&
                       (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR &&
                       place_of_fd(fd, &mapping.node) == INSIDE;
    bool may_replace = trace_is_on() && (flags & MAP_FIXED) != 0 && mapping_count != 0;
    if (!is_followed && !may_replace)
        return next_mmap()(address, bytes, protection, flags, fd, offset);
    struct hold hold = trace_hold();
    if (may_replace) record_range(address, pages(bytes));
    void *mapped = next_mmap()(address, bytes, protection, flags, fd, offset);
    hold.error = errno;
    if (mapped != MAP_FAILED && may_replace) forget_range(address, pages(bytes));
    if (mapped != MAP_FAILED && is_followed) {
        mapping.address = mapped;
        add(&mapping);
        trace_note("a shared mapping: stores into it are recorded at msync and the like only");
    }
    trace_release(&hold);
    return mapped;
}
SHIM_ALIAS(mmap)
void *mmap64(void *address, size_t bytes, int protection, int flags, int fd, off64_t offset);

SHIM_CALL int munmap(void *address, size_t bytes) {
    if (!trace_is_on() || mapping_count == 0) return next_munmap()(address, bytes);
    struct hold hold = trace_hold();
    record_range(address, pages(bytes));
    int result = next_munmap()(address, bytes);
    hold.error = errno;
    if (result == 0) forget_range(address, pages(bytes));
    trace_release(&hold);
    return result;
}

static struct mapping *find(const void *address) {
    for (int i = 0; i < mapping_count; i++)
        if (mappings[i].address == address) return &mappings[i];
    return NULL;
}

SHIM_CALL void *mremap(void *old, size_t old_bytes, size_t bytes, int flags, ...) {
    void *wanted = NULL;
    if ((flags & MREMAP_FIXED) != 0) {
        va_list arguments;
        va_start(arguments, flags);
        wanted = va_arg(arguments, void *);
        va_end(arguments);
    }
    if (!trace_is_on() || mapping_count == 0)
        return next_mremap()(old, old_bytes, bytes, flags, wanted);
    struct hold hold = trace_hold();
    record_range(old, pages(old_bytes));
    void *mapped = next_mremap()(old, old_bytes, bytes, flags, wanted);
    hold.error = errno;
    const struct mapping *found = mapped == MAP_FAILED ? NULL : find(old);
    if (found != NULL) {
        struct mapping moved = *found;
        moved.address = mapped;
        moved.bytes = pages(bytes);
        forget_range(old, pages(old_bytes));
        add(&moved);
    }
    trace_release(&hold);
    return mapped;
}

/* One record of the content and one sync for each mapping in the range; with only one file mapped
 * there, which is usual, one of each. Returns whether there are any, with their places. */
static int begin_syncs(const void *address, size_t bytes, struct record synced[MAPPINGS_MAX]) {
    int count = 0;
    for (int i = 0; i < mapping_count; i++) {
        struct mapping part = within(&mappings[i], address, pages(bytes));
        if (part.bytes == 0) continue;
        struct record record = {.kind = KIND_SYNC,
                                .flags = SYNC_DATA | SYNC_RANGE,
                                .device = part.node.device,
                                .inode = part.node.inode,
                                .offset = part.offset,
                                .length = part.bytes};
        synced[count] = record;
        synced[count].kind = KIND_SYNCED;
        synced[count++].offset = trace_append(&record, NULL, 0, NULL);
    }
    return count;
}

SHIM_CALL int msync(void *address, size_t bytes, int flags) {
    static struct record synced[MAPPINGS_MAX];
    if (!trace_is_on() || mapping_count == 0) return next_msync()(address, bytes, flags);
    /* Held to the end: the list of syncs under way is one for all threads. */
    struct hold hold = trace_hold();
    record_range(address, pages(bytes));
    int count = (flags & MS_SYNC) != 0 ? begin_syncs(address, bytes, synced) : 0;
    int result = next_msync()(address, bytes, flags);
    hold.error = errno;
    for (int i = 0; i < count && result == 0; i++) (void)trace_append(&synced[i], NULL, 0, NULL);
    trace_release(&hold);
    return result;
}
