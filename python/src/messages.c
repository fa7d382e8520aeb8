/* messages.c - see messages.h. */
#include "messages.h"

#include <stdlib.h>
#include <string.h>

enum { MESSAGES_KEPT = 256, TEXT_BYTES = 320 };

struct messages {
    pthread_mutex_t lock;
    size_t first;
    size_t count;
    struct {
        kh_log_level level;
        char text[TEXT_BYTES];
    } kept[MESSAGES_KEPT];
};

struct messages *messages_new(void) {
    struct messages *messages = calloc(1, sizeof *messages);
    if (messages != NULL) pthread_mutex_init(&messages->lock, NULL);
    return messages;
}

void messages_free(struct messages *messages) {
    if (messages == NULL) return;
    pthread_mutex_destroy(&messages->lock);
    free(messages);
}

void messages_say(void *context, kh_log_level level, const char *text) {
    struct messages *messages = context;
    pthread_mutex_lock(&messages->lock);
    size_t at = (messages->first + messages->count) % MESSAGES_KEPT;
    messages->kept[at].level = level;
    strncpy(messages->kept[at].text, text, TEXT_BYTES - 1);
    if (messages->count < MESSAGES_KEPT) {
        messages->count++;
    } else {
        messages->first = (messages->first + 1) % MESSAGES_KEPT;
    }
    pthread_mutex_unlock(&messages->lock);
}

static bool take_one(struct messages *messages, kh_log_level *level, char *text) {
    pthread_mutex_lock(&messages->lock);
    bool is_there = messages->count > 0;
    if (is_there) {
        *level = messages->kept[messages->first].level;
        memcpy(text, messages->kept[messages->first].text, TEXT_BYTES);
        messages->first = (messages->first + 1) % MESSAGES_KEPT;
        messages->count--;
    }
    pthread_mutex_unlock(&messages->lock);
    return is_there;
}

PyObject *messages_take(struct messages *messages) {
    PyObject *list = PyList_New(0);
    kh_log_level level;
    char text[TEXT_BYTES];
    while (list != NULL && take_one(messages, &level, text)) {
        PyObject *words = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
        PyObject *pair = words == NULL ? NULL : Py_BuildValue("(iN)", (int)level, words);
        if (pair == NULL || PyList_Append(list, pair) < 0) Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    return list;
}
