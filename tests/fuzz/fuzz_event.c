// SPDX-License-Identifier: Apache-2.0
// The unit tests' traffic with the fuzzer's bytes for decisions: pool and model must agree throughout.
#include "fuzz_target.h"
#include "tests/unit/unit_traffic.h"

static const struct unit_profile profiles[] = {
    {.name = "short",
     .nodes = 40,
     .straight = 70,
     .workers = 3,
     .ranks = 2,
     .requests = 8,
     .events = 60,
     .selects = 20,
     .requests_ops = 20,
     .workers_ops = 6,
     .holes = 50,
     .tiers = 3,
     .predict = 40,
     .capacity = 24,
     .reloads = 10,
     .pairs = 40},
    {.name = "long",
     .nodes = 600,
     .straight = 99,
     .workers = 3,
     .ranks = 1,
     .requests = 4,
     .events = 60,
     .selects = 10,
     .requests_ops = 10,
     .workers_ops = 4,
     .holes = 70,
     .tiers = 3,
     .predict = 20,
     .capacity = 400,
     .reloads = 10},
    {.name = "queue",
     .nodes = 30,
     .straight = 70,
     .workers = 3,
     .ranks = 2,
     .requests = 20,
     .events = 10,
     .selects = 60,
     .requests_ops = 40,
     .workers_ops = 6,
     .holes = 30,
     .tiers = 1,
     .predict = 10,
     .capacity = 40,
     .reloads = 10,
     .queue = 40},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct unit_pair pair;
    if (size < 8) return 0;
    struct unit_traffic t;
    struct unit_source source = {.bytes = data + 2, .left = size - 2};
    unit_traffic_init(&t, &profiles[data[0] < 192 ? data[0] % 2 : 2], source, &pair,
                      "fuzzed traffic");
    if (data[1] >= 128) pair.mem.one_in = 2 + data[1] % 8;
    for (int i = 0; i < 300 && !unit_source_dry(&t.source); i++)
        unit_traffic_step(&t);
    pair.mem.one_in = 0;
    unit_pair_check_all(&pair);
    unit_pair_check_tree(&pair);
    unit_pair_check_rebuilt(&pair, size);
    unit_traffic_free(&t);
    return 0;
}
