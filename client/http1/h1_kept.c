// SPDX-License-Identifier: Apache-2.0
#include "h1_kept.h"

#include <stdlib.h>
#include <string.h>

#include "h1_client.h"

// ---- Origins -------------------------------------------------------------------------------------

static struct h1_origin *origin_new(const struct h1_kept_set *s, const char *url, bool *wrong) {
    struct h1_address at;
    if (!h1_address_parse(&at, url, wrong)) return NULL;
    *wrong = at.tls && !s->tls;
    size_t n = strlen(url) + 1;
    struct h1_origin *o = *wrong ? NULL : calloc(1, sizeof *o + n);
    if (!o) {
        h1_address_free(&at);
        return NULL;
    }
    o->at = at;
    memcpy(o->url, url, n);
    return o;
}

static struct kvr_bytes bytes_of(const char *text) {
    return (struct kvr_bytes){text, strlen(text)};
}

struct h1_origin *h1_kept_origin(struct h1_kept_set *s, const char *url, bool *wrong) {
    struct h1_origin *o = (struct h1_origin *)kvr_table_find(&s->origins, bytes_of(url));
    *wrong = false;
    if (o || !(o = origin_new(s, url, wrong))) return o;
    kvr_table_add(&s->origins, &o->item, bytes_of(o->url));
    return o;
}

void h1_kept_forget(struct h1_kept_set *s, struct h1_origin *o) {
    if (o->calls || o->n_idle || o->resumption.session) return;
    kvr_table_remove(&s->origins, &o->item);
    h1_address_free(&o->at);
    free(o);
}

// ---- Connections ---------------------------------------------------------------------------------

static void unlink_idle(struct h1_kept *k) {
    *(k->prev ? &k->prev->next : &k->origin->idle) = k->next;
    if (k->next) k->next->prev = k->prev;
    k->prev = k->next = NULL;
    k->origin->n_idle--;
    k->set->n_idle--;
}

void h1_kept_free(struct h1_kept *k) {
    if (!k) return;
    k->set->n_connections--;
    if (k->ssl) h1_tls_end(k->ssl, k->open);
    if (k->held) evbuffer_free(k->held);
    h1_stream_free(k->stream);
    free(k);
}

static void drop_idle(struct h1_kept *k) {
    struct h1_kept_set *s = k->set;
    struct h1_origin *o = k->origin;
    unlink_idle(k);
    h1_kept_free(k);
    h1_kept_forget(s, o);
}

// Nothing may come on a connection that nobody uses: whatever it is, it ends it.
static void on_idle_read(void *ctx) {
    drop_idle(ctx);
}

static void on_idle_event(void *ctx, short what) {
    struct h1_kept *k = ctx;
    if (what & BEV_EVENT_ERROR) k->open = false;
    drop_idle(k);
}

void h1_kept_put(struct h1_kept *k, int64_t now) {
    static const struct h1_stream_callbacks port = {on_idle_read, NULL, on_idle_event};
    struct h1_kept_set *s = k->set;
    struct h1_origin *o = k->origin;
    if (o->n_idle >= s->keep_most || k->trust != s->trust) {
        h1_kept_free(k);
        return;
    }
    k->call = NULL;
    if (k->ssl) h1_tls_trim(k->ssl);
    k->since = now;
    k->next = o->idle;
    if (k->next) k->next->prev = k;
    o->idle = k;
    o->n_idle++;
    s->n_idle++;
    h1_stream_call(k->stream, &port, k);
    h1_stream_read(k->stream, true);
}

struct h1_kept *h1_kept_take(struct h1_origin *o) {
    struct h1_kept *k = o->idle;
    if (k) unlink_idle(k);
    return k;
}

struct h1_kept *h1_kept_new(struct h1_kept_set *s, struct h1_origin *o) {
    struct h1_kept *k = calloc(1, sizeof *k);
    if (!k) return NULL;
    k->set = s;
    k->origin = o;
    k->trust = s->trust;
    k->stream = h1_stream_new(s->base, -1);
    if (o->at.tls) k->held = evbuffer_new();
    if (k->stream && (k->held || !o->at.tls)) {
        k->stream->max_in = H1_READ_AHEAD;
        s->n_connections++;
        return k;
    }
    h1_stream_free(k->stream);
    if (k->held) evbuffer_free(k->held);
    free(k);
    return NULL;
}

