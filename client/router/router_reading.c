// SPDX-License-Identifier: Apache-2.0
#include "router_reading.h"

#include <stdio.h>
#include <stdlib.h>

#include "router.h"
#include "router_exchange.h"
#include "router_metrics.h"

enum { READING_LARGE = 512 << 10 }; // bytes of a body whose reading is a large job

// ---- The end -------------------------------------------------------------------------------------

static void run_drop(struct router_job *j) {
    struct router_reading *q = (struct router_reading *)j;
    q->drop(q);
}

static void on_dropped(struct router_job *j) {
    free(j);
}

static void drop_apart(struct router_reading *q, struct router_offload *o) {
    q->job.run = run_drop;
    q->job.done = on_dropped;
    router_offload_add(o, &q->job, true);
}

void router_reading_drop(struct router_reading *q) {
    if (q->apart) {
        drop_apart(q, q->offload);
        return;
    }
    q->drop(q);
    free(q);
}

void router_reading_refuse(struct router_reading *q, int status, const char *code,
                           const char *message) {
    struct router_exchange *x = q->x;
    char text[ROUTER_READING_MESSAGE];
    snprintf(text, sizeof text, "%s", message);
    router_reading_drop(q);
    router_error(x, status, code, text);
}

// ---- In the thread -------------------------------------------------------------------------------

static void run_step(struct router_job *j) {
    struct router_reading *q = (struct router_reading *)j;
    q->run(q);
}

// The exchange has its body back.
static void on_step_done(struct router_job *j) {
    struct router_reading *q = (struct router_reading *)j;
    struct router_exchange *x = q->x;
    if (!x) {
        evbuffer_free(q->body);
        router_reading_drop(q);
        return;
    }
    x->h1.on_gone = NULL;
    evbuffer_free(x->h1.body);
    x->h1.body = q->body;
    q->then(q);
}

// Of one that hasn't begun the body goes at once: clients that come and leave must not pile them up.
static void on_gone(struct h1_exchange *h1) {
    struct router_reading *q = h1->arg;
    q->x = NULL;
    if (!router_offload_cancel(q->offload, &q->job)) return;
    evbuffer_free(q->body);
    drop_apart(q, q->offload);
}

// The body is the job's meanwhile, whatever becomes of the exchange. False: no memory.
static bool go_apart(struct router_reading *q, bool urgent) {
    struct router_exchange *x = q->x;
    struct evbuffer *none = evbuffer_new();
    if (!none) return false;
    q->body = x->h1.body;
    x->h1.body = none;
    x->h1.arg = q;
    x->h1.on_gone = on_gone;
    q->job.run = run_step;
    q->job.done = on_step_done;
    q->job.large = evbuffer_get_length(q->body) > READING_LARGE;
    router_offload_add(q->offload, &q->job, urgent);
    return true;
}

// ---- A step --------------------------------------------------------------------------------------

static void take_step(struct router_reading *q, bool urgent) {
    if (!q->apart) {
        q->run(q);
        q->then(q);
    } else if (!go_apart(q, urgent)) {
        router_reading_refuse(q, 503, "NOMEM", "no memory");
    }
}

void router_reading_start(struct router_reading *q, struct router_exchange *x,
                          router_reading_step *run, router_reading_step *then,
                          router_reading_step *drop) {
    if (!q) {
        router_error(x, 503, "NOMEM", "no memory");
        return;
    }
    q->x = x;
    q->body = x->h1.body;
    q->offload = x->router->offload;
    q->run = run;
    q->then = then;
    q->drop = drop;
    q->apart = evbuffer_get_length(x->h1.body) > ROUTER_READING_SMALL;
    x->router->metrics->bodies_apart += q->apart;
    take_step(q, false);
}

void router_reading_again(struct router_reading *q, router_reading_step *run,
                          router_reading_step *then) {
    q->run = run;
    q->then = then;
    take_step(q, true);
}
