// SPDX-License-Identifier: Apache-2.0
// What a DNS answer says: addresses and targets, with the time that they may be kept. All of its answer section
// counts, so that aliases need no following: a resolver gives what is at their end.
#ifndef DNS_ANSWER_H
#define DNS_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dns_type { DNS_A = 1, DNS_AAAA = 28, DNS_SRV = 33 };

struct dns_record {
    const char *host; // the address, or the target without a dot at its end
    uint16_t port;    // of DNS_SRV; else 0
};

// Calls `each` for every record of that type. *ttl: the least of any record's in the answer, s; it is only lowered.
// False: the message breaks off, or isn't one; what was called before still counts for nothing.
bool dns_answer_read(const unsigned char *message, size_t n, enum dns_type type,
                     void (*each)(void *ctx, const struct dns_record *r), void *ctx, uint32_t *ttl);

#endif
