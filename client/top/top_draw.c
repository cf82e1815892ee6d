// SPDX-License-Identifier: Apache-2.0
#include "top_draw.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "top_draw_choice.h"
#include "top_draw_worker.h"
#include "top_parts.h"
#include "top_text.h"

static const char *const help[] = {
    "Keys",
    "  up down PgUp PgDn Home End   choose a worker; so do j and k",
    "  Enter   all of the chosen worker, and back       Esc  back, or no filter",
    "  s S     sort by the next column, the one before; so do right and left",
    "  r       the other way round",
    "  /       filter by a text in name, address, state, role or labels",
    "  w       who waits: classes, flows, the first in the queue",
    "  x       whom the pool would choose now, and why not the others (EXPLAIN)",
    "  o       all pools                                Tab  the next pool",
    "  p       pause: nothing is asked until p again    q    leave",
    "",
    "Figures",
    "  hit rate  cached blocks where requests went, of all of theirs since the last",
    "            look; of all: since the pool was made; expected: with what requests",
    "            before them are about to leave there",
    "  eligible  instances (ranks) that a select may choose now",
    "  blocks    distinct ones; held: (instance, tier, block) triples",
    "  lag       since a replica last said something; behind: bytes that it lacks",
    "  REQUESTS  live, of those that there is room for",
    "  PREFILL   tokens and DECODE blocks that these still need",
    "  BLOCKS    in device memory, of its capacity; HOST and DISK: those elsewhere",
    "  TTFT TPOT ms, of late. Sparklines: the last minutes, a column is 5 s or more",
};

static const struct top_column pool_columns[] = {
    {"POOL", 16, 32, 0, false},  {"REDIS", 9, 9, 0, false},   {"WORKERS", 7, 7, 1, true},
    {"ELIGIBLE", 8, 8, 0, true}, {"REQUESTS", 8, 8, 0, true}, {"WAITING", 7, 7, 0, true},
    {"HIT RATE", 8, 8, 0, true}, {"SELECTS", 8, 8, 2, true},  {"MEMORY", 8, 8, 3, true},
};
enum { POOL_COLUMNS = sizeof pool_columns / sizeof *pool_columns };

// ---- The first and the last row ------------------------------------------------------------------

static void draw_title(struct top_screen *s, const struct top_ui *u, const struct top_view *v,
                       struct top_moments_now now) {
    const struct top_pool *p = top_ui_pool(u, v);
    time_t t = (time_t)now.date;
    struct tm tm;
    char clock[16] = "";
    int at = top_screen_print(s, 0, 1, TOP_BOLD, "kvroute-top  %s", p ? p->name : "");
    if (v->n_pools > 1)
        at += top_screen_print(s, 0, at + 1, TOP_PLAIN, " (%zu of %zu%s)", u->pool + 1, v->n_pools,
                               v->more_pools ? ", more not shown" : "");
    if (u->paused) top_screen_put(s, 0, at + 3, s->cols, TOP_BOLD, "PAUSED");
    if (localtime_r(&t, &tm)) strftime(clock, sizeof clock, "%H:%M:%S", &tm);
    top_screen_right(s, 0, s->cols - 10, 9, TOP_PLAIN, clock);
    top_screen_reverse(s, 0);
}

static void draw_last(struct top_screen *s, const struct top_ui *u) {
    int row = s->rows - 1;
    if (u->typing) {
        top_screen_print(s, row, 0, TOP_BOLD, "filter: %s_   (Enter: keep, Esc: as before)",
                         u->filter);
        return;
    }
    int at = 0;
    if (u->page == TOP_PAGE_WORKERS && u->rows.n)
        at += top_screen_print(s, row, at, TOP_BOLD, "%zu/%zu  ", u->row + 1, u->rows.n);
    if (u->filter[0]) at += top_screen_print(s, row, at, TOP_WARN, "filter: %s  ", u->filter);
    top_screen_put(s, row, at, s->cols, TOP_DIM,
                   "?:help /:filter s:sort w:queue x:choice o:pools p:pause q:leave");
}

// ---- Pages ---------------------------------------------------------------------------------------

static void draw_help(struct top_screen *s, size_t skip) {
    int row = 1;
    for (size_t i = skip; i < sizeof help / sizeof *help && row < s->rows - 1; i++)
        top_screen_put(s, row++, 0, s->cols, help[i][0] == ' ' ? TOP_PLAIN : TOP_BOLD, help[i]);
}

