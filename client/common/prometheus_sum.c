// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // memrchr
#include "prometheus_sum.h"

#include <inttypes.h>
#include <string.h>

#include "arena.h"
#include "table.h"

// A sample. Whole numbers stay whole ones, up to 64 bits; histograms' sums have six digits behind the point.
struct prom_series {
    struct kvr_table_item item; // by name and labels
    struct prom_series *next;   // of its family
    uint64_t whole;             // a gauge's in two's complement
    uint32_t micros;
    bool broken; // it is written with what is behind the point
};

struct prom_family {
    struct prom_family *next;
    struct kvr_bytes name; // a counter's without _total
    struct kvr_bytes help, type;
    enum kvr_prom_rule_kind kind;
    struct prom_series *first, **last;
};

// Pages of processes that do the same are alike: what comes next in one most often is what came next before.
struct kvr_prom_sum {
    struct kvr_arena arena;
    struct kvr_table series;
    const struct kvr_prom_rule *rules;
    struct prom_family *first, **last;
    struct prom_family *family; // that is being read
    struct prom_series *guess;  // what the next sample may be
};

static const char help_mark[] = "# HELP ", type_mark[] = "# TYPE ";

struct kvr_prom_sum *kvr_prom_sum_new(const struct kvr_alloc *a,
                                      const struct kvr_prom_rule *rules) {
    struct kvr_prom_sum *s = kvr_alloc_zeroed(a, sizeof *s);
    if (!s) return NULL;
    kvr_arena_init(&s->arena, a);
    s->rules = rules;
    s->last = &s->first;
    // Names in labels come from others, who don't know where this is.
    if (kvr_table_init(&s->series, a, (uint64_t)(uintptr_t)s) == 0) return s;
    kvr_alloc_free(a, s);
    return NULL;
}

void kvr_prom_sum_free(struct kvr_prom_sum *s) {
    if (!s) return;
    const struct kvr_alloc *a = s->arena.alloc;
    kvr_table_free(&s->series);
    kvr_arena_free(&s->arena);
    kvr_alloc_free(a, s);
}

// ---- Reading -------------------------------------------------------------------------------------

