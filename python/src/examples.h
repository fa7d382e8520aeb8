/* examples.h - what the docstrings of the extension show; python/tests/test_docstrings.py runs it.
 */
#ifndef KHONSU_PYTHON_EXAMPLES_H
#define KHONSU_PYTHON_EXAMPLES_H

#define OPENING_TXN                                                                                \
    "\n\n"                                                                                         \
    ">>> import khonsu\n"                                                                          \
    ">>> people = khonsu.Schema({\"id\": \"int64\", \"name\": \"utf8\"})\n"                        \
    ">>> with khonsu.open() as db, db.begin() as txn:\n"                                           \
    "...     txn[\"people\"] = people.rows([(1, \"Ada\"), (2, \"Edsger\")])\n"
#define OPENING_BATCH                                                                              \
    "\n\n"                                                                                         \
    ">>> import khonsu\n"                                                                          \
    ">>> people = khonsu.Schema({\"id\": \"int64\", \"name\": \"utf8\"})\n"                        \
    ">>> batch = people.rows([(1, \"Ada\"), (2, \"Edsger\")])\n"
#define OPENING_KEYS                                                                               \
    "\n\n"                                                                                         \
    ">>> import khonsu\n"                                                                          \
    ">>> n = khonsu.Schema({\"n\": \"int64\"})\n"                                                  \
    ">>> with khonsu.open() as db, db.begin() as txn:\n"                                           \
    "...     txn[\"a/1\"], txn[\"a/2\"], txn[\"b\"] = n.row(1), n.row(2), n.row(3)\n"
#define EXAMPLE_GET                                                                                \
    OPENING_TXN                                                                                    \
    "...     txn.get(\"people\").row()\n"                                                          \
    "...     txn.get(\"nobody\") is None, txn.get(\"nobody\", 7)\n"                                \
    "(1, 'Ada')\n"                                                                                 \
    "(True, 7)\n"
#define EXAMPLE_GET_MANY                                                                           \
    OPENING_KEYS                                                                                   \
    "...     [batch and batch.row() for batch in txn.get_many([\"b\", \"c\", \"a/1\"])]\n"         \
    "[(3,), None, (1,)]\n"
#define EXAMPLE_SCAN                                                                               \
    OPENING_KEYS                                                                                   \
    "...     [(key, batch.value(\"n\")) for key, batch in txn.scan(\"a/\")]\n"                     \
    "...     [key for key, batch in txn.scan(start=\"a/2\", reverse=True)]\n"                      \
    "[('a/1', 1), ('a/2', 2)]\n"                                                                   \
    "['b', 'a/2']\n"
#define EXAMPLE_KEYS_OF                                                                            \
    OPENING_KEYS                                                                                   \
    "...     list(txn.keys(\"a/\")), list(txn.keys(limit=1))\n"                                    \
    "(['a/1', 'a/2'], ['a/1'])\n"
#define EXAMPLE_TABLE                                                                              \
    OPENING_KEYS                                                                                   \
    "...     table = txn.table(\"a/\")\n"                                                          \
    ">>> table.num_rows, table.keys  # it outlives its transaction and its database\n"             \
    "(2, ['a/1', 'a/2'])\n"
#define EXAMPLE_PUT                                                                                \
    OPENING_TXN                                                                                    \
    "...     txn.put(\"people\", people.row(3, \"Barbara\"), policy=\"replace\")\n"                \
    "...     txn[\"people\"].row()\n"                                                              \
    "(3, 'Barbara')\n"
#define EXAMPLE_DELETE                                                                             \
    OPENING_TXN                                                                                    \
    "...     txn.delete(\"people\")\n"                                                             \
    "...     txn.delete(\"nobody\")\n"                                                             \
    "...     list(txn)\n"                                                                          \
    "[]\n"
#define EXAMPLE_DELETE_RANGE                                                                       \
    OPENING_KEYS                                                                                   \
    "...     txn.delete_range(\"a/\"), list(txn)\n"                                                \
    "(2, ['b'])\n"
#define EXAMPLE_INSERT_ROWS                                                                        \
    OPENING_TXN                                                                                    \
    "...     txn.insert_rows(\"people\", people.row(3, \"Barbara\"))\n"                            \
    "...     txn[\"people\"].num_rows\n"                                                           \
    "3\n"
#define EXAMPLE_UPSERT                                                                             \
    OPENING_TXN                                                                                    \
    "...     txn.upsert(\"people\", people.rows([(2, \"E. W.\"), (3, \"Barbara\")]))\n"            \
    "...     [txn[\"people\"].row(i) for i in range(3)]\n"                                         \
    "[(1, 'Ada'), (2, 'E. W.'), (3, 'Barbara')]\n"
#define EXAMPLE_PATCH                                                                              \
    "\n\n"                                                                                         \
    ">>> import khonsu\n"                                                                          \
    ">>> task = khonsu.Schema({\"id\": \"int64\", \"state\": \"utf8\", \"owner\": \"utf8\"})\n"    \
    ">>> state = khonsu.Schema({\"id\": \"int64\", \"state\": \"utf8\"})  # ids, and the columns " \
    "to change\n"                                                                                  \
    ">>> with khonsu.open() as db, db.begin() as txn:\n"                                           \
    "...     txn[\"tasks\"] = task.rows([(1, \"open\", \"ann\"), (2, \"open\", \"bob\")])\n"       \
    "...     txn.patch(\"tasks\", state.row(2, \"done\"))\n"                                       \
    "...     txn[\"tasks\"].row(1)\n"                                                              \
    "(2, 'done', 'bob')\n"
