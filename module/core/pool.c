// SPDX-License-Identifier: Apache-2.0
// A pool as a whole: options, life and death, statistics, invariants.
#include "pool.h"

#include <kvroute/hash.h>
#include <math.h>
#include <string.h>

#include "pool_impl.h"

const char *const kvr_tier_names[KVR_TIERS] = {"device", "host", "disk"};

// ---- Options -------------------------------------------------------------------------------------

void kvr_options_default(struct kvr_options *o) {
    *o = (struct kvr_options){
        .block_size = 16,
        .rule = {.policy = KVR_DELAY, .overlap = 1, .prefill = 1, .requests = 0, .temperature = 0},
        .host = 0.75,
        .disk = 0.25,
        .lease = 300000,
        .worker_ttl = 0,
        .worker_grace = 600000,
        .predict = 0,
        .failures = 3,
        .open_time = 5000,
        .session_ttl = 600000,
        .slo_ttft = 2000,
        .slo_tbt = 100,
    };
}

static bool within(double x, double most) {
    return x >= 0 && x <= most; // not for NaN
}

static bool is_duration(int64_t ms) {
    return ms >= 0 && ms <= KVR_MAX_MS;
}

enum kvr_err kvr_options_check(const struct kvr_options *o) {
    const struct kvr_rule *r = &o->rule;
    bool good = o->block_size >= 1 && o->block_size <= KVR_MAX_BLOCK_SIZE && r->policy >= 0 &&
                (size_t)r->policy < kvr_policy_count && within(r->overlap, KVR_MAX_WEIGHT) &&
                within(r->prefill, KVR_MAX_WEIGHT) && within(r->requests, KVR_MAX_WEIGHT) &&
                within(r->temperature, KVR_MAX_WEIGHT) && within(o->host, 1) &&
                within(o->disk, 1) && is_duration(o->lease) && is_duration(o->worker_ttl) &&
                is_duration(o->worker_grace) && is_duration(o->predict) &&
                o->failures <= KVR_MAX_FAILURES && o->open_time >= 1 && is_duration(o->open_time) &&
                is_duration(o->session_ttl) && o->slo_ttft >= 1 && is_duration(o->slo_ttft) &&
                o->slo_tbt >= 1 && is_duration(o->slo_tbt) && within(o->stick, KVR_MAX_WEIGHT);
    return good ? KVR_OK : KVR_RANGE;
}

// ---- Life ----------------------------------------------------------------------------------------

struct kvr_pool *kvr_pool_new(const struct kvr_alloc *a, const struct kvr_options *o,
                              uint64_t seed) {
    if (kvr_options_check(o)) return NULL;
    struct mem mem = {.alloc = *a};
    struct kvr_pool *p = mem_calloc(&mem, sizeof *p);
    if (!p) return NULL;
    p->mem = mem;
    p->seed = seed;
    p->options = *o;
    p->version = 1;
    live_init(&p->live, &p->mem, seed);
    live_init(&p->predicted, &p->mem, seed);
    hmap_init(&p->requests, &p->mem);
    hmap_init(&p->sessions, &p->mem);
    learn_start(&p->learnt);
    p->leases.mem = p->predictions.mem = p->session_ends.mem = &p->mem;
    if (tree_init(&p->tree, &p->mem, seed)) {
        kvr_pool_free(p);
        return NULL;
    }
    return p;
}

void kvr_pool_free(struct kvr_pool *p) {
    if (!p) return;
    for (size_t b = 0; b < p->requests.n_buckets; b++)
        for (struct hmap_item *i = hmap_bucket(&p->requests, b), *next; i; i = next) {
            next = i->next;
            request_free(p, (struct request *)i);
        }
    sessions_free(p);
    for (size_t i = 0; i < p->predictions.n; i++) {
        char *due = (char *)p->predictions.heap[i];
        mem_free(&p->mem, due - offsetof(struct prediction, due), sizeof(struct prediction));
    }
    for (size_t i = 0; i < p->n_workers; i++)
        worker_free(p, p->workers[i]);
    mem_free(&p->mem, p->workers, p->cap_workers * sizeof *p->workers);
    columns_free(p);
    mem_free(&p->mem, p->instances, p->cap_instances * sizeof *p->instances);
    mem_free(&p->mem, p->scores, p->cap_scores * sizeof *p->scores);
    tree_free(&p->tree);
    live_free(&p->live);
    live_free(&p->predicted);
    hmap_free(&p->requests);
    deadlines_free(&p->leases);
    deadlines_free(&p->predictions);
    struct mem mem = p->mem;
    mem_free(&mem, p, sizeof *p);
}

const struct kvr_options *kvr_pool_options(const struct kvr_pool *p) {
    return &p->options;
}

