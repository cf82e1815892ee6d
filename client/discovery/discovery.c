// SPDX-License-Identifier: Apache-2.0
#include "discovery.h"

#include <stdio.h>
#include <stdlib.h>

#include "discovery_dns.h"
#include "discovery_file.h"
#include "discovery_known.h"
#include "discovery_kubernetes.h"

struct discovery {
    struct discovery_known known;
    void *source; // as its kind has it
};

static const struct {
    void *(*start)(struct event_base *base, struct discovery_known *k, char *error,
                   size_t error_size);
    void (*stop)(void *source);
} kinds[] = {
    [DISCOVERY_DNS] = {discovery_dns_new, discovery_dns_free},
    [DISCOVERY_SRV] = {discovery_dns_new, discovery_dns_free},
    [DISCOVERY_FILE] = {discovery_file_new, discovery_file_free},
    [DISCOVERY_KUBERNETES] = {discovery_kubernetes_new, discovery_kubernetes_free},
};

struct discovery *discovery_new(struct event_base *base, const struct discovery_config *config,
                                const struct discovery_port *port, char *error, size_t error_size) {
    struct discovery *d = calloc(1, sizeof *d);
    if (!d || discovery_known_init(&d->known, config, port)) {
        snprintf(error, error_size, "no memory");
        free(d);
        return NULL;
    }
    d->source = kinds[config->kind].start(base, &d->known, error, error_size);
    if (d->source) return d;
    discovery_known_free(&d->known);
    free(d);
    return NULL;
}

void discovery_free(struct discovery *d) {
    if (!d) return;
    kinds[d->known.config.kind].stop(d->source);
    discovery_known_free(&d->known);
    free(d);
}

const struct discovery_config *discovery_config_of(const struct discovery *d) {
    return &d->known.config;
}

const struct discovery_engine *discovery_named(const struct discovery *d, const char *name) {
    return discovery_known_named(&d->known, name);
}

void discovery_look(const struct discovery *d, struct discovery_stats *out) {
    *out = d->known.stats;
}

const char *discovery_trouble(const struct discovery *d) {
    return d->known.trouble;
}
