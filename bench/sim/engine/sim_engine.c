// SPDX-License-Identifier: Apache-2.0
// One simulated engine; see sim_engine.h.
#include "sim_engine.h"

#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_heap.h"
#include "bench/common/bench_memory.h"

// A request that waits; `put_out` tokens of its output were there before it was preempted.
struct sim_waiting {
    uint32_t request, put_out;
    bool again; // it was preempted
    enum sim_part part;
};

// A request whose prompt is being computed, with what of the output was there before.
struct sim_prompt {
    struct sim_waiting of;
    uint64_t began;           // counts up, as requests begin
    uint32_t total;           // tokens to compute
    uint32_t computed, chunk; // tokens: so far, cached ones included; in this step
    uint32_t filled;          // of its blocks, in the cache and used by it
    uint32_t taken;           // of its blocks, those and the ones that it holds
    uint32_t loaded;          // that many will be when those are here that come from the host
    double loading;           // seconds until they are
};

// A request whose prompt another engine computes, or computed.
struct sim_receiving {
    uint32_t request, hits; // hits: blocks of it that were cached here
    bool over, got;         // over: it goes on with the next step
};

// A request that decodes. It ends with the step of this number.
struct sim_decoding {
    uint64_t last, began;
    uint32_t request;
};

struct sim_engine {
    const struct sim_model *model;
    const struct bench_workload *load;
    struct sim_kv kv;
    struct sim_host host; // capacity 0: no second tier

    struct sim_waiting *waiting; // starts again from the front whenever it has become empty
    size_t first_waiting, n_waiting, room_waiting;
    bool stuck; // the first that waits doesn't fit until something ends

    struct sim_prompt *prompts; // in the order in which they began
    size_t n_prompts, room_prompts;

    struct sim_receiving *receiving; // in the order in which they began
    size_t n_receiving, room_receiving;
    uint32_t *keeping; // requests whose prompts are kept for others
    size_t n_keeping, room_keeping;

    struct sim_decoding *decoding; // heap, least first
    size_t n_decoding, room_decoding;
    uint64_t steps;         // those in which something was decoded
    uint64_t kv_tokens;     // what the decoding requests read in a step
    uint64_t output_tokens; // of these, generated
    uint64_t to_prefill;
    uint64_t began; // requests, so far
    // How many requests get a new block with the next token, by the number of the step that was the last,
    // modulo the block size.
    uint32_t *growing;

    struct sim_step step;
    struct sim_begun *begun;
    uint32_t *first, *done, *preempted, *resumed, *kept;
    uint64_t *removed;
    struct sim_stored *stored;
    size_t n_begun, room_begun, room_first, room_done, room_removed, room_stored;
    size_t room_preempted, room_resumed, room_kept;
};

struct sim_engine *sim_engine_new(const struct sim_model *m, const struct bench_workload *load,
                                  size_t blocks, size_t host) {
    struct sim_engine *e = bench_calloc(1, sizeof *e);
    *e = (struct sim_engine){.model = m, .load = load};
    e->growing = bench_calloc(load->block_size, sizeof *e->growing);
    if (host) sim_host_open(&e->host, host);
    sim_kv_open(&e->kv, blocks, host ? &e->host : NULL);
    return e;
}

void sim_engine_free(struct sim_engine *e) {
    if (!e) return;
    sim_kv_close(&e->kv);
    sim_host_close(&e->host);
    free(e->growing);
    free(e->preempted);
    free(e->resumed);
    free(e->waiting);
    free(e->prompts);
    free(e->receiving);
    free(e->keeping);
    free(e->kept);
    free(e->decoding);
    free(e->begun);
    free(e->first);
    free(e->done);
    free(e->removed);
    free(e->stored);
    free(e);
}

// Blocks for so many tokens of output.
static size_t blocks_up_to(const struct bench_workload *load, uint32_t request, uint32_t output) {
    return (load->requests[request].isl + output + load->block_size - 1) / load->block_size;
}

