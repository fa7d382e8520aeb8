/* messages.h - what a database says, kept until Python asks: its threads must not wait for the
 * interpreter. The oldest go when there are more than a few hundred. */
#ifndef KHONSU_PYTHON_MESSAGES_H
#define KHONSU_PYTHON_MESSAGES_H

#include "core.h"

struct messages;
struct messages *messages_new(void);
void messages_free(struct messages *messages);
/* kh_message_fn. */
void messages_say(void *context, kh_log_level level, const char *text);
/* A list of (level, text); they are taken out. */
PyObject *messages_take(struct messages *messages);

#endif
