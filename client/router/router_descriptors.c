// SPDX-License-Identifier: Apache-2.0
#include "router_descriptors.h"

#include <stdio.h>
#include <sys/resource.h>

#include "client/common/log.h"

// Kept back: standard streams, the loop, resolver, logs, listeners, files that are read again, connections
// that are only taken to be refused; and of each pool those to Redis and who knows where it is.
enum { DESCRIPTORS_OWN = 24, DESCRIPTORS_POOL = 4 };

bool router_descriptors_share(struct router_descriptors *d, const struct router_config *o,
                              char *error, size_t error_size) {
    struct rlimit files;
    size_t own = DESCRIPTORS_OWN + DESCRIPTORS_POOL * o->n_pools;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) files.rlim_cur = 1024;
    d->limit = (size_t)files.rlim_cur;
    if (d->limit < own + 2) {
        snprintf(error, error_size, "%zu open files are allowed (RLIMIT_NOFILE), and %zu needed",
                 d->limit, own + 2);
        return false;
    }
    size_t shared = d->limit - own;
    d->clients = o->max_connections < shared / 2 ? o->max_connections : shared / 2;
    d->engines = shared - d->clients;
    if (d->clients < o->max_connections)
        kvr_log_line(KVR_LOG_WARNING,
                     "max_connections %u needs %zu open files; with %zu (RLIMIT_NOFILE) there are "
                     "%zu connections of clients and %zu to engines",
                     o->max_connections, own + 2 * (size_t)o->max_connections, d->limit, d->clients,
                     d->engines);
    return true;
}
