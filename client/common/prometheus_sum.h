// SPDX-License-Identifier: Apache-2.0
// Pages of metrics that several processes have written, as one page.
//
// They are read as text (prometheus.h, not OpenMetrics), since that is what can be handed from one process to
// another. Samples of the same name and labels become one: their sum, or what a rule says of their family.
// Families and samples stay in the order in which they were first seen.
#ifndef KVR_COMMON_PROMETHEUS_SUM_H
#define KVR_COMMON_PROMETHEUS_SUM_H

#include <event2/buffer.h>
#include <stdbool.h>

#include "alloc.h"

enum kvr_prom_rule_kind { KVR_PROM_ADD, KVR_PROM_MAX, KVR_PROM_MIN };

struct kvr_prom_rule {
    const char *family; // with its prefix; a counter's without _total
    enum kvr_prom_rule_kind kind;
};

struct kvr_prom_sum;

// rules: of the families that aren't added up, NULL at the end; kept. NULL: no memory.
struct kvr_prom_sum *kvr_prom_sum_new(const struct kvr_alloc *a, const struct kvr_prom_rule *rules);
void kvr_prom_sum_free(struct kvr_prom_sum *s);
// A page; nothing of it is kept. A line that is none of a page is passed over. False: no memory, and what has been
// read of it counts.
bool kvr_prom_sum_add(struct kvr_prom_sum *s, const char *page, size_t n);
// All of it, in one of prometheus.h's two forms, without the end of a page.
void kvr_prom_sum_write(const struct kvr_prom_sum *s, struct evbuffer *out, bool open);
// As a page, what goes on to count when the processes that said it are no more: what is added up, but gauges.
void kvr_prom_sum_write_lasting(const struct kvr_prom_sum *s, struct evbuffer *out);

#endif
