// SPDX-License-Identifier: Apache-2.0
#include "top_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "top_saturate.h"
#include "top_text.h"

const char *const top_count_names[TOP_COUNTS] = {
    [TOP_VERSION] = "version",
    [TOP_BLOCK_SIZE] = "block_size",
    [TOP_WORKERS] = "workers",
    [TOP_INSTANCES] = "instances",
    [TOP_ELIGIBLE] = "eligible",
    [TOP_OPEN_CIRCUITS] = "open_circuits",
    [TOP_BLOCKS] = "blocks",
    [TOP_HOLDINGS] = "holdings",
    [TOP_PREDICTED] = "predicted",
    [TOP_MEMORY] = "memory_bytes",
    [TOP_REQUESTS] = "requests",
    [TOP_SESSIONS] = "sessions",
    [TOP_WAITING] = "waiting",
    [TOP_WAITING_TOKENS] = "waiting_tokens",
    [TOP_SELECTS] = "selects",
    [TOP_REPEATS] = "repeats",
    [TOP_SELECT_BLOCKS] = "select_blocks",
    [TOP_OVERLAP_BLOCKS] = "overlap_blocks",
    [TOP_EXPECTED_BLOCKS] = "expected_blocks",
    [TOP_ADMITTED] = "admitted",
    [TOP_REFUSED] = "refused",
    [TOP_LIMITED] = "limited",
    [TOP_EVENTS] = "events",
    [TOP_GAPS] = "gaps",
    [TOP_STALE] = "stale",
    [TOP_EXPIRED_REQUESTS] = "expired_requests",
    [TOP_EXPIRED_WORKERS] = "expired_workers",
    [TOP_MAXREQUESTS] = "maxrequests",
};

// ---- Pools ---------------------------------------------------------------------------------------

static void init_list(struct top_list *l) {
    *l = (struct top_list){.n = 0};
    kvr_arena_init(&l->arena, &kvr_alloc_default);
}

void top_view_init(struct top_view *v, int64_t refresh) {
    memset(v, 0, sizeof *v);
    kvr_arena_init(&v->arena, &kvr_alloc_default);
    v->refresh = refresh;
}

static struct top_list *list_of(struct top_pool *p, size_t i) {
    struct top_list *all[] = {&p->workers, &p->classes,    &p->flows,
                              &p->queued,  &p->candidates, &p->more_flows};
    return i < sizeof all / sizeof *all ? all[i] : NULL;
}

void top_view_free(struct top_view *v) {
    for (size_t i = 0; i < v->n_pools; i++) {
        struct top_list *l;
        for (size_t k = 0; (l = list_of(v->pools[i], k)) != NULL; k++)
            kvr_arena_free(&l->arena);
        free(v->pools[i]);
    }
    kvr_arena_free(&v->arena);
}

struct top_pool *top_view_pool(struct top_view *v, struct kvr_bytes key) {
    if (!key.n || key.n >= TOP_MAX_KEY || memchr(key.p, 0, key.n)) return NULL;
    for (size_t i = 0; i < v->n_pools; i++)
        if (strlen(v->pools[i]->key) == key.n && !memcmp(v->pools[i]->key, key.p, key.n))
            return v->pools[i];
    if (v->n_pools == TOP_MAX_POOLS) {
        v->more_pools = true;
        return NULL;
    }
    const char *name = top_text_printable(&v->arena, key);
    struct top_pool *p = name ? calloc(1, sizeof *p) : NULL;
    if (!p) return NULL;
    memcpy(p->key, key.p, key.n);
    p->name = name;
    p->before_at = p->at = -1;
    p->link.last_gap = -1;
    top_history_init(&p->history, v->refresh);
    struct top_list *l;
    for (size_t k = 0; (l = list_of(p, k)) != NULL; k++)
        init_list(l);
    v->pools[v->n_pools++] = p;
    return p;
}

// Whether the result is good; what is wrong is kept.
static bool is_good(struct top_pool *p, const struct kvr_result *r) {
    p->code = r->code;
    if (r->code == KVR_CODE_OK)
        p->message[0] = 0;
    else
        snprintf(p->message, sizeof p->message, "%s %s", kvr_code_name(r->code),
                 r->message ? r->message : "");
    return r->code == KVR_CODE_OK;
}

// ---- INFO ----------------------------------------------------------------------------------------

static void make_plain(char *text) {
    for (; *text; text++)
        if (*text < ' ' || *text > '~') *text = '?';
}

// What a field is called is short and ours; what isn't there is an empty text.
static void field_text(const struct kvr_result *r, const char *name, char *out, size_t size) {
    out[0] = 0;
    for (size_t i = 0; i < r->n; i++)
        if (r->fields[i].name.n == strlen(name) &&
            !memcmp(r->fields[i].name.p, name, r->fields[i].name.n))
            snprintf(out, size, "%.*s", (int)r->fields[i].value.n, r->fields[i].value.p);
    make_plain(out);
}

