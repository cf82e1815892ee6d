// SPDX-License-Identifier: Apache-2.0
// What a handle remembers, against plain arrays, with allocations that fail.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/random.h"
#include "client/lib/recovery/remembered.h"
#include "ctest_parallel.h"
#include "tests/support/support_alloc.h"
#include "tests/support/support_home.h"

enum {
    MEMORY_IDS = 60,
    MEMORY_WORKERS = 5,
    MEMORY_RANKS = 2,
    MEMORY_STEPS = 30000,
    MEMORY_ROOM = 40,
    MEMORY_ENTRY = 1000
};

static uint64_t draw(uint64_t *state, uint64_t below) {
    return kvr_random(state) % below;
}

enum memory_state { MEMORY_NOTHING, MEMORY_LIVE, MEMORY_RELEASED };

struct memory_model {
    enum memory_state is[MEMORY_IDS];
    int worker[MEMORY_IDS], rank[MEMORY_IDS];
};

struct memory_trial {
    struct support_alloc mem;
    struct kvr_alloc alloc;
    struct kvr_remembered memory;
    struct memory_model model;
    uint64_t rng;
};

static struct kvr_bytes id_of(int id, char text[16]) {
    return (struct kvr_bytes){text, (size_t)snprintf(text, 16, "r%d", id)};
}

// A command that has this id; not whole when memory is short.
static struct kvr_command command_of(struct memory_trial *t, struct kvr_bytes key) {
    struct kvr_command command = {0};
    struct kvr_wire w;
    kvr_wire_begin(&w, &t->alloc);
    kvr_wire_bytes(&w, key);
    while (!w.failed && w.n < MEMORY_ENTRY - 100)
        kvr_wire_word(&w, "a block");
    (void)kvr_wire_end(&w, &command);
    return command;
}

static void keep(struct memory_trial *t, int id, bool confirmed) {
    char text[16], name[16];
    struct kvr_bytes key = id_of(id, text);
    int worker = (int)draw(&t->rng, MEMORY_WORKERS), rank = (int)draw(&t->rng, MEMORY_RANKS);
    size_t n = (size_t)snprintf(name, sizeof name, "w%d", worker);
    void *reserved = kvr_alloc_zeroed(&t->alloc, sizeof(struct kvr_live));
    struct kvr_command command = command_of(t, key);
    struct kvr_booked_request booking = {0};
    const char *at = command.base ? command.base + KVR_WIRE_HEAD : NULL;
    size_t live = 0;
    for (int i = 0; i < MEMORY_IDS; i++)
        live += t->model.is[i] == MEMORY_LIVE;
    if (t->model.is[id] == MEMORY_NOTHING && at &&
        kvr_live_keep(&t->memory, &reserved, &command, kvr_wire_next(&at), &booking,
                      (struct kvr_bytes){name, n}, (uint32_t)rank, (struct kvr_bytes){name, n},
                      confirmed, 1)) {
        cr_assert(live < MEMORY_ROOM && !reserved);
        t->model.is[id] = MEMORY_LIVE;
        t->model.worker[id] = worker;
        t->model.rank[id] = rank;
    } else {
        cr_assert(live >= MEMORY_ROOM || t->mem.failures || t->model.is[id] != MEMORY_NOTHING,
                  "there was room");
    }
    kvr_command_release(&t->alloc, &command);
    kvr_alloc_free(&t->alloc, reserved);
}

static void compare(struct memory_trial *t) {
    const char *broken = kvr_remembered_validate(&t->memory);
    cr_assert_null(broken, "%s", broken);
    for (int id = 0; id < MEMORY_IDS; id++) {
        char text[16];
        struct kvr_bytes key = id_of(id, text);
        struct kvr_live *l = kvr_live_find(&t->memory, key);
        cr_assert_eq(l != NULL, t->model.is[id] == MEMORY_LIVE);
        if (l) {
            cr_assert_eq(l->at->worker.p[1] - '0', t->model.worker[id]);
            cr_assert_eq((int)l->at->rank, t->model.rank[id]);
        }
        // A release may be forgotten, for lack of room or memory, but none is made up.
        if (kvr_released_find(&t->memory, key)) cr_assert_eq(t->model.is[id], MEMORY_RELEASED);
    }
}

static struct kvr_live *random_live(struct memory_trial *t) {
    char text[16];
    return kvr_live_find(&t->memory, id_of((int)draw(&t->rng, MEMORY_IDS), text));
}

