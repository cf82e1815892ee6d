// SPDX-License-Identifier: Apache-2.0
// Opening, closing, time; see handle.h.
#include "handle.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "client/lib/recovery/degrade.h"
#include "client/lib/recovery/outcome.h"
#include "client/lib/recovery/repair.h"

#define VERSION_TEXT_OF(x) #x
#define VERSION_TEXT(x) VERSION_TEXT_OF(x)
#ifdef KVR_TLS
#define TLS_TEXT "TLS"
#else
#define TLS_TEXT "no TLS"
#endif

const char *kvr_client_library(void) {
    return KVROUTE_VERSION " (hiredis " VERSION_TEXT(HIREDIS_MAJOR) "." VERSION_TEXT(
        HIREDIS_MINOR) "." VERSION_TEXT(HIREDIS_PATCH) ", " TLS_TEXT ")";
}

// ---- Time ----------------------------------------------------------------------------------------

static void wake(void *handle, int64_t at) {
    struct kvr_client *c = handle;
    if (at >= c->timer_at || c->context.in_tick) return; // a tick sets the timer at its end
    int64_t left = at - kvr_clock_ms();
    c->timer_at = at;
    c->loop.timer_set(c->timer, left > 0 ? left : 0);
}

static void sooner(int64_t *at, int64_t candidate) {
    if (candidate < *at) *at = candidate;
}

static void set_timer(struct kvr_client *c, int64_t now) {
    const struct kvr_recovery *r = &c->recovery;
    int64_t at = kvr_calls_wake_at(&c->calls);
    sooner(&at, kvr_transport_wake_at(&c->transport, now));
    for (const struct kvr_follower *f = c->followers.next; f != &c->followers; f = f->next)
        sooner(&at, f->wake_at);
    if (kvr_transport_ready(&c->transport)) {
        sooner(&at, r->repair_at);
        if (r->degrade && !r->refreshing) sooner(&at, r->refresh_at);
    }
    if (r->new_history || c->closing) at = now;
    c->timer_at = at;
    c->loop.timer_set(c->timer, at == KVR_NEVER ? -1 : at > now ? at - now : 0);
}

static void tell_followers(struct kvr_client *c, int64_t now) {
    bool history = c->recovery.new_history;
    c->recovery.new_history = false;
    for (struct kvr_follower *f = c->followers.next, *next; f != &c->followers; f = next) {
        next = f->next;
        if (history) f->history(f);
    }
    for (struct kvr_follower *f = c->followers.next, *next; f != &c->followers; f = next) {
        next = f->next;
        if (f->wake_at > now) continue;
        f->wake_at = KVR_NEVER;
        f->wake(f, now);
    }
}

static bool is_on_the_stack(const struct kvr_client *c) {
    return c->context.callbacks || c->context.in_tick || c->turns;
}

static void destroy(struct kvr_client *c);

static void tick(void *arg) {
    struct kvr_client *c = arg;
    struct kvr_transport *t = &c->transport;
    int64_t now = kvr_clock_ms();
    c->context.in_tick = true;
    c->timer_at = KVR_NEVER;
    // A handle that nobody has run has not been without a primary: it hasn't looked for one.
    if (now - c->ticked_at > 2 * t->topology.connect_timeout + KVR_MAX_BACKOFF) t->down_since = now;
    c->ticked_at = now;
    kvr_transport_watch(t, now);
    kvr_calls_expire(&c->calls, now);
    kvr_transport_step(t, now);
    if (kvr_transport_ready(t)) {
        kvr_calls_pump(&c->calls);
        kvr_repair_step(&c->recovery, now);
        kvr_degrade_refresh(&c->recovery, now);
    }
    tell_followers(c, now);
    kvr_calls_pump(&c->calls);
    c->context.in_tick = false;
    if (c->closing && !is_on_the_stack(c))
        destroy(c);
    else
        set_timer(c, now);
}

