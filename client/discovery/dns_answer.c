// SPDX-License-Identifier: Apache-2.0
// The library's own parsers give no TTL for SRV, and addresses only into arrays of a size that is to be known before.
#include "dns_answer.h"

#include <ares.h>
#include <arpa/inet.h>
#include <string.h>

enum { DNS_HEADER = 12, DNS_QUESTION = 4, DNS_RECORD = 10, DNS_CLASS_IN = 1, DNS_SRV_HEAD = 6 };

struct dns_reader {
    const unsigned char *message, *at, *end;
};

static unsigned read_16(const unsigned char *p) {
    return (unsigned)p[0] << 8 | p[1];
}

static bool has(const struct dns_reader *r, size_t n) {
    return (size_t)(r->end - r->at) >= n;
}

// *name: to be freed with ares_free_string.
static bool read_name(struct dns_reader *r, const unsigned char *at, char **name, long *size) {
    int n = (int)(r->end - r->message);
    return at < r->end && ares_expand_name(at, r->message, n, name, size) == ARES_SUCCESS;
}

static bool skip_name(struct dns_reader *r) {
    char *name;
    long size;
    if (!read_name(r, r->at, &name, &size)) return false;
    ares_free_string(name);
    r->at += size;
    return true;
}

static bool tell_address(const unsigned char *data, size_t n, enum dns_type type,
                         void (*each)(void *ctx, const struct dns_record *r), void *ctx) {
    char text[INET6_ADDRSTRLEN];
    if (n != (type == DNS_A ? 4u : 16u)) return false;
    inet_ntop(type == DNS_A ? AF_INET : AF_INET6, data, text, sizeof text);
    each(ctx, &(struct dns_record){text, 0});
    return true;
}

static bool tell_target(struct dns_reader *r, const unsigned char *data, size_t n,
                        void (*each)(void *ctx, const struct dns_record *r), void *ctx) {
    char *host;
    long size;
    if (n <= DNS_SRV_HEAD || !read_name(r, data + DNS_SRV_HEAD, &host, &size)) return false;
    // A target that is the root says that the service isn't there.
    if (*host) each(ctx, &(struct dns_record){host, (uint16_t)read_16(data + 4)});
    ares_free_string(host);
    return true;
}

bool dns_answer_read(const unsigned char *message, size_t n, enum dns_type type,
                     void (*each)(void *ctx, const struct dns_record *r), void *ctx,
                     uint32_t *ttl) {
    struct dns_reader r = {message, message + DNS_HEADER, message + n};
    if (n < DNS_HEADER || n > 65535) return false;
    for (unsigned i = read_16(message + 4); i; i--) {
        if (!skip_name(&r) || !has(&r, DNS_QUESTION)) return false;
        r.at += DNS_QUESTION;
    }
    for (unsigned i = read_16(message + 6); i; i--) {
        if (!skip_name(&r) || !has(&r, DNS_RECORD)) return false;
        const unsigned char *head = r.at, *data = head + DNS_RECORD;
        size_t size = read_16(head + 8);
        r.at = data;
        if (!has(&r, size)) return false;
        r.at += size;
        uint32_t keep = (uint32_t)read_16(head + 4) << 16 | read_16(head + 6);
        if (keep < *ttl) *ttl = keep;
        if (read_16(head) != (unsigned)type || read_16(head + 2) != DNS_CLASS_IN) continue;
        bool good = type == DNS_SRV ? tell_target(&r, data, size, each, ctx)
                                    : tell_address(data, size, type, each, ctx);
        if (!good) return false;
    }
    return true;
}
