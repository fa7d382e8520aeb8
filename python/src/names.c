/* names.c - the words for isolation levels, policies, syncs and validation. */
#include "core.h"

#include <string.h>

struct name {
    const char *word;
    int value;
};

static const struct name isolations[] = {{"read_committed", KH_READ_COMMITTED},
                                         {"repeatable_read", KH_REPEATABLE_READ},
                                         {"snapshot", KH_REPEATABLE_READ},
                                         {"serializable", KH_SERIALIZABLE},
                                         {NULL, 0}};
static const struct name policies[] = {{"fail", KH_FAIL},
                                       {"ignore", KH_IGNORE},
                                       {"replace", KH_REPLACE},
                                       {"append", KH_APPEND},
                                       {"merge", KH_MERGE},
                                       {"callback", KH_CALLBACK},
                                       {NULL, 0}};
static const struct name syncs[] = {
    {"full", KH_SYNC_FULL}, {"group", KH_SYNC_GROUP}, {"none", KH_SYNC_NONE}, {NULL, 0}};
static const struct name validations[] = {
    {"full", KH_VALIDATE_FULL}, {"structure", KH_VALIDATE_STRUCTURE}, {NULL, 0}};

static const struct name modes[] = {{"keys", KH_SEMANTIC_KEYS},
                                    {"guard", KH_SEMANTIC_GUARD},
                                    {"merge", KH_SEMANTIC_MERGE},
                                    {NULL, 0}};
static const struct name victims[] = {{"youngest", KH_VICTIM_YOUNGEST},
                                      {"oldest", KH_VICTIM_OLDEST},
                                      {"lowest_priority", KH_VICTIM_LOWEST_PRIORITY},
                                      {"most_locks", KH_VICTIM_MOST_LOCKS},
                                      {NULL, 0}};

/* NULL: the default, 0. */
static bool take(const struct name *names, const char *what, const char *word, int *out) {
    *out = 0;
    if (word == NULL) return true;
    for (const struct name *name = names; name->word != NULL; name++) {
        if (strcmp(name->word, word) != 0) continue;
        *out = name->value;
        return true;
    }
    char words[160] = "";
    for (const struct name *name = names; name->word != NULL; name++) {
        if (words[0] != '\0') strncat(words, ", ", sizeof words - strlen(words) - 1);
        strncat(words, name->word, sizeof words - strlen(words) - 1);
    }
    PyErr_Format(PyExc_ValueError, "%s is one of %s; not '%s'", what, words, word);
    return false;
}

static const char *give(const struct name *names, int value) {
    while (names->word != NULL && names->value != value) names++;
    return names->word;
}

bool isolation_take(const char *name, kh_isolation *out) {
    int value;
    bool is_known = take(isolations, "isolation", name, &value);
    *out = (kh_isolation)value;
    return is_known;
}

bool policy_take(const char *name, kh_policy *out) {
    int value;
    bool is_known = take(policies, "policy", name, &value);
    *out = (kh_policy)value;
    return is_known;
}

bool sync_take(const char *name, kh_sync *out) {
    int value;
    bool is_known = take(syncs, "sync", name, &value);
    *out = (kh_sync)value;
    return is_known;
}

bool validation_take(const char *name, kh_validation *out) {
    int value;
    bool is_known = take(validations, "validation", name, &value);
    *out = (kh_validation)value;
    return is_known;
}

bool mode_take(const char *name, kh_semantic_mode *out) {
    int value;
    bool is_known = take(modes, "mode", name, &value);
    *out = (kh_semantic_mode)value;
    return is_known;
}

bool victim_take(const char *name, kh_lock_victim *out) {
    int value;
    bool is_known = take(victims, "lock_victim", name, &value);
    *out = (kh_lock_victim)value;
    return is_known;
}

bool lock_wait_take(PyObject *object, kh_lock_wait *out) {
    *out = KH_LOCK_WAIT_DEFAULT;
    if (object == Py_None) return true;
    int does_wait = PyObject_IsTrue(object);
    *out = does_wait > 0 ? KH_LOCK_WAIT : KH_LOCK_REFUSE;
    return does_wait >= 0;
}

static bool refuse(const struct two *two) {
    PyErr_SetString(PyExc_TypeError, two->usage);
    return false;
}

bool two_take(const struct two *two, PyObject *const *args, Py_ssize_t count, PyObject *keywords,
              PyObject *out[2]) {
    Py_ssize_t named = keywords == NULL ? 0 : PyTuple_Size(keywords);
    PyObject *found[2] = {NULL, NULL};
    if (count + named > (two->names[1] == NULL ? 1 : 2)) return refuse(two);
    for (Py_ssize_t i = 0; i < count; i++) found[i] = args[i];
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *word = PyTuple_GetItem(keywords, i);
        int at = 0;
        while (at < 2 && (two->names[at] == NULL ||
                          PyUnicode_CompareWithASCIIString(word, two->names[at]) != 0))
            at++;
        if (at == 2 || found[at] != NULL) return refuse(two);
        found[at] = args[count + i];
    }
    for (Py_ssize_t i = 0; i < two->least; i++)
        if (found[i] == NULL) return refuse(two);
    for (int i = 0; i < 2; i++)
        if (found[i] != NULL) out[i] = found[i];
    return true;
}

const char *isolation_name(kh_isolation isolation) {
    return give(isolations, (int)isolation);
}

const char *policy_name(kh_policy policy) {
    return give(policies, (int)policy);
}

const char *mode_name(kh_semantic_mode mode) {
    return give(modes, (int)mode);
}
