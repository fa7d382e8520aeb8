/* numbers.c - see numbers.h.
 *
 * Byte by byte: what may stand in a number is taken into a word, what divides words ends it. Wrong
 * input is told with its line. The numbers are those of JSON; more (signs, a leading point) is
 * taken where its meaning is plain. Names of numbers ("nan", "inf") are words that are none. */
#include "numbers.h"

#include "complain.h"
#include "heap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { WORD_BYTES = 64 };

enum place {
    PLACE_BEGIN,   /* nothing was there */
    PLACE_NUMBER,  /* behind a number */
    PLACE_COMMA,   /* behind a comma */
    PLACE_BRACKET, /* behind [ */
    PLACE_END      /* behind ] */
};

struct parser {
    const char *path;
    struct numbers *out;
    size_t line;
    enum place place;
    bool is_array;
    char word[WORD_BYTES];
    size_t word_size;
};

static int wrong(const struct parser *parser, const char *what) {
    return complain(CLI_FAILED, "%s, line %zu: %s", parser->path, parser->line, what);
}

static int wrong_word(const struct parser *parser, const char *what) {
    return complain(CLI_FAILED, "%s, line %zu: '%s' %s", parser->path, parser->line, parser->word,
                    what);
}

static bool is_name_of_number(const char *word) {
    const char *at = word + strspn(word, "+-");
    return strncasecmp(at, "nan", 3) == 0 || strncasecmp(at, "inf", 3) == 0;
}

static int take_word(struct parser *parser) {
    char *end = NULL;
    parser->word[parser->word_size] = '\0';
    parser->word_size = 0;
    if (parser->place == PLACE_END) {
        return wrong_word(parser, "stands behind the array's end");
    }
    if (parser->is_array && parser->place == PLACE_NUMBER) {
        return wrong_word(parser, "needs a comma before it: this is an array");
    }
    if (is_name_of_number(parser->word)) {
        return wrong_word(parser, "is no value of an embedding: all must be finite");
    }
    float value = strtof(parser->word, &end);
    if (*end != '\0' || strspn(parser->word, "0123456789+-.eE") != strlen(parser->word)) {
        return wrong_word(parser, "is not a number");
    }
    if (!isfinite(value)) {
        return wrong_word(parser, "is beyond what 32 bits hold: all must be finite");
    }
    struct numbers *out = parser->out;
    if (out->count == NUMBERS_MAX) {
        return wrong(parser, "more than 65,536 numbers");
    }
    if ((out->count & (out->count - 1)) == 0) { /* 0 and the powers of two: double */
        out->values = heap_resize(out->values, out->count == 0 ? 1 : 2 * out->count, sizeof(float));
    }
    out->values[out->count++] = value;
    parser->place = PLACE_NUMBER;
    return CLI_OK;
}

static int take_mark(struct parser *parser, int mark) {
    if (mark == ',') {
        if (parser->place != PLACE_NUMBER) {
            return wrong(parser, "a comma without a number before it");
        }
        parser->place = PLACE_COMMA;
    } else if (mark == '[') {
        if (parser->place != PLACE_BEGIN) {
            return wrong(parser, "[ stands where no array may begin: one array, not nested");
        }
        parser->is_array = true;
        parser->place = PLACE_BRACKET;
    } else {
        if (!parser->is_array || parser->place == PLACE_END) {
            return wrong(parser, "] without an array");
        }
        if (parser->place == PLACE_COMMA) {
            return wrong(parser, "a comma without a number behind it");
        }
        parser->place = PLACE_END;
    }
    return CLI_OK;
}

static int take_byte(struct parser *parser, int byte) {
    bool is_mark = byte == ',' || byte == '[' || byte == ']';
    bool is_blank = byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
    if (!is_mark && !is_blank) {
        if (parser->word_size == WORD_BYTES - 1) {
            parser->word[parser->word_size] = '\0';
            return wrong_word(parser, "... is not a number");
        }
        parser->word[parser->word_size++] = (char)(byte == 0 ? '?' : byte);
        return CLI_OK;
    }
    int code = parser->word_size > 0 ? take_word(parser) : CLI_OK;
    if (code == CLI_OK && is_mark) {
        code = take_mark(parser, byte);
    }
    parser->line += byte == '\n' ? 1 : 0;
    return code;
}

static int take_end(struct parser *parser) {
    int code = parser->word_size > 0 ? take_word(parser) : CLI_OK;
    if (code != CLI_OK) {
        return code;
    }
    if (parser->is_array && parser->place != PLACE_END) {
        return wrong(parser, "the array does not end");
    }
    if (parser->place == PLACE_COMMA) {
        return wrong(parser, "a comma without a number behind it");
    }
    return parser->out->count > 0 ? CLI_OK
                                  : complain(CLI_FAILED, "%s holds no numbers", parser->path);
}

int numbers_read(const char *path, struct numbers *out) {
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *stream = is_stdin ? stdin : fopen(path, "rb");
    *out = (struct numbers){NULL, 0};
    if (stream == NULL) {
        return complain_errno("read", path);
    }
    struct parser parser = {.path = is_stdin ? "standard input" : path, .out = out, .line = 1};
    int code = CLI_OK;
    int byte = 0;
    while (code == CLI_OK && (byte = fgetc(stream)) != EOF) {
        code = take_byte(&parser, byte);
    }
    if (code == CLI_OK && ferror(stream)) {
        code = complain_errno("read", path);
    }
    if (code == CLI_OK) {
        code = take_end(&parser);
    }
    if (!is_stdin) {
        (void)fclose(stream);
    }
    if (code != CLI_OK) {
        numbers_free(out);
    }
    return code;
}

void numbers_free(struct numbers *numbers) {
    free(numbers->values);
    *numbers = (struct numbers){NULL, 0};
}