// Blocks for a request's whole life.
static size_t blocks_of(const struct bench_workload *load, uint32_t request) {
    return blocks_up_to(load, request, load->requests[request].osl);
}

// Blocks that are promised to a request while it runs.
static size_t blocks_promised(const struct sim_engine *e, uint32_t request, uint32_t output) {
    return e->model->preempt ? blocks_up_to(e->load, request, output) : blocks_of(e->load, request);
}

// The same while its prompt is computed, until its next token.
static size_t blocks_for_prompt(const struct sim_engine *e, const struct sim_waiting *x) {
    return x->part == SIM_PROMPT ? blocks_up_to(e->load, x->request, 0)
                                 : blocks_promised(e, x->request, x->put_out + 1);
}

bool sim_engine_fits(const struct bench_workload *load, uint32_t request, size_t blocks) {
    return blocks_of(load, request) <= blocks;
}

// An answer alone needs the last token of its prompt.
static uint32_t tokens_to_compute(const struct sim_engine *e, const struct sim_waiting *x) {
    return x->part == SIM_ANSWER ? 1 : e->load->requests[x->request].isl + x->put_out;
}

void sim_engine_add(struct sim_engine *e, uint32_t request, enum sim_part part) {
    if (e->first_waiting && e->first_waiting == e->n_waiting) e->first_waiting = e->n_waiting = 0;
    e->waiting = bench_grow(e->waiting, &e->room_waiting, e->n_waiting + 1, sizeof *e->waiting);
    struct sim_waiting x = {request, 0, false, part};
    e->waiting[e->n_waiting++] = x;
    e->to_prefill += tokens_to_compute(e, &x);
}

// Those who were there before are served before.
static void add_first(struct sim_engine *e, struct sim_waiting x) {
    if (!e->first_waiting) {
        size_t n = e->n_waiting++;
        e->waiting = bench_grow(e->waiting, &e->room_waiting, e->n_waiting, sizeof *e->waiting);
        memmove(e->waiting + 1, e->waiting, n * sizeof *e->waiting);
    } else {
        e->first_waiting--;
    }
    e->waiting[e->first_waiting] = x;
    e->to_prefill += tokens_to_compute(e, &x);
}

// ---- Decoding: who ends when ---------------------------------------------------------------------

static bool ends_before(const void *left, const void *right) {
    const struct sim_decoding *a = left, *b = right;
    return a->last != b->last ? a->last < b->last : a->request < b->request;
}

// Tokens that a request has put out.
static uint32_t output_of(const struct sim_engine *e, const struct sim_decoding *d) {
    return e->load->requests[d->request].osl - (uint32_t)(d->last - e->steps);
}

// In which step, modulo the block size, the request's next token needs a block.
static uint32_t *growing_with(struct sim_engine *e, const struct sim_decoding *d) {
    const struct bench_request *r = &e->load->requests[d->request];
    uint32_t tokens = r->isl + output_of(e, d), size = e->load->block_size;
    uint64_t left = (size - tokens % size) % size;
    return &e->growing[(e->steps + left) % size];
}

// The request has put out `output` tokens, the last of them in this step.
static void decode_from_now(struct sim_engine *e, const struct sim_prompt *p, uint32_t output) {
    const struct bench_request *r = &e->load->requests[p->of.request];
    struct sim_decoding d = {e->steps + r->osl - output, p->began, p->of.request};
    e->decoding =
        bench_grow(e->decoding, &e->room_decoding, e->n_decoding + 1, sizeof *e->decoding);
    bench_heap_put(e->decoding, e->n_decoding++, sizeof d, ends_before, &d);
    e->kv_tokens += r->isl + output;
    e->output_tokens += output;
    ++*growing_with(e, &d);
}

static void drop_decoding(struct sim_engine *e, size_t i) {
    bench_heap_remove(e->decoding, e->n_decoding--, i, sizeof *e->decoding, ends_before);
}

// ---- Preemption ----------------------------------------------------------------------------------

