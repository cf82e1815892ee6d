// SPDX-License-Identifier: Apache-2.0
// The scheduler of one rank; see mock_scheduler.h.
#include "mock_scheduler.h"

#include <time.h>

#include "mock_memory.h"
#include <kvroute/hash.h>

struct job_list {
    struct mock_job *first, *last;
    size_t n;
};

struct mock_job {
    struct mock_job *prev, *next; // in the list that it is in
    struct job_list *list;        // of the waiting, the running or the kept
    struct mock_tokens tokens;    // the prompt, then the answer so far
    size_t n_prompt, computed, cached, chunk;
    uint64_t answer, n_answer, max_tokens;
    uint64_t seed;    // of block hashes
    uint64_t *hashes; // of the first n_named blocks: prefix hashes
    uint32_t *blocks; // n_blocks, in the order of the sequence
    size_t n_blocks, n_named;
    size_t reserved; // blocks still to be taken, at most
    struct mock_events_names names;
    mock_token_callback *token;
    mock_next_callback *choose; // which token is the next
    mock_began_callback *began;
    void *ctx;
    bool loading, keep;
};

struct mock_scheduler {
    const struct mock_scheduler_config *config;
    uint32_t rank;
    struct mock_publisher *publisher;
    uint64_t life;
    struct mock_blocks *blocks, *cpu; // cpu: the second tier, or NULL
    struct job_list waiting, running; // those that run: in the order they began
    struct job_list kept;             // over, with their blocks
    size_t reserved;
    struct mock_events events,
        later;       // later: of the second tier, which come after the others of a step
    uint64_t *names; // the engine's names of the blocks of one event
    size_t room_names;
    struct event *timer;
    bool stepping, hangs, overdue; // overdue: the step's time was over while it hung
    double began, planned;         // the step: when, on the monotonic clock, and for how long
    struct mock_scheduler_count count;
};

static void begin_step(struct mock_scheduler *e, double began);
static void on_step(evutil_socket_t fd, short what, void *ctx);

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void append(struct job_list *l, struct mock_job *j) {
    j->list = l;
    j->prev = l->last;
    j->next = NULL;
    *(l->last ? &l->last->next : &l->first) = j;
    l->last = j;
    l->n++;
}

static void unlink_job(struct mock_job *j) {
    struct job_list *l = j->list;
    *(j->prev ? &j->prev->next : &l->first) = j->next;
    *(j->next ? &j->next->prev : &l->last) = j->prev;
    l->n--;
}

struct mock_scheduler *mock_scheduler_new(struct event_base *base,
                                          const struct mock_scheduler_config *config, uint32_t rank,
                                          struct mock_publisher *publisher, uint64_t life) {
    struct mock_scheduler *e = mock_take(1, sizeof *e);
    *e = (struct mock_scheduler){
        .config = config,
        .rank = rank,
        .publisher = publisher,
        .life = life,
        .blocks = mock_blocks_new(config->blocks),
    };
    e->timer = evtimer_new(base, on_step, e);
    if (config->cpu_blocks) e->cpu = mock_blocks_new(config->cpu_blocks);
    mock_events_init(&e->events, config->schema, config->binary);
    mock_events_init(&e->later, config->schema, config->binary);
    return e;
}

static void free_job(struct mock_job *j) {
    mock_tokens_free(&j->tokens);
    free(j->hashes);
    free(j->blocks);
    free(j);
}

static void free_list(struct job_list *l) {
    for (struct mock_job *j = l->first, *next; j; j = next) {
        next = j->next;
        free_job(j);
    }
}

void mock_scheduler_free(struct mock_scheduler *e) {
    if (!e) return;
    free_list(&e->waiting);
    free_list(&e->running);
    free_list(&e->kept);
    event_free(e->timer);
    mock_events_free(&e->events);
    mock_events_free(&e->later);
    mock_blocks_free(e->blocks);
    mock_blocks_free(e->cpu);
    free(e->names);
    free(e);
}

