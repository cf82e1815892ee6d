// SPDX-License-Identifier: Apache-2.0
#include "top_draw_choice.h"

#include <stdio.h>

#include "top_parts.h"
#include "top_text.h"

enum scored_column {
    SCORED_PLACE,
    SCORED_WORKER,
    SCORED_RANK,
    SCORED_COST,
    SCORED_CHANCE,
    SCORED_REQUESTS,
    SCORED_PREFILL,
    SCORED_DECODE,
    SCORED_TTFT,
    SCORED_REASON,
    SCORED_COLUMNS
};
static const struct top_column scored_columns[SCORED_COLUMNS] = {
    [SCORED_PLACE] = {"PLACE", 5, 5, 0, true},     [SCORED_WORKER] = {"WORKER", 12, 28, 0, false},
    [SCORED_RANK] = {"RANK", 4, 4, 1, true},       [SCORED_COST] = {"COST", 8, 8, 0, true},
    [SCORED_CHANCE] = {"CHANCE", 6, 6, 2, true},   [SCORED_REQUESTS] = {"REQUESTS", 8, 8, 3, true},
    [SCORED_PREFILL] = {"PREFILL", 7, 7, 4, true}, [SCORED_DECODE] = {"DECODE", 7, 7, 5, true},
    [SCORED_TTFT] = {"TTFT", 7, 7, 6, true},       [SCORED_REASON] = {"NOT FOR", 12, 20, 0, false},
};

static void draw_candidate(struct top_screen *s, int row, const struct top_layout *l,
                           const struct top_candidate *c) {
    const struct kvr_candidate *k = &c->said;
    struct top_text cost = {"-"}, rank;
    if (k->place > 0) snprintf(cost.s, sizeof cost.s, "%.4g", k->cost);
    snprintf(rank.s, sizeof rank.s, "%u", (unsigned)k->rank);
    const struct top_text texts[SCORED_COLUMNS] = {
        [SCORED_PLACE] = top_count_text(k->place > 0 ? k->place : -1),
        [SCORED_RANK] = rank,
        [SCORED_COST] = cost,
        [SCORED_CHANCE] = top_percent_text(k->chance),
        [SCORED_REQUESTS] = top_count_text(k->requests),
        [SCORED_PREFILL] = top_count_text(k->prefill_tokens),
        [SCORED_DECODE] = top_count_text(k->decode_blocks),
        [SCORED_TTFT] = top_real_text(k->ttft),
    };
    for (int i = 0; i < SCORED_COLUMNS; i++)
        if (l->width[i] && i != SCORED_WORKER && i != SCORED_REASON)
            top_screen_right(s, row, l->at[i], l->width[i], TOP_PLAIN, texts[i].s);
    top_screen_put(s, row, l->at[SCORED_WORKER], l->width[SCORED_WORKER], TOP_BOLD, c->name);
    top_screen_put(s, row, l->at[SCORED_REASON], l->width[SCORED_REASON], TOP_WARN, c->reason);
}

int top_draw_choice(struct top_screen *s, int row, int end, size_t skip, const struct top_pool *p) {
    const struct top_candidate *c = p->candidates.items;
    if (!p->candidates.known) {
        top_screen_put(s, row, 0, s->cols, TOP_DIM,
                       "not told: EXPLAIN is asked, or refused to this user, or unknown there");
        return row + 1;
    }
    top_screen_print(s, row++, 0, TOP_BOLD, "%d tokens that nobody has cached: %s", TOP_PROMPT,
                     p->verdict);
    struct top_layout l = top_layout_of(scored_columns, SCORED_COLUMNS, s->cols);
    top_draw_titles(s, row++, scored_columns, SCORED_COLUMNS, &l, SCORED_COLUMNS, false);
    for (size_t i = skip; i < p->candidates.n && row < end; i++)
        draw_candidate(s, row++, &l, &c[i]);
    return row;
}