// Takes blocks that were promised; others' content has to go for them.
static void hold(struct sim_engine *e, size_t n) {
    if (!n) return; // nor need there be any memory yet
    e->removed =
        bench_grow(e->removed, &e->room_removed, e->step.n_removed + n, sizeof *e->removed);
    e->step.n_removed += sim_kv_hold(&e->kv, n, e->removed + e->step.n_removed);
}

// Lets go of all that the request has; it begins anew.
static void put_back(struct sim_engine *e, struct sim_waiting x, size_t promised, size_t taken,
                     uint32_t filled) {
    sim_kv_leave(&e->kv, bench_request_hashes(e->load, x.request), filled);
    sim_kv_unreserve(&e->kv, promised - filled, taken - filled);
    x.again = true;
    add_first(e, x);
    e->preempted =
        bench_grow(e->preempted, &e->room_preempted, e->step.n_preempted + 1, sizeof *e->preempted);
    e->preempted[e->step.n_preempted++] = x.request;
    e->stuck = false;
}

static void preempt_prompt(struct sim_engine *e) {
    struct sim_prompt p = e->prompts[--e->n_prompts];
    size_t promised = blocks_for_prompt(e, &p.of);
    e->to_prefill -= p.total - p.computed;
    put_back(e, p.of, promised, p.taken, p.filled);
}

static void preempt_decoding(struct sim_engine *e, size_t i) {
    struct sim_decoding d = e->decoding[i];
    const struct bench_request *r = &e->load->requests[d.request];
    uint32_t output = output_of(e, &d);
    --*growing_with(e, &d);
    drop_decoding(e, i);
    e->kv_tokens -= r->isl + output;
    e->output_tokens -= output;
    size_t all = blocks_promised(e, d.request, output);
    put_back(e, (struct sim_waiting){d.request, output, true, SIM_ALL}, all, all, r->blocks);
}

// Prompts are in the order in which they began.
static void preempt_youngest(struct sim_engine *e) {
    size_t youngest = 0;
    for (size_t i = 1; i < e->n_decoding; i++)
        if (e->decoding[i].began > e->decoding[youngest].began) youngest = i;
    if (e->n_prompts &&
        (!e->n_decoding || e->prompts[e->n_prompts - 1].began > e->decoding[youngest].began))
        preempt_prompt(e);
    else
        preempt_decoding(e, youngest);
}

// Gives blocks to the decoding requests whose next token needs one. With preemption they weren't promised;
// the last that is left always has room, since its whole life fits.
static void grow(struct sim_engine *e) {
    const uint32_t *need = &e->growing[e->steps % e->load->block_size];
    if (e->model->preempt) {
        while (!sim_kv_has_room(&e->kv, *need))
            preempt_youngest(e);
        sim_kv_reserve(&e->kv, *need);
    }
    hold(e, *need);
}

// ---- Beginning a step ----------------------------------------------------------------------------

// The request's blocks up to `to` have got their content.
static void fill(struct sim_engine *e, uint32_t request, uint32_t from, uint32_t to) {
    const uint64_t *hashes = bench_request_hashes(e->load, request);
    struct sim_stored *open = NULL; // a run of blocks that were new
    for (uint32_t i = from; i < to; i++) {
        if (!sim_kv_fill(&e->kv, hashes, i)) {
            open = NULL;
        } else if (open) {
            open->to = i + 1;
        } else {
            e->stored =
                bench_grow(e->stored, &e->room_stored, e->step.n_stored + 1, sizeof *e->stored);
            open = &e->stored[e->step.n_stored++];
            *open = (struct sim_stored){request, i, i + 1};
        }
    }
}

