/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tasks: counts the words of a text, a task a piece and a task that adds up what they return.
 *
 *     cc -shared -fPIC -DTASKS -o words.so words.c
 *     cc -o words words.c $(pkg-config --cflags --libs mobula)
 *     ./words ./words.so FILE
 */

#include <ctype.h>
#include <errno.h>
#include <mobula.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef TASKS

MobulaTaskFn count_words, add_up;

int count_words(MobulaCall *call) {
    size_t size;
    const char *text = mobula_arg(call, 0, &size);
    if (!text)
        return mobula_fail(call, -EINVAL, "count_words(text) got no text");
    uint64_t words = 0;
    for (size_t i = 0; i < size; i++)
        words +=
            !isspace((unsigned char)text[i]) && (i == 0 || isspace((unsigned char)text[i - 1]));
    return mobula_return(call, 0, &words, sizeof(words));
}

int add_up(MobulaCall *call) {
    uint64_t sum = 0;
    for (size_t i = 0; i < mobula_args(call); i++) {
        size_t size;
        uint64_t words;
        const void *data = mobula_arg(call, i, &size);
        if (size != sizeof(words))
            return mobula_fail(call, -EINVAL, "argument %zu has %zu bytes, not 8", i, size);
        memcpy(&words, data, sizeof(words));
        sum += words;
    }
    return mobula_return(call, 0, &sum, sizeof(sum));
}

#else

enum {
    PIECES_MAX = 64
};

static void check(int r, const char *what) {
    if (r == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, r < 0 ? mobula_error_text(r) : "it took too long");
    exit(1);
}

static char *read_file(const char *path, size_t *ret_size) {
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    long size = -1;
    if (file && fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= 0)
        text = malloc((size_t)size + 1);
    if (!text || fseek(file, 0, SEEK_SET) != 0 ||
        fread(text, 1, (size_t)size, file) != (size_t)size) {
        perror(path);
        exit(1);
    }
    fclose(file);
    *ret_size = (size_t)size;
    return text;
}

/* The end of the piece that begins at `at`: a word is not cut in two. */
static size_t piece_end(const char *text, size_t size, size_t at) {
    size_t end = at + size / PIECES_MAX + 1;
    while (end < size && !isspace((unsigned char)text[end]))
        end++;
    return end < size ? end : size;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: words LIBRARY FILE\n");
        return 2;
    }
    Mobula *mobula;
    MobulaLibrary *library;
    MobulaFunction *count, *add;
    check(mobula_connect(NULL, &mobula), "connect");
    check(mobula_library_open(mobula, argv[1], &library), "open the library");
    check(mobula_function_new(library, "count_words", NULL, &count), "count_words");
    check(mobula_function_new(library, "add_up", NULL, &add), "add_up");

    size_t size, pieces = 0;
    char *text = read_file(argv[2], &size);
    MobulaRef *counts[PIECES_MAX], *sum;
    MobulaArg all[PIECES_MAX] = { { 0 } };
    for (size_t at = 0, end; at < size; at = end, pieces++) {
        end = piece_end(text, size, at);
        MobulaArg piece = { .data = text + at, .size = end - at };
        check(mobula_submit(count, &piece, 1, &counts[pieces]), "call count_words");
        all[pieces].ref = counts[pieces];
    }
    check(mobula_submit(add, all, pieces, &sum), "call add_up");

    MobulaValue value;
    check(mobula_get(mobula, &sum, 1, 60 * 1000000, &value), "get the sum");
    if (value.error) {
        fprintf(stderr, "%s\n", value.error);
        return 1;
    }
    uint64_t words;
    memcpy(&words, value.data, sizeof(words));
    printf("%llu words in %zu pieces\n", (unsigned long long)words, pieces);

    mobula_value_release(&value);
    mobula_ref_drop(sum);
    for (size_t i = 0; i < pieces; i++)
        mobula_ref_drop(counts[i]);
    mobula_function_free(count);
    mobula_function_free(add);
    mobula_library_close(library);
    mobula_disconnect(mobula);
    free(text);
    return 0;
}

#endif
