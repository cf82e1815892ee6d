// SPDX-License-Identifier: Apache-2.0
// One simulated engine; see engine.h.
#include "engine.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"

// A request whose prompt is being computed.
struct prompt {
    uint32_t request;
    uint32_t computed, chunk; // tokens: so far, cached ones included; in this step
    uint32_t filled;          // of its blocks, in the cache and used by it
};

// A request that decodes. It ends with the step of this number.
struct decoding {
    uint64_t last;
    uint32_t request;
};

struct engine {
    const struct model *model;
    const struct workload *load;
    struct kv *kv;

    uint32_t *waiting; // starts again from the front whenever it has become empty
    size_t first_waiting, n_waiting, room_waiting;
    bool stuck; // the first that waits doesn't fit until something ends

    struct prompt *prompts; // in the order in which they began
    size_t n_prompts, room_prompts;

    struct decoding *decoding; // heap, least first
    size_t n_decoding, room_decoding;
    uint64_t steps;         // those in which something was decoded
    uint64_t kv_tokens;     // what the decoding requests read in a step
    uint64_t output_tokens; // of these, generated
    uint64_t to_prefill;

    struct step step;
    struct begun *begun;
    uint32_t *first, *done;
    uint64_t *removed;
    struct stored *stored;
    size_t n_begun, room_begun, room_first, room_done, room_removed, room_stored;
};

struct engine *engine_new(const struct model *m, const struct workload *load, size_t blocks) {
    struct engine *e = memory_take(1, sizeof *e);
    *e = (struct engine){.model = m, .load = load, .kv = kv_new(blocks)};
    return e;
}

void engine_free(struct engine *e) {
    if (!e) return;
    kv_free(e->kv);
    free(e->waiting);
    free(e->prompts);
    free(e->decoding);
    free(e->begun);
    free(e->first);
    free(e->done);
    free(e->removed);
    free(e->stored);
    free(e);
}

// Blocks for a request's whole life.
static size_t blocks_of(const struct workload *load, uint32_t request) {
    const struct request *r = &load->requests[request];
    return (r->isl + r->osl + load->block_size - 1) / load->block_size;
}

bool engine_fits(const struct workload *load, uint32_t request, size_t blocks) {
    return blocks_of(load, request) <= blocks;
}

void engine_add(struct engine *e, uint32_t request) {
    if (e->first_waiting && e->first_waiting == e->n_waiting) e->first_waiting = e->n_waiting = 0;
    e->waiting = memory_grow(e->waiting, &e->room_waiting, e->n_waiting + 1, sizeof *e->waiting);
    e->waiting[e->n_waiting++] = request;
    e->to_prefill += e->load->requests[request].isl;
}

// ---- Decoding: who ends when ---------------------------------------------------------------------

static bool ends_before(const struct decoding *a, const struct decoding *b) {
    return a->last != b->last ? a->last < b->last : a->request < b->request;
}

static void decode_from_now(struct engine *e, uint32_t request) {
    const struct request *r = &e->load->requests[request];
    struct decoding d = {e->steps + r->osl - 1, request};
    e->decoding =
        memory_grow(e->decoding, &e->room_decoding, e->n_decoding + 1, sizeof *e->decoding);
    size_t i = e->n_decoding++;
    for (; i && ends_before(&d, &e->decoding[(i - 1) / 2]); i = (i - 1) / 2)
        e->decoding[i] = e->decoding[(i - 1) / 2];
    e->decoding[i] = d;
    e->kv_tokens += r->isl + 1;
    e->output_tokens++;
}

static void drop_first_decoding(struct engine *e) {
    struct decoding last = e->decoding[--e->n_decoding];
    size_t i = 0;
    for (size_t c; (c = 2 * i + 1) < e->n_decoding; i = c) {
        if (c + 1 < e->n_decoding && ends_before(&e->decoding[c + 1], &e->decoding[c])) c++;
        if (!ends_before(&e->decoding[c], &last)) break;
        e->decoding[i] = e->decoding[c];
    }
    e->decoding[i] = last;
}

// ---- Beginning a step ----------------------------------------------------------------------------