// ---- Telling -------------------------------------------------------------------------------------

// An engine's own name of a block: nobody outside can know it in advance, and it lasts for a life.
static uint64_t name_of(const struct mock_scheduler *e, uint64_t hash) {
    return XXH3_64bits_withSeed(&hash, sizeof hash, e->life);
}

static void publish(struct mock_scheduler *e) {
    mock_events_join(&e->events, &e->later);
    if (!e->publisher || !e->events.n) return;
    if (e->config->noise) mock_events_noise(&e->events);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    msgpack_sbuffer out;
    mock_events_finish(&e->events, (double)now.tv_sec + (double)now.tv_nsec / 1e9, e->rank, &out);
    mock_publisher_send(e->publisher, out.data, out.size);
    msgpack_sbuffer_destroy(&out);
}

// Copies the first n blocks to the second tier, or as many as it has room for. All are used first and
// let go from the last on, so that what is evicted there is a leaf, too.
static void offload(struct mock_scheduler *e, const uint64_t *hashes, size_t n) {
    size_t capacity = e->cpu ? mock_blocks_counts(e->cpu).capacity : 0;
    if (n > capacity) n = capacity;
    uint32_t *used = mock_take(n, sizeof *used);
    for (size_t i = 0; i < n; i++) {
        uint64_t evicted;
        used[i] = mock_blocks_find(e->cpu, hashes[i]);
        if (used[i]) {
            mock_blocks_use(e->cpu, used[i]);
            continue;
        }
        if (mock_blocks_take(e->cpu, &used[i], &evicted) && e->publisher)
            mock_events_unload(&e->later, name_of(e, evicted));
        mock_blocks_name(e->cpu, used[i], hashes[i]);
        if (e->publisher) mock_events_offload(&e->later, name_of(e, hashes[i]));
    }
    for (size_t i = n; i > 0; i--)
        mock_blocks_leave(e->cpu, used[i - 1]);
    free(used);
}

// Whether the stream tells of the block as if it were the only one of its content.
static bool is_copy(const struct mock_scheduler *e, uint64_t hash) {
    return e->config->schema->merges && mock_blocks_find(e->blocks, hash) != MOCK_NO_BLOCK;
}

static void tell_stored(struct mock_scheduler *e, const struct mock_job *j, size_t from,
                        size_t to) {
    size_t n = to - from, size = e->config->block_size;
    if (!e->publisher || !n) return;
    e->names = mock_grow(e->names, &e->room_names, n + 1, sizeof *e->names);
    for (size_t i = 0; i < n; i++)
        e->names[i] = name_of(e, j->hashes[from + i]);
    if (from) e->names[n] = name_of(e, j->hashes[from - 1]);
    struct mock_events_stored s = {.hashes = e->names,
                                   .parent = from ? &e->names[n] : NULL,
                                   .n = n,
                                   .block_size = size,
                                   .tokens = j->tokens.ids + from * size,
                                   .names = j->names};
    mock_events_store(&e->events, &s);
}

// Blocks from..to of the job are full: they have names from now on. What is there already is at their
// beginning, because what goes first is a leaf.
static void name_blocks(struct mock_scheduler *e, struct mock_job *j, size_t to) {
    size_t from = j->n_named, n = to - from, size = e->config->block_size;
    if (!n) return;
    const uint64_t *parent = from ? &j->hashes[from - 1] : NULL;
    const uint32_t *tokens = j->tokens.ids + from * size;
    kvr_hash_tokens(tokens, n * size, size, j->seed, parent, j->hashes + from);
    while (from < to && is_copy(e, j->hashes[from]))
        from++;
    for (size_t i = j->n_named; i < to; i++)
        mock_blocks_name(e->blocks, j->blocks[i], j->hashes[i]);
    j->n_named = to;
    offload(e, j->hashes, to);
    tell_stored(e, j, from, to);
}

