// SPDX-License-Identifier: Apache-2.0
#include "router_kept.h"

#include <stdlib.h>
#include <string.h>

#include "client/router/prompt/router_edits.h"

enum {
    KEPT_UNSAID_TOKENS = 16, // of a completion that says no limit
    KEPT_TAIL = 64,          // tokens whose text is asked for
    KEPT_MAX_ROLLED = 4,     // bytes of a character, each of which may be a token
};

// ---- What there is -------------------------------------------------------------------------------

struct router_kept *router_kept_new(struct router_protection *how,
                                    struct router_kept_total *total) {
    struct router_kept *k = calloc(1, sizeof *k);
    if (!k) return NULL;
    k->line = evbuffer_new();
    k->pending = evbuffer_new();
    k->said = evbuffer_new();
    k->how = *how;
    how->stops = NULL;
    k->total = total;
    if (k->line && k->pending && k->said) return k;
    router_kept_free(k);
    return NULL;
}

static void count(struct router_kept *k, int64_t bytes) {
    k->bytes += bytes;
    k->total->bytes += bytes;
}

static void set_by(struct router_kept *k, enum router_protected_by by) {
    k->total->streams += (by != ROUTER_PROTECTED_NOT) - (k->by != ROUTER_PROTECTED_NOT);
    k->by = by;
}

static void drop(struct router_kept *k) {
    if (k->body) evbuffer_free(k->body);
    k->body = NULL;
    router_members_free(&k->members);
    free(k->ids);
    k->ids = NULL;
    if (k->said) evbuffer_drain(k->said, evbuffer_get_length(k->said));
    k->n_prompt = k->n_ids = k->n_sent = k->room = 0;
    count(k, -k->bytes);
    set_by(k, ROUTER_PROTECTED_NOT);
}

void router_kept_free(struct router_kept *k) {
    if (!k) return;
    drop(k);
    if (k->said) evbuffer_free(k->said);
    if (k->line) evbuffer_free(k->line);
    if (k->pending) evbuffer_free(k->pending);
    for (size_t i = 0; i < ROUTER_KEPT_NAMES; i++)
        free(k->names[i]);
    router_protection_free(&k->how);
    router_joint_free(&k->joint);
    free(k);
}

void router_kept_give_up(struct router_kept *k, enum router_because why) {
    if (!k->by) return;
    k->because = why;
    drop(k);
}

static void forget_line(struct router_kept *k) {
    evbuffer_drain(k->line, evbuffer_get_length(k->line));
    evbuffer_drain(k->pending, evbuffer_get_length(k->pending));
    k->begun = k->scanned = k->lines = k->n_pending = 0;
}

void router_kept_note_cached(struct router_kept *k, int64_t blocks, uint32_t block_size) {
    k->block_size = blocks >= 0 ? block_size : 0;
    k->cached = blocks * k->block_size;
}

void router_kept_begin(struct router_kept *k, enum router_protected_by by) {
    forget_line(k);
    k->n_ids = k->n_sent = k->n_prompt = 0;
    set_by(k, by);
    k->asked = by;
    k->n_said = 0;
    evbuffer_drain(k->said, evbuffer_get_length(k->said));
    k->because = by ? ROUTER_BECAUSE_NOTHING : ROUTER_BECAUSE_ENGINE;
}

// ---- The body ------------------------------------------------------------------------------------

static struct evbuffer *without_prompt(struct evbuffer *body, const struct router_members *m) {
    struct router_edits edits = {.n = 0};
    router_edits_remove(&edits, "prompt");
    struct evbuffer *out = router_edits_apply(&edits, body, m);
    router_edits_free(&edits);
    // Pieces of the old one are copied.
    if (out && evbuffer_pullup(out, -1)) return out;
    if (out) evbuffer_free(out);
    return NULL;
}

static bool read_body(struct router_kept *k) {
    const char *text = (const char *)evbuffer_pullup(k->body, -1);
    return text && router_members_read(&k->members, text, evbuffer_get_length(k->body));
}

void router_kept_take_body(struct router_kept *k, struct evbuffer *body,
                           struct router_members *members) {
    if (!k->by || k->body) return;
    if (!k->how.chat && k->n_prompt) {
        k->body = without_prompt(body, members);
        if (!k->body || !read_body(k)) router_kept_give_up(k, ROUTER_BECAUSE_MEMORY);
    } else {
        k->body = evbuffer_new();
        k->members = *members;
        *members = (struct router_members){.all = NULL};
        if (!k->body || evbuffer_add_buffer(k->body, body))
            router_kept_give_up(k, ROUTER_BECAUSE_MEMORY);
    }
    if (!k->by) return;
    count(k, (int64_t)evbuffer_get_length(k->body));
    if (k->total->bytes > k->total->max) router_kept_give_up(k, ROUTER_BECAUSE_MEMORY);
}

// ---- Ids -----------------------------------------------------------------------------------------

bool router_kept_reserve(struct router_kept *k, size_t more) {
    size_t room = k->room ? k->room : 256;
    if (k->n_ids + more <= k->room) return true;
    while (room < k->n_ids + more)
        room += room / 2;
    int64_t bytes = (int64_t)((room - k->room) * sizeof *k->ids);
    if (k->total->bytes + bytes > k->total->max) return false;
    uint32_t *ids = realloc(k->ids, room * sizeof *ids);
    if (!ids) return false;
    k->ids = ids;
    k->room = room;
    count(k, bytes);
    return true;
}

