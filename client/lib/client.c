// SPDX-License-Identifier: Apache-2.0
// Opening, closing, time; see client_impl.h.
#include "client_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "client/common/random.h"
#include "tls.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#ifdef KVR_TLS
#define TLS_TEXT "TLS"
#else
#define TLS_TEXT "no TLS"
#endif

const char *kvr_client_library(void) {
    return KVROUTE_VERSION " (hiredis " TEXT(HIREDIS_MAJOR) "." TEXT(HIREDIS_MINOR) "." TEXT(
        HIREDIS_PATCH) ", " TLS_TEXT ")";
}

// ---- Small means ---------------------------------------------------------------------------------

uint64_t client_random(struct kvr_client *c) {
    return kvr_random(&c->random);
}

int64_t client_jitter(struct kvr_client *c, int64_t ms) {
    return ms / 2 + (int64_t)(client_random(c) % (uint64_t)(ms + 1));
}

struct link_means client_means(struct kvr_client *c) {
    return (struct link_means){&c->loop, c->tls};
}

void client_wake(struct kvr_client *c, int64_t at) {
    if (at >= c->timer_at || c->in_tick) return; // a tick sets the timer at its end
    int64_t left = at - clock_ms();
    c->timer_at = at;
    c->loop.timer_set(c->timer, left > 0 ? left : 0);
}

void client_history_lost(struct kvr_client *c) {
    memory_doubt(&c->memory);
    c->stats.losses++;
    c->lost_at = clock_ms();
    c->tell_followers = true;
    c->repair_at = 0;
    client_wake(c, 0);
}

void handle_log(struct kvr_client *c, enum kvr_level level, const char *format, ...) {
    char line[512];
    va_list args;
    if (!c->log) return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    c->depth++; // it may close the handle
    c->log(c->log_ctx, level, line);
    c->depth--;
}

// ---- Time ----------------------------------------------------------------------------------------

static void primary_lost(struct kvr_client *c, int64_t now) {
    char why[sizeof c->primary.why];
    snprintf(why, sizeof why, "%s", c->primary.why);
    if (c->stage == STAGE_READY) {
        c->down_since = now;
        handle_log(c, KVR_LOG_WARNING, "primary lost: %s", why);
        if (c->primary.parse.expected)
            c->stale[c->next_stale++ % STALE] = (struct stale){c->greeting.run, c->greeting.id};
    }
    op_connection_lost(c);
    link_close(&c->guide); // it may have been checking
    find_failed(c, why, c->stage == STAGE_GREETING && c->denied, now);
}

// A connection that is too slow in coming, or owes replies for too long, or says too much.
static void watch(struct kvr_client *c, struct link *l, bool greeting, int64_t now) {
    if (!l->ac || l->doomed) return;
    if (greeting ? now - l->since >= c->where.connect_timeout
                 : link_owed(l) && now - l->heard >= c->where.timeout)
        link_doom(l, "the server is silent");
    else if (link_swollen(l))
        link_doom(l, "a reply is too large");
}

static void sooner(int64_t *at, int64_t candidate) {
    if (candidate < *at) *at = candidate;
}

static void set_timer(struct kvr_client *c, int64_t now) {
    int64_t at = c->next_deadline;
    for (const struct kvr_list_item *i = c->later.next; i != &c->later; i = i->next)
        sooner(&at, ((const struct op *)(const void *)i)->not_before);
    for (const struct follower *f = c->followers.next; f != &c->followers; f = f->next)
        sooner(&at, f->wake_at);
    if (c->stage == STAGE_IDLE) sooner(&at, c->finder.retry_at);
    if (c->guide.ac) sooner(&at, c->guide.since + c->where.connect_timeout);
    if (c->stage == STAGE_GREETING) sooner(&at, c->primary.since + c->where.connect_timeout);
    if (c->stage == STAGE_READY) {
        if (link_owed(&c->primary)) {
            sooner(&at, c->primary.heard + c->where.timeout);
            sooner(&at, now + WATCH);
        }
        sooner(&at, c->repair_at);
        if (c->finder.asking) sooner(&at, c->finder.asking_until);
        if (c->where.kind == TOPOLOGY_SENTINEL) sooner(&at, c->finder.check_at);
        if (c->degrade && !c->refreshing) sooner(&at, c->refresh_at);
    }
    if (c->guide.doomed || c->primary.doomed || c->tell_followers || c->closing) at = now;
    c->timer_at = at;
    c->loop.timer_set(c->timer, at == NEVER ? -1 : at > now ? at - now : 0);
}

static void tell_followers(struct kvr_client *c, int64_t now) {
    bool history = c->tell_followers;
    c->tell_followers = false;
    for (struct follower *f = c->followers.next, *next; f != &c->followers; f = next) {
        next = f->next;
        if (history) f->history(f);
    }
    for (struct follower *f = c->followers.next, *next; f != &c->followers; f = next) {
        next = f->next;
        if (f->wake_at > now) continue;
        f->wake_at = NEVER;
        f->wake(f, now);
    }
}

static void destroy(struct kvr_client *c);

