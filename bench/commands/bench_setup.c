// SPDX-License-Identifier: Apache-2.0
// Servers and connections to them; see bench_setup.h.
#include "bench_setup.h"

#include "tests/support/support_redis.h"
#include <signal.h>
#include <stdlib.h>

void bench_setup_connect(struct bench_setup *s, struct bench_wire *w, bool tcp) {
    if (!tcp)
        bench_wire_open_unix(w, s->redis.socket);
    else if (s->redis.port || support_redis_open(&s->redis))
        bench_wire_open_tcp(w, s->redis.port);
    else
        exit(1);
}

void bench_setup_begin(struct bench_setup *s, const struct bench_options *o, size_t workers,
                       size_t blocks) {
    *s = (struct bench_setup){
        .redis = {.module = o->module, .program = o->server, .unopened = true}};
    if (!support_redis_start(&s->redis)) exit(1);
    bench_holdings_make(&s->held, workers, blocks);
    bench_caller_open(&s->caller, &s->held, 0, 1);
    bench_setup_connect(s, &s->caller.wire, false);
}

void bench_setup_end(struct bench_setup *s) {
    bench_caller_close(&s->caller);
    bench_holdings_free(&s->held);
    support_redis_end(&s->redis, SIGKILL);
    support_redis_forget(&s->redis, false);
}
