// SPDX-License-Identifier: Apache-2.0
// The publisher over a port that the test drives: whatever happens, the pool ends up with what the rank holds.
#include <criterion/criterion.h>

#include "ctest_publisher.h"

Test(publisher, all_is_well) {
    static struct ctest_profile f = {.blocks = 40,
                                     .straight = 60,
                                     .steps = 3000,
                                     .batch_blocks = 40,
                                     .nonsense = 10,
                                     .clears = 3};
    ctest_with_seeds(10, ctest_publisher_run, &f);
}

// Batches so small that a walk over all fills the window many times over, and changes meet it.
Test(publisher, everything_anew) {
    static struct ctest_profile f = {.blocks = 150,
                                     .straight = 70,
                                     .steps = 3000,
                                     .batch_blocks = 2,
                                     .nonsense = 10,
                                     .clears = 2,
                                     .republishes = 10};
    ctest_with_seeds(10, ctest_publisher_run, &f);
}

Test(publisher, failovers) {
    static struct ctest_profile f = {.blocks = 40,
                                     .straight = 60,
                                     .steps = 3000,
                                     .batch_blocks = 10,
                                     .nonsense = 10,
                                     .clears = 2,
                                     .failovers = 20,
                                     .restarts = 5,
                                     .postponements = 10};
    ctest_with_seeds(10, ctest_publisher_run, &f);
}

Test(publisher, many_blocks) {
    static struct ctest_profile f = {.blocks = 3000,
                                     .straight = 90,
                                     .steps = 900,
                                     .batch_blocks = 8,
                                     .nonsense = 5,
                                     .clears = 1,
                                     .republishes = 10,
                                     .failovers = 10,
                                     .restarts = 3,
                                     .postponements = 10,
                                     .busy = true};
    ctest_with_seeds(4, ctest_publisher_run, &f);
}

Test(publisher, outages) {
    static struct ctest_profile f = {.blocks = 200,
                                     .straight = 80,
                                     .steps = 3000,
                                     .ring_bytes = 1, // the least there is
                                     .batch_blocks = 100,
                                     .nonsense = 10,
                                     .failovers = 10,
                                     .restarts = 2,
                                     .outages = 10};
    ctest_with_seeds(10, ctest_publisher_run, &f);
}

Test(publisher, bad_answers) {
    static struct ctest_profile f = {.blocks = 40,
                                     .straight = 60,
                                     .steps = 3000,
                                     .batch_blocks = 10,
                                     .nonsense = 10,
                                     .clears = 2,
                                     .failovers = 10,
                                     .restarts = 3,
                                     .postponements = 10,
                                     .fails = 10};
    ctest_with_seeds(10, ctest_publisher_run, &f);
}

Test(publisher, refused) {
    static struct ctest_profile f = {.blocks = 40,
                                     .straight = 60,
                                     .steps = 3000,
                                     .batch_blocks = 40,
                                     .nonsense = 10,
                                     .clears = 1,
                                     .others = 60};
    ctest_with_seeds(20, ctest_publisher_run, &f);
}

Test(publisher, refused_while_all_is_sent_anew) {
    static struct ctest_profile f = {.blocks = 100,
                                     .straight = 60,
                                     .steps = 3000,
                                     .batch_blocks = 3,
                                     .nonsense = 10,
                                     .clears = 1,
                                     .republishes = 10,
                                     .failovers = 10,
                                     .restarts = 2,
                                     .others = 60,
                                     .postponements = 5};
    ctest_with_seeds(20, ctest_publisher_run, &f);
}

Test(publisher, superseded) {
    static struct ctest_profile f = {.blocks = 30,
                                     .straight = 60,
                                     .steps = 3000,
                                     .batch_blocks = 10,
                                     .nonsense = 10,
                                     .republishes = 5,
                                     .failovers = 10,
                                     .foreigners = 10};
    ctest_with_seeds(10, ctest_publisher_run, &f);
}

Test(publisher, no_room) {
    static struct ctest_profile f = {.blocks = 40,
                                     .straight = 60,
                                     .steps = 3000,
                                     .max_blocks = 12,
                                     .batch_blocks = 10,
                                     .nonsense = 10,
                                     .republishes = 5,
                                     .failovers = 10};
    ctest_with_seeds(10, ctest_publisher_run, &f);
}

Test(publisher, no_memory) {
    static struct ctest_profile f = {.blocks = 40,
                                     .straight = 60,
                                     .steps = 3000,
                                     .batch_blocks = 10,
                                     .nonsense = 10,
                                     .clears = 2,
                                     .republishes = 5,
                                     .failovers = 10,
                                     .others = 30,
                                     .one_in = 4};
    ctest_with_seeds(10, ctest_publisher_run, &f);
}

Test(publisher, everything) {
    static struct ctest_profile f = {.blocks = 80,
                                     .straight = 70,
                                     .steps = 4000,
                                     .ring_bytes = 1,
                                     .batch_blocks = 64,
                                     .nonsense = 10,
                                     .clears = 2,
                                     .republishes = 5,
                                     .failovers = 10,
                                     .restarts = 2,
                                     .outages = 4,
                                     .others = 30,
                                     .foreigners = 2,
                                     .postponements = 10,
                                     .fails = 3,
                                     .one_in = 50};
    ctest_with_seeds(30, ctest_publisher_run, &f);
}
