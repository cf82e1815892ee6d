// SPDX-License-Identifier: Apache-2.0
#include "top_history.h"

#include <string.h>

#include "top_saturate.h"

void top_history_init(struct top_history *h, int64_t refresh) {
    memset(h, 0, sizeof *h);
    h->step = refresh > TOP_MOMENT_MS ? refresh : TOP_MOMENT_MS;
}

static struct top_moment *moment(struct top_history *h, int64_t number) {
    return &h->moments[number % TOP_MOMENTS];
}

void top_history_add(struct top_history *h, int64_t now, int64_t waiting, int64_t blocks,
                     int64_t hits) {
    int64_t number = now / h->step;
    if (!h->n || number - h->newest >= TOP_MOMENTS) {
        h->n = 0;
        h->newest = number - 1;
    }
    while (h->newest < number) {
        *moment(h, ++h->newest) = (struct top_moment){-1, 0, 0};
        if (h->n < TOP_MOMENTS) h->n++;
    }
    struct top_moment *m = moment(h, number);
    if (waiting > m->waiting) m->waiting = waiting;
    m->blocks = top_sum(m->blocks, blocks);
    m->hits = top_sum(m->hits, hits);
}

size_t top_history_last(const struct top_history *h, struct top_moment *out, size_t room) {
    size_t n = h->n < room ? h->n : room;
    for (size_t i = 0; i < n; i++)
        out[i] = h->moments[(h->newest - (int64_t)(n - 1 - i)) % TOP_MOMENTS];
    return n;
}
