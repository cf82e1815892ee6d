// SPDX-License-Identifier: Apache-2.0
// Where a pool is, from one string; the syntax is told at kvr_client_open.
#ifndef KVR_LIB_URL_H
#define KVR_LIB_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    URL_SEEDS = 16,  // addresses in one URL
    URL_HOST = 256,  // bytes of a host name or a socket's path, NUL included
    URL_VALUE = 512, // of any other value
};

// A host and a port, or with port 0 the path of a unix socket.
struct address {
    char host[URL_HOST];
    int port;
};

bool address_same(const struct address *a, const struct address *b);
// "host:port", "[v6]:port" or the path; cut to fit.
void address_text(const struct address *a, char *out, size_t size);
// "host:port" (the last colon parts them), as MOVED names a node. false: it is none.
bool address_parse(const char *text, size_t n, struct address *out);

enum topology_kind { TOPOLOGY_SERVER, TOPOLOGY_SENTINEL, TOPOLOGY_CLUSTER };

struct topology {
    enum topology_kind kind;
    struct address seeds[URL_SEEDS];
    size_t n_seeds;
    char master[URL_VALUE]; // Sentinel's name for the primary
    char user[URL_VALUE], password[URL_VALUE];
    char sentinel_user[URL_VALUE], sentinel_password[URL_VALUE];
    char name[URL_VALUE]; // of the connection
    char cacert[URL_VALUE], cert[URL_VALUE], key[URL_VALUE], sni[URL_VALUE];
    int64_t db, deadline, timeout, connect_timeout; // ms
    bool tls, any_role;
};

// NULL, or what is wrong (a static text); *out is whole only with NULL.
const char *url_parse(const char *url, struct topology *out);

#endif
