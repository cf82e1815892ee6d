// SPDX-License-Identifier: Apache-2.0
// Settings as words: tables that say where a word's value goes, and the two places that words come
// from, a file of sections and the command line. The programs' options are tables of these.
//
//     # a comment                              ; another
//     [program]                                --word value
//     word = value
//     [thing name]                             --thing "name word=value …"
//     word = value
#ifndef COMMON_WORDS_H
#define COMMON_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum word_form {
    WORD_TEXT,   // char[]
    WORD_U32,    // uint32_t
    WORD_I64,    // int64_t
    WORD_CHOICE, // an enum, by its names from 0 on
    WORD_YES,    // bool, by two names
};

struct word {
    const char *name;
    enum word_form form;
    size_t at, size;     // of the value within its struct
    const char *choices; // of WORD_CHOICE and WORD_YES, separated by spaces
    int64_t most;        // of numbers
    int64_t least;
};

#define WORD_AT(type, field) offsetof(struct type, field), sizeof(((struct type *)0)->field)

struct words_error {
    char *text;
    size_t size;
};

// Writes the reason and returns false.
bool words_fail(struct words_error *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Sets the word `name` of the struct `what`.
bool words_set(void *what, const struct word *words, size_t n, const char *name, const char *value,
               struct words_error *e);

// What a file or an item consists of: with `name` NULL the beginning of a section, else one of its
// words. `section` is the text between the brackets: "program" or "thing name".
typedef bool words_entry(void *ctx, const char *section, const char *name, const char *value,
                         struct words_error *e);

bool words_file(const char *path, words_entry *entry, void *ctx, struct words_error *e);
// "name word=value …", as the section "kind name".
bool words_item(const char *kind, const char *text, words_entry *entry, void *ctx,
                struct words_error *e);

// All of a command line, flags of the form "--name value" or "--name=value". The file that --config names
// comes first, wherever that stands; then each flag, as a word of the section `program`, or, if its name
// is one of `kinds` (NULL at the end), as an item of that kind.
bool words_command_line(int argc, char **argv, const char *program, const char *const *kinds,
                        words_entry *entry, void *ctx, struct words_error *e);
// Whether --help or -h is among them.
bool words_help(int argc, char **argv);

#endif