// Takes up the first of those that wait. False: it doesn't fit yet.
static bool take_up(struct engine *e) {
    const struct workload *load = e->load;
    uint32_t request = e->waiting[e->first_waiting];
    const struct request *r = &load->requests[request];
    const uint64_t *hashes = request_hashes(load, request);
    size_t idle, hits = kv_match(e->kv, hashes, r->blocks, &idle);
    struct kv_count c = kv_count(e->kv);
    size_t need = blocks_of(load, request) - hits;
    if (c.used + idle + c.reserved + need > c.capacity) return false;
    e->first_waiting++;
    kv_use(e->kv, hashes, hits);
    e->removed =
        memory_grow(e->removed, &e->room_removed, e->step.n_removed + need, sizeof *e->removed);
    e->step.n_removed += kv_reserve(e->kv, need, e->removed + e->step.n_removed);
    uint64_t cached = (uint64_t)hits * load->block_size;
    if (cached >= r->isl) cached = r->isl - 1;
    e->to_prefill -= cached;
    e->prompts = memory_grow(e->prompts, &e->room_prompts, e->n_prompts + 1, sizeof *e->prompts);
    e->prompts[e->n_prompts++] = (struct prompt){request, (uint32_t)cached, 0, (uint32_t)hits};
    e->begun = memory_grow(e->begun, &e->room_begun, e->n_begun + 1, sizeof *e->begun);
    e->begun[e->n_begun++] = (struct begun){request, (uint32_t)hits};
    return true;
}

// Gives the prompt a chunk; returns how much of the budget that takes.
static uint32_t give_chunk(const struct engine *e, struct prompt *p, uint32_t budget) {
    uint32_t left = e->load->requests[p->request].isl - p->computed;
    return p->chunk = left < budget ? left : budget;
}

bool engine_begin(struct engine *e, double *seconds, const struct begun **begun, size_t *n_begun) {
    const struct model *m = e->model;
    uint32_t decoding = (uint32_t)e->n_decoding;
    uint32_t budget = m->budget > decoding ? m->budget - decoding : 0;
    uint64_t kv = e->kv_tokens;
    e->step = (struct step){.decoding = decoding};
    e->n_begun = 0;
    for (size_t i = 0; i < e->n_prompts; i++)
        budget -= give_chunk(e, &e->prompts[i], budget);
    while (budget && !e->stuck && e->first_waiting < e->n_waiting &&
           e->n_decoding + e->n_prompts < m->running) {
        e->stuck = !take_up(e);
        if (!e->stuck) budget -= give_chunk(e, &e->prompts[e->n_prompts - 1], budget);
    }
    for (size_t i = 0; i < e->n_prompts; i++) {
        const struct prompt *p = &e->prompts[i];
        if (p->chunk) kv += p->computed;
        e->step.prefill += p->chunk;
    }
    *begun = e->begun;
    *n_begun = e->n_begun;
    if (!e->step.prefill && !decoding) return false;
    *seconds = e->step.seconds = model_step(m, e->step.prefill, decoding, kv);
    return true;
}

// ---- Ending it -----------------------------------------------------------------------------------

// The request's blocks up to `to` have got their content.
static void fill(struct engine *e, uint32_t request, uint32_t from, uint32_t to) {
    const uint64_t *hashes = request_hashes(e->load, request);
    struct stored *open = NULL; // a run of blocks that were new
    for (uint32_t i = from; i < to; i++) {
        if (!kv_fill(e->kv, hashes, i)) {
            open = NULL;
        } else if (open) {
            open->to = i + 1;
        } else {
            e->stored =
                memory_grow(e->stored, &e->room_stored, e->step.n_stored + 1, sizeof *e->stored);
            open = &e->stored[e->step.n_stored++];
            *open = (struct stored){request, i, i + 1};
        }
    }
}

static void finish(struct engine *e, uint32_t request) {
    const struct request *r = &e->load->requests[request];
    fill(e, request, r->blocks, r->known);
    kv_leave(e->kv, request_hashes(e->load, request), r->known);
    kv_unreserve(e->kv, blocks_of(e->load, request) - r->known);
    e->done = memory_grow(e->done, &e->room_done, e->step.n_done + 1, sizeof *e->done);
    e->done[e->step.n_done++] = request;
    e->stuck = false;
}

