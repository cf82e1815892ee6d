// SPDX-License-Identifier: Apache-2.0
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINE = 2048, MAX_SECTION = 600 };

bool kvr_config_fail(struct kvr_config_error *e, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(e->text, e->size, format, args);
    va_end(args);
    return false;
}

// ---- Lists ---------------------------------------------------------------------------------------

size_t kvr_config_word(const char **at) {
    *at += strspn(*at, " \t");
    return strcspn(*at, " \t");
}

bool kvr_config_lists(const char *list, const char *word) {
    size_t n, size = strlen(word);
    for (const char *at = list; (n = kvr_config_word(&at)); at += n)
        if (n == size && !memcmp(at, word, n)) return true;
    return false;
}

// ---- Words that aren't there ---------------------------------------------------------------------

enum { MAX_NAME = 64, MAX_TYPOS = 2 };

// How many letters must be added, taken away or changed to make one of the other; each shorter than MAX_NAME.
static size_t distance(const char *a, const char *b) {
    size_t row[MAX_NAME + 1], n = strlen(b);
    for (size_t k = 0; k <= n; k++)
        row[k] = k;
    for (size_t i = 0; a[i]; i++) {
        size_t corner = row[0]; // of the row before
        row[0] = i + 1;
        for (size_t k = 0; k < n; k++) {
            size_t least = corner + (a[i] != b[k]);
            corner = row[k + 1];
            if (least > corner + 1) least = corner + 1;
            if (least > row[k] + 1) least = row[k] + 1;
            row[k + 1] = least;
        }
    }
    return row[n];
}

static bool no_setting(const struct kvr_setting *words, const char *name,
                       struct kvr_config_error *e) {
    const char *nearest = NULL;
    size_t least = MAX_TYPOS + 1;
    for (const struct kvr_setting *w = words; w->name && strlen(name) < MAX_NAME; w++) {
        size_t d = strlen(w->name) < MAX_NAME ? distance(name, w->name) : least;
        if (d >= least) continue;
        least = d;
        nearest = w->name;
    }
    if (nearest) return kvr_config_fail(e, "no setting %.60s: is %s meant?", name, nearest);
    return kvr_config_fail(e, "no setting %.60s: --help lists them", name);
}

// ---- One word ------------------------------------------------------------------------------------

static int choice_of(const char *choices, const char *value) {
    size_t n, size = strlen(value);
    int i = 0;
    for (const char *at = choices; (n = kvr_config_word(&at)); at += n, i++)
        if (n == size && !memcmp(at, value, n)) return i;
    return -1;
}

static bool set_number(const struct kvr_setting *w, char *at, const char *value,
                       struct kvr_config_error *e) {
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    bool digits = isdigit((unsigned char)*value) || *value == '-', good = digits && !*end && !errno;
    if (digits && *end)
        return kvr_config_fail(e, "%s takes a number without a unit: --help says in which",
                               w->name);
    if (!good || number < w->least || number > w->most)
        return kvr_config_fail(e, "%s takes a number from %lld to %lld", w->name,
                               (long long)w->least, (long long)w->most);
    uint32_t narrow = (uint32_t)number;
    int64_t wide = number;
    if (w->form == KVR_SETTING_U32)
        memcpy(at, &narrow, sizeof narrow);
    else
        memcpy(at, &wide, sizeof wide);
    return true;
}

bool kvr_config_set(void *what, const struct kvr_setting *words, const char *name,
                    const char *value, struct kvr_config_error *e) {
    const struct kvr_setting *w = words;
    while (w->name && strcmp(w->name, name) != 0)
        w++;
    if (!w->name) return no_setting(words, name, e);
    char *at = (char *)what + w->at;
    if (w->form == KVR_SETTING_TEXT) {
        if (strlen(value) >= w->size) return kvr_config_fail(e, "%s is too long", name);
        memcpy(at, value, strlen(value) + 1);
        return true;
    }
    if (w->form == KVR_SETTING_U32 || w->form == KVR_SETTING_I64)
        return set_number(w, at, value, e);
    int choice = choice_of(w->choices, value);
    bool yes = choice > 0;
    if (choice < 0) return kvr_config_fail(e, "%s takes one of: %s", name, w->choices);
    if (w->form == KVR_SETTING_YES)
        memcpy(at, &yes, sizeof yes);
    else
        memcpy(at, &choice, sizeof choice);
    return true;
}

// ---- The file ------------------------------------------------------------------------------------

static char *trim(char *s) {
    while (isspace((unsigned char)*s))
        s++;
    size_t n = strlen(s);
    while (n && isspace((unsigned char)s[n - 1]))
        s[--n] = 0;
    return s;
}

// The text of "[…]" without the brackets, or NULL.
static char *section_of(char *line) {
    size_t n = strlen(line);
    if (n < 2 || line[0] != '[' || line[n - 1] != ']') return NULL;
    line[n - 1] = 0;
    return trim(line + 1);
}

