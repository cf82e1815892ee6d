// SPDX-License-Identifier: Apache-2.0
// Releases that a handle doesn't take: they are made when it does.
#include <criterion/criterion.h>
#include <event2/event.h>
#include <kvroute/adapters/libevent.h>
#include <stdio.h>

#include "client/router/pools/router_pools.h"

static struct event_base *base;

static void on_answer(void *ctx, const struct kvr_result *r) {
    *(int *)ctx += 1;
    cr_expect(r->code == KVR_CODE_TIMEOUT, "%s", kvr_code_name(r->code));
    event_base_loopbreak(base);
}

Test(router_release, a_handle_with_too_much_under_way) {
    base = event_base_new();
    struct kvr_loop loop = kvr_libevent(base);
    struct kvr_client_options o = {.max_pending = 1, .loop = &loop};
    char why[160];
    struct router_pool p = {0};
    struct kvr_client_stats st;
    int answers = 0;
    // Nobody listens there.
    p.client =
        kvr_client_open("unix:///nowhere/at-all.sock?deadline=30", "pool", &o, why, sizeof why);
    cr_assert(p.client, "%s", why);
    cr_assert(kvr_client_info_async(p.client, on_answer, &answers) == KVR_CODE_OK);
    router_pool_release(&p, kvr_text("a"));
    router_pool_release(&p, kvr_text("b"));
    router_pool_count(&p, kvr_client_report_async(p.client, kvr_text("w"), true, NULL, NULL));
    cr_expect(p.unsent == 3 && p.refused);
    router_pool_retry_releases(&p); // still too much
    cr_expect(p.refused != NULL);
    while (!answers)
        event_base_dispatch(base);
    router_pool_retry_releases(&p);
    kvr_client_stats(p.client, &st);
    cr_expect(p.refused && st.calls == 2, "one at a time, %d", (int)st.calls);
    for (int i = 0; p.refused; i++) {
        struct timeval t = {0, 20000};
        cr_assert(i < 1000);
        event_base_loopexit(base, &t);
        event_base_dispatch(base);
        router_pool_retry_releases(&p);
    }
    kvr_client_stats(p.client, &st);
    cr_expect(st.calls == 3 && p.unsent == 3);
    router_pool_release(&p, kvr_text("c")); // which the end takes along
    cr_expect(p.refused != NULL);
    router_pool_drop_releases(&p);
    cr_expect(!p.refused);
    kvr_client_close(p.client);
    event_base_free(base);
}
