// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // memmem
#include "engine_probe.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/http1/h1_address.h"

enum { PROBE_MS = 2000, SGLANG_HEALTH_MS = 25000, BODY_MS = 2000, MAX_PROBE_BODY = 4 << 20 };

static const int64_t max_cache_tokens = (int64_t)1 << 50;

// What stands for a status where there is none.
enum { PROBE_UNANSWERED = 0, PROBE_UNASKED = -1 };

// No connection is kept: between two checks an engine would close it.
const struct h1_client_options engine_probe_client = {
    .connect_ms = PROBE_MS, .head_ms = PROBE_MS, .idle_ms = PROBE_MS};

// One call at a time of each of the two kinds.
struct probe_call {
    struct engine_probe *probe;
    struct h1_call *call; // NULL: none under way
    int status;
    struct evbuffer *body;
    void (*done)(struct engine_probe *p, int status, const char *body, size_t n);
};

// How a kind of engine is asked whether it is well: at `health`, or where that isn't, at `older`.
struct probe_kind {
    const char *health, *older;
    int64_t patience_ms; // of any other path than `health`
};

static const struct probe_kind probe_kinds[] = {
    [ENGINE_KIND_VLLM] = {"/health", NULL, PROBE_MS},
    [ENGINE_KIND_SGLANG] = {"/ready", "/health", SGLANG_HEALTH_MS},
    [ENGINE_KIND_OTHER] = {"/health", NULL, PROBE_MS},
    [ENGINE_KIND_ANY] = {"/ready", "/health", SGLANG_HEALTH_MS},
};

// Asked of an engine that is well.
static const struct {
    const char *path, *name, *trouble;
} probe_states[] = {
    {"/is_paused", "is_paused", "is paused"},
    {"/is_sleeping", "is_sleeping", "is asleep"},
};
enum { N_PROBE_STATES = sizeof probe_states / sizeof *probe_states };

struct engine_probe {
    struct h1_client *client;
    struct engine_probe_port port;
    enum engine_kind said_kind;            // by whoever made it; ANY: it is to be learned
    const struct probe_kind *kind, *asked; // asked: the one whose path was asked for last
    char *url, *path, *host; // path: of health, below the URL; "": the kind's. host: the URL's
    struct probe_call check, state, learn;
    bool is_older;               // the kind's path isn't there
    unsigned asking_state;       // which of probe_states
    bool absent[N_PROBE_STATES]; // it doesn't have that one
    const char *state_said;      // the trouble of the state it is in by its own word
    unsigned asking, wishes;     // which of the questions, and what for
    bool has_info;               // /server_info was there
    struct engine_probe_facts facts;
};

// ---- Reading -------------------------------------------------------------------------------------