static void take_blocks(struct mock_scheduler *e, struct mock_job *j, size_t upto_tokens) {
    size_t size = e->config->block_size, want = (upto_tokens + size - 1) / size;
    while (j->n_blocks < want) {
        uint64_t evicted;
        bool had = mock_blocks_take(e->blocks, &j->blocks[j->n_blocks++], &evicted);
        if (had && e->publisher && !is_copy(e, evicted))
            mock_events_remove(&e->events, name_of(e, evicted));
        j->reserved--;
        e->reserved--;
    }
}

// ---- Beginning and ending a request --------------------------------------------------------------

static size_t blocks_for(const struct mock_scheduler *e, size_t prompt_tokens,
                         uint64_t max_tokens) {
    size_t size = e->config->block_size;
    return (prompt_tokens + max_tokens - 1 + size - 1) / size;
}

bool mock_scheduler_fits(const struct mock_scheduler *e, size_t prompt_tokens,
                         uint64_t max_tokens) {
    return max_tokens < UINT32_MAX && blocks_for(e, prompt_tokens, max_tokens) <= e->config->blocks;
}

static struct mock_job *new_job(struct mock_scheduler *e, const struct mock_request *r) {
    struct mock_job *j = mock_take(1, sizeof *j);
    size_t lora = r->names.lora ? strlen(r->names.lora) : 0;
    size_t salt = r->names.salt ? strlen(r->names.salt) : 0;
    *j = (struct mock_job){
        .n_prompt = r->prompt->n,
        .answer = mock_answer_seed(r->prompt),
        .max_tokens = r->max_tokens,
        .seed = kvr_hash_salt(r->names.lora, lora, r->names.salt, salt),
        .names = r->names,
        .token = r->token,
        .choose = r->next,
        .began = r->began,
        .ctx = r->ctx,
        .loading = r->loading,
        .keep = r->keep,
        .reserved = blocks_for(e, r->prompt->n, r->max_tokens),
    };
    j->tokens.ids =
        mock_grow(NULL, &j->tokens.room, r->prompt->n + r->max_tokens, sizeof(uint32_t));
    memcpy(j->tokens.ids, r->prompt->ids, r->prompt->n * sizeof(uint32_t));
    j->tokens.n = r->prompt->n;
    j->hashes = mock_take(j->reserved, sizeof *j->hashes);
    j->blocks = mock_take(j->reserved, sizeof *j->blocks);
    return j;
}

struct mock_job *mock_scheduler_submit(struct mock_scheduler *e, const struct mock_request *r) {
    struct mock_job *j = new_job(e, r);
    append(&e->waiting, j);
    if (!e->stepping) begin_step(e, seconds_now());
    return j;
}

size_t mock_job_cached(const struct mock_job *j) {
    return j->cached;
}

// Uses what the cache has of its prompt, if there is room for the rest.
static bool begin_job(struct mock_scheduler *e, struct mock_job *j) {
    size_t size = e->config->block_size, most = (j->n_prompt - 1) / size, hits = 0, idle = 0;
    kvr_hash_tokens(j->tokens.ids, most * size, size, j->seed, NULL, j->hashes);
    for (; hits < most; hits++) {
        uint32_t block = mock_blocks_find(e->blocks, j->hashes[hits]);
        if (!block) break;
        j->blocks[hits] = block;
        idle += mock_blocks_idle(e->blocks, block);
    }
    struct mock_blocks_count c = mock_blocks_counts(e->blocks);
    if (c.used + e->reserved + idle + j->reserved - hits > c.capacity) return false;
    for (size_t i = 0; i < hits; i++)
        mock_blocks_use(e->blocks, j->blocks[i]);
    j->n_blocks = j->n_named = hits;
    j->reserved -= hits;
    e->reserved += j->reserved;
    j->computed = j->cached = hits * size;
    e->count.queries += j->n_prompt;
    e->count.hits += j->cached;
    unlink_job(j);
    append(&e->running, j);
    if (j->began) j->began(j->ctx, j, j->cached);
    return true;
}