// ---- Opening and closing -------------------------------------------------------------------------

static const char *open_parts(struct kvr_client *c, const struct kvr_client_options *o) {
    struct kvr_context *x = &c->context;
    if (!o->loop) {
        c->own = kvr_poll_loop_new(&x->alloc);
        if (!c->own) return "out of memory";
        c->loop = kvr_poll_loop_interface(c->own);
    }
    c->timer = c->loop.timer_new(c->loop.base, tick, c);
    if (kvr_recovery_init(&c->recovery, o) || !c->timer) return "out of memory";
    return kvr_transport_open(&c->transport);
}

// The parts know of one another what is below them; what goes up goes through functions.
// -1: no memory.
static int connect_parts(struct kvr_client *c, const struct kvr_client_options *o) {
    struct kvr_context *x = &c->context;
    uint64_t secret = 0;
    if (getrandom(&secret, sizeof secret, 0) < 0) secret = (uint64_t)kvr_clock_ms();
    x->random = secret ^ (uint64_t)getpid();
    c->transport.context = c->calls.context = c->recovery.context = x;
    c->transport.means.loop = &c->loop;
    c->transport.events = kvr_outcome_transport_events(&c->recovery);
    c->calls.transport = c->recovery.transport = &c->transport;
    c->calls.events = kvr_outcome_calls_events(&c->recovery);
    c->calls.max_pending = o->max_pending ? o->max_pending : 65536;
    c->calls.degrade = o->degrade;
    c->recovery.calls = &c->calls;
    return kvr_calls_init(&c->calls, x->random + 4);
}

struct kvr_client *kvr_client_open(const char *url, const char *pool,
                                   const struct kvr_client_options *options, char *error,
                                   size_t error_size) {
    static const struct kvr_client_options defaults;
    const struct kvr_client_options *o = options ? options : &defaults;
    const struct kvr_alloc *a = o->alloc ? o->alloc : &kvr_alloc_default;
    struct kvr_topology topology;
    struct kvr_client *c = NULL;
    const char *wrong = kvr_url_parse(url, &topology);
    if (!wrong && !pool) wrong = "no pool";
    if (!wrong && !(c = kvr_alloc_zeroed(a, sizeof *c))) wrong = "out of memory";
    if (c) {
        kvr_spares_init(&c->spares, a);
        c->context.alloc = kvr_spares_alloc(&c->spares);
        c->context.log = o->log;
        c->context.log_ctx = o->log_ctx;
        c->context.wake = wake;
        c->context.handle = c;
        c->context.pool = c->pool = kvr_alloc_copy(&c->context.alloc, pool, strlen(pool) + 1);
        if (o->loop) c->loop = *o->loop;
        c->transport.topology = topology;
        c->followers.prev = c->followers.next = &c->followers;
        c->timer_at = KVR_NEVER;
        bool whole = !connect_parts(c, o) && c->pool;
        wrong = whole ? open_parts(c, o) : "out of memory";
    }
    if (error && error_size) snprintf(error, error_size, "%s", wrong ? wrong : "");
    if (wrong) {
        if (c) destroy(c);
        return NULL;
    }
    wake(c, 0);
    return c;
}

static void destroy(struct kvr_client *c) {
    const struct kvr_alloc below = c->spares.below;
    c->closing = c->calls.closed = true;
    c->context.in_tick = true; // no more timers
    kvr_calls_withdraw(&c->calls);
    kvr_transport_disconnect(&c->transport);
    kvr_calls_close(&c->calls);
    kvr_transport_free(&c->transport);
    kvr_recovery_free(&c->recovery);
    kvr_calls_free(&c->calls);
    if (c->timer) c->loop.timer_free(c->timer);
    kvr_poll_loop_free(c->own);
    kvr_alloc_free(&c->context.alloc, c->pool);
    kvr_spares_free(&c->spares);
    kvr_alloc_free(&below, c);
}

