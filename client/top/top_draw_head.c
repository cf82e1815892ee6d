// SPDX-License-Identifier: Apache-2.0
// What stands above a pool's workers.
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "top_draw.h"
#include "top_parts.h"
#include "top_text.h"

enum { MAX_HEAD_ROWS = 6, CONNECTING_MS = 1000 };

#define COUNT(c) top_count_text(p->counts[c]).s

static const char *clock_text(int64_t date, char out[16]) {
    time_t t = (time_t)date;
    struct tm tm;
    out[0] = 0;
    if (localtime_r(&t, &tm)) strftime(out, 16, "%H:%M:%S", &tm);
    return out;
}

// ---- The server ----------------------------------------------------------------------------------

static void draw_away(struct top_screen *s, int row, const struct top_link *l,
                      struct top_moments_now now) {
    char at[16];
    if (!l->ever && now.ms - l->since < CONNECTING_MS) {
        top_screen_put(s, row, 0, s->cols, TOP_DIM, "connecting");
        return;
    }
    top_screen_print(s, row, 0, TOP_BAD | TOP_REVERSED, "Redis is away since %s (%s)%s%s%s",
                     clock_text(l->since_date, at), top_time_text(now.ms - l->since).s,
                     l->ever ? "; this is how it was then" : "", *l->trouble ? ": " : "",
                     l->trouble);
}

static void draw_replicas(struct top_figures *f, const struct top_server *v) {
    if (v->replica) {
        top_figure(f, "role", TOP_WARN, "replica");
        return;
    }
    top_figure(f, "replicas", TOP_PLAIN, "%lld", (long long)v->replicas);
    if (!v->replicas) return;
    top_figure(f, "lag", v->lag > 2000 ? TOP_WARN : TOP_PLAIN, "%s", top_time_text(v->lag).s);
    top_figure(f, "behind", TOP_PLAIN, "%s", top_bytes_text(v->behind).s);
}

static void draw_failovers(struct top_figures *f, const struct top_link *l) {
    char at[16];
    if (!l->failovers) return;
    top_figure(f, "failovers", TOP_WARN, "%llu, last at %s", (unsigned long long)l->failovers,
               clock_text(l->failed_date, at));
    if (l->last_gap >= 0) top_figure(f, "took", TOP_PLAIN, "%s", top_time_text(l->last_gap).s);
    if (*l->was) top_figure(f, "before", TOP_DIM, "%s", l->was);
    if (l->losses) top_figure(f, "losses", TOP_WARN, "%llu", (unsigned long long)l->losses);
}

static void draw_server(struct top_figures *f, const struct top_pool *p) {
    const struct top_server *v = &p->server;
    top_figure(f, "redis", TOP_PLAIN, "%s", *p->link.primary ? p->link.primary : "-");
    if (v->known) {
        top_figure(f, "", TOP_PLAIN, "%s", v->version);
        top_figure(f, "up", TOP_PLAIN, "%s", top_time_text(v->uptime).s);
        draw_replicas(f, v);
    }
    top_figure(f, "version", TOP_PLAIN, "%lld", (long long)p->counts[TOP_VERSION]);
    top_figure(f, "policy", TOP_PLAIN, "%s", p->policy);
    draw_failovers(f, &p->link);
}

// ---- Figures -------------------------------------------------------------------------------------

static void draw_rate(struct top_figures *f, const struct top_pool *p, const char *name,
                      enum top_count c, unsigned above_zero) {
    double rate = top_view_rate(p, c);
    top_figure(f, name, rate > 0 ? above_zero : TOP_PLAIN, "%s/s", top_real_text(rate).s);
}

static void draw_counts(struct top_figures *f, const struct top_pool *p) {
    const int64_t *n = p->counts;
    bool all = n[TOP_ELIGIBLE] == n[TOP_INSTANCES];
    top_figure(f, "workers", TOP_BOLD, "%s", COUNT(TOP_WORKERS));
    top_figure(f, "eligible",
               all               ? TOP_GOOD
               : n[TOP_ELIGIBLE] ? TOP_WARN
                                 : TOP_BAD,
               "%s/%s", COUNT(TOP_ELIGIBLE), COUNT(TOP_INSTANCES));
    if (n[TOP_OPEN_CIRCUITS] > 0)
        top_figure(f, "circuits open", TOP_BAD, "%s", COUNT(TOP_OPEN_CIRCUITS));
    top_figure(f, "requests", TOP_BOLD, "%s", COUNT(TOP_REQUESTS));
    top_figure(f, "blocks", TOP_PLAIN, "%s", COUNT(TOP_BLOCKS));
    top_figure(f, "held", TOP_PLAIN, "%s", COUNT(TOP_HOLDINGS));
    if (n[TOP_PREDICTED] > 0) top_figure(f, "predicted", TOP_PLAIN, "%s", COUNT(TOP_PREDICTED));
    if (n[TOP_SESSIONS] > 0) top_figure(f, "sessions", TOP_PLAIN, "%s", COUNT(TOP_SESSIONS));
    top_figure(f, "memory", TOP_PLAIN, "%s", top_bytes_text(n[TOP_MEMORY]).s);
}

