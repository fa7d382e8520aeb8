/* schema.h - interned schemas: equal schemas of one memory context are one object, so that a
 * comparison is a pointer compare and the plan of a schema is compiled once.
 *
 * A database's schemas live as long as its memory context (which its batches keep alive, so that a
 * batch need not count references of its schema: no shared counter on the hot path). The process
 * context's schemas are counted, by handles and by batches. */
#ifndef KHONSU_BATCH_SCHEMA_H
#define KHONSU_BATCH_SCHEMA_H

#include "base/mem.h"
#include "khonsu/batch.h"

struct schema_table; /* one per memory context; thread-safe; lives in mem_own_alloc memory */

/* The table of a database's context; it goes with the context (mem_at_end). NULL: no memory. */
struct schema_table *schema_table_create(struct mem *mem);
struct schema_table *schema_table_process(void);

/* How the buffers of a field lie in memory. The layout and the bit width say all that copying,
 * comparing and encoding need; the logical type is in format. */
enum layout {
    LAYOUT_NULL,         /* "n": no buffers */
    LAYOUT_FIXED,        /* validity, values of `bits` bits (1 for booleans) */
    LAYOUT_VAR32,        /* validity, int32 offsets, bytes: "u" "z" */
    LAYOUT_VAR64,        /* validity, int64 offsets, bytes: "U" "Z" */
    LAYOUT_VIEW,         /* validity, 16-byte views, data buffers, their sizes: "vu" "vz" */
    LAYOUT_LIST32,       /* validity, int32 offsets; one child: "+l" "+m" */
    LAYOUT_LIST64,       /* "+L" */
    LAYOUT_LISTVIEW32,   /* validity, int32 offsets, int32 sizes: "+vl" */
    LAYOUT_LISTVIEW64,   /* "+vL" */
    LAYOUT_FIXED_LIST,   /* validity; one child of list_size elements a slot: "+w:N" */
    LAYOUT_STRUCT,       /* validity; children: "+s" */
    LAYOUT_SPARSE_UNION, /* type ids; children: "+us:..." */
    LAYOUT_DENSE_UNION,  /* type ids, int32 offsets; children: "+ud:..." */
    LAYOUT_RUN_END       /* no buffers; children run_ends and values: "+r" */
};

/* What a cell of a flat field reads as. */
enum value_class {
    VALUE_NONE,    /* null, nested, union, run-end encoded, dictionary */
    VALUE_INTEGER, /* integers, booleans, dates, times, timestamps, durations */
    VALUE_FLOAT,   /* half, float, double */
    VALUE_BYTES,   /* utf8 and binary, their large and view forms */
    VALUE_RAW      /* fixed-size binary, decimals, intervals: `bits` / 8 bytes */
};

/* A field of a schema, compiled. Immutable, lives as long as its schema. A dictionary field has the
 * layout of its index type, and `dictionary` set. */
struct field {
    const char *name;     /* UTF-8; "" when absent */
    const char *format;   /* Arrow C notation */
    const char *metadata; /* as the C Data Interface encodes it, or NULL */
    int64_t metadata_bytes;
    int64_t flags; /* ARROW_FLAG_* */
    enum layout layout;
    enum value_class value_class;
    int32_t bits;                    /* FIXED: width of a value; 0 for "w:0" */
    int32_t list_size;               /* FIXED_LIST */
    int32_t precision;               /* digits of a decimal; 0: it is none */
    bool is_utf8;                    /* VAR, VIEW: the bytes must be UTF-8 */
    bool is_signed;                  /* FIXED integers, times and decimals: two's complement */
    bool is_map;                     /* LIST32 that is a map: entries and keys are never null */
    int8_t union_code_to_child[128]; /* unions: -1 where no child has the type id */
    int32_t child_count;
    struct field *children;
    struct field *dictionary; /* type of the dictionary's values, or NULL */
};

/* The root: a struct field whose children are the columns. Its name is "" and its flags are 0
 * whatever was imported: they mean nothing for a record batch. */
const struct field *schema_root(const kh_schema *schema);

struct mem *schema_mem(const kh_schema *schema);

/* A reference of the engine's own (a batch's, say): counted in the process' table, nothing in a
 * database's, whose schemas live as long as the context. Handles of the public interface also keep
 * the context alive: kh_schema_retain and kh_schema_release. */
void schema_hold(const kh_schema *schema);
void schema_drop(const kh_schema *schema);

/* The equal schema of table's context: schema itself, or its twin there, made if need be; with a
 * reference for schema_drop. */
kh_status schema_intern(struct schema_table *table, const kh_schema *schema, const kh_schema **out,
                        kh_error *error);

/* Small number of this schema in its table (dense, in order of interning), for records. */
uint32_t schema_number(const kh_schema *schema);

#endif