enum kvr_err kvr_pool_alter(struct kvr_pool *p, const struct kvr_options *o) {
    if (kvr_options_check(o) || o->block_size != p->options.block_size) return KVR_RANGE;
    p->options = *o;
    for (size_t i = 0; i < p->n_workers; i++) {
        worker_refresh(p, p->workers[i]);
        if (!o->failures) circuit_set(p, p->workers[i], 0, 0);
    }
    p->version++;
    return KVR_OK;
}

uint64_t kvr_pool_version(const struct kvr_pool *p) {
    return p->version;
}

bool kvr_pool_sweep(struct kvr_pool *p, size_t max) {
    bool sessions = sessions_sweep(p, max);
    return tree_sweep(&p->tree, max) || sessions;
}

bool kvr_pool_defrag(struct kvr_pool *p, uint64_t *cursor, void *(*move)(void *ctx, void *),
                     bool (*stop)(void *ctx), void *ctx) {
    return tree_defrag(&p->tree, cursor, move, stop, ctx);
}

// ---- Statistics ----------------------------------------------------------------------------------

void kvr_pool_stats(const struct kvr_pool *p, int64_t now, struct kvr_stats *out) {
    *out = p->stats;
    out->version = p->version;
    out->workers = p->n_workers;
    out->instances = p->live_instances;
    for (size_t i = 0; i < p->n_workers; i++) {
        const struct worker *w = p->workers[i];
        bool open = circuit_of(w, now) == KVR_OPEN;
        out->open_circuits += open;
        if (w->state == KVR_READY && !worker_expired(p, w, now) && !open) out->eligible += w->ranks;
    }
    out->blocks = p->tree.blocks;
    out->holdings = p->tree.holdings;
    out->predicted = p->predicted.blocks;
    out->requests = p->requests.count;
    out->sessions = p->n_sessions;
    out->memory_bytes = p->mem.used;
    out->unswept = p->tree.unswept;
}

// ---- Invariants ----------------------------------------------------------------------------------

// Those without a first token, in the order of booking.
static const char *check_queue(const struct instance *in) {
    uint64_t queued = 0, tokens = 0;
    const struct request *before = NULL;
    for (const struct request *r = in->queue_first; r; before = r, r = r->later) {
        if (r->sooner != before || r->prefilled) return "pool: a queue's links are wrong";
        if (before && before->number > r->number) return "pool: a queue out of order";
        queued++;
        tokens += (uint64_t)(r->isl - r->cached);
    }
    if (in->queue_last != before || in->queued != queued || in->prefill_tokens != tokens)
        return "pool: a queue isn't its requests'";
    return NULL;
}

// An instance's loads from its requests, beside what is kept.
static const char *check_loads(const struct kvr_pool *p, const struct instance *in) {
    uint64_t requests = 0, prefill = 0, output = 0, predicted = 0;
    const struct request *before = NULL;
    for (const struct request *r = in->first; r; before = r, r = r->next) {
        if (r->prev != before) return "pool: a request's links are wrong";
        if (&p->instances[r->instance] != in) return "pool: a request of another instance";
        if (r->cached < 0 || r->cached > r->isl) return "pool: more cached than there is";
        if (r->expected < r->overlap) return "pool: less expected than there is";
        if (r->number > p->bookings || r->ahead < 0 || (r->prefilled_at && !r->prefilled))
            return "pool: a request teaches nonsense";
        if (r->prediction &&
            (r->prediction->request != r || r->prediction->instance != r->instance))
            return "pool: a prediction of another request";
        if (!!r->lease != !!r->due.place) return "pool: a lease that nobody watches";
        if (request_find(p, (struct kvr_bytes){r->id, r->id_len}) != r)
            return "pool: a request isn't found";
        requests++;
        if (!r->prefilled) prefill += (uint64_t)(r->isl - r->cached);
        output += ((uint64_t)r->output + p->options.block_size - 1) / p->options.block_size;
    }
    for (const struct prediction *f = in->oldest; f; f = f->next) {
        predicted++;
        if (f->request && f->request->prediction != f)
            return "pool: a request of another prediction";
        if (!f->next && in->newest != f) return "pool: the predictions' end is wrong";
    }
    if (!predicted && (in->predicted || in->newest)) return "pool: predictions without a booking";
    if (requests != in->requests || prefill != in->prefill_tokens || output != in->output_blocks)
        return "pool: an instance's load isn't its requests'";
    return NULL;
}