static void tick(void *arg) {
    struct kvr_client *c = arg;
    int64_t now = clock_ms();
    c->in_tick = true;
    c->timer_at = NEVER;
    // A handle that nobody has run has not been without a primary: it hasn't looked for one.
    if (now - c->ticked_at > 2 * c->where.connect_timeout + BACKOFF_MOST) c->down_since = now;
    c->ticked_at = now;
    watch(c, &c->guide, true, now);
    watch(c, &c->primary, c->stage == STAGE_GREETING, now);
    if (c->guide.doomed) link_close(&c->guide);
    if (c->primary.doomed) link_close(&c->primary);
    if ((c->stage == STAGE_GREETING || c->stage == STAGE_READY) && !c->primary.ac)
        primary_lost(c, now);
    op_expire(c, now);
    if (c->stage != STAGE_READY) find_step(c, now);
    if (c->stage == STAGE_READY) {
        find_check(c, now);
        op_pump(c, now);
        repair_step(c, now);
        degrade_refresh(c, now);
    }
    tell_followers(c, now);
    if (c->stage == STAGE_READY) op_pump(c, now);
    c->in_tick = false;
    if (c->closing && !c->depth && !c->turns)
        destroy(c);
    else
        set_timer(c, now);
}

static void link_changed(struct link *l) {
    client_wake(l->owner, 0);
}

// ---- Opening and closing -------------------------------------------------------------------------

static char *copy_text(struct kvr_client *c, const char *text) {
    return text ? kvr_alloc_copy(&c->alloc, text, strlen(text) + 1) : NULL;
}

static const char *open_parts(struct kvr_client *c, const struct kvr_client_options *o) {
    uint64_t secret = 0;
    if (getrandom(&secret, sizeof secret, 0) < 0) secret = (uint64_t)clock_ms();
    c->random = secret ^ (uint64_t)getpid();
    if (memory_init(&c->memory, &c->alloc, o, secret)) return "out of memory";
    if (!o->loop) {
        c->own = poll_loop_new(&c->alloc);
        if (!c->own) return "out of memory";
        c->loop = poll_loop_face(c->own);
    }
    c->timer = c->loop.timer_new(c->loop.base, tick, c);
    struct wire w;
    wire_begin(&w, &c->alloc);
    wire_word(&w, "KVROUTE.INFO");
    wire_word(&w, c->pool ? c->pool : "");
    bool encoded = wire_end(&w, &c->greet_info); // in any case: it ends what the wire has taken
    if (!c->timer || !c->pool || (o->create && !c->create) || !encoded) return "out of memory";
    if (!c->where.tls) return NULL;
    const char *wrong = "TLS";
    c->tls = tls_new(&c->where, &wrong);
    return c->tls ? NULL : wrong;
}

struct kvr_client *kvr_client_open(const char *url, const char *pool,
                                   const struct kvr_client_options *options, char *error,
                                   size_t error_size) {
    static const struct kvr_client_options defaults;
    const struct kvr_client_options *o = options ? options : &defaults;
    struct topology where;
    struct kvr_client *c = NULL;
    const char *wrong = url_parse(url, &where);
    if (!wrong && !pool) wrong = "no pool";
    if (!wrong && where.tls && !tls_built()) wrong = "this library was built without TLS";
    if (!wrong) {
        const struct kvr_alloc *a = o->alloc ? o->alloc : &kvr_alloc_default;
        c = kvr_alloc_zeroed(a, sizeof *c);
        if (!c) wrong = "out of memory";
        if (c) c->alloc = *a;
    }
    if (!wrong) {
        c->where = where;
        if (o->loop) c->loop = *o->loop;
        c->pool = copy_text(c, pool);
        c->create = copy_text(c, o->create);
        c->degrade = o->degrade;
        c->max_pending = o->max_pending ? o->max_pending : 65536;
        c->refresh = o->refresh > 0 ? o->refresh : 1000;
        c->log = o->log;
        c->log_ctx = o->log_ctx;
        struct kvr_list_item *lists[] = {&c->queue, &c->sent, &c->returned, &c->later};
        for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
            kvr_list_init(lists[i]);
        c->followers.prev = c->followers.next = &c->followers;
        c->timer_at = c->next_deadline = c->repair_at = NEVER;
        c->version = -1;
        c->lease = 300000; // what CREATE takes unless told otherwise
        c->down_since = clock_ms();
        snprintf(c->why, sizeof c->why, "no primary has been reached yet");
        kvr_arena_init(&c->passing, &c->alloc);
        kvr_arena_init(&c->kept, &c->alloc);
        link_init(&c->primary, &c->alloc, c, greet_opened, link_changed);
        link_init(&c->guide, &c->alloc, c, find_guide_opened, link_changed);
        find_init(c);
        wrong = open_parts(c, o);
    }
    if (error && error_size) snprintf(error, error_size, "%s", wrong ? wrong : "");
    if (wrong) {
        if (c) destroy(c);
        return NULL;
    }
    client_wake(c, 0);
    return c;
}

