// SPDX-License-Identifier: Apache-2.0
#include "top_text.h"

#include <stdio.h>
#include <string.h>

#include "client/common/utf8.h"

static const struct top_text unknown = {"-"};

// Three digits that matter, and a letter for the thousands.
static struct top_text scaled(double d, const char *const *units, size_t n) {
    struct top_text t;
    size_t i = 0;
    while (d >= 999.5 && i + 1 < n) {
        d /= 1000;
        i++;
    }
    int digits = (d < 99.95 && (i || d != (double)(int64_t)d)) ? 1 : 0;
    snprintf(t.s, sizeof t.s, "%.*f%s", digits, d, units[i]);
    return t;
}

struct top_text top_real_text(double d) {
    static const char *const units[] = {"", "k", "M", "G", "T", "P", "E"};
    return d < 0 || d != d ? unknown : scaled(d, units, sizeof units / sizeof *units);
}

struct top_text top_count_text(int64_t n) {
    return top_real_text((double)n);
}

struct top_text top_bytes_text(int64_t n) {
    static const char *const units[] = {" B", " kB", " MB", " GB", " TB", " PB", " EB"};
    return n < 0 ? unknown : scaled((double)n, units, sizeof units / sizeof *units);
}

struct top_text top_percent_text(double d) {
    struct top_text t;
    if (d < 0 || d != d) return unknown;
    snprintf(t.s, sizeof t.s, "%.*f%%", d < 0.9995 ? 1 : 0, 100 * d);
    return t;
}

struct top_text top_time_text(int64_t ms) {
    struct top_text t;
    if (ms < 0) return unknown;
    if (ms < 1000)
        snprintf(t.s, sizeof t.s, "%dms", (int)ms);
    else if (ms < 100000)
        snprintf(t.s, sizeof t.s, "%.1fs", (double)ms / 1000);
    else if (ms < 6000000)
        snprintf(t.s, sizeof t.s, "%lldm", (long long)(ms / 60000));
    else if (ms < 360000000)
        snprintf(t.s, sizeof t.s, "%lldh", (long long)(ms / 3600000));
    else
        snprintf(t.s, sizeof t.s, "%lldd", (long long)(ms / 86400000));
    return t;
}

const char *top_text_printable(struct kvr_arena *a, struct kvr_bytes b) {
    char *out = kvr_arena_take(a, 4 * b.n + 1), *to = out;
    if (!out) return NULL;
    for (size_t i = 0, n; i < b.n; i += n) {
        unsigned char c = (unsigned char)b.p[i];
        n = kvr_utf8_size(b.p + i, b.n - i);
        if (!n || c < 0x20 || c == 0x7f) {
            n = 1;
            to += snprintf(to, 5, "\\x%02x", c);
        } else {
            memcpy(to, b.p + i, n);
            to += n;
        }
    }
    *to = 0;
    return out;
}