static int64_t since_before(const struct top_pool *p, enum top_count c) {
    int64_t now = p->counts[c], before = p->before[c];
    return p->before_at < 0 || now < 0 || before < 0 || now < before ? -1 : now - before;
}

void top_view_info(struct top_pool *p, const struct kvr_result *r, int64_t now) {
    if (!is_good(p, r)) return;
    memcpy(p->before, p->counts, sizeof p->before);
    p->before_at = p->known ? p->at : -1;
    p->at = now;
    p->known = true;
    for (size_t i = 0; i < TOP_COUNTS; i++)
        p->counts[i] = kvr_info_int(r, top_count_names[i], -1);
    field_text(r, "policy", p->policy, sizeof p->policy);
    int64_t blocks = since_before(p, TOP_SELECT_BLOCKS), hits = since_before(p, TOP_OVERLAP_BLOCKS);
    if (blocks < 0 || hits < 0) blocks = hits = 0;
    top_history_add(&p->history, now, p->counts[TOP_WAITING], blocks, hits);
}

double top_view_rate(const struct top_pool *p, enum top_count c) {
    int64_t n = since_before(p, c);
    if (n < 0 || p->at <= p->before_at) return -1;
    return (double)n * 1000 / (double)(p->at - p->before_at);
}

double top_view_share(const struct top_pool *p, enum top_count part, bool ever) {
    int64_t all = ever ? p->counts[TOP_SELECT_BLOCKS] : since_before(p, TOP_SELECT_BLOCKS);
    int64_t some = ever ? p->counts[part] : since_before(p, part);
    return !p->known || all <= 0 || some < 0 ? -1 : (double)some / (double)all;
}

// ---- The server ----------------------------------------------------------------------------------

static int64_t number_behind(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at ? strtoll(at + strlen(name), NULL, 10) : -1;
}

// slave0:ip=127.0.0.1,port=6380,state=online,offset=1234,lag=0
static void add_replica(struct top_server *s, const struct kvr_field *f, int64_t offset) {
    char text[200];
    if (f->name.n < 6 || memcmp(f->name.p, "slave", 5) != 0 || f->name.p[5] < '0' ||
        f->name.p[5] > '9')
        return;
    snprintf(text, sizeof text, "%.*s", (int)f->value.n, f->value.p);
    int64_t lag = number_behind(text, "lag="), at = number_behind(text, "offset=");
    s->replicas++;
    int64_t ms = top_product(lag, 1000), behind = top_difference(offset, at);
    if (lag >= 0 && ms > s->lag) s->lag = ms;
    if (at >= 0 && behind > s->behind) s->behind = behind;
}

void top_view_server(struct top_pool *p, const struct kvr_result *r) {
    struct top_server *s = &p->server;
    char role[16], valkey[24];
    if (!is_good(p, r)) return;
    *s = (struct top_server){.known = true};
    field_text(r, "redis_version", s->version, sizeof s->version);
    field_text(r, "valkey_version", valkey, sizeof valkey);
    field_text(r, "role", role, sizeof role);
    if (*valkey) snprintf(s->version, sizeof s->version, "valkey %s", valkey);
    s->replica = strcmp(role, "slave") == 0;
    s->uptime = top_product(kvr_info_int(r, "uptime_in_seconds", 0), 1000);
    int64_t offset = kvr_info_int(r, "master_repl_offset", 0);
    for (size_t i = 0; i < r->n; i++)
        add_replica(s, &r->fields[i], offset);
}

static void now_connected(struct top_link *l, const struct kvr_client_stats *s, int64_t date) {
    if (l->ever) {
        l->failovers++;
        l->last_gap = s->last_gap;
        l->failed_date = date;
        if (strcmp(l->primary, s->primary) != 0) memcpy(l->was, l->primary, sizeof l->was);
    }
    l->ever = true;
    l->connects = s->connects;
    l->trouble[0] = 0;
}

void top_view_link(struct top_pool *p, const struct kvr_client_stats *s, int64_t now,
                   int64_t date) {
    struct top_link *l = &p->link;
    l->losses = s->losses;
    if (s->connected != l->connected || !l->since_date) {
        l->since = now;
        l->since_date = date;
        if (s->connected) now_connected(l, s, date);
        l->connected = s->connected;
    } else if (s->connected && s->connects != l->connects) {
        // It went and came back between two looks.
        now_connected(l, s, date);
    }
    if (!s->connected) return;
    snprintf(l->primary, sizeof l->primary, "%s", s->primary);
    make_plain(l->primary); // Sentinels say what they like
}