static void step(struct memory_trial *t) {
    struct kvr_remembered *m = &t->memory;
    char text[16];
    int id = (int)draw(&t->rng, MEMORY_IDS);
    struct kvr_bytes key = id_of(id, text);
    struct kvr_live *l;
    switch (draw(&t->rng, 8)) {
    case 0:
    case 1:
        keep(t, id, draw(&t->rng, 2));
        break;
    case 2: {
        bool was_live;
        kvr_released_add(m, key, &was_live);
        cr_assert_eq(was_live, t->model.is[id] == MEMORY_LIVE);
        t->model.is[id] = MEMORY_RELEASED;
        break;
    }
    case 3: // a look, as repair.c has them: begun, and ended by whatever comes
        if ((l = random_live(t))) {
            l->looks++;
            kvr_live_move(l, &m->live.checking);
            if (draw(&t->rng, 2)) {
                bool was_live;
                kvr_released_add(m, l->item.key, &was_live);
                for (int i = 0; i < MEMORY_IDS; i++)
                    if (!kvr_live_find(m, id_of(i, text)) && t->model.is[i] == MEMORY_LIVE)
                        t->model.is[i] = MEMORY_RELEASED;
            }
            kvr_live_move(l, &m->live.confirmed);
            kvr_live_look_ended(l);
        }
        break;
    case 4:
        kvr_remembered_unconfirm(m);
        cr_assert(kvr_list_empty(&m->live.confirmed) && kvr_list_empty(&m->released.confirmed));
        break;
    case 5:
        if ((l = random_live(t))) kvr_live_move(l, &m->live.confirmed);
        break;
    case 6: {
        struct kvr_released *r = kvr_released_find(m, key);
        if (r && draw(&t->rng, 2)) {
            kvr_released_move(r, &m->released.confirmed);
        } else if (t->model.is[id] == MEMORY_RELEASED) {
            if (r) kvr_released_forget(r);
            t->model.is[id] = MEMORY_NOTHING;
        }
        break;
    }
    case 7:
        kvr_instances_unlist(&m->instances);
        kvr_instances_sweep(&m->instances);
        break;
    }
}

static void run(unsigned one_in) {
    struct memory_trial *t = calloc(1, sizeof *t);
    t->alloc = support_alloc_use(&t->mem);
    t->rng = support_seed();
    struct kvr_client_options o = {.max_live = MEMORY_ROOM,
                                   .max_live_bytes = (size_t)MEMORY_ROOM * MEMORY_ENTRY,
                                   .max_released = 10};
    cr_assert_eq(kvr_remembered_init(&t->memory, &t->alloc, NULL, &o, t->rng), 0);
    t->mem.one_in = one_in;
    t->mem.random = t->rng;
    for (int i = 0; i < MEMORY_STEPS; i++) {
        step(t);
        compare(t);
    }
    kvr_remembered_free(&t->memory);
    support_alloc_check_freed(&t->mem, "memory");
    free(t);
}

Test(memory, against_plain_arrays) {
    run(0);
}

Test(memory, with_allocations_that_fail) {
    run(3);
}

Test(memory, what_is_said_of_a_worker_adds_up) {
    struct support_alloc mem = {0};
    struct kvr_alloc a = support_alloc_use(&mem);
    struct kvr_client_options o = {0};
    struct kvr_remembered m;
    cr_assert_eq(kvr_remembered_init(&m, &a, NULL, &o, 1), 0);
    struct kvr_worker_call say = {.worker = kvr_text("w"),
                                  .set = KVR_WORKER_ADDR | KVR_WORKER_RANKS,
                                  .addr = kvr_text("here"),
                                  .ranks = 2};
    struct kvr_registration *r = kvr_registration_say(&m.workers, &say, false);
    say = (struct kvr_worker_call){
        .worker = kvr_text("w"), .set = KVR_WORKER_STATE, .state = KVR_DRAINING};
    cr_assert_eq(kvr_registration_say(&m.workers, &say, false), r);
    cr_assert_eq(r->said.set, KVR_WORKER_ADDR | KVR_WORKER_RANKS | KVR_WORKER_STATE);
    cr_assert_eq(r->said.ranks, 2);
    cr_assert(r->said.addr.n == 4 && !memcmp(r->said.addr.p, "here", 4));
    struct kvr_bytes labels[] = {{"zone=a", 6}, {"gpu", 3}};
    say = (struct kvr_worker_call){.worker = kvr_text("w"),
                                   .set = KVR_WORKER_LABELS | KVR_WORKER_SPEED,
                                   .speed = 0.5,
                                   .labels = labels,
                                   .n_labels = 2};
    kvr_registration_say(&m.workers, &say, false);
    labels[1].p = "not any more";
    cr_assert(r->said.n_labels == 2 && !memcmp(r->said.labels[0].p, "zone=a", 6) &&
              !memcmp(r->said.labels[1].p, "gpu", 3));
    say.set = KVR_WORKER_LABELS;
    say.n_labels = 0; // none is something that can be said, and speed stays
    kvr_registration_say(&m.workers, &say, false);
    cr_assert(r->said.set & KVR_WORKER_LABELS && r->said.n_labels == 0 && r->said.speed == 0.5);
    // Deleted and registered anew, it has nothing of its first life.
    say = (struct kvr_worker_call){.worker = kvr_text("w")};
    kvr_registration_say(&m.workers, &say, true);
    cr_assert(r->deleted && r->said.set == 0);
    say.set = KVR_WORKER_TTL;
    say.ttl = 5;
    kvr_registration_say(&m.workers, &say, false);
    cr_assert(!r->deleted);
    cr_assert_eq(r->said.set, KVR_WORKER_TTL);
    kvr_remembered_free(&m);
    support_alloc_check_freed(&mem, "workers");
}