#define EXAMPLE_SWAP                                                                               \
    OPENING_TXN                                                                                    \
    "...     txn.compare_and_swap(\"people\", txn[\"people\"], people.row(3, \"Barbara\"))\n"      \
    "...     txn.compare_and_swap(\"people\", None, people.row(1, \"Ada\"))  # if it is absent\n"  \
    "True\n"                                                                                       \
    "False\n"
#define EXAMPLE_SAVEPOINT                                                                          \
    OPENING_TXN                                                                                    \
    "...     with txn.savepoint() as point:\n"                                                     \
    "...         del txn[\"people\"]\n"                                                            \
    "...         point.rollback()\n"                                                               \
    "...     list(txn)\n"                                                                          \
    "['people']\n"
#define EXAMPLE_VALUE                                                                              \
    OPENING_BATCH                                                                                  \
    ">>> batch.value(\"name\"), batch.value(\"name\", 1), batch.value(0, 1)\n"                     \
    "('Ada', 'Edsger', 2)\n"
#define EXAMPLE_BATCH_ROW                                                                          \
    OPENING_BATCH                                                                                  \
    ">>> batch.row(), batch.row(1)\n"                                                              \
    "((1, 'Ada'), (2, 'Edsger'))\n"
#define EXAMPLE_TAKE                                                                               \
    OPENING_BATCH                                                                                  \
    ">>> batch.take([1, 0, 1]).num_rows, batch.take([1]).row()\n"                                  \
    "(3, (2, 'Edsger'))\n"
#define EXAMPLE_SLICE                                                                              \
    OPENING_BATCH                                                                                  \
    ">>> batch.slice(1).row(), batch.slice(0, 1).num_rows\n"                                       \
    "((2, 'Edsger'), 1)\n"
#define EXAMPLE_CONCAT                                                                             \
    OPENING_BATCH                                                                                  \
    ">>> batch.concat(people.row(3, \"Barbara\")).num_rows\n"                                      \
    "3\n"
#define EXAMPLE_BATCH_UPSERT                                                                       \
    OPENING_BATCH                                                                                  \
    ">>> more = batch.upsert(people.rows([(2, \"E. W.\"), (3, \"Barbara\")]))\n"                   \
    ">>> more.row(1), more.num_rows, batch.row(1)  # what there was stays what it was\n"           \
    "((2, 'E. W.'), 3, (2, 'Edsger'))\n"
#define EXAMPLE_BATCH_PATCH                                                                        \
    OPENING_BATCH                                                                                  \
    ">>> batch.patch(people.row(1, \"Augusta\")).row(0)\n"                                         \
    "(1, 'Augusta')\n"
#define EXAMPLE_BATCH_DELETE                                                                       \
    OPENING_BATCH                                                                                  \
    ">>> batch.delete_rows(khonsu.Schema({\"id\": \"int64\"}).row(1)).row()\n"                     \
    "(2, 'Edsger')\n"
#define EXAMPLE_MERGE                                                                              \
    OPENING_BATCH                                                                                  \
    ">>> mine = batch.upsert(people.row(1, \"Augusta\"))\n"                                        \
    ">>> theirs = batch.upsert(people.row(3, \"Barbara\"))\n"                                      \
    ">>> both = batch.merge(mine, theirs)\n"                                                       \
    ">>> [both.row(i) for i in range(3)]\n"                                                        \
    "[(1, 'Augusta'), (2, 'Edsger'), (3, 'Barbara')]\n"
#define EXAMPLE_TO_IPC                                                                             \
    OPENING_BATCH                                                                                  \
    ">>> khonsu.from_ipc(batch.to_ipc())[0] == batch\n"                                            \
    "True\n"
#define EXAMPLE_SCHEMA                                                                             \
    "\n\n"                                                                                         \
    ">>> import khonsu\n"                                                                          \
    ">>> khonsu.Schema({\"id\": \"int64 not null\", \"name\": str, \"at\": \"timestamp[us, "       \
    "UTC]\"})\n"                                                                                   \
    "<khonsu.Schema: id int64 not null, name utf8, at timestamp[us, UTC]>\n"
#define EXAMPLE_SCHEMA_ROW                                                                         \
    "\n\n"                                                                                         \
    ">>> import khonsu\n"                                                                          \
    ">>> khonsu.Schema({\"id\": \"int64\", \"name\": \"utf8\"}).row(1, None).row()\n"              \
    "(1, None)\n"
#define EXAMPLE_SCHEMA_ROWS                                                                        \
    "\n\n"                                                                                         \
    ">>> import khonsu\n"                                                                          \
    ">>> people = khonsu.Schema({\"id\": \"int64\", \"name\": \"utf8\"})\n"                        \
    ">>> people.rows([(1, \"Ada\"), {\"id\": 2, \"name\": \"Edsger\"}, {\"id\": 3}]).row(2)\n"     \
    "(3, None)\n"
#endif