// Begins to compute a prompt whose first `hits` blocks are cached, and `loads` more in the second tier.
static void begin_prompt(struct sim_engine *e, const struct sim_waiting *x, size_t hits,
                         size_t loads) {
    uint32_t total = tokens_to_compute(e, x), size = e->load->block_size;
    uint64_t cached = (uint64_t)(hits + loads) * size;
    if (cached >= total) cached = total - 1;
    e->to_prefill -= cached;
    e->prompts = bench_grow(e->prompts, &e->room_prompts, e->n_prompts + 1, sizeof *e->prompts);
    e->prompts[e->n_prompts++] = (struct sim_prompt){
        .of = *x,
        .began = e->began++,
        .total = total,
        .computed = (uint32_t)cached,
        .filled = (uint32_t)hits,
        .taken = (uint32_t)(hits + loads),
        .loaded = (uint32_t)(hits + loads),
        .loading = (double)loads * size * e->model->transfer,
    };
}

// What it lacked has come, or will not: it goes on as any prompt, from there.
static void go_on(struct sim_engine *e, const struct sim_receiving *r) {
    const struct bench_request *q = &e->load->requests[r->request];
    struct sim_waiting x = {r->request, 0, false, SIM_ALL};
    e->to_prefill += q->isl - 1;
    begin_prompt(e, &x, r->hits, 0);
    if (!r->got) return;
    struct sim_prompt *p = &e->prompts[e->n_prompts - 1];
    size_t all = blocks_up_to(e->load, r->request, 0);
    hold(e, all - r->hits);
    fill(e, r->request, r->hits, q->blocks);
    e->to_prefill -= q->isl - 1 - p->computed;
    p->computed = q->isl - 1;
    p->filled = p->loaded = q->blocks;
    p->taken = (uint32_t)all;
}

static void go_on_all(struct sim_engine *e) {
    size_t left = 0;
    for (size_t i = 0; i < e->n_receiving; i++) {
        struct sim_receiving r = e->receiving[i];
        if (r.over)
            go_on(e, &r);
        else
            e->receiving[left++] = r;
    }
    e->n_receiving = left;
}

// Receives what it lacks of the prompt; returns how many tokens that are.
static uint32_t receive(struct sim_engine *e, uint32_t request, size_t hits) {
    uint64_t cached = (uint64_t)hits * e->load->block_size, isl = e->load->requests[request].isl;
    struct sim_receiving r = {request, (uint32_t)hits, false, true};
    if (cached >= isl) {
        go_on(e, &r);
        return 0;
    }
    e->receiving =
        bench_grow(e->receiving, &e->room_receiving, e->n_receiving + 1, sizeof *e->receiving);
    e->receiving[e->n_receiving++] = r;
    return (uint32_t)(isl - cached);
}

// Takes up the first of those that wait. False: it doesn't fit yet.
static bool take_up(struct sim_engine *e) {
    const struct bench_workload *load = e->load;
    struct sim_waiting x = e->waiting[e->first_waiting];
    const struct bench_request *r = &load->requests[x.request];
    const uint64_t *hashes = bench_request_hashes(load, x.request);
    size_t idle, hits = sim_kv_match(&e->kv, hashes, r->blocks, &idle), loads = 0;
    uint32_t lacks = 0;
    if (e->kv.host && x.part != SIM_ANSWER)
        loads = sim_host_match(&e->host, hashes, hits, r->blocks);
    size_t need = blocks_for_prompt(e, &x) - hits;
    if (!sim_kv_has_room(&e->kv, idle + need)) return false;
    e->first_waiting++;
    sim_kv_use(&e->kv, hashes, hits);
    if (loads) sim_host_use(&e->host, hashes, hits, hits + loads);
    sim_kv_reserve(&e->kv, need);
    hold(e, loads);
    if (x.part == SIM_ANSWER)
        lacks = receive(e, x.request, hits);
    else
        begin_prompt(e, &x, hits, loads);
    if (x.again) return true;
    e->begun = bench_grow(e->begun, &e->room_begun, e->n_begun + 1, sizeof *e->begun);
    e->begun[e->n_begun++] =
        (struct sim_begun){x.request, (uint32_t)(hits + loads), (uint32_t)loads, x.part, lacks};
    return true;
}

// Gives the prompt a chunk; returns how much of the budget that takes.
static uint32_t give_chunk(struct sim_prompt *p, uint32_t budget) {
    uint32_t left = p->total - p->computed;
    if (p->loaded > p->filled) return p->chunk = 0;
    return p->chunk = left < budget ? left : budget;
}