enum { MANY_WORKERS = 80000, MAX_BYTES_OF_MANY = 1 << 20 };

// Workers come and go for ever; what is remembered of them doesn't grow.
Test(memory, workers_that_came_and_went) {
    struct support_alloc mem = {0};
    struct kvr_alloc a = support_alloc_use(&mem);
    struct kvr_client_options o = {0};
    struct kvr_remembered m;
    cr_assert_eq(kvr_remembered_init(&m, &a, NULL, &o, 1), 0);
    char name[16];
    for (int i = 0; i < MANY_WORKERS; i++) {
        struct kvr_bytes worker = {name, (size_t)snprintf(name, sizeof name, "w%d", i)};
        struct kvr_worker_call say = {.worker = worker,
                                      .set = KVR_WORKER_ADDR | KVR_WORKER_TTL,
                                      .addr = kvr_text("http://10.0.0.1:8000"),
                                      .ttl = 5000};
        struct kvr_registration *r = kvr_registration_say(&m.workers, &say, false);
        cr_assert(r);
        kvr_registration_move(r, &m.workers.lists.confirmed);
        if (i % 3 == 0) kvr_remembered_unconfirm(&m);
        say = (struct kvr_worker_call){.worker = worker};
        if (i % 1000 == 0) { // it goes without a word
            r->said_at = i;
            kvr_registration_move(r, &m.workers.lists.confirmed);
            kvr_registrations_forget_silent(&m.workers, i + 5000);
            cr_assert_eq(kvr_registration_find(&m.workers, worker), r);
            kvr_registrations_forget_silent(&m.workers, i + 2 * 5000 + KVR_LEASE_MARGIN + 1);
        } else {
            cr_assert_eq(kvr_registration_say(&m.workers, &say, true), r);
            kvr_registration_move(r, &m.workers.lists.confirmed);
            cr_assert_eq(kvr_registration_find(&m.workers, worker), r); // the last ones stay
            if (i % 3 == 0) kvr_remembered_unconfirm(&m);
            for (struct kvr_list_item *w;
                 (w = kvr_list_first(&m.workers.lists.waiting));) // said again, and heard
                kvr_registration_move((struct kvr_registration *)(void *)w,
                                      &m.workers.lists.confirmed);
        }
        cr_assert(m.workers.table.count <= KVR_MAX_DEPARTED + 1, "%zu", m.workers.table.count);
        cr_assert(kvr_instance_get(&m.instances, worker, 0)); // somebody's request was there
    }
    cr_expect(mem.bytes < MAX_BYTES_OF_MANY, "%zu bytes", mem.bytes);
    cr_expect(m.workers.table.count > KVR_MAX_DEPARTED / 2);
    cr_expect(m.instances.table.count <= KVR_MIN_SWEEP);
    kvr_remembered_free(&m);
    support_alloc_check_freed(&mem, "workers");
}

// Those that stay are kept, as many as a pool can have, and then the one goes that was spoken of
// longest ago.
Test(memory, as_many_workers_as_a_pool_can_have) {
    struct support_alloc mem = {0};
    struct kvr_alloc a = support_alloc_use(&mem);
    struct kvr_client_options o = {0};
    struct kvr_remembered m;
    cr_assert_eq(kvr_remembered_init(&m, &a, NULL, &o, 1), 0);
    char name[16];
    for (int i = 0; i < KVR_MAX_REGISTRATIONS + 10; i++) {
        struct kvr_bytes worker = {name, (size_t)snprintf(name, sizeof name, "w%d", i)};
        struct kvr_worker_call say = {.worker = worker};
        struct kvr_registration *r = kvr_registration_say(&m.workers, &say, false);
        cr_assert(r);
        kvr_registration_move(r, &m.workers.lists.confirmed);
    }
    cr_expect(m.workers.table.count == KVR_MAX_REGISTRATIONS);
    cr_expect(!kvr_registration_find(&m.workers, kvr_text("w9")) &&
              kvr_registration_find(&m.workers, kvr_text("w10")));
    kvr_remembered_unconfirm(&m); // all are to be said: none can be forgotten
    struct kvr_worker_call say = {.worker = kvr_text("another")};
    cr_expect(!kvr_registration_say(&m.workers, &say, false));
    kvr_remembered_free(&m);
    support_alloc_check_freed(&mem, "workers");
}
