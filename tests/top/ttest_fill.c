// SPDX-License-Identifier: Apache-2.0
#include "ttest_fill.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEST_FIELDS = 64, MAX_TEST_WORKERS = 2000 };

void ttest_info(struct top_pool *p, int64_t now, const char *pairs) {
    struct kvr_field fields[MAX_TEST_FIELDS];
    struct kvr_result r = {.code = KVR_CODE_OK, .fields = fields};
    char *text = strdup(pairs), *rest = NULL;
    for (char *w = strtok_r(text, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) {
        char *value = strtok_r(NULL, " ", &rest);
        cr_assert(value && r.n < MAX_TEST_FIELDS);
        fields[r.n++] = (struct kvr_field){kvr_text(w), kvr_text(value)};
    }
    top_view_info(p, &r, now);
    free(text);
}

static void fill_ranks(struct kvr_rank ranks[2], size_t i) {
    for (uint32_t k = 0; k < 2; k++)
        ranks[k] = (struct kvr_rank){
            .rank = k,
            .epoch = 7,
            .seq = 3,
            .held = {(int64_t)(100 * i), 5, 0},
            .requests = (int64_t)i,
            .prefill_tokens = (int64_t)(64 * i),
            .ttft = i && !k ? (double)(10 * i) : -1,
            .tpot = -1,
        };
}

void ttest_workers(struct top_pool *p, size_t n) {
    struct kvr_worker *workers = calloc(n + 1, sizeof *workers);
    struct kvr_rank(*ranks)[2] = calloc(n + 1, sizeof *ranks);
    char(*names)[24] = calloc(n + 1, sizeof *names);
    struct kvr_bytes label = kvr_text("zone=a");
    cr_assert(workers && ranks && names && n <= MAX_TEST_WORKERS);
    for (size_t i = 0; i < n; i++) {
        fill_ranks(ranks[i], i);
        snprintf(names[i], sizeof names[i], "w%zu", i);
        workers[i] = (struct kvr_worker){.name = kvr_text(names[i]),
                                         .addr = kvr_text("http://h"),
                                         .capacity = 1000,
                                         .ttl_left = -1,
                                         .drain_left = -1,
                                         .ranks = ranks[i],
                                         .n_ranks = 2,
                                         .labels = &label,
                                         .n_labels = 1};
    }
    top_view_workers(p, &(struct kvr_result){.code = KVR_CODE_OK, .workers = workers, .n = n});
    free(workers);
    free(ranks);
    free(names);
}

void ttest_connected(struct top_pool *p, uint64_t nth, const char *primary, int64_t now) {
    struct kvr_client_stats s = {.connected = true, .connects = nth, .last_gap = 2300};
    snprintf(s.primary, sizeof s.primary, "%s", primary);
    top_view_link(p, &s, now, 1700000000 + now / 1000);
}

void ttest_away(struct top_pool *p, uint64_t connects, int64_t now) {
    struct kvr_client_stats s = {.connected = false, .connects = connects};
    top_view_link(p, &s, now, 1700000000 + now / 1000);
}

struct kvr_result ttest_failure(enum kvr_code code, const char *message) {
    return (struct kvr_result){.code = code, .message = message};
}