static bool read_line(char section[MAX_SECTION], char *line, kvr_config_entry *entry, void *ctx,
                      struct kvr_config_error *e) {
    char *text, *equals;
    if (!*line || *line == '#' || *line == ';') return true;
    if ((text = section_of(line))) {
        if (strlen(text) >= MAX_SECTION)
            return kvr_config_fail(e, "the section's name is too long");
        memcpy(section, text, strlen(text) + 1);
        return entry(ctx, section, NULL, NULL, e);
    }
    if (!(equals = strchr(line, '=')))
        return kvr_config_fail(e, "neither [section] nor word = value");
    if (!*section) return kvr_config_fail(e, "a word before any [section]");
    *equals = 0;
    return entry(ctx, section, trim(line), trim(equals + 1), e);
}

static bool read_file(const char *path, kvr_config_entry *entry, void *ctx,
                      struct kvr_config_error *e) {
    char line[MAX_LINE], section[MAX_SECTION] = "", reason[200];
    FILE *f = fopen(path, "r");
    if (!f) return kvr_config_fail(e, "%.200s: %s", path, strerror(errno));
    bool good = true;
    for (int number = 1; good && fgets(line, sizeof line, f); number++) {
        struct kvr_config_error inner = {reason, sizeof reason};
        good = strlen(line) < sizeof line - 1 ? read_line(section, trim(line), entry, ctx, &inner)
                                              : kvr_config_fail(&inner, "the line is too long");
        if (!good) kvr_config_fail(e, "%.200s:%d: %s", path, number, reason);
    }
    if (good && ferror(f)) good = kvr_config_fail(e, "%.200s: %s", path, strerror(errno));
    fclose(f);
    return good;
}

bool kvr_config_is(const char *section, const char *kind, const char **name) {
    size_t n = strlen(kind);
    if (strncmp(section, kind, n) != 0 || (section[n] && !strchr(" \t", section[n]))) return false;
    *name = section + n + strspn(section + n, " \t");
    return true;
}

// "name word=value …", as the section "kind name".
static bool read_item(const char *kind, const char *text, kvr_config_entry *entry, void *ctx,
                      struct kvr_config_error *e) {
    char copy[MAX_LINE], section[MAX_SECTION], *rest = NULL;
    if (strlen(text) >= sizeof copy) return kvr_config_fail(e, "--%s: too long", kind);
    memcpy(copy, text, strlen(text) + 1);
    char *name = strtok_r(copy, " \t", &rest);
    int n = snprintf(section, sizeof section, "%s %s", kind, name ? name : "");
    if (n < 0 || (size_t)n >= sizeof section)
        return kvr_config_fail(e, "--%s: too long a name", kind);
    if (!entry(ctx, section, NULL, NULL, e)) return false;
    for (char *w; (w = strtok_r(NULL, " \t", &rest));) {
        char *equals = strchr(w, '=');
        if (!equals) return kvr_config_fail(e, "--%s: %.60s is no WORD=VALUE", kind, w);
        *equals = 0;
        if (!entry(ctx, section, w, equals + 1, e)) return false;
    }
    return true;
}

// ---- The command line ----------------------------------------------------------------------------

enum { MAX_FLAG = 64 };

// The next flag, from argv[*at] on. 1: there it is, 0: there are no more, -1: with a reason.
static int next_flag(int argc, char **argv, int *at, char name[MAX_FLAG], const char **value,
                     struct kvr_config_error *e) {
    if (*at >= argc) return 0;
    const char *flag = argv[*at];
    size_t n = strcspn(flag, "=");
    if (strncmp(flag, "--", 2) != 0 || n - 2 >= MAX_FLAG) {
        kvr_config_fail(e, "%.60s is no flag: --help lists them", flag);
        return -1;
    }
    memcpy(name, flag + 2, n - 2);
    name[n - 2] = 0;
    *value = flag[n] ? flag + n + 1 : argv[*at + 1];
    *at += flag[n] ? 1 : 2;
    if (*value) return 1;
    kvr_config_fail(e, "--%s needs a value", name);
    return -1;
}

static bool is_kind(const char *const *kinds, const char *name) {
    while (*kinds && strcmp(*kinds, name) != 0)
        kinds++;
    return *kinds != NULL;
}

bool kvr_config_command_line(int argc, char **argv, const char *program, const char *const *kinds,
                             kvr_config_entry *entry, void *ctx, struct kvr_config_error *e) {
    char name[MAX_FLAG];
    const char *value;
    for (int files = 1; files >= 0; files--) {
        int more;
        for (int i = 1; (more = next_flag(argc, argv, &i, name, &value, e)) > 0;) {
            bool is_file = strcmp(name, "config") == 0, good = true;
            if (is_file != files) continue;
            if (is_file)
                good = read_file(value, entry, ctx, e);
            else if (is_kind(kinds, name))
                good = read_item(name, value, entry, ctx, e);
            else
                good = entry(ctx, program, name, value, e);
            if (!good) return false;
        }
        if (more < 0) return false;
    }
    return true;
}

static bool is_among(int argc, char **argv, const char *word) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], word) == 0) return true;
    return false;
}

bool kvr_config_help(int argc, char **argv) {
    return is_among(argc, argv, "--help") || is_among(argc, argv, "-h");
}

bool kvr_config_version(int argc, char **argv, const char *program) {
    if (!is_among(argc, argv, "--version")) return false;
    printf("%s %s\n", program, KVROUTE_VERSION);
    return true;
}
