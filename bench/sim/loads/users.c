// SPDX-License-Identifier: Apache-2.0
// Users and their sessions; see users.h.
#include "users.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_memory.h"
#include "bench/common/hashmap.h"
#include "client/common/random.h"

// ---- What sessions share -------------------------------------------------------------------------

// Whose each block of the load is: 1 + its session, or shared_block.
static const uint64_t shared_block = UINT64_MAX;

static void find_owners(struct bench_map *owners, const struct bench_workload *load) {
    for (size_t i = 0; i < load->n; i++) {
        const uint64_t *hashes = bench_request_hashes(load, i);
        uint64_t own = load->requests[i].session + 1u;
        for (uint32_t b = 0; b < load->requests[i].known; b++) {
            uint64_t owner = bench_map_get(owners, hashes[b]);
            if (owner != own) bench_map_set(owners, hashes[b], owner ? shared_block : own);
        }
    }
}

// ---- Sessions ------------------------------------------------------------------------------------

// The requests of each session, in order.
struct session_deck {
    uint32_t *requests;
    size_t *first; // by session; one more at the end
    size_t n;
    uint32_t *deck; // all of them, shuffled
    size_t dealt;   // from one deck after the other
};

static void find_sessions(struct session_deck *s, const struct bench_workload *load) {
    s->n = load->sessions;
    s->requests = bench_calloc(load->n, sizeof *s->requests);
    s->first = bench_calloc(s->n + 2, sizeof *s->first);
    s->deck = bench_calloc(s->n, sizeof *s->deck);
    for (size_t i = 0; i < load->n; i++)
        s->first[load->requests[i].session + 2]++;
    for (size_t i = 2; i < s->n + 2; i++)
        s->first[i] += s->first[i - 1];
    for (uint32_t i = 0; i < load->n; i++)
        s->requests[s->first[load->requests[i].session + 1]++] = i;
    for (uint32_t i = 0; i < s->n; i++)
        s->deck[i] = i;
}

static void shuffle(struct session_deck *s, uint64_t *rng) {
    for (size_t i = s->n; i > 1; i--) {
        size_t k = kvr_random(rng) % i;
        uint32_t x = s->deck[k];
        s->deck[k] = s->deck[i - 1];
        s->deck[i - 1] = x;
    }
}

// How much of each request's sequence the requests of its session know at most.
static uint32_t *find_longest(const struct session_deck *s, const struct bench_workload *load) {
    uint32_t *longest = bench_calloc(load->n, sizeof *longest);
    for (size_t session = 0; session < s->n; session++)
        for (size_t i = s->first[session]; i < s->first[session + 1]; i++) {
            const struct bench_request *r = &load->requests[s->requests[i]];
            uint32_t most = r->known;
            for (size_t k = s->first[session]; k < s->first[session + 1]; k++) {
                const struct bench_request *other = &load->requests[s->requests[k]];
                if (other->first == r->first && other->known > most) most = other->known;
            }
            longest[s->requests[i]] = most;
        }
    return longest;
}

// ---- Copies --------------------------------------------------------------------------------------

// A sequence of blocks that requests of a session are heads of: where it is in the load, and its copy.
struct copied_sequence {
    size_t of, copy;
};

struct session_copies {
    struct bench_workload *out;
    const struct bench_workload *load;
    const struct sim_users_plan *plan;
    struct session_deck sessions;
    struct bench_map owners;
    uint32_t *place;   // by request of the load: its copy in the session that is being copied
    uint32_t *longest; // by request of the load: blocks of its sequence that its session knows
    struct copied_sequence *sequences; // of the session that is being copied
    size_t n_sequences, room_sequences;
    double pause; // seconds between two sessions
    uint64_t rng;
};

// What a user is at: when it goes on at the earliest, and after which request.
struct simulated_user {
    double at, delay;
    uint32_t after;
};