static const char *check_instance(const struct kvr_pool *p, uint32_t i) {
    const struct instance *in = &p->instances[i];
    if (!in->worker && p->columns.ttl[i] != -INFINITY) return "pool: nobody is eligible";
    if (!in->worker) return in->first || in->oldest ? "pool: a booking on no instance" : NULL;
    if (in->rank >= in->worker->ranks || in->worker->instances[in->rank] != i)
        return "pool: an instance isn't its worker's";
    for (int t = 0; t < KVR_TIERS; t++)
        if (in->slot[t] &&
            (p->tree.instance_of[in->slot[t]] != i || p->tree.slots[in->slot[t]].tier != t))
            return "pool: an instance's slot isn't its own";
    if (p->columns.prefill_tokens[i] != (double)in->prefill_tokens ||
        p->columns.decode_blocks[i] != (double)(in->live_blocks + in->output_blocks) ||
        p->columns.requests[i] != (double)in->requests ||
        p->columns.booked[i] != (double)in->booked ||
        p->columns.decode_time[i] != in->learnt.decode.num ||
        p->columns.decode_tokens[i] != in->learnt.decode.den ||
        p->columns.full[i] != instance_full(p, in) ||
        p->columns.oldest_tokens[i] != instance_oldest(in) ||
        p->columns.free_at[i] != in->learnt.free_at ||
        p->columns.rate[i] != ratio_rate(in->learnt.prefill))
        return "pool: a column doesn't mirror its instance";
    const struct worker *w = in->worker;
    int64_t ttl = worker_ttl(p, w);
    double want = w->state != KVR_READY ? -INFINITY : ttl ? (double)ttl : INFINITY;
    if (p->columns.seen[i] != (double)w->seen || p->columns.ttl[i] != want ||
        p->columns.slow[i] != (w->speed > 0 ? 1 / w->speed : 0))
        return "pool: a column doesn't mirror its worker";
    double numbers[LEARNT_INSTANCE_NUMBERS];
    struct learnt_instance again;
    learnt_instance_numbers(&in->learnt, numbers);
    if (!learnt_instance_from(&again, numbers)) return "pool: an instance has learnt nonsense";
    const char *wrong = check_queue(in);
    return wrong ? wrong : check_loads(p, in);
}

static const char *check_worker(const struct kvr_pool *p, const struct worker *w) {
    if (w->barred < 0 || w->failures > KVR_MAX_FAILURES || (w->barred && !w->failures))
        return "pool: a circuit without a failure";
    if (w->n_labels > KVR_MAX_LABELS || !w->labels != !w->n_labels)
        return "pool: a worker's labels are wrong";
    for (uint32_t i = 0; i < w->n_labels; i++) {
        const struct label *l = &w->labels[i];
        if (l->n < 1 || l->n > KVR_MAX_LABEL ||
            l->hash != XXH3_64bits_withSeed(l->bytes, l->n, p->seed))
            return "pool: a label is wrong";
        if (i && label_compare(l - 1, l) >= 0) return "pool: labels out of order";
    }
    return NULL;
}

const char *kvr_pool_validate(const struct kvr_pool *p) {
    const char *wrong = tree_validate(&p->tree);
    if (!wrong) wrong = live_validate(&p->live);
    if (!wrong) wrong = live_validate(&p->predicted);
    if (!wrong) wrong = hmap_validate(&p->requests);
    if (!wrong) wrong = deadlines_validate(&p->leases);
    if (!wrong) wrong = deadlines_validate(&p->predictions);
    if (!wrong) wrong = sessions_validate(p);
    uint64_t requests = 0, live = 0, predicted = 0, instances = 0;
    for (uint32_t i = 0; i < p->n_instances && !wrong; i++) {
        wrong = check_instance(p, i);
        requests += p->instances[i].requests;
        live += p->instances[i].live_blocks;
        predicted += p->instances[i].predicted;
        instances += p->instances[i].worker != NULL;
    }
    double numbers[LEARNT_NUMBERS];
    struct learnt again;
    learnt_numbers(&p->learnt, numbers);
    if (!wrong && !learnt_from(&again, numbers)) wrong = "pool: it has learnt nonsense";
    if (wrong) return wrong;
    if (requests != p->requests.count) return "pool: the number of requests is wrong";
    if (live != p->live.blocks || predicted != p->predicted.blocks)
        return "pool: the number of live blocks is wrong";
    if (instances != p->live_instances) return "pool: the number of instances is wrong";
    size_t barred = 0;
    for (size_t i = 0; i < p->n_workers; i++) {
        const struct worker *w = p->workers[i];
        barred += w->barred != 0;
        if ((wrong = check_worker(p, w))) return wrong;
    }
    if (barred != p->n_barred) return "pool: the number of circuits is wrong";
    for (size_t i = 1; i < p->n_workers; i++) {
        const struct worker *a = p->workers[i - 1], *b = p->workers[i];
        size_t n = a->name_len < b->name_len ? a->name_len : b->name_len;
        int order = memcmp(a->name, b->name, n);
        if (order > 0 || (order == 0 && a->name_len >= b->name_len))
            return "pool: workers out of order";
    }
    return NULL;
}
