// SPDX-License-Identifier: Apache-2.0
// Users and their sessions; see users.h.
#include "users.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/memory.h"
#include "bench/common/random.h"

// ---- What sessions share -------------------------------------------------------------------------

// Blocks by hash, with the one session that has them; linear probing.
struct owned {
    uint64_t hash;
    uint32_t session; // NOBODYS: free
};
#define NOBODYS UINT32_MAX
#define SHARED (UINT32_MAX - 1)

struct owners {
    struct owned *table;
    size_t mask;
};

static struct owned *owner_of(const struct owners *o, uint64_t hash) {
    size_t i = random_mix(hash) & o->mask;
    while (o->table[i].session != NOBODYS && o->table[i].hash != hash)
        i = (i + 1) & o->mask;
    return &o->table[i];
}

static void find_owners(struct owners *o, const struct workload *load) {
    size_t size = 16;
    while (size < load->n_hashes * 2)
        size *= 2;
    *o = (struct owners){memory_take(size, sizeof *o->table), size - 1};
    memset(o->table, 0xff, size * sizeof *o->table);
    for (size_t i = 0; i < load->n; i++) {
        const uint64_t *hashes = request_hashes(load, i);
        for (uint32_t b = 0; b < load->requests[i].known; b++) {
            struct owned *x = owner_of(o, hashes[b]);
            if (x->session == NOBODYS)
                *x = (struct owned){hashes[b], load->requests[i].session};
            else if (x->session != load->requests[i].session)
                x->session = SHARED;
        }
    }
}

// ---- Sessions ------------------------------------------------------------------------------------

// The requests of each session, in order.
struct sessions {
    uint32_t *requests;
    size_t *first; // by session; one more at the end
    size_t n;
    uint32_t *deck; // all of them, shuffled
    size_t dealt;   // from one deck after the other
};

static void find_sessions(struct sessions *s, const struct workload *load) {
    s->n = load->sessions;
    s->requests = memory_take(load->n, sizeof *s->requests);
    s->first = memory_take(s->n + 2, sizeof *s->first);
    s->deck = memory_take(s->n, sizeof *s->deck);
    for (size_t i = 0; i < load->n; i++)
        s->first[load->requests[i].session + 2]++;
    for (size_t i = 2; i < s->n + 2; i++)
        s->first[i] += s->first[i - 1];
    for (uint32_t i = 0; i < load->n; i++)
        s->requests[s->first[load->requests[i].session + 1]++] = i;
    for (uint32_t i = 0; i < s->n; i++)
        s->deck[i] = i;
}

static void shuffle(struct sessions *s, uint64_t *rng) {
    for (size_t i = s->n; i > 1; i--) {
        size_t k = random_next(rng) % i;
        uint32_t x = s->deck[k];
        s->deck[k] = s->deck[i - 1];
        s->deck[i - 1] = x;
    }
}

// How much of each request's sequence the requests of its session know at most.
static uint32_t *find_longest(const struct sessions *s, const struct workload *load) {
    uint32_t *longest = memory_take(load->n, sizeof *longest);
    for (size_t session = 0; session < s->n; session++)
        for (size_t i = s->first[session]; i < s->first[session + 1]; i++) {
            const struct request *r = &load->requests[s->requests[i]];
            uint32_t most = r->known;
            for (size_t k = s->first[session]; k < s->first[session + 1]; k++) {
                const struct request *other = &load->requests[s->requests[k]];
                if (other->first == r->first && other->known > most) most = other->known;
            }
            longest[s->requests[i]] = most;
        }
    return longest;
}

// ---- Copies --------------------------------------------------------------------------------------

// A sequence of blocks that requests of a session are heads of: where it is in the load, and its copy.
struct sequence {
    size_t of, copy;
};

struct copying {
    struct workload *out;
    const struct workload *load;
    const struct users_plan *plan;
    struct sessions sessions;
    struct owners owners;
    uint32_t *place;   // by request of the load: its copy in the session that is being copied
    uint32_t *longest; // by request of the load: blocks of its sequence that its session knows
    struct sequence *sequences; // of the session that is being copied
    size_t n_sequences, room_sequences;
    size_t room, room_hashes;
    double pause; // seconds between two sessions
    uint64_t rng;
};

// What a user is at: when it goes on at the earliest, and after which request.
struct user {
    double at, delay;
    uint32_t after;
};

