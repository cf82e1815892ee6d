// SPDX-License-Identifier: Apache-2.0
// Who waits: classes, flows, and the first in the queue.
#include <stdio.h>

#include "top_draw.h"
#include "top_parts.h"
#include "top_saturate.h"
#include "top_text.h"

// Where the rows of a page go: those before `skip` are scrolled away.
struct page_rows {
    struct top_screen *screen;
    int row, end;
    size_t skip;
};

// The row for the next line; -1: it isn't seen.
static int next_row(struct page_rows *p) {
    if (p->skip) {
        p->skip--;
        return -1;
    }
    return p->row < p->end ? p->row++ : -1;
}

static void titles(struct page_rows *p, const struct top_column *columns, size_t n,
                   struct top_layout *l) {
    *l = top_layout_of(columns, n, p->screen->cols);
    int row = next_row(p);
    if (row >= 0) top_draw_titles(p->screen, row, columns, n, l, n, false);
}

static void word(const struct page_rows *p, int row, const struct top_layout *l, int i,
                 const char *text) {
    if (row >= 0) top_screen_put(p->screen, row, l->at[i], l->width[i], TOP_PLAIN, text);
}

static void number(const struct page_rows *p, int row, const struct top_layout *l, int i,
                   struct top_text t) {
    if (row >= 0) top_screen_right(p->screen, row, l->at[i], l->width[i], TOP_PLAIN, t.s);
}

static void line(struct page_rows *p, const char *text) {
    int row = next_row(p);
    if (row >= 0) top_screen_put(p->screen, row, 0, p->screen->cols, TOP_DIM, text);
}

// ---- Classes -------------------------------------------------------------------------------------

enum class_column {
    CLASS_NAME,
    CLASS_PRIORITY,
    CLASS_WEIGHT,
    CLASS_WAITING,
    CLASS_LIMIT,
    CLASS_TOKENS,
    CLASS_OLDEST,
    CLASS_ADMITTED,
    CLASS_SHARE,
    CLASS_REFUSED,
    CLASS_ROOM,
    CLASS_COLUMNS
};
static const struct top_column class_columns[CLASS_COLUMNS] = {
    [CLASS_NAME] = {"CLASS", 10, 32, 0, false}, [CLASS_PRIORITY] = {"PRIO", 4, 4, 5, true},
    [CLASS_WEIGHT] = {"WEIGHT", 6, 6, 4, true}, [CLASS_WAITING] = {"WAITING", 7, 7, 0, true},
    [CLASS_LIMIT] = {"MAX", 5, 5, 7, true},     [CLASS_TOKENS] = {"TOKENS", 6, 6, 3, true},
    [CLASS_OLDEST] = {"OLDEST", 6, 6, 2, true}, [CLASS_ADMITTED] = {"ADMITTED", 8, 8, 0, true},
    [CLASS_SHARE] = {"NOW", 6, 6, 1, true},     [CLASS_REFUSED] = {"REFUSED", 7, 7, 6, true},
    [CLASS_ROOM] = {"ROOM", 5, 5, 8, true},
};

static void draw_class(struct page_rows *p, const struct top_layout *l, const struct top_class *c,
                       int64_t admitted) {
    int row = next_row(p);
    const struct kvr_class *k = &c->said;
    struct top_text priority;
    snprintf(priority.s, sizeof priority.s, "%lld", (long long)k->priority);
    double share = c->admitted > 0 ? (double)c->admitted / (double)admitted : -1;
    word(p, row, l, CLASS_NAME, c->name);
    number(p, row, l, CLASS_PRIORITY, priority);
    number(p, row, l, CLASS_WEIGHT, top_real_text(k->weight));
    number(p, row, l, CLASS_WAITING, top_count_text(k->waiting));
    number(p, row, l, CLASS_LIMIT, top_count_text(k->max_waiting ? k->max_waiting : -1));
    number(p, row, l, CLASS_TOKENS, top_count_text(k->tokens));
    number(p, row, l, CLASS_OLDEST, top_time_text(k->waiting ? k->oldest : -1));
    number(p, row, l, CLASS_ADMITTED, top_count_text(k->admitted));
    number(p, row, l, CLASS_SHARE, top_percent_text(share));
    number(p, row, l, CLASS_REFUSED, top_count_text(k->refused));
    number(p, row, l, CLASS_ROOM, top_percent_text(k->room < 0 ? -1 : (double)k->room / 100));
}

static void draw_classes(struct page_rows *p, const struct top_list *list) {
    const struct top_class *c = list->items;
    struct top_layout l;
    int64_t admitted = 0;
    titles(p, class_columns, CLASS_COLUMNS, &l);
    for (size_t i = 0; i < list->n; i++)
        if (c[i].admitted > 0) admitted = top_sum(admitted, c[i].admitted);
    for (size_t i = 0; i < list->n; i++)
        draw_class(p, &l, &c[i], admitted);
}

// ---- Flows ---------------------------------------------------------------------------------------

