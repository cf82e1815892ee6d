// SPDX-License-Identifier: Apache-2.0
// A DNS server on the loop of who uses it: one zone, `fleet.test`, over UDP, where what is longer than 512 bytes is cut
// off and said to be, and over TCP.
#ifndef DTEST_DNS_H
#define DTEST_DNS_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DTEST_DNS_NAME "fleet.test"     // has the addresses
#define DTEST_DNS_SRV "_http._tcp.test" // has the targets

enum dtest_dns_mode {
    DTEST_DNS_WELL,
    DTEST_DNS_SERVFAIL,
    DTEST_DNS_SILENT,
    DTEST_DNS_NXDOMAIN,
    DTEST_DNS_GARBAGE, // a head, and records that break off
    DTEST_DNS_NO_TCP,  // long answers are cut off, and connections closed
    DTEST_DNS_HALF,    // A is answered, AAAA is not: SERVFAIL
};

struct dtest_dns {
    enum dtest_dns_mode mode;
    uint32_t ttl;
    uint32_t *addresses; // of IPv4, by the host's order
    size_t n, room;
    struct {
        char host[100];
        uint16_t port;
    } targets[16];
    size_t n_targets;
    bool has_ipv6; // ::1
    // What happened.
    unsigned udp, tcp;
    // Its own.
    int port, fd;
    struct event_base *base;
    struct event *event;
    struct evconnlistener *listener;
    char server[40]; // 127.0.0.1:port
};

void dtest_dns_start(struct dtest_dns *d, struct event_base *base);
void dtest_dns_stop(struct dtest_dns *d);
void dtest_dns_set(struct dtest_dns *d, uint32_t first,
                   size_t n); // so many addresses from there on
void dtest_dns_add(struct dtest_dns *d, uint32_t address);
void dtest_dns_remove(struct dtest_dns *d, uint32_t address);
void dtest_dns_target(struct dtest_dns *d, const char *host, uint16_t port);

#endif
