// SPDX-License-Identifier: Apache-2.0
// A prompt that everybody holds: SELECT with 1,000 holders beside SELECT with 10.
#include "scenes.h"

enum { FEW = 10, MANY = 1000, BLOCKS = 40000 };

static void hold_all(struct wire *w, struct held *h) {
    for (size_t i = 0; i < h->prompts[SCENE_LENGTH]; i++) {
        const uint64_t *prompt = h->first[SCENE_LENGTH] + i * lengths[SCENE_LENGTH];
        for (size_t k = 0; k < h->workers; k++)
            put_event(w, h, k, "STORED", NULL, prompt, lengths[SCENE_LENGTH]);
        wire_send(w);
        for (size_t k = 0; k < h->workers; k++)
            wire_skip(w);
    }
}

static void measure(const struct options *o, size_t workers, double *call, double *pair,
                    double *p50) {
    struct stage s;
    stage_begin(&s, o, workers, BLOCKS);
    fill_workers(&s.caller.wire, &s.held);
    hold_all(&s.caller.wire, &s.held);
    struct cell cells[2] = {
        {.way = &ways[WAY_SELECT], .length = SCENE_LENGTH, .pipelined = true},
        {.way = &ways[WAY_SELECT], .length = SCENE_LENGTH},
    };
    measure_cells(&s.server, &s.caller, &o->plan, cells, 2);
    *call = cells[0].usec[0];
    *pair = cell_cpu(&cells[0]);
    *p50 = cells[1].p50;
    stage_end(&s);
}

void scene_crowd(const struct options *o, struct crowd *out) {
    measure(o, FEW, &out->few, &out->few_pair, &out->few_p50);
    measure(o, MANY, &out->many, &out->many_pair, &out->many_p50);
}