bool router_kept_count(struct router_kept *k, size_t bytes) {
    count(k, (int64_t)bytes);
    return k->total->bytes <= k->total->max;
}

size_t router_kept_sent(const struct router_kept *k) {
    if (k->by == ROUTER_PROTECTED_TEXT) return k->n_said;
    return k->n_sent > k->n_prompt ? k->n_sent - k->n_prompt : 0;
}

int64_t router_kept_left(const struct router_kept *k) {
    const struct router_protection *p = &k->how;
    int64_t most = p->max_answer >= 0 && p->chat ? p->max_answer : p->max_tokens;
    int64_t sent = (int64_t)router_kept_sent(k);
    if (most < 0 && !p->chat) most = KEPT_UNSAID_TOKENS;
    return most < 0 ? -1 : most > sent ? most - sent : 0;
}

void router_kept_rewind(struct router_kept *k) {
    forget_line(k);
    k->n_ids = k->n_sent;
    k->offset = k->offset_read = k->offset_end;
    k->before = router_kept_sent(k);
    k->rolled = 0;
    k->settled = false;
    router_joint_seam(&k->joint);
}

void router_kept_seam(struct router_kept *k) {
    router_kept_rewind(k);
    k->seams++;
}

bool router_kept_is_unsure(const struct router_kept *k) {
    return k->by == ROUTER_PROTECTED_IDS && !k->settled && k->texted && router_kept_sent(k) &&
           (k->how.stops || k->last_ids > 1);
}

size_t router_kept_tail(const struct router_kept *k) {
    size_t want = KEPT_TAIL + router_joint_longest(k->how.stops);
    return k->n_sent > want ? k->n_sent - want : 0;
}

static bool ends_within(const char *text, size_t n) {
    return n >= 3 && !memcmp(text + n - 3, "\xef\xbf\xbd", 3);
}

bool router_kept_settle(struct router_kept *k, const char *text, size_t n, bool *again) {
    *again = ends_within(text, n);
    if (*again) {
        *again = k->rolled < KEPT_MAX_ROLLED && router_kept_sent(k) > 1;
        if (!*again) return false;
        k->rolled++;
        k->n_ids = --k->n_sent;
        k->before = router_kept_sent(k);
        return true;
    }
    k->settled = true;
    return !k->how.stops || router_joint_settle(&k->joint, k->how.stops, text, n);
}

// ---- The end -------------------------------------------------------------------------------------

static bool put_names(const struct router_kept *k, struct evbuffer *out) {
    static const char *const names[ROUTER_KEPT_NAMES] = {"id", "object", "created", "model",
                                                         "system_fingerprint"};
    const char *sign = "data: {";
    for (size_t i = 0; i < ROUTER_KEPT_NAMES; i++) {
        if (!k->names[i]) continue;
        if (evbuffer_add_printf(out, "%s\"%s\":%s", sign, names[i], k->names[i]) < 0) return false;
        sign = ",";
    }
    return evbuffer_add_printf(out, "%s", sign) >= 0;
}

static bool put_text(struct evbuffer *out, const char *before, const char *text, size_t n) {
    json_t *value = json_stringn(text, n);
    char *dump = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    bool good = dump && evbuffer_add_printf(out, "%s%s", before, dump) > 0;
    free(dump);
    json_decref(value);
    return good;
}

static bool put_delta(const struct router_kept *k, const char *text, size_t n,
                      struct evbuffer *out) {
    if (!k->how.chat) return put_text(out, "\"text\":", text, n);
    if (!n) return evbuffer_add_printf(out, "\"delta\":{}") > 0;
    return put_text(out, "\"delta\":{\"content\":", text, n) && !evbuffer_add(out, "}", 1);
}

bool router_kept_say(const struct router_kept *k, const char *text, size_t n, const char *finish,
                     const char *stop, struct evbuffer *out) {
    const char *quote = *finish ? "\"" : "";
    return put_names(k, out) && evbuffer_add_printf(out, "\"choices\":[{\"index\":0,") > 0 &&
           put_delta(k, text, n, out) &&
           evbuffer_add_printf(out, ",\"logprobs\":null,\"finish_reason\":%s%s%s", quote,
                               *finish ? finish : "null", quote) > 0 &&
           (!stop || put_text(out, ",\"stop_reason\":", stop, strlen(stop))) &&
           evbuffer_add_printf(out, "}]}\n\n") > 0;
}

static bool put_usage(const struct router_kept *k, struct evbuffer *out) {
    size_t sent = k->n_ids - k->n_prompt;
    if (k->by != ROUTER_PROTECTED_IDS) return true; // it isn't known
    return put_names(k, out) &&
           evbuffer_add_printf(out,
                               "\"choices\":[],\"usage\":{\"prompt_tokens\":%zu,"
                               "\"completion_tokens\":%zu,\"total_tokens\":%zu}}\n\n",
                               k->n_prompt, sent, k->n_ids) > 0;
}

bool router_kept_finish(struct router_kept *k, bool finish, struct evbuffer *out) {
    bool good = !finish || router_kept_say(k, "", 0, "length", NULL, out);
    if (good && k->how.asks_usage && !k->used) good = put_usage(k, out);
    k->finished = k->done = true;
    return good && evbuffer_add_printf(out, "data: [DONE]\n\n") > 0;
}
