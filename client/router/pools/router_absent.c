// SPDX-License-Identifier: Apache-2.0
#include "router_absent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "router_worker.h"

enum { ABSENT_MS = 10000 };

struct absent_worker {
    struct router_worker worker; // without labels
    int64_t since_us;
};

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct absent_worker *)a)->worker.name,
                  ((const struct absent_worker *)b)->worker.name);
}

static bool is_listed(struct router_worker *all, size_t n, const struct router_worker *w) {
    return router_worker_find(all, NULL, n, kvr_text(w->name)) != NULL;
}

static void drop_old(struct router_absent *a, struct router_worker *now, size_t n_now) {
    int64_t oldest = kvr_clock_us() - (int64_t)ABSENT_MS * 1000;
    size_t kept = 0;
    for (size_t i = 0; i < a->n; i++) {
        struct absent_worker *w = &a->all[i];
        if (w->since_us < oldest || is_listed(now, n_now, &w->worker))
            router_worker_drop(&w->worker);
        else
            a->all[kept++] = *w;
    }
    a->n = kept;
}

static void add(struct router_absent *a, const struct router_worker *w) {
    struct absent_worker *all = realloc(a->all, (a->n + 1) * sizeof *all);
    if (!all) return;
    a->all = all;
    struct absent_worker *fresh = &all[a->n++];
    *fresh = (struct absent_worker){*w, kvr_clock_us()};
    fresh->worker.labels = NULL;
    router_worker_inherit(&fresh->worker, w);
}

void router_absent_update(struct router_absent *a, struct router_worker *now, size_t n_now,
                          const struct router_worker *before, size_t n_before) {
    drop_old(a, now, n_now);
    size_t was = a->n;
    for (size_t i = 0; i < n_before; i++)
        if (!is_listed(now, n_now, &before[i])) add(a, &before[i]);
    if (a->n > was) qsort(a->all, a->n, sizeof *a->all, by_name);
}

const struct router_worker *router_absent_find(const struct router_absent *a, const char *name) {
    struct absent_worker key;
    if (!a->n) return NULL;
    snprintf(key.worker.name, sizeof key.worker.name, "%s", name);
    const struct absent_worker *w = bsearch(&key, a->all, a->n, sizeof *a->all, by_name);
    return w ? &w->worker : NULL;
}

void router_absent_close(struct router_absent *a) {
    for (size_t i = 0; i < a->n; i++)
        router_worker_drop(&a->all[i].worker);
    free(a->all);
    *a = (struct router_absent){.n = 0};
}
