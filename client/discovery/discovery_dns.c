// SPDX-License-Identifier: Apache-2.0
#include "discovery_dns.h"

#include <ares.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "dns_channel.h"

enum { DNS_MIN_PAUSE_MS = 500, DNS_NAME_SIZE = 256, DNS_HOST_SIZE = 254 };

struct dns_found {
    char host[DNS_HOST_SIZE];
    uint16_t port;
};

struct dns_source;

struct dns_question {
    struct dns_source *source;
    enum dns_type type;
};

struct dns_source {
    struct event_base *base;
    struct discovery_known *known;
    struct event *timer;
    struct dns_question questions[2];
    size_t n_questions;
    char settled[DNS_NAME_SIZE]; // the full name that last gave something; "": none
    // Of this round.
    struct dns_channel *channel;
    char name[DNS_NAME_SIZE];
    size_t candidate;
    unsigned open; // questions about it
    bool failed;   // a server that was asked had no answer
    struct dns_found *found;
    size_t n_found, room;
    uint32_t ttl;
};

static void ask_next(struct dns_source *s);

// ---- The end of a round --------------------------------------------------------------------------

static void pause_round(struct dns_source *s) {
    int64_t ms = s->known->config.every, ttl = (int64_t)s->ttl * 1000;
    if (ttl < DNS_MIN_PAUSE_MS) ttl = DNS_MIN_PAUSE_MS;
    struct timeval next = kvr_timeval(ttl < ms ? ttl : ms);
    event_add(s->timer, &next);
}

static void end_round(struct dns_source *s) {
    const struct discovery_config *c = &s->known->config;
    uint16_t port = (uint16_t)atoi(c->port);
    discovery_known_begin(s->known);
    for (size_t i = 0; i < s->n_found; i++)
        discovery_known_see_at(s->known, s->found[i].host,
                               c->kind == DISCOVERY_SRV ? s->found[i].port : port, NULL, 0, false);
    discovery_known_end(s->known, !s->failed);
    if (s->n_found)
        memcpy(s->settled, s->name, sizeof s->settled);
    else if (!s->known->stats.engines)
        *s->settled = 0;
    pause_round(s);
}

// ---- Answers -------------------------------------------------------------------------------------

static void on_dns_record(void *ctx, const struct dns_record *r) {
    struct dns_source *s = ctx;
    size_t n = strlen(r->host);
    if (s->n_found == s->room) {
        size_t room = s->room ? s->room * 2 : 64;
        struct dns_found *found = realloc(s->found, room * sizeof *found);
        if (!found) {
            s->failed = true;
            return;
        }
        s->found = found;
        s->room = room;
    }
    if (n >= DNS_HOST_SIZE) return;
    struct dns_found *f = &s->found[s->n_found++];
    memcpy(f->host, r->host, n + 1);
    f->port = r->port;
}

static void fail(struct dns_source *s, const char *why) {
    s->failed = true;
    discovery_known_failed(s->known, "DNS, %s: %s", s->name, why);
}

static void on_dns_answer(void *ctx, int status, const unsigned char *message, size_t n) {
    struct dns_question *q = ctx;
    struct dns_source *s = q->source;
    size_t had = s->n_found;
    if (!message && !dns_channel_is_empty(status)) {
        fail(s, dns_channel_text(status));
    } else if (message && !dns_answer_read(message, n, q->type, on_dns_record, s, &s->ttl)) {
        s->n_found = had;
        fail(s, "an answer that is none");
    }
    if (--s->open) return;
    if (s->n_found)
        end_round(s);
    else
        ask_next(s);
}

// ---- Questions -----------------------------------------------------------------------------------

static bool next_name(struct dns_source *s) {
    size_t i = s->candidate++;
    if (!*s->settled)
        return dns_channel_candidate(s->channel, s->known->config.place, i, s->name,
                                     sizeof s->name);
    memcpy(s->name, s->settled, sizeof s->name);
    return i == 0;
}

static void ask_next(struct dns_source *s) {
    if (!next_name(s)) {
        end_round(s);
        return;
    }
    s->open = (unsigned)s->n_questions;
    for (size_t i = 0; i < s->n_questions; i++)
        dns_channel_ask(s->channel, s->name, s->questions[i].type, on_dns_answer, &s->questions[i]);
}

static void on_round(evutil_socket_t fd, short what, void *ctx) {
    struct dns_source *s = ctx;
    const char *error;
    (void)fd;
    (void)what;
    dns_channel_free(s->channel);
    s->channel = dns_channel_new(s->base, s->known->config.servers, &error);
    s->candidate = s->n_found = 0;
    s->failed = false;
    s->ttl = UINT32_MAX;
    if (s->channel) {
        ask_next(s);
        return;
    }
    discovery_known_failed(s->known, "DNS: %s", error);
    pause_round(s);
}

// ---- Coming and going ----------------------------------------------------------------------------

static void add_question(struct dns_source *s, enum dns_type type) {
    s->questions[s->n_questions++] = (struct dns_question){s, type};
}

void *discovery_dns_new(struct event_base *base, struct discovery_known *k, char *error,
                        size_t error_size) {
    struct dns_source *s = ares_library_init(ARES_LIB_INIT_ALL) ? NULL : calloc(1, sizeof *s);
    if (s) s->timer = event_new(base, -1, 0, on_round, s);
    if (!s || !s->timer) {
        snprintf(error, error_size, "no memory");
        free(s);
        return NULL;
    }
    s->base = base;
    s->known = k;
    const struct discovery_config *c = &k->config;
    if (c->kind == DISCOVERY_SRV) {
        add_question(s, DNS_SRV);
    } else {
        if (c->family != DISCOVERY_IPV6) add_question(s, DNS_A);
        if (c->family != DISCOVERY_IPV4) add_question(s, DNS_AAAA);
    }
    event_active(s->timer, EV_TIMEOUT, 0);
    return s;
}

void discovery_dns_free(void *source) {
    struct dns_source *s = source;
    dns_channel_free(s->channel);
    event_free(s->timer);
    free(s->found);
    free(s);
    ares_library_cleanup();
}
