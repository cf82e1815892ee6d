// SPDX-License-Identifier: Apache-2.0
#include "flow_model.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct unit_model flow_model;
struct flow_universe flow_model_universe;
struct flow_conn *flow_model_conn;
struct flow_args flow_model_args;
int flow_model_step;
char flow_model_last[2000];
const struct kvr_bytes flow_model_labels[FLOW_MODEL_LABELS] = {
    {"gpu", 3}, {"gpu=a", 5}, {"link=1", 6}};

// The command being built, in a form that can be read.
void flow_model_spell(char *text, size_t size) {
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; i < flow_model_args.n && n + 80 < size; i++) {
        bool plain = true;
        for (size_t k = 0; k < flow_model_args.len[i]; k++)
            plain &= flow_model_args.v[i][k] > 31 && flow_model_args.v[i][k] < 127;
        if (plain)
            n += (size_t)snprintf(text + n, 60, "%.58s ", flow_model_args.v[i]);
        else
            n += (size_t)snprintf(text + n, 60, "(%zu bytes) ", flow_model_args.len[i]);
    }
}

void flow_model_check(bool holds, const char *what) {
    if (holds) return;
    char text[2000];
    flow_model_spell(text, sizeof text);
    cr_assert_fail("seed %" PRIu64 ", step %d: %s, in %s\n after %s", flow_test_seed(),
                   flow_model_step, what, text, flow_model_last);
}

// Names of one command are valid together.
struct kvr_bytes flow_model_name(const char *kind, int number) {
    static char names[64][16];
    static unsigned next;
    char *name = names[next++ % 64];
    return (struct kvr_bytes){name, (size_t)snprintf(name, sizeof names[0], "%s%d", kind, number)};
}

struct kvr_bytes flow_model_add(struct kvr_bytes bytes) {
    flow_args_add(&flow_model_args, bytes.p, bytes.n);
    return bytes;
}

const struct flow_reply *flow_model_send(void) {
    return flow_call_args(flow_model_conn, &flow_model_args);
}

void flow_model_expect_bytes(const struct flow_reply *map, const char *field,
                             struct kvr_bytes want) {
    const struct flow_reply *r = flow_map_get(map, field);
    flow_model_check(r->bytes && unit_bytes_compare((struct kvr_bytes){r->bytes, r->n}, want) == 0,
                     field);
}

void flow_model_expect_field(const struct flow_reply *map, const char *field, uint64_t want) {
    char what[100];
    uint64_t got = (uint64_t)flow_map_int(map, field);
    snprintf(what, sizeof what, "%s is %" PRIu64 " instead of %" PRIu64, field, got, want);
    flow_model_check(got == want, what);
}
