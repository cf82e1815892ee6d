// SPDX-License-Identifier: Apache-2.0
// The states of a request: the ways that the picture in router_request.h has, and no others.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

#include "client/router/proxy/router_request.h"

static enum router_state entered[ROUTER_STATES];
static size_t n_entered;

static void note_state(struct router_request *r) {
    entered[n_entered++ % ROUTER_STATES] = r->state;
}

static struct router_request *request_in(struct router_proxy *p) {
    static void (*const enter[ROUTER_STATES])(struct router_request *) = {
        [ROUTER_CHOOSE] = note_state, [ROUTER_SEND] = note_state, [ROUTER_DONE] = note_state};
    *p = (struct router_proxy){.enter = enter};
    kvr_list_init(&p->requests);
    struct router_request *r = router_request_new(p, NULL, NULL, ROUTER_PROMPT_CHAT);
    cr_assert(r && r->state == ROUTER_READ);
    return r;
}

Test(router_request, ways) {
    static const enum router_state ways[][ROUTER_STATES] = {
        {ROUTER_TOKENIZE, ROUTER_CHOOSE, ROUTER_SEND, ROUTER_HEAD, ROUTER_RELAY, ROUTER_DONE},
        {ROUTER_CHOOSE, ROUTER_CHOOSE, ROUTER_SEND, ROUTER_SEND, ROUTER_CHOOSE, ROUTER_DONE},
        {ROUTER_CHOOSE, ROUTER_SEND, ROUTER_HEAD, ROUTER_CHOOSE, ROUTER_ABANDONED, ROUTER_DONE},
        {ROUTER_CHOOSE, ROUTER_SEND, ROUTER_HEAD, ROUTER_RELAY, ROUTER_CHOOSE, ROUTER_DONE},
        {ROUTER_TOKENIZE, ROUTER_DONE},
        {ROUTER_DONE},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct router_proxy p;
        struct router_request *r = request_in(&p);
        size_t expected = 0;
        n_entered = 0;
        for (size_t k = 0; r->state != ROUTER_DONE; k++) {
            enum router_state to = ways[i][k];
            expected += p.enter[to] != NULL;
            router_request_move(r, to);
            cr_assert(r->state == to && n_entered == expected, "way %zu, step %zu", i, k);
        }
        cr_expect(entered[n_entered - 1] == ROUTER_DONE);
        free(r);
    }
}

static void check_wrong(enum router_state from, enum router_state to) {
    struct router_proxy p;
    struct router_request *r = request_in(&p);
    r->state = from;
    router_request_move(r, to);
}

// The rest of a stream may come from elsewhere, but nothing is asked for without a choice.
Test(router_request, no_retry_of_what_was_relayed, .signal = SIGABRT) {
    check_wrong(ROUTER_RELAY, ROUTER_SEND);
}

Test(router_request, no_way_back_to_the_body, .signal = SIGABRT) {
    check_wrong(ROUTER_CHOOSE, ROUTER_TOKENIZE);
}

Test(router_request, nothing_after_the_end, .signal = SIGABRT) {
    check_wrong(ROUTER_DONE, ROUTER_DONE);
}