struct evbuffer *h1_kept_output(const struct h1_kept *k) {
    return k->held ? k->held : k->stream->out;
}

// No high watermark here: of what OpenSSL has read already libevent would hear nothing more when there is room again.
// Nor is one needed, since it reads a record at a time.
bool h1_kept_secure(struct h1_kept *k) {
    struct h1_origin *o = k->origin;
    SSL *ssl = h1_tls_begin(k->set->tls, &o->at, &o->resumption);
    if (!ssl) return false;
    struct h1_stream *stream =
        h1_stream_new_tls(k->set->base, k->stream->fd, ssl, BUFFEREVENT_SSL_CONNECTING, true);
    if (!stream) return false;
    evbuffer_add_buffer(stream->out, k->held);
    evbuffer_free(k->held);
    k->held = NULL;
    h1_stream_take_socket(k->stream);
    h1_stream_free(k->stream);
    k->stream = stream;
    k->ssl = ssl;
    return true;
}

// ---- Fewer of them -------------------------------------------------------------------------------

bool h1_kept_drop_any(struct h1_kept_set *s) {
    for (size_t i = 0; s->n_idle && i < s->origins.n_buckets; i++)
        for (struct kvr_table_item *t = s->origins.buckets[i]; t; t = t->next) {
            struct h1_origin *o = (struct h1_origin *)t;
            if (!o->idle) continue;
            if (o->idle->ssl) h1_tls_end(o->idle->ssl, o->idle->open);
            o->idle->open = false;
            h1_stream_close(o->idle->stream); // libevent does so only later in the loop
            drop_idle(o->idle);
            return true;
        }
    return false;
}

static void drop_old(struct h1_origin *o, int64_t before) {
    struct h1_kept *oldest = o->idle;
    while (oldest && oldest->next)
        oldest = oldest->next;
    while (oldest && oldest->since <= before) {
        struct h1_kept *k = oldest;
        oldest = k->prev;
        unlink_idle(k);
        h1_kept_free(k);
    }
}

void h1_kept_drop_old(struct h1_kept_set *s, int64_t now) {
    for (size_t i = 0; i < s->origins.n_buckets; i++)
        for (struct kvr_table_item *t = s->origins.buckets[i], *next; t; t = next) {
            struct h1_origin *o = (struct h1_origin *)t;
            next = t->next;
            drop_old(o, now - s->keep_ms);
            if (h1_resumption_is_old(&o->resumption)) h1_resumption_drop(&o->resumption);
            h1_kept_forget(s, o);
        }
}

void h1_kept_trust(struct h1_kept_set *s, struct h1_tls *tls) {
    for (size_t i = 0; i < s->origins.n_buckets; i++)
        for (struct kvr_table_item *t = s->origins.buckets[i], *next; t; t = next) {
            struct h1_origin *o = (struct h1_origin *)t;
            next = t->next;
            if (o->at.tls) drop_old(o, INT64_MAX);
            h1_resumption_drop(&o->resumption);
            h1_kept_forget(s, o);
        }
    h1_tls_free(s->tls);
    s->tls = tls;
    s->trust++;
}

// ---- All of them ---------------------------------------------------------------------------------

bool h1_kept_init(struct h1_kept_set *s, struct event_base *base) {
    s->base = base;
    // The URLs are the program's own settings, or of workers that may register: nobody chooses them to collide.
    return kvr_table_init(&s->origins, &kvr_alloc_default, (uint64_t)(uintptr_t)s) == 0;
}

void h1_kept_end(struct h1_kept_set *s) {
    if (!s->origins.buckets) return;
    h1_kept_trust(s, NULL);
    h1_kept_drop_old(s, INT64_MAX);
    kvr_table_free(&s->origins);
}
