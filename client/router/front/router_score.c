// SPDX-License-Identifier: Apache-2.0
#include "router_score.h"

#include <stdlib.h>
#include <string.h>

#include "client/router/api/router_advice.h"
#include "client/router/front/router_bearer.h"
#include "client/router/pools/router_pools.h"
#include "client/router/prompt/router_members.h"
#include "client/router/proxy/router_proxy.h"
#include "client/router/router.h"
#include "client/router/router_exchange.h"
#include "client/router/router_reading.h"

struct score_reading {
    struct router_reading reading; // first
    bool engines;                  // it has a field that only engines know
};

static void drop(struct router_reading *reading) {
    (void)reading;
}

static void look(struct router_reading *reading) {
    static const char *const names[] = {"query",  "queries", "documents", "items",
                                        "text_1", "text_2",  "data_1",    "data_2"};
    struct score_reading *q = (struct score_reading *)reading;
    size_t n = evbuffer_get_length(reading->body);
    const char *text = n ? (const char *)evbuffer_pullup(reading->body, -1) : NULL;
    struct router_members m;
    if (!text || !router_members_read(&m, text, n)) return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        q->engines |= router_members_find(&m, text, names[i]) != NULL;
    router_members_free(&m);
}

static bool has_engines(const struct router *r) {
    for (const struct router_pool *p = router_pools_first(r->pools); p; p = p->next)
        for (size_t i = 0; i < p->n_workers; i++)
            if (*p->workers[i].addr) return true;
    return false;
}

static void decide(struct router_reading *reading) {
    struct router_exchange *x = reading->x;
    bool engines = ((struct score_reading *)reading)->engines && has_engines(x->router);
    router_reading_drop(reading);
    unsigned wanted = engines ? ROUTER_USER : ROUTER_FRONTEND;
    if (x->may && !(x->may & wanted)) {
        router_error(x, 403, "FORBIDDEN", router_bearer_lacks(wanted));
    } else if (engines) {
        router_proxy_handle(x);
    } else {
        router_advice_score(x);
    }
}

void router_score(struct router_exchange *x) {
    struct score_reading *q = calloc(1, sizeof *q);
    router_reading_start(q ? &q->reading : NULL, x, look, decide, drop);
}
