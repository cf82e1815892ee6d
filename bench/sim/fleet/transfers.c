// SPDX-License-Identifier: Apache-2.0
// Transfers between engines; see transfers.h.
#include "transfers.h"

#include <stdlib.h>

#include "bench/common/bench_memory.h"

void sim_links_open(struct sim_links *l, const struct sim_network *n, unsigned workers) {
    *l = (struct sim_links){.network = n, .workers = workers};
    l->free_at = bench_calloc((size_t)workers * workers, sizeof *l->free_at);
}

void sim_links_close(struct sim_links *l) {
    free(l->free_at);
}

double sim_transfer_token(const struct sim_network *n, const struct sim_model *from,
                          const struct sim_model *to, bool across) {
    unsigned ports = from->ports < to->ports ? from->ports : to->ports;
    double rate = n->rate * (across ? n->across : 1) * (ports ? ports : 1);
    return rate > 0 ? to->kv_bytes / rate : 0;
}

double sim_links_move(struct sim_links *l, double now, uint32_t from, uint32_t to, double seconds) {
    double *free_at = &l->free_at[(size_t)from * l->workers + to];
    *free_at = (*free_at > now ? *free_at : now) + seconds;
    return *free_at + l->network->fixed;
}

bool sim_racks_differ(const struct sim_network *n, uint32_t a, uint32_t b) {
    return n->racks > 1 && a % n->racks != b % n->racks;
}
