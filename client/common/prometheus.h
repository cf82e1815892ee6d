// SPDX-License-Identifier: Apache-2.0
// Metrics as text: Prometheus' format 0.0.4, or OpenMetrics 1.0 for who accepts it.
//
//     struct kvr_prom p = {buffer, "kvroute_router_", kvr_prom_wants_open(accept)};
//     kvr_prom_family(&p, "requests", KVR_PROM_COUNTER, "requests by route");
//     kvr_prom_sample(&p, KVR_PROM_COUNTER, (struct kvr_prom_label[]){{"route", "chat"}}, 1, 12);
//     content_type = kvr_prom_end(&p);
//
// A counter is named without the _total of its samples. When the buffer can't grow, text is missing: the
// caller who minds looks at its length.
#ifndef KVR_COMMON_PROMETHEUS_H
#define KVR_COMMON_PROMETHEUS_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kvr_prom_type { KVR_PROM_COUNTER, KVR_PROM_GAUGE, KVR_PROM_HISTOGRAM };

struct kvr_prom {
    struct evbuffer *out;
    const char *prefix; // of every name
    bool open;          // OpenMetrics
    const char *family; // the one that samples belong to, from kvr_prom_family
};

struct kvr_prom_label {
    const char *name,
        *value; // the value may have any bytes; those that aren't UTF-8 are shown in hex
};

// Times in µs, counted by upper bounds from 100 µs to 60 s.
enum { KVR_PROM_BUCKETS = 18 };
struct kvr_prom_histogram {
    uint64_t in[KVR_PROM_BUCKETS + 1], n; // the last: above all bounds
    int64_t sum_us;
};

void kvr_prom_observe(struct kvr_prom_histogram *h, int64_t us);

// Whether an Accept header (NULL: none) asks for OpenMetrics.
bool kvr_prom_wants_open(const char *accept);

// `name` is kept until the next family.
void kvr_prom_family(struct kvr_prom *p, const char *name, enum kvr_prom_type type,
                     const char *help);
void kvr_prom_sample(struct kvr_prom *p, enum kvr_prom_type type,
                     const struct kvr_prom_label *labels, size_t n_labels, int64_t value);
void kvr_prom_sample_histogram(struct kvr_prom *p, const struct kvr_prom_label *labels,
                               size_t n_labels, const struct kvr_prom_histogram *h);
// A family of one sample without labels.
void kvr_prom_one(struct kvr_prom *p, const char *name, enum kvr_prom_type type, const char *help,
                  int64_t value);

// The gauge build_info, always 1, with the version as its label: to tell who runs what, and to join by.
void kvr_prom_build_info(struct kvr_prom *p);

// Ends the text; the answer's content type.
const char *kvr_prom_end(struct kvr_prom *p);

#endif