// What runs or waits has no claim to blocks that it hasn't taken any more.
static void leave_list(struct mock_scheduler *e, struct mock_job *j) {
    if (j->list == &e->running) {
        e->reserved -= j->reserved;
        j->reserved = 0;
    }
    unlink_job(j);
}

static void leave(struct mock_scheduler *e, struct mock_job *j) {
    leave_list(e, j);
    while (j->n_blocks)
        mock_blocks_leave(e->blocks, j->blocks[--j->n_blocks]);
}

void mock_scheduler_cancel(struct mock_scheduler *e, struct mock_job *j) {
    leave(e, j);
    free_job(j);
    // Nothing but these blocks may have been in the way of those that wait.
    if (!e->stepping && e->waiting.n) begin_step(e, seconds_now());
}

void mock_scheduler_keep(struct mock_scheduler *e, struct mock_job *j) {
    if (j->list == &e->kept) return;
    leave_list(e, j);
    append(&e->kept, j);
}

// ---- Steps ---------------------------------------------------------------------------------------

static bool is_prefill(const struct mock_job *j) {
    return j->computed < j->n_prompt;
}

// Gives the prompt a chunk; returns how much of the budget that takes.
static size_t give_chunk(struct mock_job *j, size_t budget) {
    size_t left = j->n_prompt - j->computed;
    return j->chunk = left < budget ? left : budget;
}

// Begins what there is room for and gives each request its tokens; returns how long that takes, in
// seconds, or less than 0: nothing to do.
static double compose(struct mock_scheduler *e) {
    size_t decoding = 0, prefill, budget = e->config->max_batch_tokens;
    for (struct mock_job *j = e->running.first; j; j = j->next) {
        j->chunk = !is_prefill(j);
        decoding += j->chunk;
    }
    budget -= decoding < budget ? decoding : budget - 1;
    size_t all = budget;
    for (struct mock_job *j = e->running.first; j; j = j->next)
        if (is_prefill(j) && !j->loading) budget -= give_chunk(j, budget);
    // What waits is looked up in the cache when something of it is computed, and not before.
    for (struct mock_job *j;
         budget && (j = e->waiting.first) && e->running.n < e->config->max_running;) {
        if (!begin_job(e, j)) break;
        if (!j->loading) budget -= give_chunk(j, budget);
    }
    prefill = all - budget;
    for (struct mock_job *j = e->running.first; j; j = j->next)
        take_blocks(e, j, j->computed + j->chunk);
    if (!decoding && !prefill) return -1;
    return (decoding ? 1 / e->config->decode_speed : 0) +
           (double)prefill / e->config->prefill_speed;
}

// What was done at the end of the step before is a part of this one, as it delays nothing but itself.
static void begin_step(struct mock_scheduler *e, double began) {
    double seconds = compose(e);
    e->stepping = seconds >= 0;
    if (!e->stepping) return;
    double scaled = e->config->time_scale > 0 ? seconds / e->config->time_scale : 0;
    struct timeval t = {.tv_sec = (time_t)scaled};
    t.tv_usec = (suseconds_t)((scaled - (double)t.tv_sec) * 1e6);
    e->began = began;
    e->planned = scaled;
    event_add(e->timer, &t);
}

static void give_token(struct mock_scheduler *e, struct mock_job *j) {
    uint64_t i = j->n_answer++;
    bool ends = false, keep = j->keep;
    uint32_t id = j->choose ? j->choose(j->ctx, i, &ends) : mock_answer_token(j->answer, i);
    bool last = ends || j->n_answer == j->max_tokens;
    mock_token_callback *token = j->token;
    void *ctx = j->ctx;
    mock_tokens_add(&j->tokens, id);
    e->count.answer_tokens++;
    if (last && keep)
        mock_scheduler_keep(e, j);
    else if (last)
        leave(e, j);
    token(ctx, i, id, last);
    if (last && !keep) free_job(j);
}