// Takes what the chunk needs, and the first token of the output with the last one.
static void hold_for_chunk(struct sim_engine *e, struct sim_prompt *p) {
    uint32_t computed = p->computed + p->chunk, size = e->load->block_size;
    bool first = p->chunk && computed == p->total && p->of.part != SIM_PROMPT;
    size_t need = first ? blocks_up_to(e->load, p->of.request, p->of.put_out + 1)
                        : (computed + size - 1) / size;
    if (need <= p->taken) return;
    hold(e, need - p->taken);
    p->taken = (uint32_t)need;
}

bool sim_engine_begin(struct sim_engine *e, double *seconds, const struct sim_begun **begun,
                      size_t *n_begun) {
    const struct sim_model *m = e->model;
    double pairs = 0, loading = 0;
    e->step = (struct sim_step){0};
    e->n_begun = 0;
    sim_host_forget(&e->host);
    grow(e);
    go_on_all(e);
    uint32_t decoding = (uint32_t)e->n_decoding;
    uint32_t budget = m->budget > decoding ? m->budget - decoding : 0;
    uint64_t kv = e->kv_tokens;
    for (size_t i = 0; i < e->n_prompts; i++)
        budget -= give_chunk(&e->prompts[i], budget);
    while (budget && !e->stuck && !e->step.n_preempted && e->first_waiting < e->n_waiting &&
           e->n_decoding + e->n_prompts + e->n_receiving < m->running) {
        size_t before = e->n_prompts;
        e->stuck = !take_up(e);
        if (e->n_prompts > before) budget -= give_chunk(&e->prompts[before], budget);
    }
    for (size_t i = 0; i < e->n_prompts; i++) {
        struct sim_prompt *p = &e->prompts[i];
        if (p->chunk) kv += p->computed;
        pairs += p->chunk * (p->computed + p->chunk / 2.0);
        e->step.prefill += p->chunk;
        if (!loading && p->loaded > p->filled) loading = p->loading;
        hold_for_chunk(e, p);
    }
    *begun = e->begun;
    *n_begun = e->n_begun;
    e->step.decoding = decoding;
    if (e->step.prefill || decoding) {
        *seconds = e->step.seconds = sim_model_step(m, e->step.prefill, decoding, kv, pairs);
        e->step.work = *seconds - m->fixed;
        return true;
    }
    *seconds = e->step.seconds = loading; // nothing to do but wait for it
    return loading > 0;
}

// ---- Ending it -----------------------------------------------------------------------------------

static void note(uint32_t **list, size_t *n, size_t *room, uint32_t request) {
    *list = bench_grow(*list, room, *n + 1, sizeof **list);
    (*list)[(*n)++] = request;
}

static void finish(struct sim_engine *e, uint32_t request) {
    const struct bench_request *r = &e->load->requests[request];
    fill(e, request, r->blocks, r->known);
    sim_kv_leave(&e->kv, bench_request_hashes(e->load, request), r->known);
    size_t rest = blocks_of(e->load, request) - r->known;
    sim_kv_unreserve(&e->kv, rest, rest);
    note(&e->done, &e->step.n_done, &e->room_done, request);
    e->stuck = false;
}

static void end_decoding(struct sim_engine *e) {
    if (!e->n_decoding) return;
    e->steps++;
    e->kv_tokens += e->n_decoding;
    e->output_tokens += e->n_decoding;
    while (e->n_decoding && e->decoding[0].last == e->steps) {
        struct sim_decoding d = e->decoding[0];
        const struct bench_request *r = &e->load->requests[d.request];
        e->kv_tokens -= r->isl + r->osl;
        e->output_tokens -= r->osl;
        --*growing_with(e, &d);
        drop_decoding(e, 0);
        finish(e, d.request);
    }
}