static void draw_pool(struct top_screen *s, int row, const struct top_layout *l,
                      const struct top_pool *p) {
    char eligible[2 * TOP_TEXT + 1];
    const int64_t *n = p->counts;
    struct top_text some = top_count_text(n[TOP_ELIGIBLE]), all = top_count_text(n[TOP_INSTANCES]);
    snprintf(eligible, sizeof eligible, "%s/%s", some.s, all.s);
    const char *how = !p->link.connected ? "away" : p->message[0] ? kvr_code_name(p->code) : "ok";
    top_screen_put(s, row, l->at[0], l->width[0], TOP_BOLD, p->name);
    top_screen_put(s, row, l->at[1], l->width[1], *how == 'o' ? TOP_GOOD : TOP_BAD, how);
    if (!p->known) return;
    const struct top_text texts[] = {
        top_count_text(n[TOP_WORKERS]),
        some,
        top_count_text(n[TOP_REQUESTS]),
        top_count_text(n[TOP_WAITING]),
        top_percent_text(top_view_share(p, TOP_OVERLAP_BLOCKS, false)),
        top_real_text(top_view_rate(p, TOP_SELECTS)),
        top_bytes_text(n[TOP_MEMORY]),
    };
    for (size_t i = 2; i < POOL_COLUMNS; i++)
        if (l->width[i])
            top_screen_right(s, row, l->at[i], l->width[i], TOP_PLAIN,
                             i == 3 ? eligible : texts[i - 2].s);
}

static void draw_pools(struct top_screen *s, const struct top_ui *u, const struct top_view *v) {
    struct top_layout l = top_layout_of(pool_columns, POOL_COLUMNS, s->cols);
    int row = 1;
    size_t room = s->rows > 3 ? (size_t)s->rows - 3 : 1;
    top_draw_titles(s, row++, pool_columns, POOL_COLUMNS, &l, POOL_COLUMNS, false);
    for (size_t i = u->pool >= room ? u->pool - room + 1 : 0; i < v->n_pools && row < s->rows - 1;
         i++, row++) {
        draw_pool(s, row, &l, v->pools[i]);
        if (i == u->pool) top_screen_reverse(s, row);
    }
}

static void draw_workers_page(struct top_screen *s, int row, struct top_ui *u) {
    int titles = row;
    top_draw_workers(s, row, s->rows - 1, u);
    if (u->rows.n) top_screen_reverse(s, titles + 1 + (int)(u->row - u->first));
}

static void draw_of_pool(struct top_screen *s, struct top_ui *u, const struct top_view *v,
                         const struct top_pool *p, struct top_moments_now now) {
    int row = top_draw_head(s, 1, p, now), end = s->rows - 1;
    const struct top_worker *w = u->page == TOP_PAGE_WORKER ? top_ui_worker(u, v) : NULL;
    if (u->page == TOP_PAGE_QUEUE)
        top_draw_queue(s, row, end, u->scroll, p);
    else if (u->page == TOP_PAGE_CHOICE)
        top_draw_choice(s, row, end, u->scroll, p);
    else if (w)
        top_draw_worker(s, row, end, u->scroll, w);
    else if (u->page == TOP_PAGE_WORKER)
        top_screen_print(s, row, 0, TOP_WARN, "%s is gone", u->chosen);
    else if (row < end)
        draw_workers_page(s, row, u);
}

// Of the page that can be scrolled: its last row stays in sight.
static void keep_in_sight(struct top_ui *u, const struct top_view *v, const struct top_pool *p) {
    const struct top_worker *w = top_ui_worker(u, v);
    size_t rows = sizeof help / sizeof *help;
    if (u->page == TOP_PAGE_WORKER) rows = w ? w->said.n_ranks : 1;
    if (u->page == TOP_PAGE_QUEUE) rows = p ? 5 + p->classes.n + p->flows.n + p->queued.n : 1;
    if (u->page == TOP_PAGE_CHOICE) rows = p ? p->candidates.n : 1;
    if (u->scroll >= rows) u->scroll = rows ? rows - 1 : 0;
}

void top_draw(struct top_screen *s, struct top_ui *u, const struct top_view *v,
              struct top_moments_now now) {
    const struct top_pool *p = top_ui_pool(u, v);
    top_screen_clear(s);
    if (!s->rows) return;
    keep_in_sight(u, v, p);
    if (u->page == TOP_PAGE_HELP)
        draw_help(s, u->scroll);
    else if (u->page == TOP_PAGE_POOLS)
        draw_pools(s, u, v);
    else if (p)
        draw_of_pool(s, u, v, p, now);
    else
        top_screen_put(s, 1, 0, s->cols, TOP_WARN,
                       v->trouble[0] ? v->trouble : "looking for pools");
    draw_title(s, u, v, now);
    for (int col = 0; col < s->cols; col++) // the last row is its own
        top_screen_put(s, s->rows - 1, col, 1, TOP_PLAIN, " ");
    draw_last(s, u);
}
