// SPDX-License-Identifier: Apache-2.0
// Settings as words: tables that say where a word's value goes, and the two places that words come
// from, a file of sections and the command line. The programs' options are tables of these.
//
//     # a comment                              ; another
//     [program]                                --word value
//     word = value
//     [thing name]                             --thing "name word=value …"
//     word = value
#ifndef KVR_COMMON_CONFIG_H
#define KVR_COMMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kvr_setting_form {
    KVR_SETTING_TEXT,   // char[]
    KVR_SETTING_U32,    // uint32_t
    KVR_SETTING_I64,    // int64_t
    KVR_SETTING_CHOICE, // an enum, by its names from 0 on
    KVR_SETTING_YES,    // bool, by two names
};

struct kvr_setting {
    const char *name;
    enum kvr_setting_form form;
    size_t at, size;     // of the value within its struct
    const char *choices; // of KVR_SETTING_CHOICE and KVR_SETTING_YES, separated by spaces
    int64_t most;        // of numbers
    int64_t least;
};

#define KVR_SETTING_AT(type, field) offsetof(struct type, field), sizeof(((struct type *)0)->field)

struct kvr_config_error {
    char *text;
    size_t size;
};

// Writes the reason and returns false.
bool kvr_config_fail(struct kvr_config_error *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Sets the word `name` of the struct `what`. words: a table that ends with a name NULL.
bool kvr_config_set(void *what, const struct kvr_setting *words, const char *name,
                    const char *value, struct kvr_config_error *e);

// Moves *at to the next word of a list, whose words are separated by blanks, and returns its length; 0: there
// is none.
//
//     for (const char *at = list; (n = kvr_config_word(&at)); at += n)
size_t kvr_config_word(const char **at);
bool kvr_config_lists(const char *list, const char *word);

// What a file or an item consists of: with `name` NULL the beginning of a section, else one of its
// words. `section` is the text between the brackets: "program" or "thing name".
typedef bool kvr_config_entry(void *ctx, const char *section, const char *name, const char *value,
                              struct kvr_config_error *e);

// Whether the section is of that kind, "thing" in the example above: then *name is what stands behind it, "" if nothing
// does.
bool kvr_config_is(const char *section, const char *kind, const char **name);

// All of a command line, flags of the form "--name value" or "--name=value". The file that --config names
// comes first, wherever that stands; then each flag, as a word of the section `program`, or, if its name
// is one of `kinds` (NULL at the end), as an item of that kind.
bool kvr_config_command_line(int argc, char **argv, const char *program, const char *const *kinds,
                             kvr_config_entry *entry, void *ctx, struct kvr_config_error *e);
// Whether --help or -h is among them.
bool kvr_config_help(int argc, char **argv);
// Whether --version is among them: then the program's name and version are printed.
bool kvr_config_version(int argc, char **argv, const char *program);

#endif
