// SPDX-License-Identifier: Apache-2.0
// The figures of the last minutes: what is in which step, and what percentiles say. Time is an argument.
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "client/router/router_minutes.h"

#define STEP ((int64_t)ROUTER_MINUTES_STEP_MS * 1000)
#define BEGAN (1000 * STEP)

static struct router_minutes *ring;
static struct router_minutes_figures steps[ROUTER_MINUTES_STEPS];

static void begin(void) {
    ring = calloc(1, sizeof *ring);
}

static void end(void) {
    free(ring);
}

TestSuite(minutes, .init = begin, .fini = end);

static size_t read_at(int64_t now_us) {
    return router_minutes_read(ring, BEGAN, now_us, steps);
}

static bool is_near(double ms, double want) {
    return fabs(ms / want - 1) <= 0.0626;
}

Test(minutes, figures_are_of_their_step) {
    cr_expect_eq(read_at(BEGAN + STEP - 1), 0); // the first one isn't over
    for (int64_t i = 0; i < 3; i++)
        for (int64_t k = 0; k <= i; k++) {
            router_minutes_request(ring, BEGAN + i * STEP + k, k == 2);
            router_minutes_prompt(ring, BEGAN + i * STEP, 100, 10 * i);
            router_minutes_output(ring, BEGAN + (i + 1) * STEP - 1, 7);
        }
    cr_assert_eq(read_at(BEGAN + 2 * STEP), 2);
    cr_assert_eq(read_at(BEGAN + 3 * STEP), 3);
    for (uint64_t i = 0; i < 3; i++) {
        cr_expect_eq(steps[i].requests, i + 1);
        cr_expect_eq(steps[i].failed, i == 2);
        cr_expect_eq(steps[i].output, 7 * (i + 1));
        cr_expect_eq(steps[i].prompt, 100 * (i + 1));
        cr_expect_eq(steps[i].cached, 10 * i * (i + 1));
        cr_expect(steps[i].p50 < 0 && steps[i].p95 < 0);
    }
}

Test(minutes, quiet_steps_are_there) {
    router_minutes_request(ring, BEGAN, 0);
    router_minutes_first(ring, BEGAN + 3 * STEP, 20000);
    cr_assert_eq(read_at(BEGAN + 5 * STEP), 5);
    cr_expect(steps[0].requests == 1 && !steps[1].requests && !steps[4].requests);
    cr_expect(steps[2].p50 < 0 && is_near(steps[3].p50, 20) && steps[4].p50 < 0);
}

// What is older than the ring doesn't count, wherever it lies; what is in it does.
Test(minutes, the_ring_goes_round) {
    const int64_t n = 3 * ROUTER_MINUTES_STEPS + 5;
    for (int64_t i = 0; i < n; i++)
        router_minutes_output(ring, BEGAN + i * STEP, i + 1);
    cr_assert_eq(read_at(BEGAN + n * STEP), ROUTER_MINUTES_STEPS);
    for (int64_t i = 0; i < ROUTER_MINUTES_STEPS; i++)
        cr_expect_eq((int64_t)steps[i].output, n - ROUTER_MINUTES_STEPS + i + 1);
    // The step under way isn't shown, and doesn't take the place of the oldest one.
    router_minutes_output(ring, BEGAN + n * STEP, 9999);
    cr_assert_eq(read_at(BEGAN + n * STEP + 1), ROUTER_MINUTES_STEPS);
    cr_expect_eq((int64_t)steps[0].output, n - ROUTER_MINUTES_STEPS + 1);
    // After a long silence all is empty.
    cr_assert_eq(read_at(BEGAN + 10 * n * STEP), ROUTER_MINUTES_STEPS);
    for (size_t i = 0; i < ROUTER_MINUTES_STEPS; i++)
        cr_expect(!steps[i].output && steps[i].p50 < 0);
}

Test(minutes, percentiles) {
    for (int64_t ms = 1; ms <= 1000; ms++)
        router_minutes_first(ring, BEGAN, ms * 1000);
    cr_assert_eq(read_at(BEGAN + STEP), 1);
    cr_expect(is_near(steps[0].p50, 500) && is_near(steps[0].p95, 950), "%g %g", steps[0].p50,
              steps[0].p95);
    // One alone is both; every size comes out as what it was.
    int64_t at = BEGAN;
    for (double ms = 0.3; ms < 200000; ms *= 1.37) {
        at += STEP;
        router_minutes_first(ring, at, (int64_t)(ms * 1000));
        size_t n = read_at(at + STEP);
        cr_expect(is_near(steps[n - 1].p50, ms) && steps[n - 1].p50 == steps[n - 1].p95, "%g as %g",
                  ms, steps[n - 1].p50);
    }
    // Of twenty the slowest is beyond p95, of nineteen it isn't.
    for (int i = 0; i < 2; i++) {
        at += STEP;
        for (int k = 0; k < 18 + i; k++)
            router_minutes_first(ring, at, 10000);
        router_minutes_first(ring, at, 5000000);
        size_t n = read_at(at + STEP);
        cr_expect(is_near(steps[n - 1].p95, i ? 10 : 5000), "%g", steps[n - 1].p95);
    }
}

Test(minutes, odd_figures) {
    static const int64_t odd[] = {INT64_MIN, -1, 0, 1, 255, 256, INT64_MAX};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        router_minutes_first(ring, BEGAN, odd[i]);
    router_minutes_prompt(ring, BEGAN, 0, 5);
    router_minutes_prompt(ring, BEGAN, -5, 5);
    router_minutes_prompt(ring, BEGAN, 10, 50); // no more can be cached than there is
    router_minutes_prompt(ring, BEGAN, 10, -1);
    router_minutes_output(ring, BEGAN, -1);
    cr_assert_eq(read_at(BEGAN + STEP), 1);
    cr_expect(steps[0].prompt == 20 && steps[0].cached == 10 && steps[0].output == 0);
    cr_expect(steps[0].p50 > 0 && steps[0].p50 < 1 && steps[0].p95 > 200000);
}

// Of several processes: steps of one time are added up, and older ones are no more.
Test(minutes, of_several_are_added_up) {
    struct router_minutes *other = calloc(1, sizeof *other), *sum = calloc(1, sizeof *sum);
    for (int i = 0; i < 3; i++) {
        router_minutes_request(i < 2 ? ring : other, BEGAN + STEP, i == 2);
        router_minutes_first(i < 2 ? ring : other, BEGAN + STEP, 1000 * (i + 1));
    }
    router_minutes_prompt(other, BEGAN + 2 * STEP, 100, 40);
    // The step's place in the ring has one of long ago in the other.
    router_minutes_request(ring, BEGAN + 3 * STEP, 0);
    router_minutes_request(other, BEGAN + 3 * STEP - (ROUTER_MINUTES_STEPS + 1) * STEP, 0);
    router_minutes_add(sum, ring);
    router_minutes_add(sum, other);
    free(ring);
    ring = sum;
    cr_assert_eq(read_at(BEGAN + 4 * STEP), 4);
    cr_expect(steps[1].requests == 3 && steps[1].failed == 1);
    cr_expect(is_near(steps[1].p50, 2) && is_near(steps[1].p95, 3));
    cr_expect(steps[2].prompt == 100 && steps[2].cached == 40 && steps[2].requests == 0);
    cr_expect_eq(steps[3].requests, 1);
    free(other);
}