// One transfer after the other, while steps go on.
static void end_loading(struct sim_engine *e) {
    double left = e->step.seconds;
    for (size_t i = 0; i < e->n_prompts && left > 0; i++) {
        struct sim_prompt *p = &e->prompts[i];
        if (p->loaded <= p->filled) continue;
        double part = p->loading < left ? p->loading : left;
        p->loading -= part;
        left -= part;
        if (p->loading > 0) continue;
        fill(e, p->of.request, p->filled, p->loaded);
        p->filled = p->loaded;
    }
}

// The prompt is computed, and stays until another engine has it.
static void keep(struct sim_engine *e, uint32_t request) {
    note(&e->keeping, &e->n_keeping, &e->room_keeping, request);
    note(&e->kept, &e->step.n_kept, &e->room_kept, request);
}

static void begin_output(struct sim_engine *e, const struct sim_prompt *p) {
    uint32_t request = p->of.request;
    if (!p->of.put_out)
        note(&e->first, &e->step.n_first, &e->room_first, request);
    else
        note(&e->resumed, &e->step.n_resumed, &e->room_resumed, request);
    if (e->load->requests[request].osl > p->of.put_out + 1)
        decode_from_now(e, p, p->of.put_out + 1);
    else
        finish(e, request);
}

static void end_prompts(struct sim_engine *e) {
    size_t left = 0;
    for (size_t i = 0; i < e->n_prompts; i++) {
        struct sim_prompt p = e->prompts[i];
        const struct bench_request *r = &e->load->requests[p.of.request];
        uint32_t full = (p.computed += p.chunk) / e->load->block_size;
        e->to_prefill -= p.chunk;
        if (full > r->blocks) full = r->blocks;
        if (p.chunk && full > p.filled) {
            fill(e, p.of.request, p.filled, full);
            p.filled = p.loaded = full;
        }
        if (p.computed < p.total || !p.chunk) {
            p.chunk = 0;
            e->prompts[left++] = p;
            continue;
        }
        if (p.of.part == SIM_PROMPT)
            keep(e, p.of.request);
        else
            begin_output(e, &p);
    }
    e->n_prompts = left;
}

void sim_engine_end(struct sim_engine *e, struct sim_step *out) {
    end_decoding(e);
    end_loading(e);
    end_prompts(e);
    e->step.moved = e->host.moved;
    e->step.n_moved = e->host.n_moved;
    e->step.preempted = e->preempted;
    e->step.resumed = e->resumed;
    e->step.kept = e->kept;
    e->step.first = e->first;
    e->step.done = e->done;
    e->step.removed = e->removed;
    e->step.stored = e->stored;
    *out = e->step;
}

// ---- What other engines do -----------------------------------------------------------------------

void sim_engine_let_go(struct sim_engine *e, uint32_t request) {
    const struct bench_request *r = &e->load->requests[request];
    size_t i = 0, rest = blocks_up_to(e->load, request, 0) - r->blocks;
    while (i < e->n_keeping && e->keeping[i] != request)
        i++;
    if (i == e->n_keeping) return;
    e->keeping[i] = e->keeping[--e->n_keeping];
    sim_kv_leave(&e->kv, bench_request_hashes(e->load, request), r->blocks);
    sim_kv_unreserve(&e->kv, rest, rest);
    e->stuck = false;
}

void sim_engine_received(struct sim_engine *e, uint32_t request, bool got) {
    for (size_t i = 0; i < e->n_receiving; i++)
        if (e->receiving[i].request == request) {
            e->receiving[i].over = true;
            e->receiving[i].got = got;
            return;
        }
    for (size_t i = e->first_waiting; i < e->n_waiting && !got; i++) {
        struct sim_waiting *x = &e->waiting[i];
        if (x->request != request || x->part != SIM_ANSWER) continue;
        x->part = SIM_ALL;
        e->to_prefill += e->load->requests[request].isl - 1;
    }
}

// ---- Looking -------------------------------------------------------------------------------------

