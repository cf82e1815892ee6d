// SPDX-License-Identifier: Apache-2.0
// What everybody knows of pairs: prompts, engines, doubts; see ha_pair.h.
#include "ha_pair.h"

#include <stdio.h>

#include "client/common/random.h"

struct ha_pair_prompt ha_pair_prompt(int client, uint32_t index, uint64_t hashes[HA_CHAIN_BLOCKS]) {
    uint64_t drawn = kvr_random_mix(((uint64_t)client + 1) << 32 | index);
    struct ha_pair_prompt p = {.own = drawn % 4 == 0,
                               .blocks = (uint16_t)(1 + (drawn >> 16) % HA_CHAIN_BLOCKS)};
    p.isl = p.blocks * HA_BLOCK_SIZE + 1 + (int64_t)((drawn >> 32) % (HA_BLOCK_SIZE - 1));
    ha_chain((drawn >> 8) % HA_CHAINS, hashes);
    for (uint64_t i = 0; p.own && i < HA_CHAIN_BLOCKS; i++)
        hashes[i] = kvr_random_mix(drawn + i + 1);
    return p;
}

bool ha_pair_may_wait(uint32_t index) {
    return index % 2;
}

static char letter(size_t engine) {
    return engine < HA_PAIR_PREFILLERS ? 'p' : engine < HA_PAIR_BOTH ? 'd' : 'b';
}

struct ha_pair_name ha_pair_engine_name(size_t engine) {
    struct ha_pair_name name = {"-"};
    if (engine >= HA_PAIR_ENGINES) return name;
    size_t first = engine < HA_PAIR_PREFILLERS ? 0
                   : engine < HA_PAIR_BOTH     ? HA_PAIR_PREFILLERS
                                               : HA_PAIR_BOTH;
    snprintf(name.text, sizeof name.text, "%c%d", letter(engine), (int)((engine - first) % 10));
    return name;
}

enum kvr_role ha_pair_engine_role(size_t engine) {
    return engine < HA_PAIR_PREFILLERS ? KVR_ROLE_PREFILL
           : engine < HA_PAIR_BOTH     ? KVR_ROLE_DECODE
                                       : KVR_ROLE_BOTH;
}

bool ha_pair_engine_find(const char *name, size_t n, uint16_t *engine) {
    *engine = HA_PAIR_NOBODY;
    if (!n) return true;
    for (size_t i = 0; i < HA_PAIR_ENGINES && n == 2; i++) {
        struct ha_pair_name of = ha_pair_engine_name(i);
        if (of.text[0] == name[0] && of.text[1] == name[1]) *engine = (uint16_t)i;
    }
    return *engine != HA_PAIR_NOBODY;
}

bool ha_pair_in_doubt(const struct ha_pair *p, size_t engine, int64_t began) {
    return engine < HA_PAIR_ENGINES && began <= p->engines[engine].in_doubt_till;
}

size_t ha_pair_count(const struct ha_pair *p, enum ha_pair_state state) {
    size_t n = 0;
    for (size_t c = 0; c < HA_PAIR_CLIENTS; c++)
        for (uint32_t i = 0; i < p->clients[c].n; i++)
            n += p->clients[c].requests[i].state == (int)state;
    return n;
}
