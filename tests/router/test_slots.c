// SPDX-License-Identifier: Apache-2.0
// What the processes of a router show each other: sums beside a model, and while processes are killed.
#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "client/common/prometheus.h"
#include "client/common/random.h"
#include "client/router/router_slots.h"
#include "tests/support/support_process.h"

enum { SLOTS_TRIED = 4 };

// Two counters that are always equal, with some bulk between them; and a gauge.
static void show(struct router_slots *s, size_t i, uint64_t counted, int64_t now, size_t bulk) {
    struct kvr_prom p = {.out = evbuffer_new(), .prefix = "kvroute_router_"};
    kvr_prom_one(&p, "first", KVR_PROM_COUNTER, "of two", (int64_t)counted);
    kvr_prom_family(&p, "bulk", KVR_PROM_COUNTER, "of many");
    for (size_t k = 0; k < bulk; k++) {
        char name[24];
        snprintf(name, sizeof name, "%zu", k);
        kvr_prom_sample(&p, KVR_PROM_COUNTER, (struct kvr_prom_label[]){{"k", name}}, 1, 1);
    }
    kvr_prom_one(&p, "now", KVR_PROM_GAUGE, "of one", now);
    kvr_prom_one(&p, "second", KVR_PROM_COUNTER, "of two", (int64_t)counted);
    struct router_figures f = {.requests = counted, .open = (uint64_t)now};
    router_slots_show(s, i, &f, p.out);
    evbuffer_free(p.out);
}

struct slots_sum {
    uint64_t first, second, before, requests,
        open; // before, requests: as figures, before and after
    int64_t now;
};