// Copies all that the session knows of the request's sequence, once; returns the place of the copy.
static size_t copy_sequence(struct session_copies *c, uint32_t which, uint32_t session) {
    struct bench_workload *out = c->out;
    const uint64_t *hashes = bench_request_hashes(c->load, which);
    size_t of = c->load->requests[which].first, n = c->longest[which], copy = out->n_hashes;
    for (size_t i = c->n_sequences; i-- > 0;)
        if (c->sequences[i].of == of) return c->sequences[i].copy;
    uint64_t *to = bench_workload_more_hashes(out, n + 1);
    for (size_t b = 0; b < n; b++) {
        bool shared = bench_map_get(&c->owners, hashes[b]) == shared_block;
        to[b] =
            shared ? hashes[b] : kvr_random_mix(hashes[b] + 0x9e3779b97f4a7c15u * (session + 1u));
    }
    out->n_hashes += n;
    c->sequences =
        bench_grow(c->sequences, &c->room_sequences, c->n_sequences + 1, sizeof *c->sequences);
    c->sequences[c->n_sequences++] = (struct copied_sequence){of, copy};
    return copy;
}

static void copy_request(struct session_copies *c, struct simulated_user *u, uint32_t session,
                         uint32_t which, bool first) {
    struct bench_workload *out = c->out;
    struct bench_request r = c->load->requests[which];
    r.session = session;
    if (first)
        r.after = u->after, r.delay = u->delay;
    else
        r.after = r.after == BENCH_NO_REQUEST ? u->after : c->place[r.after];
    r.at = u->at + r.delay;
    u->at = r.at + (r.osl + 1) * c->plan->pace;
    if (r.at >= c->plan->until) return;
    r.first = copy_sequence(c, which, session);
    c->place[which] = (uint32_t)out->n;
    u->after = (uint32_t)out->n;
    bench_workload_add(out, &r);
}

// Deals a session out to the user, from its skip-th request on.
static void copy_session(struct session_copies *c, struct simulated_user *u, uint32_t which,
                         size_t skip) {
    const struct session_deck *s = &c->sessions;
    uint32_t session = c->out->sessions++;
    size_t from = s->first[which] + skip;
    c->n_sequences = 0;
    for (size_t i = from; i < s->first[which + 1] && u->at < c->plan->until; i++)
        copy_request(c, u, session, s->requests[i], i == from);
    u->delay = c->pause;
}

static uint32_t deal(struct session_copies *c) {
    struct session_deck *s = &c->sessions;
    if (s->dealt % s->n == 0) shuffle(s, &c->rng);
    return s->deck[s->dealt++ % s->n];
}

static void begin_user(struct session_copies *c, struct simulated_user *u, unsigned which) {
    const struct sim_users_plan *plan = c->plan;
    *u = (struct simulated_user){plan->ramp * which / plan->users, 0, BENCH_NO_REQUEST};
    if (plan->fresh) {
        copy_session(c, u, deal(c), 0);
        return;
    }
    double place = (which + kvr_random_unit(&c->rng)) / plan->users;
    size_t at = (size_t)(place * (double)c->load->n);
    uint32_t session = c->load->requests[c->sessions.requests[at]].session;
    copy_session(c, u, session, at - c->sessions.first[session]);
}

static double mean_delay(const struct bench_workload *load) {
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < load->n; i++)
        if (load->requests[i].after != BENCH_NO_REQUEST) sum += load->requests[i].delay, n++;
    return n ? sum / (double)n : 0;
}

void sim_users_make(struct bench_workload *out, const struct bench_workload *load,
                    const struct sim_users_plan *plan) {
    struct session_copies c = {
        .out = out,
        .load = load,
        .plan = plan,
        .place = bench_calloc(load->n, sizeof *c.place),
        .pause = mean_delay(load),
        .rng = kvr_random_mix(plan->seed + 1),
    };
    struct simulated_user *users = bench_calloc(plan->users, sizeof *users);
    *out = (struct bench_workload){.block_size = load->block_size, .closed = true};
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
    bench_workload_sort(out);
    snprintf(out->what, sizeof out->what, "%u users of %.120s", plan->users, load->what);
    free(users);
    free(c.place);
    free(c.longest);
    free(c.sequences);
    bench_map_free(&c.owners);
    free(c.sessions.requests);
    free(c.sessions.first);
    free(c.sessions.deck);
}
