// SPDX-License-Identifier: Apache-2.0
// Where engines are found, as settings that router and bridge share:
//
//     [discover dns://engines.llm.svc:8000]     --discover "dns://engines.llm.svc:8000 pool=demo every=5000"
//     pool = demo
//     every = 5000
//
//     dns://NAME:PORT                 each address of the name, at that port
//     srv://_SERVICE._tcp.NAME        each target of its SRV records, at the port that these say
//     file:///PATH                    each line of a file (discovery_lines.h)
//     kubernetes://NAMESPACE/SERVICE  each endpoint of a service; without NAMESPACE: the pod's own
#ifndef DISCOVERY_CONFIG_H
#define DISCOVERY_CONFIG_H

#include <kvroute/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/common/config.h"

enum discovery_kind { DISCOVERY_DNS, DISCOVERY_SRV, DISCOVERY_FILE, DISCOVERY_KUBERNETES };
enum discovery_scheme { DISCOVERY_HTTP, DISCOVERY_HTTPS };
enum discovery_family { DISCOVERY_ANY_FAMILY, DISCOVERY_IPV4, DISCOVERY_IPV6 };

struct discovery_config {
    char source[600]; // as above; what it is told by
    enum discovery_kind kind;
    // What the source says: the name without the port; the path; the service.
    char place[512];
    char port[64];  // dns: a number. kubernetes: number or name; "": the slice's only or first one
    char space[64]; // kubernetes: the namespace; "": the pod's own
    char pool[129]; // of the engines; "": the program's first
    enum discovery_scheme scheme; // of the engines' URLs
    char prefix[128];             // of every path of the engines, such as /llm; ""
    uint32_t ranks;               // of each engine, unless its line says otherwise
    int64_t capacity;             // blocks a rank has; 0: unknown
    enum kvr_role role;
    int64_t every;   // ms between two readings; DNS is read sooner when a TTL ends sooner
    uint32_t misses; // DNS: so many answers in a row without it, and an engine has gone
    uint32_t max;    // engines; more are left out, and said
    int64_t drain;   // ms that an engine which has gone may go on with what it has
    enum discovery_family family;       // dns
    char servers[256];                  // dns, srv: HOST:PORT,… to ask; "": those of resolv.conf
    char selector[512];                 // kubernetes: of the slices, by labels; "": the service's
    char api[256];                      // kubernetes: https://HOST:PORT; "": as a pod knows it
    char token_file[512], ca_file[512]; // "": the service account's
};

struct discovery_configs {
    struct discovery_config *items;
    size_t n;
};

// An entry of a section [discover SOURCE], in the form of kvr_config_entry: `name` NULL makes it if it isn't there.
// False with a reason.
bool discovery_configs_entry(struct discovery_configs *all, const char *source, const char *name,
                             const char *value, struct kvr_config_error *e);
// Checks all of them, when no more entries are to come. False with a reason.
bool discovery_configs_complete(struct discovery_configs *all, struct kvr_config_error *e);
void discovery_configs_free(struct discovery_configs *all);

// What --help says of it: both programs have it at the end of their own.
#define DISCOVERY_USAGE                                                                            \
    "\n"                                                                                           \
    "Of each place where engines are found (section [discover SOURCE]; SOURCE is\n"                \
    "dns://NAME:PORT, srv://_SERVICE._tcp.NAME, file:///PATH or "                                  \
    "kubernetes://NAMESPACE/SERVICE):\n"                                                           \
    "  pool NAME        the first\n"                                                               \
    "  every MS         between two readings; 2000. DNS sooner, if a TTL ends sooner\n"            \
    "  misses N         DNS answers in a row without an engine, and it has gone; 3\n"              \
    "  max N            engines at most; 4096\n"                                                   \
    "  drain MS         an engine that has gone may end what it has; 30000\n"                      \
    "  ranks N          of each engine; 1\n"                                                       \
    "  capacity N       blocks a rank has; 0: unknown\n"                                           \
    "  role ROLE        both (default), prefill or decode\n"                                       \
    "  scheme NAME      http (default) or https\n"                                                 \
    "  prefix PATH      before every path of the engines; none\n"                                  \
    "  family NAME      dns: any (default), ipv4 or ipv6\n"                                        \
    "  servers LIST     dns, srv: HOST:PORT,… to ask, instead of resolv.conf's\n"                \
    "  port PORT        kubernetes: number or name; the only or first one\n"                       \
    "  selector TEXT    kubernetes: slices with these labels, instead of a service's\n"            \
    "  api URL          kubernetes: https://HOST:PORT of its API, instead of a pod's own\n"        \
    "  token_file FILE  kubernetes: instead of the service account's\n"                            \
    "  ca_file FILE     kubernetes: who may have signed the API's certificate\n"

#endif