static void destroy(struct kvr_client *c) {
    const struct kvr_alloc a = c->alloc;
    c->closing = true;
    c->in_tick = true; // no more timers
    link_close(&c->primary);
    link_close(&c->guide);
    op_connection_lost(c);
    op_close_all(c);
    link_free(&c->primary);
    link_free(&c->guide);
    memory_free(&c->memory);
    if (c->timer) c->loop.timer_free(c->timer);
    poll_loop_free(c->own);
    tls_free(c->tls);
    kvr_arena_free(&c->passing);
    kvr_arena_free(&c->kept);
    kvr_alloc_free(&a, c->greet_info.base);
    kvr_alloc_free(&a, c->pool);
    kvr_alloc_free(&a, c->create);
    a.resize(a.ctx, c, 0);
}

void kvr_client_close(struct kvr_client *c) {
    if (!c || c->closing) return;
    c->closing = true;
    if (c->depth || c->in_tick)
        client_wake(c, 0);
    else
        destroy(c);
}

void client_enter(struct kvr_client *c) {
    c->turns++;
}

bool client_leave(struct kvr_client *c) {
    c->turns--;
    if (!c->closing) return true;
    if (!c->turns && !c->depth) destroy(c);
    return false;
}

// ---- Running and looking -------------------------------------------------------------------------

void kvr_client_run(struct kvr_client *c, int64_t ms) {
    if (!c->own || c->depth) return;
    client_enter(c);
    poll_loop_turn(c->own, ms < 0 ? 0 : ms);
    (void)client_leave(c);
}

// What is remembered is in order only as far as a primary is there that has it.
static bool is_drained(const struct kvr_client *c) {
    const struct memory *m = &c->memory;
    bool remembers = m->live_table.count || m->released_table.count || m->registered_table.count;
    bool served = c->stage == STAGE_READY && link_usable(&c->primary);
    return !c->pending && repair_done(c) && (served || !remembers);
}

// A connection may have closed unseen, with all that its server had. So what looks done is so only if
// it still is after a look at the socket.
bool kvr_client_drain(struct kvr_client *c, int64_t ms) {
    if (!c->own || c->depth) return false;
    int64_t until = clock_ms() + ms;
    bool done = false;
    client_enter(c);
    for (bool looked = false; !c->closing;) {
        done = is_drained(c);
        int64_t left = until - clock_ms();
        if (done ? looked : left <= 0) break;
        poll_loop_turn(c->own, done ? 0 : left);
        looked = done;
    }
    return client_leave(c) && done;
}

void kvr_client_stats(const struct kvr_client *c, struct kvr_client_stats *out) {
    *out = c->stats;
    out->connected = c->stage == STAGE_READY;
    if (c->finder.has_known) address_text(&c->finder.known, out->primary, sizeof out->primary);
    out->pending = c->pending;
    out->live = c->memory.live_table.count;
    out->live_bytes = c->memory.live_bytes;
    const struct memory_lists *l = &c->memory.live;
    const struct kvr_list_item *heads[] = {&l->waiting, &l->checking};
    for (size_t k = 0; k < 2; k++)
        for (const struct kvr_list_item *i = heads[k]->next; i != heads[k]; i = i->next)
            out->unconfirmed++;
}

// ---- For publishers ------------------------------------------------------------------------------

void handle_follow(struct kvr_client *c, struct follower *f) {
    f->wake_at = NEVER;
    f->prev = c->followers.prev;
    f->next = &c->followers;
    f->prev->next = f->next->prev = f;
}

void handle_unfollow(struct kvr_client *c, struct follower *f) {
    (void)c;
    f->prev->next = f->next;
    f->next->prev = f->prev;
}

void handle_wake(struct kvr_client *c, struct follower *f, int64_t at) {
    f->wake_at = at;
    client_wake(c, at);
}

int64_t handle_now(const struct kvr_client *c) {
    (void)c;
    return clock_ms();
}

const struct kvr_alloc *handle_alloc(const struct kvr_client *c) {
    return &c->alloc;
}

struct kvr_bytes handle_pool(const struct kvr_client *c) {
    return kvr_text(c->pool);
}

enum kvr_code handle_send(struct kvr_client *c, struct command *command, kvr_done *done,
                          void *ctx) {
    struct op *o = c->closing ? NULL : op_new(c, OP_EVENT, NEVER, done, ctx);
    if (!o) return c->closing ? KVR_CODE_CLOSED : KVR_CODE_NOMEM;
    o->command = *command;
    return op_submit(o);
}

void handle_detach(struct kvr_client *c, void *ctx) {
    struct kvr_list_item *lists[] = {&c->queue, &c->sent, &c->returned, &c->later};
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
        for (struct kvr_list_item *i = lists[k]->next, *next; i != lists[k]; i = next) {
            struct op *o = (struct op *)(void *)i;
            next = i->next;
            if (o->answered || o->ctx != ctx) continue;
            o->answered = true; // nobody waits for it, and it isn't sent again
            o->done = NULL;
            c->pending--;
            if (lists[k] == &c->sent) continue; // its reply is still to come
            kvr_list_remove(i);
            op_free(o);
        }
    }
}
