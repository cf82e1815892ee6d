// SPDX-License-Identifier: Apache-2.0
// The table of workers.
#include <stdio.h>
#include <string.h>

#include "top_draw.h"
#include "top_parts.h"
#include "top_text.h"

static const struct top_column columns[TOP_ORDERS] = {
    [TOP_BY_WORKER] = {"WORKER", 12, 28, 0, false},
    [TOP_BY_STATE] = {"STATE", 8, 8, 1, false},
    [TOP_BY_CIRCUIT] = {"CIRC", 6, 6, 4, false},
    [TOP_BY_ROLE] = {"ROLE", 7, 7, 8, false},
    [TOP_BY_REQUESTS] = {"REQUESTS", 15, 15, 2, false},
    [TOP_BY_PREFILL] = {"PREFILL", 7, 7, 5, true},
    [TOP_BY_DECODE] = {"DECODE", 7, 7, 7, true},
    [TOP_BY_BLOCKS] = {"BLOCKS", 14, 14, 3, false},
    [TOP_BY_HOST] = {"HOST", 6, 6, 12, true},
    [TOP_BY_DISK] = {"DISK", 6, 6, 13, true},
    [TOP_BY_TTFT] = {"TTFT", 6, 6, 6, true},
    [TOP_BY_TPOT] = {"TPOT", 6, 6, 9, true},
    [TOP_BY_FAILURES] = {"FAIL", 5, 5, 10, true},
    [TOP_BY_TTL] = {"TTL", 6, 6, 11, true},
    [TOP_BY_LABELS] = {"LABELS", 12, 60, 14, false},
};

struct cell_place {
    struct top_screen *screen;
    int row, col, width;
};

static void number(struct cell_place at, struct top_text t, unsigned style) {
    top_screen_right(at.screen, at.row, at.col, at.width, style, t.s);
}

// A number in so many columns and, where it is known of how many, a bar in the rest.
static void gauge(struct cell_place at, int columns_of_text, const char *text, int64_t n,
                  int64_t of) {
    double part = of > 0 ? (double)n / (double)of : 0;
    top_screen_right(at.screen, at.row, at.col, columns_of_text, TOP_PLAIN, text);
    top_screen_bar(at.screen, at.row, at.col + columns_of_text + 1, at.width - columns_of_text - 1,
                   part,
                   part >= 1     ? TOP_BAD
                   : part >= 0.8 ? TOP_WARN
                                 : TOP_BAR);
}

static void requests_cell(struct cell_place at, const struct top_worker *w) {
    char text[2 * TOP_TEXT + 1];
    snprintf(text, sizeof text, "%s", top_count_text(w->requests).s);
    if (w->limit) {
        strcat(text, "/");
        strcat(text, top_count_text(w->limit).s);
    }
    gauge(at, 8, text, w->requests, w->limit);
}

static unsigned state_style(enum kvr_state s) {
    return s == KVR_READY ? TOP_GOOD : s == KVR_DRAINING ? TOP_WARN : TOP_BAD;
}

static unsigned circuit_style(enum kvr_circuit c) {
    return c == KVR_CLOSED ? TOP_DIM : c == KVR_OPEN ? TOP_BAD : TOP_WARN;
}

static void words_cell(struct cell_place at, const struct top_worker *w, enum top_order which) {
    const char *text = w->name;
    unsigned style = TOP_BOLD;
    if (which == TOP_BY_STATE) {
        text = top_state_name(w->said.state);
        style = state_style(w->said.state);
    } else if (which == TOP_BY_CIRCUIT) {
        text = top_circuit_name(w->said.circuit);
        style = circuit_style(w->said.circuit);
    } else if (which == TOP_BY_ROLE) {
        text = top_role_name(w->said.role);
        style = TOP_PLAIN;
    } else if (which == TOP_BY_LABELS) {
        text = w->tags;
        style = TOP_DIM;
    }
    top_screen_put(at.screen, at.row, at.col, at.width, style, text);
}

static struct top_text time_text(double ms) {
    if (!(ms >= 100)) return top_real_text(ms);
    return top_time_text(ms < (double)KVR_MAX_MS ? (int64_t)ms : KVR_MAX_MS);
}

static void draw_cell(struct cell_place at, const struct top_worker *w, enum top_order which) {
    switch (which) {
    case TOP_BY_REQUESTS:
        requests_cell(at, w);
        break;
    case TOP_BY_BLOCKS:
        gauge(at, 6, top_count_text(w->held[KVR_DEVICE]).s, w->held[KVR_DEVICE], w->capacity);
        break;
    case TOP_BY_PREFILL:
        number(at, top_count_text(w->prefill_tokens), TOP_PLAIN);
        break;
    case TOP_BY_DECODE:
        number(at, top_count_text(w->decode_blocks), TOP_PLAIN);
        break;
    case TOP_BY_HOST:
        number(at, top_count_text(w->held[KVR_HOST]), TOP_PLAIN);
        break;
    case TOP_BY_DISK:
        number(at, top_count_text(w->held[KVR_DISK]), TOP_PLAIN);
        break;
    case TOP_BY_TTFT:
        number(at, time_text(w->ttft), TOP_PLAIN);
        break;
    case TOP_BY_TPOT:
        number(at, time_text(w->tpot), TOP_PLAIN);
        break;
    case TOP_BY_FAILURES:
        number(at, top_count_text(w->said.failures), w->said.failures ? TOP_BAD : TOP_DIM);
        break;
    case TOP_BY_TTL:
        number(at, top_time_text(w->said.ttl_left), TOP_DIM);
        break;
    case TOP_BY_WORKER:
    case TOP_BY_STATE:
    case TOP_BY_CIRCUIT:
    case TOP_BY_ROLE:
    case TOP_BY_LABELS:
    case TOP_ORDERS:
        words_cell(at, w, which);
        break;
    }
}

static void draw_row(struct top_screen *s, int row, const struct top_layout *l,
                     const struct top_worker *w) {
    for (size_t i = 0; i < TOP_ORDERS; i++)
        if (l->width[i])
            draw_cell((struct cell_place){s, row, l->at[i], l->width[i]}, w, (enum top_order)i);
}

// The first row is moved no further than it takes to see the chosen one.
static void scroll_to_chosen(struct top_ui *u, size_t rows) {
    u->page_rows = rows ? rows : 1;
    if (u->row < u->first) u->first = u->row;
    if (u->row >= u->first + u->page_rows) u->first = u->row - u->page_rows + 1;
    if (u->first && u->rows.n <= u->page_rows) u->first = 0;
}

int top_draw_workers(struct top_screen *s, int row, int end, struct top_ui *u) {
    struct top_layout l = top_layout_of(columns, TOP_ORDERS, s->cols);
    // Words go up by the alphabet, numbers down.
    bool words = u->sort == TOP_BY_WORKER || u->sort == TOP_BY_ROLE || u->sort == TOP_BY_LABELS;
    top_draw_titles(s, row++, columns, TOP_ORDERS, &l, u->sort, words != u->reverse);
    scroll_to_chosen(u, end > row ? (size_t)(end - row) : 0);
    for (size_t i = u->first; i < u->rows.n && row < end; i++)
        draw_row(s, row++, &l, u->rows.items[i].worker);
    return row;
}