static bool is_name(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

uint32_t engine_probe_number(const char *text, size_t n, const char *name) {
    size_t len = strlen(name);
    for (const char *at = text, *end = text + n; (at = memmem(at, (size_t)(end - at), name, len));
         at += len) {
        const char *p = at + len;
        unsigned long x = 0;
        if (at > text && is_name(at[-1])) continue;
        while (p < end && (*p == '"' || *p == '\'' || *p == '\\' || *p == ' '))
            p++;
        if (p == end || (*p != ':' && *p != '=')) continue;
        for (p++; p < end && *p == ' ';)
            p++;
        for (; p < end && isdigit((unsigned char)*p) && x < 1000000000; p++)
            x = x * 10 + (unsigned long)(*p - '0');
        if (x && x < 1000000000) return (uint32_t)x;
    }
    return 0;
}

// What stands behind the name's first place, without signs between; the end: nowhere.
static const char *behind(const char *text, size_t n, const char *name) {
    size_t len = strlen(name);
    const char *at = memmem(text, n, name, len), *end = text + n;
    if (!at) return end;
    for (at += len; at < end && strchr("\": \t", *at) && *at;)
        at++;
    return at;
}

static bool says(const char *text, size_t n, const char *name, const char *value) {
    const char *at = behind(text, n, name);
    size_t len = strlen(value);
    return (size_t)(text + n - at) >= len && memcmp(at, value, len) == 0;
}

bool engine_probe_true(const char *text, size_t n, const char *name) {
    return says(text, n, name, "true");
}

// A label's value as a number, at `at`, behind its quotation mark; moves behind the closing one.
static uint32_t quoted_number(const char **at, const char *end) {
    unsigned long x = 0;
    bool whole = true;
    const char *p = *at;
    for (; p < end && *p != '"' && *p != '\n'; p++) {
        whole = whole && isdigit((unsigned char)*p) && x < 100000000;
        if (whole) x = x * 10 + (unsigned long)(*p - '0');
        if (*p == '\\' && p + 1 < end) p++;
    }
    *at = p < end ? p + 1 : end;
    return whole ? (uint32_t)x : 0;
}

// The next line of a metric with labels, from *line on, which moves behind it: its first label, or NULL.
static const char *next_line(const char **line, const char *end, const char *metric) {
    size_t m = strlen(metric);
    while (*line < end) {
        const char *lf = memchr(*line, '\n', (size_t)(end - *line)), *at = *line;
        *line = lf ? lf + 1 : end;
        if (*line - at > (ptrdiff_t)m && memcmp(at, metric, m) == 0 && at[m] == '{')
            return at + m + 1;
    }
    return NULL;
}

uint32_t engine_probe_lines(const char *text, size_t n, const char *metric) {
    uint32_t lines = 0;
    for (const char *line = text; next_line(&line, text + n, metric);)
        lines++;
    return lines;
}

uint32_t engine_probe_label(const char *text, size_t n, const char *metric, const char *label) {
    size_t len = strlen(label);
    const char *end = text + n, *next = text;
    uint32_t least = 0;
    for (const char *at; (at = next_line(&next, end, metric));) {
        while (at < next && is_name(*at)) {
            const char *name = at;
            while (at < next && is_name(*at))
                at++;
            bool ours = (size_t)(at - name) == len && !memcmp(name, label, len);
            if (next - at < 2 || at[0] != '=' || at[1] != '"') break;
            at += 2;
            uint32_t x = quoted_number(&at, next);
            if (ours && x && (!least || x < least)) least = x;
            if (at < next && *at == ',') at++;
        }
    }
    return least;
}

// ---- Calling -------------------------------------------------------------------------------------

static void finish(struct probe_call *c, int status) {
    struct evbuffer *body = c->body;
    c->call = NULL;
    c->body = NULL;
    size_t n = evbuffer_get_length(body);
    c->done(c->probe, status, n ? (const char *)evbuffer_pullup(body, -1) : "", n);
    evbuffer_free(body);
}

static void on_head(void *ctx, const struct h1_head *response) {
    ((struct probe_call *)ctx)->status = response->status;
}

static void on_data(void *ctx, struct evbuffer *bytes) {
    struct probe_call *c = ctx;
    if (evbuffer_get_length(c->body) + evbuffer_get_length(bytes) <= MAX_PROBE_BODY) {
        evbuffer_add_buffer(c->body, bytes);
        return;
    }
    // So much is no answer to what was asked, but it is one.
    h1_call_cancel(c->call);
    evbuffer_drain(c->body, evbuffer_get_length(c->body));
    finish(c, c->status);
}

static void on_end(void *ctx) {
    struct probe_call *c = ctx;
    finish(c, c->status);
}

static void on_failed(void *ctx, enum h1_failure why) {
    finish(ctx, why == H1_LOCAL ? PROBE_UNASKED : PROBE_UNANSWERED);
}

static bool get(struct probe_call *c, const char *path, int64_t patience_ms) {
    static const struct h1_callbacks callbacks = {on_head, on_data, on_end, on_failed};
    struct h1_request request = {.address = c->probe->url,
                                 .method = "GET",
                                 .path = path,
                                 .headers = "Connection: close\r\n",
                                 .fresh = true,
                                 .head_ms = patience_ms,
                                 .all_ms = patience_ms + BODY_MS};
    c->status = PROBE_UNANSWERED;
    c->body = evbuffer_new();
    if (c->body) c->call = h1_call_start(c->probe->client, &request, &callbacks, c, NULL);
    if (c->call) return true;
    if (c->body) evbuffer_free(c->body);
    c->body = NULL;
    return false;
}

static void say_unasked(const struct engine_probe *p) {
    if (p->port.unasked) p->port.unasked(p->port.ctx);
}

// ---- Health --------------------------------------------------------------------------------------

static bool get_health(struct engine_probe *p) {
    const char *path = *p->path ? p->path : p->is_older ? p->kind->older : p->kind->health;
    bool quick = strcmp(path, p->kind->health) == 0;
    p->asked = p->kind;
    return get(&p->check, path, quick ? PROBE_MS : p->kind->patience_ms);
}

static void set_kind(struct engine_probe *p, enum engine_kind kind) {
    if (p->kind != &probe_kinds[kind]) p->is_older = false; // it may have no other path
    p->kind = &probe_kinds[kind];
}

// Another engine may be there now.
static void forget_states(struct engine_probe *p) {
    memset(p->absent, 0, sizeof p->absent);
    p->is_older = false;
    set_kind(p, p->said_kind);
}

static void say_down(struct engine_probe *p) {
    forget_states(p);
    p->state_said = NULL;
    p->port.answer(p->port.ctx, "doesn't answer", false);
}

// Goes on at the first of the states that the engine has; it is well if none is left.
static void ask_states(struct engine_probe *p) {
    for (; p->asking_state < N_PROBE_STATES; p->asking_state++)
        if (!p->absent[p->asking_state] &&
            get(&p->state, probe_states[p->asking_state].path, PROBE_MS))
            return;
    p->port.answer(p->port.ctx, p->state_said = NULL, false);
}

static void on_state(struct engine_probe *p, int status, const char *body, size_t n) {
    unsigned i = p->asking_state++;
    bool same = status <= 0 && p->state_said == probe_states[i].trouble; // it hasn't said otherwise
    p->absent[i] = status > 0 && status != 200;
    if (same || (status == 200 && engine_probe_true(body, n, probe_states[i].name)))
        p->port.answer(p->port.ctx, p->state_said = probe_states[i].trouble, true);
    else
        ask_states(p);
}

static void on_checked(struct engine_probe *p, int status, const char *body, size_t n) {
    (void)body;
    (void)n;
    bool older = status == 404 && !*p->path && p->kind->older && !p->is_older;
    bool has_none = status == 404 && p->kind == &probe_kinds[ENGINE_KIND_ANY];
    if (older) {
        p->is_older = true;
        if (get_health(p)) return;
    }
    // What kind it is was learned, or forgotten, meanwhile: that it hasn't another one's path says nothing.
    if (status == 404 && p->asked != p->kind && get_health(p)) return;
    p->asking_state = 0;
    if (status == 200 || has_none)
        ask_states(p);
    else if (status == PROBE_UNASKED)
        say_unasked(p);
    else
        say_down(p);
}

bool engine_probe_check(struct engine_probe *p) {
    if (p->check.call || p->state.call) return false;
    if (!get_health(p)) say_unasked(p);
    return true;
}

// ---- What it is ----------------------------------------------------------------------------------

static void read_sources(struct engine_probe *p, const char *text, size_t n) {
    struct engine_probe_facts *f = &p->facts;
    if (!f->sources.n) engine_sources_read(&f->sources, text, n, p->host);
    if (f->sources.n) f->ranks = (uint32_t)f->sources.n;
}

static void read_event_sources(struct engine_probe *p, const char *text, size_t n) {
    if (p->facts.kind == ENGINE_KIND_ANY) p->facts.kind = ENGINE_KIND_VLLM;
    read_sources(p, text, n);
}

static bool has_name(const char *text, size_t n, const char *name) {
    return memmem(text, n, name, strlen(name)) != NULL;
}

// Whose text it is, and what the engine does of a pair.
static void read_kind(struct engine_probe_facts *f, const char *text, size_t n) {
    bool vllm = has_name(text, n, "vllm_config");
    bool sglang = !vllm && (has_name(text, n, "disaggregation_mode") ||
                            has_name(text, n, "max_total_num_tokens"));
    if (f->kind == ENGINE_KIND_ANY && vllm) f->kind = ENGINE_KIND_VLLM;
    if (f->kind == ENGINE_KIND_ANY && sglang) f->kind = ENGINE_KIND_SGLANG;
    f->has_role |= sglang;
    if (sglang && says(text, n, "disaggregation_mode", "prefill")) f->role = KVR_ROLE_PREFILL;
    if (sglang && says(text, n, "disaggregation_mode", "decode")) f->role = KVR_ROLE_DECODE;
}

static void read_info(struct engine_probe *p, const char *text, size_t n) {
    struct engine_probe_facts *f = &p->facts;
    p->has_info = true;
    read_kind(f, text, n);
    f->block_size = engine_probe_number(text, n, "block_size");
    if (!f->block_size) f->block_size = engine_probe_number(text, n, "page_size");
    if (!f->ranks) f->ranks = engine_probe_number(text, n, "dp_size");
    if (!f->ranks) f->ranks = engine_probe_number(text, n, "data_parallel_size");
    f->cache_tokens = engine_probe_number(text, n, "max_total_num_tokens");
    if (!f->cache_tokens)
        f->cache_tokens = (int64_t)engine_probe_number(text, n, "num_gpu_blocks") * f->block_size;
    read_sources(p, text, n);
}

// kv_cache_size_tokens, of newer ones, is right also where a model has several kinds of layers, and a
// block of tokens takes several of the cache's.
static void read_metrics(struct engine_probe *p, const char *text, size_t n) {
    static const char metric[] = "vllm:cache_config_info";
    struct engine_probe_facts *f = &p->facts;
    uint32_t size = engine_probe_label(text, n, metric, "block_size");
    if (f->kind == ENGINE_KIND_ANY && has_name(text, n, "vllm:")) f->kind = ENGINE_KIND_VLLM;
    if (f->kind == ENGINE_KIND_ANY && has_name(text, n, "sglang:")) f->kind = ENGINE_KIND_SGLANG;
    if (!f->block_size) f->block_size = size;
    if (!f->ranks) f->ranks = engine_probe_lines(text, n, metric);
    if (!f->cache_tokens)
        f->cache_tokens = engine_probe_label(text, n, metric, "kv_cache_size_tokens");
    if (!f->cache_tokens)
        f->cache_tokens = (int64_t)engine_probe_label(text, n, metric, "num_gpu_blocks") * size;
}

enum {
    OF_INFO = ENGINE_PROBE_SOURCES | ENGINE_PROBE_RANKS | ENGINE_PROBE_SIZE | ENGINE_PROBE_CACHE |
              ENGINE_PROBE_KIND | ENGINE_PROBE_ROLE
};

// In this order; `tells`: what may be learned from it.
static const struct {
    const char *path;
    unsigned tells;
    void (*read)(struct engine_probe *p, const char *text, size_t n);
} questions[] = {
    {"/kv_event_sources", ENGINE_PROBE_SOURCES | ENGINE_PROBE_RANKS | ENGINE_PROBE_KIND,
     read_event_sources},
    {"/server_info", OF_INFO, read_info},
    {"/get_server_info", OF_INFO, read_info},
    {"/metrics", ENGINE_PROBE_RANKS | ENGINE_PROBE_SIZE | ENGINE_PROBE_CACHE | ENGINE_PROBE_KIND,
     read_metrics},
};
enum { N_QUESTIONS = sizeof questions / sizeof *questions };

static unsigned open_wishes(const struct engine_probe *p) {
    const struct engine_probe_facts *f = &p->facts;
    unsigned known = (f->block_size ? ENGINE_PROBE_SIZE : 0) | (f->ranks ? ENGINE_PROBE_RANKS : 0) |
                     (f->cache_tokens ? ENGINE_PROBE_CACHE : 0) |
                     (f->sources.n ? ENGINE_PROBE_SOURCES : 0) |
                     (f->kind != ENGINE_KIND_ANY ? ENGINE_PROBE_KIND : 0);
    // vLLM tells no role where it can be relied on.
    if (f->has_role || f->kind == ENGINE_KIND_VLLM) known |= ENGINE_PROBE_ROLE;
    return p->wishes & ~known;
}

// More than any pool takes says nothing.
static void drop_wild_size(struct engine_probe_facts *f) {
    if (f->cache_tokens > max_cache_tokens) f->cache_tokens = 0;
}

static void ask_next(struct engine_probe *p) {
    for (; p->asking < N_QUESTIONS; p->asking++) {
        bool again = p->has_info && questions[p->asking].read == read_info;
        unsigned tells = again ? 0 : questions[p->asking].tells & open_wishes(p);
        if (tells && get(&p->learn, questions[p->asking].path, PROBE_MS)) return;
        p->facts.unheard |= tells;
    }
    p->facts.unheard &= open_wishes(p);
    bool any = p->said_kind == ENGINE_KIND_ANY && p->facts.kind != ENGINE_KIND_ANY;
    if (any) set_kind(p, p->facts.kind);
    p->port.learned(p->port.ctx, &p->facts);
}

static void on_learned(struct engine_probe *p, int status, const char *body, size_t n) {
    if (status <= 0) p->facts.unheard |= questions[p->asking].tells;
    if (status == 200 && n) questions[p->asking].read(p, body, n);
    drop_wild_size(&p->facts);
    p->asking++;
    ask_next(p);
}

void engine_probe_learn(struct engine_probe *p, unsigned wishes) {
    if (p->learn.call) return;
    p->asking = 0;
    p->wishes = wishes;
    p->has_info = false;
    engine_sources_free(&p->facts.sources);
    p->facts = (struct engine_probe_facts){.kind = p->said_kind};
    forget_states(p);
    ask_next(p);
}

// ---- Beginning and end ---------------------------------------------------------------------------

struct engine_probe *engine_probe_new(struct h1_client *client, const char *url, const char *path,
                                      enum engine_kind kind, const struct engine_probe_port *port,
                                      char *error, size_t error_size) {
    struct h1_address address;
    bool wrong, good = h1_address_parse(&address, url, &wrong);
    struct engine_probe *p = good ? calloc(1, sizeof *p) : NULL;
    if (p) {
        p->url = strdup(url);
        p->path = strdup(path);
        p->host = strdup(address.host);
    }
    if (good) h1_address_free(&address);
    if (!p || !p->url || !p->path || !p->host) {
        snprintf(error, error_size, "%.100s is no URL of a server", h1_url_shown(url));
        engine_probe_free(p);
        return NULL;
    }
    p->client = client;
    p->port = *port;
    p->said_kind = kind;
    p->kind = &probe_kinds[kind];
    p->check = (struct probe_call){.probe = p, .done = on_checked};
    p->state = (struct probe_call){.probe = p, .done = on_state};
    p->learn = (struct probe_call){.probe = p, .done = on_learned};
    return p;
}

void engine_probe_free(struct engine_probe *p) {
    if (!p) return;
    struct probe_call *all[] = {&p->check, &p->state, &p->learn};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        h1_call_cancel(all[i]->call);
        if (all[i]->body) evbuffer_free(all[i]->body);
    }
    engine_sources_free(&p->facts.sources);
    free(p->url);
    free(p->path);
    free(p->host);
    free(p);
}
