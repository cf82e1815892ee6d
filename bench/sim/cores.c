// SPDX-License-Identifier: Apache-2.0
// Routers with a core each; see cores.h.
#include "cores.h"

#include <stdlib.h>

#include "bench/common/memory.h"
#include "bench/common/random.h"

void cores_open(struct cores *c, const struct world *w, int64_t predict, bool talk) {
    c->world = *w;
    c->predict = predict;
    c->talk = talk;
    c->cached = memory_take(w->load->n, sizeof *c->cached);
    for (unsigned r = 0; r < w->routers; r++) {
        core_open(&c->core[r], w, predict);
        c->rng[r] = random_mix(w->seed * MAX_ROUTERS + r);
    }
}

void cores_close(void *self) {
    struct cores *c = self;
    for (unsigned r = 0; r < c->world.routers; r++)
        core_close(&c->core[r]);
    free(c->cached);
    free(c);
}

void cores_book(struct cores *c, unsigned router, uint32_t request, uint32_t worker) {
    const struct request *q = &c->world.load->requests[request];
    int64_t now = core_ms(*c->world.now);
    char room[CORE_NAME], name[CORE_SESSION];
    int done;
    // Refused when the engine has gone meanwhile: nothing is lost by that.
    kvr_claim(c->core[router].pool, core_id(&request), core_name(worker, room), 0,
              &(struct kvr_booking){.hashes = request_hashes(c->world.load, request),
                                    .n = q->blocks,
                                    .isl = q->isl,
                                    .cached = c->cached[request],
                                    .created = now,
                                    .renewed = now,
                                    .session = core_session(&c->world, request, name)},
              &done);
}

// ---- How a request goes on -----------------------------------------------------------------------

// A request's end teaches what it has put out; that of one which has failed, nothing.
static void apply(struct cores *c, unsigned router, uint32_t request, enum news what) {
    struct kvr_pool *pool = c->core[router].pool;
    struct kvr_bytes id = core_id(&request);
    int64_t now = core_ms(*c->world.now);
    int live;
    if (what == PREFILLED) {
        kvr_update(pool, now, id, true, -1, -1, &live);
        return;
    }
    if (what == DONE)
        kvr_update(pool, now, id, false, c->world.load->requests[request].osl, -1, &live);
    kvr_release(pool, now, &id, 1, what == DONE ? KVR_RELEASED : KVR_LAPSED);
}

// What the others hear is who it is from, the engine, and either that it was chosen or the news of it.
enum { CHOSEN = FAILED + 1 };

static void hear(void *self, uint32_t request, uint32_t packed) {
    struct cores *c = self;
    uint32_t from = packed >> 16, worker = packed >> 4 & 0xfff, what = packed & 0xf;
    for (unsigned r = 0; r < c->world.routers; r++) {
        if (r == from) continue;
        if (what == CHOSEN)
            cores_book(c, r, request, worker);
        else
            apply(c, r, request, (enum news)what);
    }
}

static void spread(struct cores *c, unsigned router, uint32_t request, uint32_t worker,
                   uint32_t what) {
    if (c->talk && c->world.routers > 1)
        fleet_later(c->world.fleet, c->world.sync, hear, c, request,
                    router << 16 | worker << 4 | what);
}

void cores_chosen(struct cores *c, unsigned router, uint32_t request, uint32_t worker,
                  int64_t cached) {
    c->cached[request] = (uint32_t)cached;
    spread(c, router, request, worker, CHOSEN);
}

void cores_news(void *self, unsigned router, uint32_t request, uint32_t worker, enum news what) {
    apply(self, router, request, what);
    spread(self, router, request, worker, what);
}

// ---- Engines -------------------------------------------------------------------------------------

void cores_changed(void *self, const struct change *x) {
    struct cores *c = self;
    for (unsigned r = 0; r < c->world.routers; r++)
        core_changed(&c->core[r], &c->world, x);
}

void cores_worker(void *self, uint32_t worker, bool there) {
    struct cores *c = self;
    for (unsigned r = 0; r < c->world.routers; r++)
        core_worker(&c->core[r], &c->world, worker, there);
}

void cores_lost(void *self, unsigned router) {
    struct cores *c = self;
    core_close(&c->core[router]);
    core_open(&c->core[router], &c->world, c->predict);
}