enum flow_column {
    FLOW_NAME,
    FLOW_WEIGHT,
    FLOW_REQUESTS,
    FLOW_WAITING,
    FLOW_RATE,
    FLOW_LEFT,
    FLOW_COLUMNS
};
static const struct top_column flow_columns[FLOW_COLUMNS] = {
    [FLOW_NAME] = {"FLOW", 10, 32, 0, false},
    [FLOW_WEIGHT] = {"WEIGHT", 6, 6, 2, true},
    [FLOW_REQUESTS] = {"REQUESTS", 15, 15, 0, false},
    [FLOW_WAITING] = {"WAITING", 7, 7, 0, true},
    [FLOW_RATE] = {"TOKENS/S", 8, 8, 3, true},
    [FLOW_LEFT] = {"USED AT ONCE", 20, 20, 1, false},
};

static unsigned gauge_style(double part) {
    return part >= 1 ? TOP_BAD : part >= 0.8 ? TOP_WARN : TOP_BAR;
}

// "n/most" and a bar.
static void used(const struct page_rows *p, int row, const struct top_layout *l, int i, int64_t n,
                 int64_t most) {
    char text[2 * TOP_TEXT + 1];
    if (row < 0 || !l->width[i]) return;
    struct top_text a = top_count_text(n), b = top_count_text(most);
    snprintf(text, sizeof text, "%s%s%s", a.s, most > 0 ? "/" : "", most > 0 ? b.s : "");
    double part = most > 0 ? (double)n / (double)most : 0;
    int half = l->width[i] / 2 + 1;
    top_screen_right(p->screen, row, l->at[i], half, TOP_PLAIN, text);
    top_screen_bar(p->screen, row, l->at[i] + half + 1, l->width[i] - half - 1, part,
                   gauge_style(part));
}

static void draw_flow(struct page_rows *p, const struct top_layout *l, const struct top_flow *f) {
    int row = next_row(p);
    const struct kvr_flow *k = &f->said;
    word(p, row, l, FLOW_NAME, f->name);
    number(p, row, l, FLOW_WEIGHT, top_real_text(k->weight));
    used(p, row, l, FLOW_REQUESTS, k->requests, k->max_requests);
    number(p, row, l, FLOW_WAITING, top_count_text(k->waiting));
    number(p, row, l, FLOW_RATE, top_count_text(k->rate ? k->rate : -1));
    if (k->rate > 0) used(p, row, l, FLOW_LEFT, top_difference(k->burst, k->left), k->burst);
}

static void draw_flows(struct page_rows *p, const struct top_pool *pool) {
    const struct top_flow *f = pool->flows.items;
    struct top_layout l;
    if (!pool->flows.n) return;
    line(p, "");
    titles(p, flow_columns, FLOW_COLUMNS, &l);
    for (size_t i = 0; i < pool->flows.n; i++)
        draw_flow(p, &l, &f[i]);
    if (pool->flows_cut) line(p, "and others: KVROUTE.FLOW LIST has them all");
}

// ---- Requests ------------------------------------------------------------------------------------

enum queued_column {
    QUEUED_PLACE,
    QUEUED_ID,
    QUEUED_CLASS,
    QUEUED_FLOW,
    QUEUED_TIME,
    QUEUED_SIZE,
    QUEUED_COLUMNS
};
static const struct top_column queued_columns[QUEUED_COLUMNS] = {
    [QUEUED_PLACE] = {"PLACE", 5, 5, 0, true},    [QUEUED_ID] = {"REQUEST", 16, 40, 0, false},
    [QUEUED_CLASS] = {"CLASS", 10, 20, 1, false}, [QUEUED_FLOW] = {"FLOW", 10, 20, 2, false},
    [QUEUED_TIME] = {"WAITED", 7, 7, 0, true},    [QUEUED_SIZE] = {"BLOCKS", 7, 7, 3, true},
};

static void draw_queued(struct page_rows *p, const struct top_list *list) {
    const struct top_queued *q = list->items;
    struct top_layout l;
    if (!list->n) return;
    line(p, "");
    titles(p, queued_columns, QUEUED_COLUMNS, &l);
    for (size_t i = 0; i < list->n; i++) {
        int row = next_row(p);
        number(p, row, &l, QUEUED_PLACE, top_count_text(q[i].said.position));
        word(p, row, &l, QUEUED_ID, q[i].request);
        word(p, row, &l, QUEUED_CLASS, q[i].service_class);
        word(p, row, &l, QUEUED_FLOW, q[i].flow);
        number(p, row, &l, QUEUED_TIME, top_time_text(q[i].said.waited));
        number(p, row, &l, QUEUED_SIZE, top_count_text(q[i].said.blocks));
    }
}

int top_draw_queue(struct top_screen *s, int row, int end, size_t skip, const struct top_pool *p) {
    struct page_rows rows = {s, row, end, skip};
    if (p->classes.known) draw_classes(&rows, &p->classes);
    draw_flows(&rows, p);
    draw_queued(&rows, &p->queued);
    return rows.row;
}
