// SPDX-License-Identifier: Apache-2.0
// What a handle remembers, against plain arrays, with allocations that fail; and the table alone.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/lib/memory.h"
#include "tests/support/testmem.h"

enum { IDS = 60, WORKERS = 5, RANKS = 2, STEPS = 30000, ROOM = 40, ENTRY = 1000 };

static uint64_t seed_of_run(void) {
    const char *given = getenv("KVROUTE_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    printf("KVROUTE_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static uint64_t draw(uint64_t *state, uint64_t below) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % below;
}

enum what { NOTHING, LIVE, RELEASED };

struct model {
    enum what is[IDS];
    int worker[IDS], rank[IDS];
};

struct trial {
    struct testmem mem;
    struct kvr_alloc alloc;
    struct memory memory;
    struct model model;
    uint64_t rng;
};

static struct kvr_bytes id_of(int id, char text[16]) {
    return (struct kvr_bytes){text, (size_t)snprintf(text, 16, "r%d", id)};
}

static void keep(struct trial *t, int id, bool confirmed) {
    char text[16], name[16];
    struct kvr_bytes key = id_of(id, text);
    int worker = (int)draw(&t->rng, WORKERS), rank = (int)draw(&t->rng, RANKS);
    size_t n = (size_t)snprintf(name, sizeof name, "w%d", worker);
    struct live *l = live_new(&t->memory);
    char *base = kvr_alloc_copy(&t->alloc, key.p, key.n);
    size_t live = 0;
    for (int i = 0; i < IDS; i++)
        live += t->model.is[i] == LIVE;
    if (t->model.is[id] == NOTHING && l && base &&
        live_keep(l, base, (struct kvr_bytes){base, key.n}, ENTRY, (struct kvr_bytes){name, n},
                  (uint32_t)rank, (struct kvr_bytes){name, n}, confirmed, 1)) {
        cr_assert(live < ROOM);
        t->model.is[id] = LIVE;
        t->model.worker[id] = worker;
        t->model.rank[id] = rank;
        return;
    }
    cr_assert(live >= ROOM || t->mem.failures || t->model.is[id] != NOTHING, "there was room");
    kvr_alloc_free(&t->alloc, base);
    live_drop(l);
}

static void compare(struct trial *t) {
    const char *broken = memory_validate(&t->memory);
    cr_assert_null(broken, "%s", broken);
    for (int id = 0; id < IDS; id++) {
        char text[16];
        struct kvr_bytes key = id_of(id, text);
        struct live *l = live_find(&t->memory, key);
        cr_assert_eq(l != NULL, t->model.is[id] == LIVE);
        if (l) {
            cr_assert_eq(l->at->worker.p[1] - '0', t->model.worker[id]);
            cr_assert_eq((int)l->at->rank, t->model.rank[id]);
        }
        // A release may be forgotten, for lack of room or memory, but none is made up.
        if (released_find(&t->memory, key)) cr_assert_eq(t->model.is[id], RELEASED);
    }
}

static struct live *random_live(struct trial *t) {
    char text[16];
    return live_find(&t->memory, id_of((int)draw(&t->rng, IDS), text));
}

static void step(struct trial *t) {
    struct memory *m = &t->memory;
    char text[16];
    int id = (int)draw(&t->rng, IDS);
    struct kvr_bytes key = id_of(id, text);
    struct live *l;
    switch (draw(&t->rng, 8)) {
    case 0:
    case 1:
        keep(t, id, draw(&t->rng, 2));
        break;
    case 2: {
        bool was_live;
        released_add(m, key, &was_live);
        cr_assert_eq(was_live, t->model.is[id] == LIVE);
        t->model.is[id] = RELEASED;
        break;
    }
    case 3: // a look, as repair.c has them: begun, and ended by whatever comes
        if ((l = random_live(t))) {
            l->looks++;
            live_move(l, &m->live.checking);
            if (draw(&t->rng, 2)) {
                bool was_live;
                released_add(m, l->item.key, &was_live);
                for (int i = 0; i < IDS; i++)
                    if (!live_find(m, id_of(i, text)) && t->model.is[i] == LIVE)
                        t->model.is[i] = RELEASED;
            }
            live_move(l, &m->live.confirmed);
            live_look_ended(l);
        }
        break;
    case 4:
        memory_doubt(m);
        cr_assert(kvr_list_empty(&m->live.confirmed) && kvr_list_empty(&m->released.confirmed));
        break;
    case 5:
        if ((l = random_live(t))) live_move(l, &m->live.confirmed);
        break;
    case 6: {
        struct released *r = released_find(m, key);
        if (r && draw(&t->rng, 2)) {
            released_move(r, &m->released.confirmed);
        } else if (t->model.is[id] == RELEASED) {
            if (r) released_forget(r);
            t->model.is[id] = NOTHING;
        }
        break;
    }
    case 7:
        instances_unlist(m);
        instances_sweep(m);
        break;
    }
}

static void run(unsigned one_in) {
    struct trial *t = calloc(1, sizeof *t);
    t->alloc = testmem_alloc(&t->mem);
    t->rng = seed_of_run();
    struct kvr_client_options o = {
        .max_live = ROOM, .max_live_bytes = (size_t)ROOM * ENTRY, .max_released = 10};
    cr_assert_eq(memory_init(&t->memory, &t->alloc, &o, t->rng), 0);
    t->mem.one_in = one_in;
    t->mem.random = t->rng;
    for (int i = 0; i < STEPS; i++) {
        step(t);
        compare(t);
    }
    memory_free(&t->memory);
    testmem_all_free(&t->mem, "memory");
    free(t);
}

Test(memory, against_plain_arrays) {
    run(0);
}

Test(memory, with_allocations_that_fail) {
    run(3);
}

Test(memory, what_is_said_of_a_worker_adds_up) {
    struct testmem mem = {0};
    struct kvr_alloc a = testmem_alloc(&mem);
    struct kvr_client_options o = {0};
    struct memory m;
    cr_assert_eq(memory_init(&m, &a, &o, 1), 0);
    struct kvr_worker_call say = {.worker = kvr_text("w"),
                                  .set = KVR_WORKER_ADDR | KVR_WORKER_RANKS,
                                  .addr = kvr_text("here"),
                                  .ranks = 2};
    struct registered *r = registered_say(&m, &say, false);
    say = (struct kvr_worker_call){
        .worker = kvr_text("w"), .set = KVR_WORKER_STATE, .state = KVR_DRAINING};
    cr_assert_eq(registered_say(&m, &say, false), r);
    cr_assert_eq(r->said.set, KVR_WORKER_ADDR | KVR_WORKER_RANKS | KVR_WORKER_STATE);
    cr_assert_eq(r->said.ranks, 2);
    cr_assert(r->said.addr.n == 4 && !memcmp(r->said.addr.p, "here", 4));
    struct kvr_bytes labels[] = {{"zone=a", 6}, {"gpu", 3}};
    say = (struct kvr_worker_call){.worker = kvr_text("w"),
                                   .set = KVR_WORKER_LABELS | KVR_WORKER_SPEED,
                                   .speed = 0.5,
                                   .labels = labels,
                                   .n_labels = 2};
    registered_say(&m, &say, false);
    labels[1].p = "not any more";
    cr_assert(r->said.n_labels == 2 && !memcmp(r->said.labels[0].p, "zone=a", 6) &&
              !memcmp(r->said.labels[1].p, "gpu", 3));
    say.set = KVR_WORKER_LABELS;
    say.n_labels = 0; // none is something that can be said, and speed stays
    registered_say(&m, &say, false);
    cr_assert(r->said.set & KVR_WORKER_LABELS && r->said.n_labels == 0 && r->said.speed == 0.5);
    // Deleted and registered anew, it has nothing of its first life.
    say = (struct kvr_worker_call){.worker = kvr_text("w")};
    registered_say(&m, &say, true);
    cr_assert(r->deleted && r->said.set == 0);
    say.set = KVR_WORKER_TTL;
    say.ttl = 5;
    registered_say(&m, &say, false);
    cr_assert(!r->deleted);
    cr_assert_eq(r->said.set, KVR_WORKER_TTL);
    memory_free(&m);
    testmem_all_free(&mem, "workers");
}

enum { MANY = 80000, ROOM_OF_MANY = 1 << 20 };

// Workers come and go for ever; what is remembered of them doesn't grow.
Test(memory, workers_that_came_and_went) {
    struct testmem mem = {0};
    struct kvr_alloc a = testmem_alloc(&mem);
    struct kvr_client_options o = {0};
    struct memory m;
    cr_assert_eq(memory_init(&m, &a, &o, 1), 0);
    char name[16];
    for (int i = 0; i < MANY; i++) {
        struct kvr_bytes worker = {name, (size_t)snprintf(name, sizeof name, "w%d", i)};
        struct kvr_worker_call say = {.worker = worker,
                                      .set = KVR_WORKER_ADDR | KVR_WORKER_TTL,
                                      .addr = kvr_text("http://10.0.0.1:8000"),
                                      .ttl = 5000};
        struct registered *r = registered_say(&m, &say, false);
        cr_assert(r);
        registered_move(r, &m.registered.confirmed);
        if (i % 3 == 0) memory_doubt(&m);
        say = (struct kvr_worker_call){.worker = worker};
        if (i % 1000 == 0) { // it goes without a word
            r->word_at = i;
            registered_move(r, &m.registered.confirmed);
            registered_forget_silent(&m, i + 5000);
            cr_assert_eq(registered_find(&m, worker), r);
            registered_forget_silent(&m, i + 2 * 5000 + SILENCE + 1);
        } else {
            cr_assert_eq(registered_say(&m, &say, true), r);
            registered_move(r, &m.registered.confirmed);
            cr_assert_eq(registered_find(&m, worker), r); // the last ones stay
            if (i % 3 == 0) memory_doubt(&m);
            for (struct kvr_list_item *w;
                 (w = kvr_list_first(&m.registered.waiting));) // said again, and heard
                registered_move((struct registered *)(void *)w, &m.registered.confirmed);
        }
        cr_assert(m.registered_table.count <= MAX_DEPARTED + 1, "%zu", m.registered_table.count);
        cr_assert(instance_get(&m, worker, 0)); // somebody's request was there
    }
    cr_expect(mem.bytes < ROOM_OF_MANY, "%zu bytes", mem.bytes);
    cr_expect(m.registered_table.count > MAX_DEPARTED / 2);
    cr_expect(m.instance_table.count <= MIN_SWEEP);
    memory_free(&m);
    testmem_all_free(&mem, "workers");
}

// Those that stay are kept, as many as a pool can have, and then the one goes that was spoken of
// longest ago.
Test(memory, as_many_workers_as_a_pool_can_have) {
    struct testmem mem = {0};
    struct kvr_alloc a = testmem_alloc(&mem);
    struct kvr_client_options o = {0};
    struct memory m;
    cr_assert_eq(memory_init(&m, &a, &o, 1), 0);
    char name[16];
    for (int i = 0; i < MAX_REGISTERED + 10; i++) {
        struct kvr_bytes worker = {name, (size_t)snprintf(name, sizeof name, "w%d", i)};
        struct kvr_worker_call say = {.worker = worker};
        struct registered *r = registered_say(&m, &say, false);
        cr_assert(r);
        registered_move(r, &m.registered.confirmed);
    }
    cr_expect(m.registered_table.count == MAX_REGISTERED);
    cr_expect(!registered_find(&m, kvr_text("w9")) && registered_find(&m, kvr_text("w10")));
    memory_doubt(&m); // all are to be said: none can be forgotten
    struct kvr_worker_call say = {.worker = kvr_text("another")};
    cr_expect(!registered_say(&m, &say, false));
    memory_free(&m);
    testmem_all_free(&mem, "workers");
}

Test(table, finds_all_and_only_what_is_in_it) {
    enum { ITEMS = 5000 };
    struct testmem mem = {0};
    struct kvr_alloc a = testmem_alloc(&mem);
    struct kvr_table t;
    cr_assert_eq(kvr_table_init(&t, &a, 7), 0);
    struct kvr_table_item *items = calloc(ITEMS, sizeof *items);
    uint32_t *keys = calloc(ITEMS, sizeof *keys);
    uint64_t rng = seed_of_run();
    bool *in = calloc(ITEMS, sizeof *in);
    mem.one_in = 2; // growing is best effort
    for (int i = 0; i < ITEMS * 8; i++) {
        uint32_t k = (uint32_t)draw(&rng, ITEMS);
        keys[k] = k;
        struct kvr_bytes key = {(const char *)&keys[k], sizeof keys[k]};
        cr_assert_eq(kvr_table_find(&t, key), in[k] ? &items[k] : NULL);
        if (in[k])
            kvr_table_remove(&t, &items[k]);
        else
            kvr_table_add(&t, &items[k], key);
        in[k] = !in[k];
    }
    kvr_table_free(&t);
    testmem_all_free(&mem, "table");
    free(items);
    free(keys);
    free(in);
}
