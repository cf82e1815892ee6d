// SPDX-License-Identifier: Apache-2.0
#include "router_totals.h"

#include <stdlib.h>

#include "client/http1/h1_server.h"
#include "router.h"
#include "router_metrics.h"

static struct router_figures own(const struct router *r) {
    const struct router_metrics *m = r->metrics;
    struct h1_server_stats st = {0};
    if (r->server) h1_server_stats(r->server, &st);
    return (struct router_figures){.connections = st.connections,
                                   .open = st.requests,
                                   .requests = m->requests,
                                   .selects = m->select.n,
                                   .degraded = m->degraded,
                                   .retries = m->retries};
}

void router_totals_show(const struct router *r, struct evbuffer *page) {
    struct router_figures f = own(r);
    if (r->slots) router_slots_show(r->slots, r->process, &f, page);
}

struct router_figures router_totals_figures(const struct router *r) {
    struct router_figures f = own(r);
    // Without memory for the others: this one's are better than nothing.
    if (r->slots) router_slots_figures(r->slots, r->process, &f);
    return f;
}

size_t router_totals_minutes(const struct router *r, int64_t now_us,
                             struct router_minutes_figures out[ROUTER_MINUTES_STEPS]) {
    struct router_minutes *all = r->slots ? calloc(1, sizeof *all) : NULL;
    if (!all) return router_minutes_read(r->metrics->minutes, r->since_us, now_us, out);
    router_slots_add_minutes(r->slots, all);
    size_t n = router_minutes_read(all, r->since_us, now_us, out);
    free(all);
    return n;
}
