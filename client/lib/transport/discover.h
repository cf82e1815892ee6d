// SPDX-License-Identifier: Apache-2.0
// From nothing to the address of a primary.
//
// One server: its address. Sentinels are asked in turn (SENTINEL MASTER); each answer carries a config
// epoch, which grows with every failover, so a Sentinel on the wrong side of a partition gives itself
// away and isn't believed while another one knows more. If none answers, the last known primary is
// tried: it may be back. Nodes of a cluster are asked for the owner of the pool's slot.
//
// While there is a primary, one Sentinel is looked at from time to time: a client that can still reach
// a primary which the others have replaced would write into the void until the partition heals.
#ifndef KVR_TRANSPORT_DISCOVER_H
#define KVR_TRANSPORT_DISCOVER_H

#include "connection.h"
#include "context.h"

enum {
    KVR_MAX_NODES = 64,         // Sentinels or cluster nodes that a handle knows
    KVR_SENTINEL_CHECK = 1000,  // ms between two looks whether the primary is still the primary
    KVR_ASKING_DURATION = 1000, // ms that a connection says ASKING
};

struct kvr_discovery {
    struct kvr_context *context;
    const struct kvr_topology *topology;
    const struct kvr_connection_means *means;
    struct kvr_connection *primary;          // it is failed when Sentinels name another one
    struct kvr_connection guide;             // to the Sentinel or node that is being asked
    struct kvr_address nodes[KVR_MAX_NODES]; // Sentinels or cluster nodes; the URL's first
    size_t n_nodes, next, asked;             // asked: in this round
    struct kvr_address target;               // where to go; during a round the best said so far
    int64_t target_epoch;                    // Sentinel's config epoch of it; -1: none yet
    struct kvr_address known;                // the last verified primary
    int64_t known_epoch;
    bool has_known, has_target;
    bool asking; // the key is at target, its slot isn't yet
    int64_t asking_until;
    int64_t check_at; // when to look whether it is still the primary
    bool checking;
    char why[160]; // of KVR_DISCOVER_FAILED
};

void kvr_discover_init(struct kvr_discovery *d, struct kvr_context *context,
                       const struct kvr_topology *topology,
                       const struct kvr_connection_means *means, struct kvr_connection *primary);
void kvr_discover_free(struct kvr_discovery *d);

// A new round; the guide is closed.
void kvr_discover_begin(struct kvr_discovery *d);
// Goes on with it. FOUND: `target` is to be tried. FAILED: nobody knows.
enum kvr_discover_state { KVR_DISCOVER_PENDING, KVR_DISCOVER_FOUND, KVR_DISCOVER_FAILED };
enum kvr_discover_state kvr_discover_step(struct kvr_discovery *d, int64_t now);
void kvr_discover_verified(struct kvr_discovery *d, int64_t now); // the target is a primary

// A node said MOVED or ASK, in this error. What names no address is passed over.
void kvr_discover_redirect(struct kvr_discovery *d, const char *error, size_t n, bool ask);
// Whether Sentinels still say the same.
void kvr_discover_check(struct kvr_discovery *d, int64_t now);

#endif