// Copies all that the session knows of the request's sequence, once; returns the place of the copy.
static size_t copy_sequence(struct copying *c, uint32_t which, uint32_t session) {
    struct workload *out = c->out;
    const uint64_t *hashes = request_hashes(c->load, which);
    size_t of = c->load->requests[which].first, n = c->longest[which], copy = out->n_hashes;
    for (size_t i = c->n_sequences; i-- > 0;)
        if (c->sequences[i].of == of) return c->sequences[i].copy;
    out->hashes = memory_grow(out->hashes, &c->room_hashes, copy + n + 1, sizeof *out->hashes);
    for (size_t b = 0; b < n; b++) {
        bool shared = owner_of(&c->owners, hashes[b])->session == SHARED;
        out->hashes[out->n_hashes++] =
            shared ? hashes[b] : random_mix(hashes[b] + 0x9e3779b97f4a7c15u * (session + 1u));
    }
    c->sequences =
        memory_grow(c->sequences, &c->room_sequences, c->n_sequences + 1, sizeof *c->sequences);
    c->sequences[c->n_sequences++] = (struct sequence){of, copy};
    return copy;
}

static void copy_request(struct copying *c, struct user *u, uint32_t session, uint32_t which,
                         bool first) {
    struct workload *out = c->out;
    struct request r = c->load->requests[which];
    r.session = session;
    if (first)
        r.after = u->after, r.delay = u->delay;
    else
        r.after = r.after == NO_REQUEST ? u->after : c->place[r.after];
    r.at = u->at + r.delay;
    u->at = r.at + (r.osl + 1) * c->plan->pace;
    if (r.at >= c->plan->until) return;
    r.first = copy_sequence(c, which, session);
    c->place[which] = (uint32_t)out->n;
    out->requests = memory_grow(out->requests, &c->room, out->n + 1, sizeof r);
    out->requests[out->n] = r;
    u->after = (uint32_t)out->n++;
}

// Deals a session out to the user, from its skip-th request on.
static void copy_session(struct copying *c, struct user *u, uint32_t which, size_t skip) {
    const struct sessions *s = &c->sessions;
    uint32_t session = c->out->sessions++;
    size_t from = s->first[which] + skip;
    c->n_sequences = 0;
    for (size_t i = from; i < s->first[which + 1] && u->at < c->plan->until; i++)
        copy_request(c, u, session, s->requests[i], i == from);
    u->delay = c->pause;
}

static uint32_t deal(struct copying *c) {
    struct sessions *s = &c->sessions;
    if (s->dealt % s->n == 0) shuffle(s, &c->rng);
    return s->deck[s->dealt++ % s->n];
}

static void begin_user(struct copying *c, struct user *u, unsigned which) {
    const struct users_plan *plan = c->plan;
    *u = (struct user){plan->ramp * which / plan->users, 0, NO_REQUEST};
    if (plan->fresh) {
        copy_session(c, u, deal(c), 0);
        return;
    }
    double place = (which + random_unit(&c->rng)) / plan->users;
    size_t at = (size_t)(place * (double)c->load->n);
    uint32_t session = c->load->requests[c->sessions.requests[at]].session;
    copy_session(c, u, session, at - c->sessions.first[session]);
}

static double mean_delay(const struct workload *load) {
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < load->n; i++)
        if (load->requests[i].after != NO_REQUEST) sum += load->requests[i].delay, n++;
    return n ? sum / (double)n : 0;
}

void users_make(struct workload *out, const struct workload *load, const struct users_plan *plan) {
    struct copying c = {
        .out = out,
        .load = load,
        .plan = plan,
        .place = memory_take(load->n, sizeof *c.place),
        .pause = mean_delay(load),
        .rng = random_mix(plan->seed + 1),
    };
    struct user *users = memory_take(plan->users, sizeof *users);
    *out = (struct workload){.block_size = load->block_size, .closed = true};
    find_sessions(&c.sessions, load);
    find_owners(&c.owners, load);
    c.longest = find_longest(&c.sessions, load);
    for (unsigned u = 0; u < plan->users; u++)
        begin_user(&c, &users[u], u);
    for (bool busy = true; busy;) {
        busy = false;
        for (unsigned u = 0; u < plan->users; u++) {
            if (users[u].at >= plan->until) continue;
            copy_session(&c, &users[u], deal(&c), 0);
            busy = true;
        }
    }
    workload_sort(out);
    snprintf(out->what, sizeof out->what, "%u users of %.120s", plan->users, load->what);
    free(users);
    free(c.place);
    free(c.longest);
    free(c.sequences);
    free(c.owners.table);
    free(c.sessions.requests);
    free(c.sessions.first);
    free(c.sessions.deck);
}
