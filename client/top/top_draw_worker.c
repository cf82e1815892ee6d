// SPDX-License-Identifier: Apache-2.0
#include "top_draw_worker.h"

#include <stdio.h>

#include "top_parts.h"
#include "top_text.h"

enum { MAX_WORKER_ROWS = 8 };

enum rank_column {
    RANK_NUMBER,
    RANK_REQUESTS,
    RANK_PREFILL,
    RANK_DECODE,
    RANK_DEVICE,
    RANK_HOST,
    RANK_DISK,
    RANK_TTFT,
    RANK_TPOT,
    RANK_EPOCH,
    RANK_SEQ,
    RANK_COLUMNS
};
static const struct top_column rank_columns[RANK_COLUMNS] = {
    [RANK_NUMBER] = {"RANK", 4, 4, 0, true},      [RANK_REQUESTS] = {"REQUESTS", 8, 8, 0, true},
    [RANK_PREFILL] = {"PREFILL", 7, 7, 1, true},  [RANK_DECODE] = {"DECODE", 7, 7, 2, true},
    [RANK_DEVICE] = {"DEVICE", 16, 24, 0, false}, [RANK_HOST] = {"HOST", 6, 6, 3, true},
    [RANK_DISK] = {"DISK", 6, 6, 4, true},        [RANK_TTFT] = {"TTFT", 7, 7, 0, true},
    [RANK_TPOT] = {"TPOT", 7, 7, 0, true},        [RANK_EPOCH] = {"EPOCH", 20, 20, 6, true},
    [RANK_SEQ] = {"SEQ", 8, 8, 5, true},
};

static struct top_text exact(uint64_t n) {
    struct top_text t;
    snprintf(t.s, sizeof t.s, "%llu", (unsigned long long)n);
    return t;
}

static struct top_text ms_text(double ms) {
    struct top_text t = {"-"};
    if (ms >= 0) snprintf(t.s, sizeof t.s, ms < 100 ? "%.1f" : "%.0f", ms);
    return t;
}

static void draw_rank(struct top_screen *s, int row, const struct top_layout *l,
                      const struct kvr_rank *k, int64_t capacity) {
    const struct top_text texts[RANK_COLUMNS] = {
        [RANK_NUMBER] = exact(k->rank),
        [RANK_REQUESTS] = top_count_text(k->requests),
        [RANK_PREFILL] = top_count_text(k->prefill_tokens),
        [RANK_DECODE] = top_count_text(k->decode_blocks),
        [RANK_HOST] = top_count_text(k->held[KVR_HOST]),
        [RANK_DISK] = top_count_text(k->held[KVR_DISK]),
        [RANK_TTFT] = ms_text(k->ttft),
        [RANK_TPOT] = ms_text(k->tpot),
        [RANK_EPOCH] = exact(k->epoch),
        [RANK_SEQ] = exact(k->seq),
    };
    for (int i = 0; i < RANK_COLUMNS; i++)
        if (l->width[i] && i != RANK_DEVICE)
            top_screen_right(s, row, l->at[i], l->width[i], TOP_PLAIN, texts[i].s);
    int at = l->at[RANK_DEVICE];
    top_screen_right(s, row, at, 6, TOP_PLAIN, top_count_text(k->held[KVR_DEVICE]).s);
    if (capacity > 0)
        top_screen_bar(s, row, at + 7, l->width[RANK_DEVICE] - 7,
                       (double)k->held[KVR_DEVICE] / (double)capacity, TOP_BAR);
}

static void draw_worker_figures(struct top_figures *f, const struct top_worker *w) {
    const struct kvr_worker *k = &w->said;
    top_figure(f, "address", TOP_PLAIN, "%s", *w->addr ? w->addr : "-");
    top_figure(f, "state", k->state == KVR_READY ? TOP_GOOD : TOP_WARN, "%s",
               top_state_name(k->state));
    if (k->drain_left >= 0)
        top_figure(f, "drain left", TOP_WARN, "%s", top_time_text(k->drain_left).s);
    top_figure(f, "circuit", k->circuit == KVR_CLOSED ? TOP_PLAIN : TOP_BAD, "%s",
               top_circuit_name(k->circuit));
    top_figure(f, "failures", k->failures ? TOP_BAD : TOP_PLAIN, "%lld", (long long)k->failures);
    top_figure(f, "role", TOP_PLAIN, "%s", top_role_name(k->role));
    top_figure(f, "ranks", TOP_PLAIN, "%zu", k->n_ranks);
    top_figure(f, "capacity", TOP_PLAIN, "%s a rank",
               top_count_text(k->capacity ? k->capacity : -1).s);
    top_figure(f, "limit", TOP_PLAIN, "%s", top_count_text(w->limit ? w->limit : -1).s);
    top_figure(f, "speed", TOP_PLAIN, "%s", k->speed > 0 ? top_real_text(k->speed).s : "learnt");
    top_figure(f, "ttl", TOP_PLAIN, "%s",
               k->ttl_left < 0 ? "for ever" : top_time_text(k->ttl_left).s);
    top_figure(f, "labels", TOP_PLAIN, "%s", *w->tags ? w->tags : "-");
}

int top_draw_worker(struct top_screen *s, int row, int end, size_t skip,
                    const struct top_worker *w) {
    struct top_figures f = {s, row + 1, 0, row + MAX_WORKER_ROWS};
    top_screen_put(s, row, 0, s->cols, TOP_BOLD, w->name);
    draw_worker_figures(&f, w);
    row = top_figures_end(&f) + 1;
    struct top_layout l = top_layout_of(rank_columns, RANK_COLUMNS, s->cols);
    top_draw_titles(s, row++, rank_columns, RANK_COLUMNS, &l, RANK_COLUMNS, false);
    for (size_t i = skip; i < w->said.n_ranks && row < end; i++)
        draw_rank(s, row++, &l, &w->said.ranks[i], w->said.capacity);
    return row;
}
