// SPDX-License-Identifier: Apache-2.0
// Where a pool is, from one string; the syntax is told at kvr_client_open.
#ifndef KVR_TRANSPORT_URL_H
#define KVR_TRANSPORT_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KVR_MAX_SEEDS = 16,      // addresses in one URL
    KVR_MAX_HOST = 256,      // bytes of a host name or a socket's path, NUL included
    KVR_MAX_URL_VALUE = 512, // of any other value
};

// A host and a port, or with port 0 the path of a unix socket.
struct kvr_address {
    char host[KVR_MAX_HOST];
    int port;
};

bool kvr_address_same(const struct kvr_address *a, const struct kvr_address *b);
// "host:port", "[v6]:port" or the path; cut to fit.
void kvr_address_text(const struct kvr_address *a, char *out, size_t size);
// "host:port" (the last colon parts them), as MOVED names a node. false: it is none.
bool kvr_address_parse(const char *text, size_t n, struct kvr_address *out);

enum kvr_topology_kind { KVR_TOPOLOGY_SERVER, KVR_TOPOLOGY_SENTINEL, KVR_TOPOLOGY_CLUSTER };

struct kvr_topology {
    enum kvr_topology_kind kind;
    struct kvr_address seeds[KVR_MAX_SEEDS];
    size_t n_seeds;
    char master[KVR_MAX_URL_VALUE]; // Sentinel's name for the primary
    char user[KVR_MAX_URL_VALUE], password[KVR_MAX_URL_VALUE];
    char sentinel_user[KVR_MAX_URL_VALUE], sentinel_password[KVR_MAX_URL_VALUE];
    char name[KVR_MAX_URL_VALUE]; // of the connection
    char cacert[KVR_MAX_URL_VALUE], cert[KVR_MAX_URL_VALUE], key[KVR_MAX_URL_VALUE],
        sni[KVR_MAX_URL_VALUE];
    int64_t db, deadline, timeout, connect_timeout; // ms
    bool tls, any_role;
};

// NULL, or what is wrong (a static text); *out is whole only with NULL.
const char *kvr_url_parse(const char *url, struct kvr_topology *out);

#endif
