/* program.c as C++, word for word but for nullptr. */
#include <khonsu.h>
#include <stdio.h>
#include <string.h>

#define CHECK(call)                                                                                \
    if ((call) != KH_OK) return fprintf(stderr, "%s: %s\n", #call, error.message), 1

int main(void) {
    kh_error error = {""};
    kh_db *db = nullptr;
    kh_schema *schema = nullptr;
    kh_batch *row = nullptr;
    kh_txn *txn = nullptr;
    const kh_bytes key = {"people/1", 8};
    const char *names[] = {"id", "name"};
    const char *formats[] = {"!l", "u"};
    kh_scalar scalars[2];
    memset(scalars, 0, sizeof scalars);
    scalars[0].kind = KH_SCALAR_INT64;
    scalars[0].as.int64 = 1;
    scalars[1].kind = KH_SCALAR_BYTES;
    scalars[1].as.bytes.data = "Ada";
    scalars[1].as.bytes.size_bytes = 3;

    CHECK(kh_db_open(nullptr, &db, &error));
    CHECK(kh_schema_build(db, names, formats, 2, &schema, &error));
    CHECK(kh_batch_build(db, schema, scalars, 1, &row, &error));
    CHECK(kh_txn_begin(db, nullptr, &txn, &error));
    CHECK(kh_txn_put(txn, key, row, &error));
    CHECK(kh_txn_commit(txn, nullptr, &error));
    kh_txn_close(txn);
    kh_batch_release(row);

    kh_bytes name;
    CHECK(kh_txn_begin(db, nullptr, &txn, &error));
    CHECK(kh_txn_get(txn, key, &row, &error));
    CHECK(kh_batch_bytes(row, 1, 0, &name));
    printf("%.*s\n", (int)name.size_bytes, (const char *)name.data);
    kh_batch_release(row);
    kh_txn_close(txn);
    kh_schema_release(schema);
    CHECK(kh_db_close(db));
    return 0;
}