void kvr_client_close(struct kvr_client *c) {
    if (!c || c->closing) return;
    c->closing = c->calls.closed = true;
    if (is_on_the_stack(c))
        wake(c, 0);
    else
        destroy(c);
}

bool kvr_handle_leave(struct kvr_client *c) {
    c->turns--;
    if (!c->closing) return true;
    if (!is_on_the_stack(c)) destroy(c);
    return false;
}

// ---- Running and looking -------------------------------------------------------------------------

void kvr_client_run(struct kvr_client *c, int64_t ms) {
    if (!c->own || c->context.callbacks) return;
    c->turns++;
    kvr_poll_loop_turn(c->own, ms < 0 ? 0 : ms);
    (void)kvr_handle_leave(c);
}

// What is remembered is in order only as far as a primary is there that has it.
static bool is_drained(const struct kvr_client *c) {
    const struct kvr_remembered *m = &c->recovery.memory;
    bool remembers = m->live_table.count || m->released_table.count || m->workers.table.count;
    bool served =
        kvr_transport_ready(&c->transport) && kvr_connection_usable(&c->transport.primary);
    return !c->calls.pending && !c->recovery.new_history && kvr_remembered_settled(m) &&
           (served || !remembers);
}

// A connection may have closed unseen, with all that its server had. So what looks done is so only if
// it still is after a look at the socket.
bool kvr_client_drain(struct kvr_client *c, int64_t ms) {
    if (!c->own || c->context.callbacks) return false;
    int64_t until = kvr_clock_ms() + ms;
    bool done = false;
    c->turns++;
    for (bool looked = false; !c->closing;) {
        done = is_drained(c);
        int64_t left = until - kvr_clock_ms();
        if (done ? looked : left <= 0) break;
        kvr_poll_loop_turn(c->own, done ? 0 : left);
        looked = done;
    }
    return kvr_handle_leave(c) && done;
}

void kvr_client_stats(const struct kvr_client *c, struct kvr_client_stats *out) {
    const struct kvr_remembered *m = &c->recovery.memory;
    const struct kvr_discovery *d = &c->transport.discovery;
    *out = c->context.stats;
    out->connected = kvr_transport_ready(&c->transport);
    if (d->has_known) kvr_address_text(&d->known, out->primary, sizeof out->primary);
    out->pending = c->calls.pending;
    out->live = m->live_table.count;
    out->live_bytes = m->live_bytes;
    out->waiting = c->calls.parked.waiting;
    out->subscribed = c->transport.subscription.open;
    const struct kvr_list_item *heads[] = {&m->live.waiting, &m->live.checking};
    for (size_t k = 0; k < 2; k++)
        for (const struct kvr_list_item *i = heads[k]->next; i != heads[k]; i = i->next)
            out->unconfirmed++;
}

// ---- For publishers ------------------------------------------------------------------------------

void kvr_handle_follow(struct kvr_client *c, struct kvr_follower *f) {
    f->wake_at = KVR_NEVER;
    f->prev = c->followers.prev;
    f->next = &c->followers;
    f->prev->next = f->next->prev = f;
}

void kvr_handle_unfollow(struct kvr_follower *f) {
    f->prev->next = f->next;
    f->next->prev = f->prev;
}

void kvr_handle_wake(struct kvr_client *c, struct kvr_follower *f, int64_t at) {
    f->wake_at = at;
    wake(c, at);
}

enum kvr_code kvr_handle_send(struct kvr_client *c, struct kvr_command *command, kvr_done *done,
                              void *ctx) {
    if (c->closing) return KVR_CODE_CLOSED;
    struct kvr_operation *o = kvr_operation_new(&c->calls, KVR_CALL_EVENT, KVR_NEVER, done, ctx);
    if (!o) return KVR_CODE_NOMEM;
    o->command = *command;
    kvr_operation_submit(o);
    return KVR_CODE_OK;
}
