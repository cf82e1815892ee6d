// SPDX-License-Identifier: Apache-2.0
// The queue of what is to happen.
#include <criterion/criterion.h>

#include "bench/sim/fleet/event_queue.h"
#include "client/common/random.h"

Test(queue, in_order_of_time_then_of_planning) {
    struct sim_queue q = {0};
    uint64_t rng = 1;
    enum { STEST_EVENTS = 5000 };
    for (uint32_t i = 0; i < STEST_EVENTS; i++)
        sim_queue_put(&q, (double)(kvr_random(&rng) % 100), NULL, NULL, i, 0);
    struct sim_event d, last = {.at = -1};
    for (uint32_t i = 0; i < STEST_EVENTS; i++) {
        cr_assert(sim_queue_take(&q, &d));
        cr_assert(d.at > last.at || (d.at == last.at && d.a > last.a));
        last = d;
    }
    cr_assert(!sim_queue_take(&q, &d));
    sim_queue_free(&q);
}

Test(queue, what_is_planned_meanwhile_finds_its_place) {
    struct sim_queue q = {0};
    struct sim_event d;
    sim_queue_put(&q, 2, NULL, NULL, 2, 0);
    sim_queue_put(&q, 1, NULL, NULL, 1, 0);
    cr_assert(sim_queue_take(&q, &d) && d.a == 1);
    sim_queue_put(&q, 3, NULL, NULL, 3, 0);
    sim_queue_put(&q, 1.5, NULL, NULL, 4, 0);
    cr_assert(sim_queue_take(&q, &d) && d.a == 4);
    cr_assert(sim_queue_take(&q, &d) && d.a == 2);
    cr_assert(sim_queue_take(&q, &d) && d.a == 3);
    sim_queue_free(&q);
}
