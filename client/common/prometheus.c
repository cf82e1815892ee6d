// SPDX-License-Identifier: Apache-2.0
#include "prometheus.h"

#include <inttypes.h>
#include <string.h>

#include "utf8.h"

static const struct {
    int64_t us;
    const char *le;
} bounds[KVR_PROM_BUCKETS] = {
    {100, "0.0001"},    {250, "0.00025"},   {500, "0.0005"},    {1000, "0.001"},  {2500, "0.0025"},
    {5000, "0.005"},    {10000, "0.01"},    {25000, "0.025"},   {50000, "0.05"},  {100000, "0.1"},
    {250000, "0.25"},   {500000, "0.5"},    {1000000, "1.0"},   {2500000, "2.5"}, {5000000, "5.0"},
    {10000000, "10.0"}, {30000000, "30.0"}, {60000000, "60.0"},
};

void kvr_prom_observe(struct kvr_prom_histogram *h, int64_t us) {
    size_t i = 0;
    while (i < KVR_PROM_BUCKETS && us > bounds[i].us)
        i++;
    h->in[i]++;
    h->n++;
    h->sum_us += us;
}

bool kvr_prom_wants_open(const char *accept) {
    return accept && strstr(accept, "application/openmetrics-text");
}

void kvr_prom_family(struct kvr_prom *p, const char *name, enum kvr_prom_type type,
                     const char *help) {
    static const char *const types[] = {"counter", "gauge", "histogram"};
    // OpenMetrics names a counter's family without the _total of its samples.
    const char *end = type == KVR_PROM_COUNTER && !p->open ? "_total" : "";
    p->family = name;
    evbuffer_add_printf(p->out, "# HELP %s%s%s %s\n# TYPE %s%s%s %s\n", p->prefix, name, end, help,
                        p->prefix, name, end, types[type]);
}

// One byte that isn't UTF-8 would make all of the page unreadable. Such a byte is U+FFFD and two hex digits, and so
// are the bytes of a U+FFFD: two values never look the same, since a page with one series twice isn't read either.
static void add_value(struct evbuffer *out, const char *value) {
    static const char unknown[] = "\xef\xbf\xbd";
    size_t size;
    for (size_t n = strlen(value); n; value += size, n -= size) {
        size = kvr_utf8_size(value, n);
        if (*value == '"' || *value == '\\') {
            evbuffer_add_printf(out, "\\%c", *value);
        } else if (*value == '\n') {
            evbuffer_add(out, "\\n", 2);
        } else if (size && strncmp(value, unknown, 3) != 0) {
            evbuffer_add(out, value, size);
        } else {
            evbuffer_add_printf(out, "%s%02x", unknown, (unsigned char)*value);
            size = 1;
        }
    }
}

static void add_label(struct evbuffer *out, const struct kvr_prom_label *label) {
    evbuffer_add_printf(out, "%s=\"", label->name);
    add_value(out, label->value);
    evbuffer_add(out, "\"", 1);
}

// The name and its labels; `le`, unless NULL, is one more.
static void add_series(struct kvr_prom *p, const char *end, const struct kvr_prom_label *labels,
                       size_t n, const char *le) {
    const struct kvr_prom_label bound = {"le", le};
    evbuffer_add_printf(p->out, "%s%s%s", p->prefix, p->family, end);
    for (size_t i = 0; i < n; i++) {
        evbuffer_add(p->out, i ? "," : "{", 1);
        add_label(p->out, &labels[i]);
    }
    if (le) {
        evbuffer_add(p->out, n ? "," : "{", 1);
        add_label(p->out, &bound);
    }
    if (n || le) evbuffer_add(p->out, "}", 1);
}

void kvr_prom_sample(struct kvr_prom *p, enum kvr_prom_type type,
                     const struct kvr_prom_label *labels, size_t n_labels, int64_t value) {
    add_series(p, type == KVR_PROM_COUNTER ? "_total" : "", labels, n_labels, NULL);
    if (type == KVR_PROM_COUNTER) // no counter is negative, and some are beyond INT64_MAX
        evbuffer_add_printf(p->out, " %" PRIu64 "\n", (uint64_t)value);
    else
        evbuffer_add_printf(p->out, " %" PRId64 "\n", value);
}

void kvr_prom_sample_histogram(struct kvr_prom *p, const struct kvr_prom_label *labels,
                               size_t n_labels, const struct kvr_prom_histogram *h) {
    uint64_t n = 0;
    for (size_t i = 0; i <= KVR_PROM_BUCKETS; i++) {
        n += h->in[i];
        add_series(p, "_bucket", labels, n_labels, i < KVR_PROM_BUCKETS ? bounds[i].le : "+Inf");
        evbuffer_add_printf(p->out, " %" PRIu64 "\n", n);
    }
    add_series(p, "_count", labels, n_labels, NULL);
    evbuffer_add_printf(p->out, " %" PRIu64 "\n", h->n);
    add_series(p, "_sum", labels, n_labels, NULL);
    evbuffer_add_printf(p->out, " %.6f\n", (double)h->sum_us / 1e6);
}

void kvr_prom_one(struct kvr_prom *p, const char *name, enum kvr_prom_type type, const char *help,
                  int64_t value) {
    kvr_prom_family(p, name, type, help);
    kvr_prom_sample(p, type, NULL, 0, value);
}

void kvr_prom_build_info(struct kvr_prom *p) {
    kvr_prom_family(p, "build_info", KVR_PROM_GAUGE, "the version, as a label");
    kvr_prom_sample(p, KVR_PROM_GAUGE, (struct kvr_prom_label[]){{"version", KVROUTE_VERSION}}, 1,
                    1);
}

const char *kvr_prom_end(struct kvr_prom *p) {
    if (!p->open) return "text/plain; version=0.0.4; charset=utf-8";
    evbuffer_add(p->out, "# EOF\n", 6);
    return "application/openmetrics-text; version=1.0.0; charset=utf-8";
}
