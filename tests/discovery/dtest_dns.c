// SPDX-License-Identifier: Apache-2.0
#include "dtest_dns.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "tests/support/support_home.h"
#include "tests/support/support_port.h"

enum {
    DTEST_MESSAGE = 65535,
    DTEST_DATAGRAM = 512,
    DTEST_HEADER = 12,
    DTEST_CODE_SERVFAIL = 2,
    DTEST_CODE_NXDOMAIN = 3,
};

struct message {
    unsigned char bytes[DTEST_MESSAGE];
    size_t n;
    unsigned records;
};

static void put_16(struct message *m, unsigned value) {
    if (m->n + 2 > sizeof m->bytes) return;
    m->bytes[m->n++] = (unsigned char)(value >> 8);
    m->bytes[m->n++] = (unsigned char)value;
}

static void put_bytes(struct message *m, const void *bytes, size_t n) {
    if (m->n + n > sizeof m->bytes) return;
    memcpy(m->bytes + m->n, bytes, n);
    m->n += n;
}

static void put_name(struct message *m, const char *name) {
    for (size_t n; *name; name += n + (name[n] == '.')) {
        n = strcspn(name, ".");
        unsigned char size = (unsigned char)n;
        put_bytes(m, &size, 1);
        put_bytes(m, name, n);
    }
    put_bytes(m, "", 1);
}

// The name of all records is the question's.
static void put_record(struct message *m, unsigned type, uint32_t ttl) {
    put_16(m, 0xc000 | DTEST_HEADER);
    put_16(m, type);
    put_16(m, 1);
    put_16(m, ttl >> 16);
    put_16(m, ttl & 0xffff);
    m->records++;
}

static void put_address(struct message *m, uint32_t address, uint32_t ttl) {
    uint32_t wire = htonl(address);
    put_record(m, 1, ttl);
    put_16(m, sizeof wire);
    put_bytes(m, &wire, sizeof wire);
}

static void put_target(struct message *m, const char *host, uint16_t port, uint32_t ttl) {
    put_record(m, 33, ttl);
    put_16(m, (unsigned)(6 + strlen(host) + 2));
    put_16(m, 0);
    put_16(m, 0);
    put_16(m, port);
    put_name(m, host);
}

// The name that is asked for, and how long the question is; 0: there is none.
static size_t question_of(const unsigned char *bytes, size_t n, char *name, unsigned *type) {
    size_t at = DTEST_HEADER, used = 0;
    while (at < n && bytes[at] && at + bytes[at] < n && used + bytes[at] < 250) {
        memcpy(name + used, bytes + at + 1, bytes[at]);
        used += bytes[at];
        name[used++] = '.';
        at += bytes[at] + 1u;
    }
    name[used ? used - 1 : 0] = 0;
    if (at + 5 > n) return 0;
    *type = (unsigned)bytes[at + 1] << 8 | bytes[at + 2];
    return at + 5 - DTEST_HEADER;
}

static unsigned put_records(const struct dtest_dns *d, struct message *m, const char *name,
                            unsigned type) {
    bool fleet = !strcasecmp(name, DTEST_DNS_NAME), srv = !strcasecmp(name, DTEST_DNS_SRV);
    static const unsigned char loopback[16] = {[15] = 1};
    if (d->mode == DTEST_DNS_SERVFAIL || (d->mode == DTEST_DNS_HALF && type == 28))
        return DTEST_CODE_SERVFAIL;
    if (d->mode == DTEST_DNS_NXDOMAIN || (!fleet && !srv)) return DTEST_CODE_NXDOMAIN;
    for (size_t i = 0; fleet && type == 1 && i < d->n; i++)
        put_address(m, d->addresses[i], d->ttl);
    for (size_t i = 0; srv && type == 33 && i < d->n_targets; i++)
        put_target(m, d->targets[i].host, d->targets[i].port, d->ttl);
    if (fleet && type == 28 && d->has_ipv6) {
        put_record(m, 28, d->ttl);
        put_16(m, sizeof loopback);
        put_bytes(m, loopback, sizeof loopback);
    }
    return 0;
}