static void end_step(struct mock_scheduler *e) {
    double now = seconds_now();
    e->count.steps++;
    e->count.planned += e->planned;
    e->count.taken += now - e->began;
    for (struct mock_job *j = e->running.first, *next; j; j = next) {
        next = j->next; // the callback may end its own request, and no other
        if (!j->chunk) continue;
        if (is_prefill(j)) e->count.prompt_tokens += j->chunk;
        j->computed += j->chunk;
        name_blocks(e, j, j->computed / e->config->block_size);
        if (!is_prefill(j)) give_token(e, j);
    }
    publish(e);
    begin_step(e, now);
}

static void on_step(evutil_socket_t fd, short what, void *ctx) {
    struct mock_scheduler *e = ctx;
    (void)fd;
    (void)what;
    e->overdue = e->hangs;
    if (!e->hangs) end_step(e);
}

// ---- Other ways ----------------------------------------------------------------------------------

void mock_scheduler_warm(struct mock_scheduler *e, const struct mock_tokens *prompt) {
    struct mock_request r = {.prompt = prompt, .max_tokens = 1};
    if (!prompt->n || !mock_scheduler_fits(e, prompt->n, 1)) return;
    struct mock_job *j = new_job(e, &r);
    append(&e->waiting, j);
    if (!begin_job(e, j)) {
        mock_scheduler_cancel(e, j);
        return;
    }
    take_blocks(e, j, j->n_prompt);
    name_blocks(e, j, j->n_prompt / e->config->block_size);
    mock_scheduler_cancel(e, j);
    publish(e);
}

void mock_scheduler_loaded(struct mock_scheduler *e, struct mock_job *j, size_t tokens) {
    size_t most = j->n_prompt - 1, upto = tokens < most ? tokens : most;
    j->loading = false;
    if (upto > j->computed) {
        take_blocks(e, j, upto);
        j->computed = j->cached = upto;
        name_blocks(e, j, upto / e->config->block_size);
    }
    if (!e->stepping) begin_step(e, seconds_now());
}

bool mock_scheduler_reset(struct mock_scheduler *e) {
    if (mock_blocks_counts(e->blocks).used) return false;
    mock_blocks_clear(e->blocks);
    if (e->cpu) mock_blocks_clear(e->cpu);
    if (e->publisher) mock_events_clear(&e->events);
    publish(e);
    return true;
}

void mock_scheduler_restart(struct mock_scheduler *e, uint64_t life, bool cleared) {
    mock_blocks_clear(e->blocks);
    if (e->cpu) mock_blocks_clear(e->cpu);
    mock_events_free(&e->events);
    mock_events_free(&e->later);
    mock_events_init(&e->events, e->config->schema, e->config->binary);
    mock_events_init(&e->later, e->config->schema, e->config->binary);
    e->life = life;
    event_del(e->timer);
    e->stepping = e->overdue = e->hangs = false;
    if (!cleared) return;
    if (e->publisher) mock_events_clear(&e->events);
    publish(e);
}

void mock_scheduler_hang(struct mock_scheduler *e, bool hangs) {
    e->hangs = hangs;
    if (hangs || !e->overdue) return;
    e->overdue = false;
    event_active(e->timer, EV_TIMEOUT, 0);
}

struct mock_scheduler_count mock_scheduler_counts(const struct mock_scheduler *e) {
    struct mock_scheduler_count c = e->count;
    c.running = e->running.n;
    c.waiting = e->waiting.n;
    c.kept = e->kept.n;
    c.pending = e->events.n + e->later.n;
    c.blocks = mock_blocks_counts(e->blocks);
    return c;
}

const struct mock_blocks *mock_scheduler_blocks(const struct mock_scheduler *e) {
    return e->blocks;
}

const struct mock_blocks *mock_scheduler_cpu(const struct mock_scheduler *e) {
    return e->cpu;
}
