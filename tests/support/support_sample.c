// SPDX-License-Identifier: Apache-2.0
#include "support_sample.h"

#include <stdio.h>
#include <string.h>

#include "support_home.h"

enum { SAMPLE_LINE = 400 };

static FILE *open_sample(const char *file) {
    FILE *f = fopen(file, "r");
    if (!f) support_fail("no %s", file);
    return f;
}

// The length of the word in "#word = value"; 0: the line is none.
static size_t setting(const char *line) {
    size_t n = *line == '#' ? strspn(line + 1, "abcdefghijklmnopqrstuvwxyz_") : 0;
    return n && line[n + 1] == ' ' && line[n + 2] == '=' ? n : 0;
}

const char *support_sample(const char *file, bool set, const char *needed) {
    static char path[200];
    char line[SAMPLE_LINE];
    support_path(path, sizeof path, "sample.conf");
    FILE *from = open_sample(file), *to = fopen(path, "w");
    while (to && fgets(line, sizeof line, from)) {
        size_t n = setting(line);
        bool wanted = n && needed && strlen(needed) == n && !memcmp(line + 1, needed, n);
        bool shown = !strncmp(line, "#[", 2) || (n && (set || wanted));
        fputs(line + shown, to);
    }
    fclose(from);
    if (!to || fclose(to)) support_fail("%s can't be written", path);
    return path;
}

// In the sections of this kind; "": in the program's own, the one that isn't behind a #.
static bool has(const char *file, const char *kind, const char *word, size_t n) {
    char line[SAMPLE_LINE];
    FILE *f = open_sample(file);
    bool found = false, inside = false;
    while (!found && fgets(line, sizeof line, f)) {
        if (*line == '[') inside = !*kind;
        if (!strncmp(line, "#[", 2)) inside = *kind && !strncmp(line + 2, kind, strlen(kind));
        found = inside && setting(line) == n && !memcmp(line + 1, word, n);
    }
    fclose(f);
    return found;
}

// Of which kind of section the usage tells from this line on; NULL: it goes on as before.
static const char *kind_of(const char *line) {
    static const char *const kinds[][2] = {
        {"pool ", "pool "}, {"engine ", "engine "}, {"place ", "discover "}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strncmp(line, "Of each ", 8) && !strncmp(line + 8, kinds[i][0], strlen(kinds[i][0])))
            return kinds[i][1];
    return NULL;
}

const char *support_sample_lacks(const char *file, const char *usage) {
    static char word[40];
    const char *kind = "";
    for (const char *line = usage; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        if (kind_of(line)) kind = kind_of(line);
        size_t n = strncmp(line, "  ", 2) ? 0 : strspn(line + 2, "abcdefghijklmnopqrstuvwxyz_");
        if (!n || n >= sizeof word || line[2 + n] != ' ' || has(file, kind, line + 2, n)) continue;
        snprintf(word, sizeof word, "%.*s", (int)n, line + 2);
        return word;
    }
    return NULL;
}