static void draw_rates(struct top_figures *f, const struct top_pool *p) {
    top_figure(f, "hit rate", TOP_BOLD, "%s",
               top_percent_text(top_view_share(p, TOP_OVERLAP_BLOCKS, false)).s);
    top_figure(f, "of all", TOP_PLAIN, "%s",
               top_percent_text(top_view_share(p, TOP_OVERLAP_BLOCKS, true)).s);
    top_figure(f, "expected", TOP_PLAIN, "%s",
               top_percent_text(top_view_share(p, TOP_EXPECTED_BLOCKS, false)).s);
    draw_rate(f, p, "selects", TOP_SELECTS, TOP_BOLD);
    draw_rate(f, p, "admitted", TOP_ADMITTED, TOP_PLAIN);
    draw_rate(f, p, "refused", TOP_REFUSED, TOP_BAD);
    if (p->counts[TOP_WAITING] > 0)
        top_figure(f, "room in", TOP_WARN, "%s", top_time_text(p->queue.estimate).s);
    draw_rate(f, p, "events", TOP_EVENTS, TOP_PLAIN);
    if (top_view_rate(p, TOP_LIMITED) > 0) draw_rate(f, p, "limited", TOP_LIMITED, TOP_WARN);
    if (top_view_rate(p, TOP_GAPS) > 0) draw_rate(f, p, "gaps", TOP_GAPS, TOP_WARN);
    if (top_view_rate(p, TOP_EXPIRED_REQUESTS) > 0)
        draw_rate(f, p, "expired", TOP_EXPIRED_REQUESTS, TOP_WARN);
}

// ---- The last minutes ----------------------------------------------------------------------------

static double waiting_of(const struct top_moment *m, int64_t most) {
    return m->waiting < 0 ? -1 : most ? (double)m->waiting / (double)most : 0;
}

static double hits_of(const struct top_moment *m) {
    return m->blocks > 0 ? (double)m->hits / (double)m->blocks : -1;
}

// Both lines of what was, side by side: who waited, against the most; the hit rate, against all.
static void draw_history(struct top_screen *s, int row, const struct top_pool *p) {
    struct top_moment m[TOP_MOMENTS];
    char what[80];
    int half = s->cols / 2, wide;
    int64_t most = 0, waiting = p->counts[TOP_WAITING];
    snprintf(what, sizeof what, "waiting %s", top_count_text(waiting).s);
    if (waiting > 0)
        snprintf(what + strlen(what), sizeof what - strlen(what), ", %s tokens",
                 COUNT(TOP_WAITING_TOKENS));
    int at = top_screen_put(s, row, 0, half, waiting > 0 ? TOP_WARN : TOP_DIM, what) + 1;
    wide = half - at - 1;
    size_t n = top_history_last(&p->history, m, wide > 0 ? (size_t)wide : 0);
    for (size_t i = 0; i < n; i++)
        if (m[i].waiting > most) most = m[i].waiting;
    for (size_t i = 0; i < n; i++)
        top_screen_spark(s, row, at + (int)i, waiting_of(&m[i], most), TOP_WARN);
    at = half + top_screen_put(s, row, half, half, TOP_DIM, "hit rate") + 1;
    wide = s->cols - at;
    n = top_history_last(&p->history, m, wide > 0 ? (size_t)wide : 0);
    for (size_t i = 0; i < n; i++)
        top_screen_spark(s, row, at + (int)i, hits_of(&m[i]), TOP_GOOD);
}

int top_draw_head(struct top_screen *s, int row, const struct top_pool *p,
                  struct top_moments_now now) {
    struct top_figures f = {s, row, 0, row + MAX_HEAD_ROWS};
    if (!p->link.connected) {
        draw_away(s, f.row, &p->link, now);
        f.row++;
    } else if (p->message[0]) {
        top_screen_print(s, f.row++, 0, TOP_BAD, "%s", p->message);
    }
    if (!p->known) return f.row;
    draw_server(&f, p);
    f.row = top_figures_end(&f);
    f.col = 0;
    draw_counts(&f, p);
    f.row = top_figures_end(&f);
    f.col = 0;
    draw_rates(&f, p);
    row = top_figures_end(&f);
    draw_history(s, row, p);
    return row + 1;
}