struct sim_engine_metrics sim_engine_load(const struct sim_engine *e) {
    return (struct sim_engine_metrics){
        .requests = (uint32_t)(e->n_decoding + e->n_prompts + e->n_receiving + e->n_waiting -
                               e->first_waiting),
        .waiting = (uint32_t)(e->n_waiting - e->first_waiting),
        .prompt_tokens = e->to_prefill,
        .blocks = e->kv.cached.used + e->kv.reserved,
        .filled = e->kv.cached.used + e->output_tokens / e->load->block_size,
    };
}

const struct sim_kv *sim_engine_kv(const struct sim_engine *e) {
    return &e->kv;
}

const struct sim_host *sim_engine_host(const struct sim_engine *e) {
    return e->kv.host;
}

size_t sim_engine_requests(const struct sim_engine *e, uint32_t *out) {
    size_t n = 0;
    for (size_t i = e->first_waiting; i < e->n_waiting; i++, n++)
        if (out) out[n] = e->waiting[i].request;
    for (size_t i = 0; i < e->n_prompts; i++, n++)
        if (out) out[n] = e->prompts[i].of.request;
    for (size_t i = 0; i < e->n_receiving; i++, n++)
        if (out) out[n] = e->receiving[i].request;
    for (size_t i = 0; i < e->n_decoding; i++, n++)
        if (out) out[n] = e->decoding[i].request;
    return n;
}

// What those hold that receive or are kept: blocks that are promised to them, and of these held.
static void count_pairs(const struct sim_engine *e, size_t *reserved, size_t *held) {
    for (size_t i = 0; i < e->n_receiving; i++) {
        struct sim_waiting x = {e->receiving[i].request, 0, false, SIM_ANSWER};
        *reserved += blocks_for_prompt(e, &x) - e->receiving[i].hits;
    }
    for (size_t i = 0; i < e->n_keeping; i++) {
        size_t rest =
            blocks_up_to(e->load, e->keeping[i], 0) - e->load->requests[e->keeping[i]].blocks;
        *reserved += rest;
        *held += rest;
    }
}

const char *sim_engine_validate(const struct sim_engine *e) {
    const char *wrong = sim_kv_validate(&e->kv);
    if (!wrong && e->kv.host) wrong = sim_blocks_validate(&e->host.blocks);
    if (wrong) return wrong;
    uint64_t kv_tokens = 0, output_tokens = 0, to_prefill = e->n_receiving;
    size_t reserved = 0, held = 0, growing = 0;
    count_pairs(e, &reserved, &held);
    for (size_t i = 0; i < e->n_decoding; i++) {
        const struct sim_decoding *d = &e->decoding[i];
        const struct bench_request *r = &e->load->requests[d->request];
        if (d->last <= e->steps) return "a request decodes for ever";
        kv_tokens += r->isl + output_of(e, d);
        output_tokens += output_of(e, d);
        reserved += blocks_promised(e, d->request, output_of(e, d)) - r->blocks;
        held += blocks_up_to(e->load, d->request, output_of(e, d)) - r->blocks;
    }
    for (size_t i = 0; i < e->n_prompts; i++) {
        const struct sim_prompt *p = &e->prompts[i];
        to_prefill += p->total - p->computed;
        reserved += blocks_for_prompt(e, &p->of) - p->filled;
        held += p->taken - p->filled;
    }
    for (size_t i = e->first_waiting; i < e->n_waiting; i++)
        to_prefill += tokens_to_compute(e, &e->waiting[i]);
    for (unsigned i = 0; i < e->load->block_size; i++)
        growing += e->growing[i];
    if (kv_tokens != e->kv_tokens || output_tokens != e->output_tokens)
        return "tokens read are miscounted";
    if (growing != e->n_decoding) return "growing requests are miscounted";
    if (to_prefill != e->to_prefill) return "tokens to prefill are miscounted";
    if (reserved != e->kv.reserved) return "reserved blocks are miscounted";
    if (held != e->kv.held) return "held blocks are miscounted";
    if (e->n_decoding + e->n_prompts + e->n_receiving > e->model->running)
        return "more run than may";
    return NULL;
}