static uint64_t value_of(const char *page, const char *name) {
    const char *at = strstr(page, name);
    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static bool read_sum(const struct router_slots *s, struct slots_sum *out) {
    struct kvr_prom_sum *sum = kvr_prom_sum_new(&kvr_alloc_default, router_slots_rules);
    struct evbuffer *page = evbuffer_new();
    struct router_figures f = {.open = 0}, before = {.open = 0};
    bool good = router_slots_figures(s, 0, &before) && router_slots_pages(s, sum) &&
                router_slots_figures(s, 0, &f);
    kvr_prom_sum_write(sum, page, false);
    evbuffer_add(page, "", 1);
    const char *text = (const char *)evbuffer_pullup(page, -1);
    *out = (struct slots_sum){.first = value_of(text, "\nkvroute_router_first_total "),
                              .second = value_of(text, "\nkvroute_router_second_total "),
                              .now = (int64_t)value_of(text, "\nkvroute_router_now "),
                              .before = before.requests,
                              .requests = f.requests,
                              .open = f.open};
    evbuffer_free(page);
    kvr_prom_sum_free(sum);
    return good;
}

// ---- Beside a model ------------------------------------------------------------------------------

Test(slots, are_as_a_model) {
    const char *given = getenv("KVROUTE_SEED");
    uint64_t first = given ? strtoull(given, NULL, 10) : 1;
    for (uint64_t seed = first; seed < first + (given ? 1 : 20); seed++) {
        struct router_slots *s = router_slots_new(SLOTS_TRIED);
        uint64_t random = seed, ended = 0, counted[SLOTS_TRIED + 1] = {0},
                 shown[SLOTS_TRIED + 1] = {0};
        int64_t now[SLOTS_TRIED + 1] = {0};
        for (int step = 0; step < 300; step++) {
            size_t i = 1 + kvr_random(&random) % SLOTS_TRIED;
            switch (kvr_random(&random) % 8) {
            case 0:
                cr_assert(router_slots_end(s, i));
                ended += shown[i];
                counted[i] = shown[i] = 0;
                now[i] = 0;
                break;
            case 1:
            case 2:
                now[i] = (int64_t)(kvr_random(&random) % 100);
                show(s, i, counted[i], now[i], kvr_random(&random) % 20);
                shown[i] = counted[i];
                break;
            default:
                counted[i] += kvr_random(&random) % 1000;
            }
            struct slots_sum is;
            uint64_t want = ended;
            int64_t open = 0;
            for (i = 1; i <= SLOTS_TRIED; i++) {
                want += shown[i];
                open += now[i];
            }
            cr_assert(read_sum(s, &is));
            struct router_figures but = {.open = 0};
            cr_assert(router_slots_figures(s, 2, &but));
            cr_assert_eq(but.requests, want - shown[2]);
            cr_assert(is.first == want && is.second == want && is.requests == want &&
                          is.now == open && is.open == (uint64_t)open,
                      "step %d, KVROUTE_SEED=%" PRIu64, step, seed);
        }
        router_slots_free(s);
    }
}

Test(slots, a_page_without_room_is_cut_at_a_line) {
    struct router_slots *s = router_slots_new(1);
    struct evbuffer *page = evbuffer_new();
    struct router_figures f = {.requests = 3};
    evbuffer_add_printf(page, "# HELP x_n_total of\n# TYPE x_n_total counter\n");
    for (size_t i = 0; evbuffer_get_length(page) <= ROUTER_SLOT_ROOM; i++)
        evbuffer_add_printf(page, "x_n_total{i=\"%zu\"} 1\n", i);
    router_slots_show(s, 1, &f, page);
    const struct router_shown *p = &s->all[1].pages[s->all[1].turn % 2];
    cr_assert(p->n <= ROUTER_SLOT_ROOM && p->n > ROUTER_SLOT_ROOM - 100);
    cr_assert_eq(p->text[p->n - 1], '\n');
    evbuffer_free(page);
    router_slots_free(s);
}

Test(slots, who_has_more_lets_others_go_first) {
    struct router_slots *s = router_slots_new(3);
    cr_assert(!router_slots_yields(s, 1, 1000), "there are no others");
    atomic_store(&s->all[2].serves, true);
    cr_assert(router_slots_yields(s, 1, 1000) && !router_slots_yields(s, 2, 1000));
    cr_assert(!router_slots_yields(s, 2, 1000 + ROUTER_SLOT_SLACK));
    atomic_store(&s->all[1].serves, true);
    cr_assert(router_slots_yields(s, 2, 1001 + ROUTER_SLOT_SLACK));
    cr_assert(router_slots_end(s, 1));
    cr_assert(!router_slots_yields(s, 2, 1001 + ROUTER_SLOT_SLACK), "that one has ended");
    router_slots_free(s);
}

// ---- While processes are killed ------------------------------------------------------------------

static pid_t start_showing(struct router_slots *s, size_t i) {
    pid_t pid = fork();
    if (pid) return pid;
    for (uint64_t n = 1;; n++)
        show(s, i, n, 1, n % 50);
}

// Ends with 0 when it is told that all is over.
static pid_t start_reading(const struct router_slots *s, const atomic_bool *over) {
    pid_t pid = fork();
    if (pid) return pid;
    struct slots_sum last = {.first = 0}, is;
    size_t looks = 0;
    while (!atomic_load(over) || !looks) {
        looks++;
        if (!read_sum(s, &is)) _exit(2);
        if (is.first != is.second || is.before > is.first || is.first > is.requests) _exit(3);
        if (is.first < last.first) _exit(4);
        if (is.now > SLOTS_TRIED) _exit(5);
        last = is;
    }
    _exit(0);
}

Test(slots, sums_never_go_back) {
    enum { KILLS = 150, READERS = 2 };
    struct router_slots *s = router_slots_new(SLOTS_TRIED), *other = router_slots_new(1);
    atomic_bool *over = &other->all[0].serves; // a word that is shared
    pid_t shows[SLOTS_TRIED + 1], reads[READERS];
    uint64_t random = 5;
    for (size_t i = 1; i <= SLOTS_TRIED; i++)
        shows[i] = start_showing(s, i);
    for (size_t i = 0; i < READERS; i++)
        reads[i] = start_reading(s, over);
    for (int k = 0; k < KILLS; k++) {
        size_t i = 1 + kvr_random(&random) % SLOTS_TRIED;
        usleep((useconds_t)(kvr_random(&random) % 5000));
        support_end(&shows[i], SIGKILL);
        cr_assert(router_slots_end(s, i));
        shows[i] = start_showing(s, i);
    }
    atomic_store(over, true);
    for (size_t i = 0; i < READERS; i++) {
        int status = -1;
        cr_assert_eq(waitpid(reads[i], &status, 0), reads[i]);
        cr_assert_eq(status, 0, "reader: %d", WEXITSTATUS(status));
    }
    for (size_t i = 1; i <= SLOTS_TRIED; i++)
        support_end(&shows[i], SIGKILL);
    router_slots_free(other);
    router_slots_free(s);
}