// False: nothing is answered.
static bool answer(struct dtest_dns *d, const unsigned char *bytes, size_t n, bool datagram,
                   struct message *m) {
    char name[256];
    unsigned type = 0;
    size_t size = n > DTEST_HEADER ? question_of(bytes, n, name, &type) : 0;
    if (!size || d->mode == DTEST_DNS_SILENT) return false;
    m->n = m->records = 0;
    put_bytes(m, bytes, DTEST_HEADER + size);
    unsigned code = put_records(d, m, name, type);
    bool cut = datagram && m->n > DTEST_DATAGRAM;
    if (cut) m->n = DTEST_HEADER + size;
    if (cut) m->records = 0;
    if (d->mode == DTEST_DNS_GARBAGE) m->n -= m->n > DTEST_HEADER + size ? 3 : 0;
    m->bytes[2] = (unsigned char)(0x81 | (cut ? 2 : 0));
    m->bytes[3] = (unsigned char)(0x80 | code);
    memset(m->bytes + 4, 0, 8);
    m->bytes[5] = 1;
    m->bytes[6] = (unsigned char)(m->records >> 8);
    m->bytes[7] = (unsigned char)m->records;
    return true;
}

// ---- Sockets -------------------------------------------------------------------------------------

static struct message reply; // 64 kB, one at a time

static void on_datagram(evutil_socket_t fd, short what, void *ctx) {
    struct dtest_dns *d = ctx;
    unsigned char bytes[1500];
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t n = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &size);
    (void)what;
    if (n <= 0) return;
    d->udp++;
    if (answer(d, bytes, (size_t)n, true, &reply))
        sendto(fd, reply.bytes, reply.n, 0, (struct sockaddr *)&from, size);
}

static void on_question(struct bufferevent *b, void *ctx) {
    struct dtest_dns *d = ctx;
    struct evbuffer *in = bufferevent_get_input(b);
    unsigned char bytes[2 + 1500];
    while (evbuffer_copyout(in, bytes, 2) == 2) {
        size_t n = (size_t)bytes[0] << 8 | bytes[1];
        if (n + 2 > sizeof bytes || evbuffer_get_length(in) < n + 2) return;
        evbuffer_remove(in, bytes, n + 2);
        d->tcp++;
        if (!answer(d, bytes + 2, n, false, &reply)) continue;
        unsigned char head[2] = {(unsigned char)(reply.n >> 8), (unsigned char)reply.n};
        bufferevent_write(b, head, 2);
        bufferevent_write(b, reply.bytes, reply.n);
    }
}

static void on_closed(struct bufferevent *b, short what, void *ctx) {
    (void)what;
    (void)ctx;
    bufferevent_free(b);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from, int size,
                      void *ctx) {
    struct dtest_dns *d = ctx;
    (void)l;
    (void)from;
    (void)size;
    if (d->mode == DTEST_DNS_NO_TCP) {
        close(fd);
        return;
    }
    struct bufferevent *b = bufferevent_socket_new(d->base, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(b, on_question, NULL, on_closed, d);
    bufferevent_enable(b, EV_READ | EV_WRITE);
}

void dtest_dns_start(struct dtest_dns *d, struct event_base *base) {
    *d = (struct dtest_dns){.ttl = 30, .base = base, .port = support_port()};
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)d->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    d->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(d->fd, (struct sockaddr *)&at, sizeof at)) support_fail("no port for a DNS server");
    d->event = event_new(base, d->fd, EV_READ | EV_PERSIST, on_datagram, d);
    event_add(d->event, NULL);
    d->listener = evconnlistener_new_bind(
        base, on_accept, d, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, 64,
        (struct sockaddr *)&at, sizeof at);
    if (!d->listener) support_fail("no port for a DNS server, over TCP");
    snprintf(d->server, sizeof d->server, "127.0.0.1:%d", d->port);
}

void dtest_dns_stop(struct dtest_dns *d) {
    event_free(d->event);
    evconnlistener_free(d->listener);
    close(d->fd);
    free(d->addresses);
}

void dtest_dns_add(struct dtest_dns *d, uint32_t address) {
    if (d->n == d->room) {
        d->room = d->room ? d->room * 2 : 64;
        d->addresses = realloc(d->addresses, d->room * sizeof *d->addresses);
        if (!d->addresses) support_fail("no memory");
    }
    d->addresses[d->n++] = address;
}

void dtest_dns_remove(struct dtest_dns *d, uint32_t address) {
    for (size_t i = 0; i < d->n; i++)
        if (d->addresses[i] == address) {
            d->addresses[i] = d->addresses[--d->n];
            return;
        }
}

void dtest_dns_set(struct dtest_dns *d, uint32_t first, size_t n) {
    d->n = 0;
    for (size_t i = 0; i < n; i++)
        dtest_dns_add(d, first + (uint32_t)i);
}

void dtest_dns_target(struct dtest_dns *d, const char *host, uint16_t port) {
    snprintf(d->targets[d->n_targets].host, sizeof d->targets[0].host, "%s", host);
    d->targets[d->n_targets++].port = port;
}