static void end_decoding(struct engine *e) {
    if (!e->n_decoding) return;
    e->steps++;
    e->kv_tokens += e->n_decoding;
    e->output_tokens += e->n_decoding;
    while (e->n_decoding && e->decoding[0].last == e->steps) {
        uint32_t request = e->decoding[0].request;
        const struct request *r = &e->load->requests[request];
        e->kv_tokens -= r->isl + r->osl;
        e->output_tokens -= r->osl;
        drop_first_decoding(e);
        finish(e, request);
    }
}

static void end_prompts(struct engine *e) {
    size_t left = 0;
    for (size_t i = 0; i < e->n_prompts; i++) {
        struct prompt p = e->prompts[i];
        const struct request *r = &e->load->requests[p.request];
        uint32_t full = (p.computed += p.chunk) / e->load->block_size;
        e->to_prefill -= p.chunk;
        if (full > p.filled) {
            fill(e, p.request, p.filled, full);
            p.filled = full;
        }
        if (p.computed < r->isl) {
            p.chunk = 0;
            e->prompts[left++] = p;
            continue;
        }
        e->first = memory_grow(e->first, &e->room_first, e->step.n_first + 1, sizeof *e->first);
        e->first[e->step.n_first++] = p.request;
        if (r->osl > 1)
            decode_from_now(e, p.request);
        else
            finish(e, p.request);
    }
    e->n_prompts = left;
}

void engine_end(struct engine *e, struct step *out) {
    end_decoding(e);
    end_prompts(e);
    e->step.first = e->first;
    e->step.done = e->done;
    e->step.removed = e->removed;
    e->step.stored = e->stored;
    *out = e->step;
}

// ---- Looking -------------------------------------------------------------------------------------

struct engine_load engine_load(const struct engine *e) {
    struct kv_count c = kv_count(e->kv);
    return (struct engine_load){
        .requests = (uint32_t)(e->n_decoding + e->n_prompts + e->n_waiting - e->first_waiting),
        .waiting = (uint32_t)(e->n_waiting - e->first_waiting),
        .prompt_tokens = e->to_prefill,
        .blocks = c.used + c.reserved,
        .filled = c.used + e->output_tokens / e->load->block_size,
    };
}

const struct kv *engine_kv(const struct engine *e) {
    return e->kv;
}

size_t engine_requests(const struct engine *e, uint32_t *out) {
    size_t n = 0;
    for (size_t i = e->first_waiting; i < e->n_waiting; i++, n++)
        if (out) out[n] = e->waiting[i];
    for (size_t i = 0; i < e->n_prompts; i++, n++)
        if (out) out[n] = e->prompts[i].request;
    for (size_t i = 0; i < e->n_decoding; i++, n++)
        if (out) out[n] = e->decoding[i].request;
    return n;
}

const char *engine_validate(const struct engine *e) {
    const char *wrong = kv_validate(e->kv);
    if (wrong) return wrong;
    uint64_t kv_tokens = 0, output_tokens = 0, to_prefill = 0;
    size_t reserved = 0;
    for (size_t i = 0; i < e->n_decoding; i++) {
        const struct request *r = &e->load->requests[e->decoding[i].request];
        if (e->decoding[i].last <= e->steps) return "a request decodes for ever";
        kv_tokens += r->isl + r->osl - (e->decoding[i].last - e->steps);
        output_tokens += r->osl - (e->decoding[i].last - e->steps);
        reserved += blocks_of(e->load, e->decoding[i].request) - r->blocks;
    }
    for (size_t i = 0; i < e->n_prompts; i++) {
        const struct prompt *p = &e->prompts[i];
        to_prefill += e->load->requests[p->request].isl - p->computed;
        reserved += blocks_of(e->load, p->request) - p->filled;
    }
    for (size_t i = e->first_waiting; i < e->n_waiting; i++)
        to_prefill += e->load->requests[e->waiting[i]].isl;
    if (kv_tokens != e->kv_tokens || output_tokens != e->output_tokens)
        return "tokens read are miscounted";
    if (to_prefill != e->to_prefill) return "tokens to prefill are miscounted";
    if (reserved != kv_count(e->kv).reserved) return "reserved blocks are miscounted";
    if (e->n_decoding + e->n_prompts > e->model->running) return "more run than may";
    return NULL;
}