static bool same(struct kvr_bytes a, struct kvr_bytes b) {
    return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

// p NULL: no memory.
static struct kvr_bytes keep(struct kvr_prom_sum *s, struct kvr_bytes text) {
    char *p = kvr_arena_take(&s->arena, text.n + 1);
    if (p) memcpy(p, text.p, text.n);
    return (struct kvr_bytes){p, text.n};
}

static bool take_mark(struct kvr_bytes *line, const char *mark) {
    size_t n = strlen(mark);
    if (line->n < n || memcmp(line->p, mark, n) != 0) return false;
    line->p = (const char *)line->p + n;
    line->n -= n;
    return true;
}

// The text before the first blank; the rest is left.
static struct kvr_bytes take_word(struct kvr_bytes *line) {
    const char *p = line->p, *blank = line->n ? memchr(p, ' ', line->n) : NULL;
    size_t n = blank ? (size_t)(blank - p) : line->n, passed = blank ? n + 1 : n;
    *line = (struct kvr_bytes){p + passed, line->n - passed};
    return (struct kvr_bytes){p, n};
}

static struct kvr_bytes bare_name(struct kvr_bytes name) {
    static const char end[] = "_total";
    enum { END = sizeof end - 1 };
    if (name.n > END && !memcmp((const char *)name.p + name.n - END, end, END)) name.n -= END;
    return name;
}

static enum kvr_prom_rule_kind rule_of(const struct kvr_prom_sum *s, struct kvr_bytes name) {
    for (const struct kvr_prom_rule *r = s->rules; r->family; r++)
        if (strlen(r->family) == name.n && !memcmp(r->family, name.p, name.n)) return r->kind;
    return KVR_PROM_ADD;
}

// The help is what a family begins with.
static bool begin_family(struct kvr_prom_sum *s, struct kvr_bytes line) {
    struct kvr_bytes name = bare_name(take_word(&line));
    struct prom_family *f = s->family ? s->family->next : s->first;
    if (!f || !same(f->name, name))
        for (f = s->first; f && !same(f->name, name);)
            f = f->next;
    if (!f) {
        if (!(f = kvr_arena_take(&s->arena, sizeof *f))) return false;
        *f = (struct prom_family){.name = keep(s, name), .help = keep(s, line)};
        if (!f->name.p || !f->help.p) return false;
        f->last = &f->first;
        f->kind = rule_of(s, name);
        *s->last = f;
        s->last = &f->next;
    }
    s->family = f;
    s->guess = f->first;
    return true;
}

static bool set_type(struct kvr_prom_sum *s, struct kvr_bytes line) {
    take_word(&line);
    if (!s->family || s->family->type.p) return true;
    s->family->type = keep(s, line);
    return s->family->type.p != NULL;
}

// False: it isn't a number as prometheus.c writes one.
static bool read_value(const char *p, size_t n, struct prom_series *v) {
    bool minus = n && *p == '-';
    size_t i = minus;
    uint64_t whole = 0;
    for (; i < n && p[i] >= '0' && p[i] <= '9'; i++)
        whole = whole * 10 + (uint64_t)(p[i] - '0');
    if (i == (size_t)minus) return false;
    v->whole = minus ? 0 - whole : whole;
    v->micros = 0;
    v->broken = i < n && p[i] == '.';
    for (uint32_t unit = 100000; v->broken && ++i < n && p[i] >= '0' && p[i] <= '9'; unit /= 10)
        v->micros += unit * (uint32_t)(p[i] - '0');
    return i == n;
}

static void join(struct prom_series *to, const struct prom_series *v,
                 enum kvr_prom_rule_kind kind) {
    int64_t a = (int64_t)to->whole, b = (int64_t)v->whole;
    if (kind != KVR_PROM_ADD) {
        if (kind == KVR_PROM_MAX ? b > a : b < a) to->whole = v->whole;
        return;
    }
    to->broken |= v->broken;
    to->micros += v->micros;
    to->whole += v->whole + to->micros / 1000000;
    to->micros %= 1000000;
}

static bool add_sample(struct kvr_prom_sum *s, struct kvr_bytes line) {
    const char *p = line.p, *blank = memrchr(p, ' ', line.n);
    struct prom_series value, *one;
    if (!blank || !s->family || !read_value(blank + 1, (size_t)(p + line.n - blank - 1), &value))
        return true;
    struct kvr_bytes key = {p, (size_t)(blank - p)};
    one = s->guess && same(s->guess->item.key, key)
              ? s->guess
              : (struct prom_series *)kvr_table_find(&s->series, key);
    if (one) {
        join(one, &value, s->family->kind);
    } else {
        key = keep(s, key);
        if (!key.p || !(one = kvr_arena_take(&s->arena, sizeof *one))) return false;
        *one = value;
        one->next = NULL;
        kvr_table_add(&s->series, &one->item, key);
        *s->family->last = one;
        s->family->last = &one->next;
    }
    s->guess = one->next;
    return true;
}

bool kvr_prom_sum_add(struct kvr_prom_sum *s, const char *page, size_t n) {
    bool good = true;
    s->family = NULL;
    s->guess = NULL;
    while (n && good) {
        const char *end = memchr(page, '\n', n);
        size_t size = end ? (size_t)(end - page) : n;
        struct kvr_bytes line = {page, size};
        if (take_mark(&line, help_mark))
            good = begin_family(s, line);
        else if (take_mark(&line, type_mark))
            good = set_type(s, line);
        else if (size && *page != '#')
            good = add_sample(s, line);
        size += end != NULL;
        page += size;
        n -= size;
    }
    return good;
}

// ---- Writing -------------------------------------------------------------------------------------

static bool is_type(const struct prom_family *f, const char *type) {
    return f->type.n == strlen(type) && !memcmp(f->type.p, type, f->type.n);
}

static void add_bytes(struct evbuffer *out, struct kvr_bytes b) {
    evbuffer_add(out, b.p, b.n);
}

static void write_head(const struct prom_family *f, struct evbuffer *out, bool open) {
    const char *end = is_type(f, "counter") && !open ? "_total" : "";
    for (int i = 0; i < 2; i++) {
        evbuffer_add_printf(out, "%s", i ? type_mark : help_mark);
        add_bytes(out, f->name);
        evbuffer_add_printf(out, "%s ", end);
        add_bytes(out, i ? f->type : f->help);
        evbuffer_add(out, "\n", 1);
    }
}

static void write_family(const struct prom_family *f, struct evbuffer *out, bool open) {
    bool gauge = is_type(f, "gauge");
    write_head(f, out, open);
    for (const struct prom_series *v = f->first; v; v = v->next) {
        add_bytes(out, v->item.key);
        if (v->broken)
            evbuffer_add_printf(out, " %" PRIu64 ".%06" PRIu32 "\n", v->whole, v->micros);
        else if (gauge)
            evbuffer_add_printf(out, " %" PRId64 "\n", (int64_t)v->whole);
        else
            evbuffer_add_printf(out, " %" PRIu64 "\n", v->whole);
    }
}

void kvr_prom_sum_write(const struct kvr_prom_sum *s, struct evbuffer *out, bool open) {
    for (const struct prom_family *f = s->first; f; f = f->next)
        write_family(f, out, open);
}

void kvr_prom_sum_write_lasting(const struct kvr_prom_sum *s, struct evbuffer *out) {
    for (const struct prom_family *f = s->first; f; f = f->next)
        if (f->kind == KVR_PROM_ADD && !is_type(f, "gauge")) write_family(f, out, false);
}
