// SPDX-License-Identifier: Apache-2.0
#include "router_kept_events.h"

#include <stdlib.h>
#include <string.h>

#include "client/http1/h1_buffer.h"
#include "router_event.h"
#include "router_rewrite.h"

// An event on its way.
struct kept_step {
    struct router_kept *k;
    struct router_event e;
    const char *whole, *json; // all of the event; of it, the JSON
    size_t whole_size, size;
    struct router_rewrites w;
    char *offsets; // rewritten; NULL: none are
    struct evbuffer *out;
};

// ---- Ids -----------------------------------------------------------------------------------------

static bool read_ids(struct kept_step *s, enum router_event_field f, size_t *n) {
    struct router_kept *k = s->k;
    size_t at = s->e.at[f].value + 1;
    uint64_t id;
    if (!router_event_numbers(&s->e, f, n)) {
        router_kept_give_up(k, ROUTER_BECAUSE_IDS);
        return false;
    }
    if (!router_kept_reserve(k, *n)) {
        router_kept_give_up(k, ROUTER_BECAUSE_MEMORY);
        return false;
    }
    while (router_event_next(&s->e, f, &at, &id))
        k->ids[k->n_ids++] = (uint32_t)id;
    return true;
}

static void read_prompt(struct kept_step *s) {
    struct router_kept *k = s->k;
    enum router_event_field f = router_event_has(&s->e, ROUTER_EVENT_PROMPT_IDS)
                                    ? ROUTER_EVENT_PROMPT_IDS
                                    : ROUTER_EVENT_CHOICE_PROMPT_IDS;
    size_t n;
    if (k->n_ids || !router_event_has(&s->e, f)) return;
    if (read_ids(s, f, &n)) k->n_prompt = k->n_sent = k->n_ids;
}

// ---- Rewriting -----------------------------------------------------------------------------------

static const enum router_event_field name_fields[ROUTER_KEPT_NAMES] = {
    [ROUTER_KEPT_ID] = ROUTER_EVENT_ID,
    [ROUTER_KEPT_OBJECT] = ROUTER_EVENT_OBJECT,
    [ROUTER_KEPT_CREATED] = ROUTER_EVENT_CREATED,
    [ROUTER_KEPT_MODEL] = ROUTER_EVENT_MODEL,
    [ROUTER_KEPT_FINGERPRINT] = ROUTER_EVENT_FINGERPRINT,
};

// The first part's names are kept; a fingerprint may come later than the others.
static void keep_names(struct kept_step *s) {
    struct router_kept *k = s->k;
    for (size_t i = 0; i < ROUTER_KEPT_NAMES; i++) {
        const struct router_event_span *at = &s->e.at[name_fields[i]];
        if (!k->names[i] && at->end && !(k->seams && k->told))
            k->names[i] = strndup(s->json + at->value, at->end - at->value);
    }
}

static void set_names(struct kept_step *s) {
    const struct router_kept *k = s->k;
    for (size_t i = 0; i < ROUTER_KEPT_NAMES; i++) {
        const struct router_event_span *at = &s->e.at[name_fields[i]];
        const char *name = k->names[i];
        if (!name || !at->end) continue;
        size_t n = strlen(name);
        if (n != at->end - at->value || memcmp(s->json + at->value, name, n) != 0)
            router_rewrite_set(&s->w, &s->e, name_fields[i], name, n);
    }
}

// An engine always computes the last token itself.
static int64_t cached_of(const struct router_kept *k, int64_t prompt) {
    int64_t most = prompt > 0 ? (prompt - 1) / k->block_size * k->block_size : 0;
    return k->cached < most ? k->cached : most;
}

static void set_usage(struct kept_step *s) {
    const struct router_kept *k = s->k;
    int64_t prompt = router_event_number(&s->e, ROUTER_EVENT_PROMPT_TOKENS);
    int64_t made = router_event_number(&s->e, ROUTER_EVENT_COMPLETION_TOKENS);
    int64_t before = (int64_t)k->before;
    if (prompt < before || made < 0) return;
    router_rewrite_set_number(&s->w, &s->e, ROUTER_EVENT_PROMPT_TOKENS, prompt - before);
    router_rewrite_set_number(&s->w, &s->e, ROUTER_EVENT_COMPLETION_TOKENS, made + before);
    router_rewrite_set_number(&s->w, &s->e, ROUTER_EVENT_TOTAL_TOKENS, prompt + made);
    if (router_event_has(&s->e, ROUTER_EVENT_CACHED_TOKENS) && k->block_size)
        router_rewrite_set_number(&s->w, &s->e, ROUTER_EVENT_CACHED_TOKENS,
                                  cached_of(k, prompt - before));
    else
        router_rewrite_set(&s->w, &s->e, ROUTER_EVENT_PROMPT_DETAILS, "null", 4);
    router_rewrite_set(&s->w, &s->e, ROUTER_EVENT_COMPLETION_DETAILS, "null", 4);
}

// Characters of the text that ends at `end`.
static size_t last_length(const char *text, size_t begin, size_t end) {
    size_t n = 0;
    for (size_t i = begin; i < end; i++) {
        if (text[i] == '\\' && i + 1 < end) {
            bool low = i + 3 < end && text[i + 1] == 'u' && (text[i + 2] | 32) == 'd' &&
                       strchr("cdefCDEF", text[i + 3]);
            i += text[i + 1] == 'u' ? 5 : 1;
            n += !low;
        } else {
            n += ((unsigned char)text[i] & 0xc0) != 0x80;
        }
    }
    return n;
}

// The offset behind the last token: where the next part begins to count.
static void read_offsets(struct kept_step *s) {
    const struct router_event_span *tokens = &s->e.at[ROUTER_EVENT_TOKENS];
    size_t n, at = s->e.at[ROUTER_EVENT_TEXT_OFFSET].value + 1, begin = 0, end = 0;
    uint64_t offset = 0, next;
    if (!tokens->end || !router_event_numbers(&s->e, ROUTER_EVENT_TEXT_OFFSET, &n) || !n) return;
    while (router_event_next(&s->e, ROUTER_EVENT_TEXT_OFFSET, &at, &next))
        offset = next;
    for (size_t i = tokens->value; i < tokens->end; i++) {
        if (s->json[i] != '"') continue;
        for (begin = ++i; i < tokens->end && s->json[i] != '"'; i++)
            i += s->json[i] == '\\';
        end = i;
    }
    s->k->offset_read = s->k->offset + (size_t)offset + last_length(s->json, begin, end);
}

static bool set_offsets(struct kept_step *s) {
    size_t n, at = s->e.at[ROUTER_EVENT_TEXT_OFFSET].value + 1, len = 1;
    uint64_t offset;
    if (!router_event_numbers(&s->e, ROUTER_EVENT_TEXT_OFFSET, &n)) return true;
    struct evbuffer *list = evbuffer_new();
    if (!list) return false;
    evbuffer_add(list, "[", 1);
    while (router_event_next(&s->e, ROUTER_EVENT_TEXT_OFFSET, &at, &offset))
        evbuffer_add_printf(list, len++ > 1 ? ",%zu" : "%zu", (size_t)offset + s->k->offset);
    evbuffer_add(list, "]", 1);
    len = evbuffer_get_length(list);
    s->offsets = malloc(len);
    if (s->offsets) evbuffer_remove(list, s->offsets, len);
    evbuffer_free(list);
    if (s->offsets) router_rewrite_set(&s->w, &s->e, ROUTER_EVENT_TEXT_OFFSET, s->offsets, len);
    return s->offsets != NULL;
}

// What the client hasn't asked for; of a second part also what is said of a prompt.
static void remove_ids(struct kept_step *s) {
    const struct router_kept *k = s->k;
    if (!k->how.asks_ids) router_rewrite_remove(&s->w, &s->e, ROUTER_EVENT_IDS);
    if (k->how.asks_ids && !(k->seams && k->told)) return;
    router_rewrite_remove(&s->w, &s->e, ROUTER_EVENT_PROMPT_IDS);
    router_rewrite_remove(&s->w, &s->e, ROUTER_EVENT_PROMPT_TEXT);
    router_rewrite_remove(&s->w, &s->e, ROUTER_EVENT_CHOICE_PROMPT_IDS);
    router_rewrite_remove(&s->w, &s->e, ROUTER_EVENT_CHOICE_PROMPT_TEXT);
}

// False: no memory.
static bool rewrite(struct kept_step *s) {
    const struct router_kept *k = s->k;
    if (k->asked != ROUTER_PROTECTED_IDS && !k->seams) return true;
    remove_ids(s);
    if (!k->seams) return true;
    set_names(s);
    set_usage(s);
    return set_offsets(s);
}

static bool send_event(struct kept_step *s, struct evbuffer *to) {
    bool good = rewrite(s);
    if (good && s->w.n)
        good = router_rewrite_apply(&s->w, &s->e, s->whole, s->whole_size, s->size, to);
    else if (good)
        good = !evbuffer_add(to, s->whole, s->whole_size);
    free(s->offsets);
    return good;
}

// ---- Events --------------------------------------------------------------------------------------

static bool says_text(const struct router_event *e) {
    return router_event_says(e, ROUTER_EVENT_TEXT) || router_event_says(e, ROUTER_EVENT_CONTENT) ||
           router_event_says(e, ROUTER_EVENT_REASONING) ||
           router_event_says(e, ROUTER_EVENT_REASONING_CONTENT);
}

// Engines send such a chunk only for the ids in it.
static bool is_for_ids(const struct router_event *e) {
    const struct router_event_span *at = &e->at[ROUTER_EVENT_DELTA];
    size_t i = at->value + 1;
    if (!at->end || e->text[at->value] != '{') return false;
    while (i < at->end && e->text[i] == ' ')
        i++;
    return i + 1 == at->end;
}

static bool calls_tool(const struct router_event *e) {
    const struct router_event_span *at = &e->at[ROUTER_EVENT_TOOL_CALLS];
    return router_event_has(e, ROUTER_EVENT_TOOL_CALLS) && at->end - at->value > 2;
}

// An error that is the request's: another engine would say the same.
static bool is_requests(const struct router_event *e) {
    int64_t code = router_event_number(e, ROUTER_EVENT_ERROR_CODE);
    return code >= 400 && code < 500;
}

// Whether the stream stays one that can go on.
static void check_choice(struct kept_step *s) {
    struct router_kept *k = s->k;
    if (s->e.n_choices > 1 || (router_event_has(&s->e, ROUTER_EVENT_INDEX) &&
                               router_event_number(&s->e, ROUTER_EVENT_INDEX) != 0))
        router_kept_give_up(k, ROUTER_BECAUSE_EVENT);
    if (calls_tool(&s->e)) router_kept_give_up(k, ROUTER_BECAUSE_TOOLS);
}

// How many ids came.
static size_t read_choice(struct kept_step *s, bool text) {
    struct router_kept *k = s->k;
    size_t n = 0;
    read_prompt(s);
    // The first choice has them, or none ever will; without them the others are of no use.
    if (!k->n_prompt) router_kept_give_up(k, ROUTER_BECAUSE_IDS);
    if (k->by && router_event_has(&s->e, ROUTER_EVENT_IDS)) read_ids(s, ROUTER_EVENT_IDS, &n);
    if (k->by && text && !n && !router_event_has(&s->e, ROUTER_EVENT_FINISH))
        router_kept_give_up(k, ROUTER_BECAUSE_IDS);
    return n;
}

// What is owed at a joint comes before all else.
static bool say_owed(struct router_kept *k, struct evbuffer *out) {
    struct router_joint *j = &k->joint;
    if (!j->owed) return true;
    size_t n = evbuffer_get_length(j->joined);
    bool good = router_kept_say(k, j->owed, j->owed_size, "", NULL, out);
    router_joint_sent(j, (const char *)evbuffer_pullup(j->joined, -1), n);
    router_joint_free(j);
    return good;
}

static bool flush(struct router_kept *k, struct evbuffer *out) {
    k->n_pending = 0;
    return say_owed(k, out) && !evbuffer_add_buffer(out, k->pending);
}

static void note_sent(struct router_kept *k, size_t ids, bool text, bool finish) {
    if (k->by) {
        k->n_sent = k->n_ids;
        k->offset_end = k->offset_read;
        k->last_ids = (unsigned)ids;
    }
    k->texted |= text;
    k->finished |= finish;
}

// ---- Stop strings --------------------------------------------------------------------------------

static enum router_event_field text_field(const struct router_event *e) {
    return router_event_says(e, ROUTER_EVENT_TEXT) ? ROUTER_EVENT_TEXT : ROUTER_EVENT_CONTENT;
}

// Adds to the end of what was sent.
static bool note_tail(struct router_kept *k, const char *json, size_t n) {
    struct evbuffer *text = evbuffer_new();
    bool good = text && router_joint_decode(json, n, text);
    size_t m = good ? evbuffer_get_length(text) : 0;
    if (m) router_joint_sent(&k->joint, (const char *)evbuffer_pullup(text, -1), m);
    if (text) evbuffer_free(text);
    return good;
}

static bool note_said(struct router_kept *k, const char *json, size_t n) {
    size_t before = evbuffer_get_length(k->said);
    k->n_said++;
    return router_joint_decode(json, n, k->said) &&
           router_kept_count(k, evbuffer_get_length(k->said) - before);
}

// The text is kept where the stream goes on by it, and its end where there are stop strings. Thoughts may have
// those, too, and are no part of a message that goes on: then it isn't known where the text is.
static void note_text(struct kept_step *s) {
    struct router_kept *k = s->k;
    const struct router_event_span *at = &s->e.at[text_field(&s->e)];
    const char *json = s->json + at->value + 1;
    size_t n = at->end - at->value - 2;
    bool by_text = k->by == ROUTER_PROTECTED_TEXT;
    if (!k->by || !says_text(&s->e) || (!by_text && !k->how.stops)) return;
    if (router_event_says(&s->e, ROUTER_EVENT_REASONING) ||
        router_event_says(&s->e, ROUTER_EVENT_REASONING_CONTENT))
        router_kept_give_up(k, by_text ? ROUTER_BECAUSE_REASONING : ROUTER_BECAUSE_STOP);
    else if (by_text         ? !note_said(k, json, n)
             : k->joint.owed ? !router_joint_decode(json, n, k->joint.joined)
                             : !note_tail(k, json, n))
        router_kept_give_up(k, ROUTER_BECAUSE_MEMORY);
}

// The text up to the stop string, and its end.
static enum router_kept_outcome stop_there(struct router_kept *k, struct evbuffer *out) {
    const struct router_joint *j = &k->joint;
    size_t n = j->stop_at + (k->how.stops_included ? strlen(j->stop) : 0);
    const char *text = (const char *)evbuffer_pullup(j->joined, -1);
    k->finished = true;
    evbuffer_drain(k->pending, evbuffer_get_length(k->pending));
    return router_kept_say(k, text, n, "stop", j->stop, out) ? ROUTER_KEPT_STOPPED
                                                             : ROUTER_KEPT_NO_MEMORY;
}

// Whether the event has to wait because a stop string may begin in what is owed.
static enum router_kept_outcome look_at_joint(struct kept_step *s, bool finish, bool *waits) {
    struct router_kept *k = s->k;
    *waits = false;
    if (!k->joint.owed) return ROUTER_KEPT_GOOD;
    switch (router_joint_look(&k->joint, k->how.stops, finish || !k->by)) {
    case ROUTER_JOINT_STOPS:
        return stop_there(k, s->out);
    case ROUTER_JOINT_CLEAR:
        return say_owed(k, s->out) ? ROUTER_KEPT_GOOD : ROUTER_KEPT_NO_MEMORY;
    case ROUTER_JOINT_UNSURE:
        *waits = true;
        break;
    }
    return ROUTER_KEPT_GOOD;
}

// ---- Choices -------------------------------------------------------------------------------------

static enum router_kept_outcome pass_choice(struct kept_step *s) {
    struct router_kept *k = s->k;
    bool finish = router_event_has(&s->e, ROUTER_EVENT_FINISH), text = says_text(&s->e);
    if (k->by && router_event_is(&s->e, ROUTER_EVENT_FINISH, "abort")) return ROUTER_KEPT_ABORTED;
    if (k->by) check_choice(s);
    size_t ids = k->by == ROUTER_PROTECTED_IDS ? read_choice(s, text) : 0;
    read_offsets(s);
    bool role = router_event_has(&s->e, ROUTER_EVENT_ROLE);
    if (k->seams && k->told && role && !text && !ids && !finish) return ROUTER_KEPT_GOOD;
    keep_names(s);
    if (!finish && !k->how.asks_ids && is_for_ids(&s->e)) return ROUTER_KEPT_GOOD;
    bool unsure;
    note_text(s);
    enum router_kept_outcome how = look_at_joint(s, finish, &unsure);
    if (how != ROUTER_KEPT_GOOD) return how;
    bool waits = unsure || (k->by && !text && !finish && (ids || k->n_pending));
    bool good = (waits || flush(k, s->out)) && send_event(s, waits ? k->pending : s->out);
    k->told = true;
    if (waits)
        k->n_pending++;
    else if (text || finish)
        note_sent(k, ids, text, finish);
    if (good && evbuffer_get_length(k->pending) > ROUTER_KEPT_MAX_PENDING) {
        router_kept_give_up(k, ROUTER_BECAUSE_MEMORY);
        good = flush(k, s->out);
    }
    return good ? ROUTER_KEPT_GOOD : ROUTER_KEPT_NO_MEMORY;
}

static enum router_kept_outcome pass_json(struct kept_step *s) {
    struct router_kept *k = s->k;
    if (!router_event_read(&s->e, s->json, s->size)) {
        router_kept_give_up(k, ROUTER_BECAUSE_EVENT);
        bool good = flush(k, s->out) && !evbuffer_add(s->out, s->whole, s->whole_size);
        return good ? ROUTER_KEPT_GOOD : ROUTER_KEPT_NO_MEMORY;
    }
    if (s->e.n_choices) return pass_choice(s);
    if (k->by && router_event_has(&s->e, ROUTER_EVENT_ERROR)) {
        if (!is_requests(&s->e)) return ROUTER_KEPT_ERROR;
        router_kept_give_up(k, ROUTER_BECAUSE_REFUSED);
    }
    keep_names(s);
    k->used |= router_event_has(&s->e, ROUTER_EVENT_USAGE);
    return flush(k, s->out) && send_event(s, s->out) ? ROUTER_KEPT_GOOD : ROUTER_KEPT_NO_MEMORY;
}

static bool begins(const char *text, size_t n, const char *word) {
    size_t m = strlen(word);
    return n >= m && !memcmp(text, word, m);
}

// One event, with the empty line behind it.
static enum router_kept_outcome pass_event(struct router_kept *k, const char *text, size_t n,
                                           struct evbuffer *out) {
    struct kept_step s; // most of it is large, and set when it is needed
    s.k = k;
    s.whole = text;
    s.whole_size = n;
    s.w.n = 0;
    s.offsets = NULL;
    s.out = out;
    size_t end = n, at = 5;
    while (end && (text[end - 1] == '\n' || text[end - 1] == '\r'))
        end--;
    if (begins(text, end, "data:") && k->lines == 1) {
        at += at < end && text[at] == ' ';
        s.json = text + at;
        s.size = end - at;
        if (s.size && *s.json == '{') return pass_json(&s);
        k->done |= s.size == 6 && !memcmp(s.json, "[DONE]", 6);
        if (!flush(k, out)) return ROUTER_KEPT_NO_MEMORY;
    }
    bool known = k->done || !end || *text == ':';
    if (!known) router_kept_give_up(k, ROUTER_BECAUSE_EVENT);
    return !evbuffer_add(out, text, n) ? ROUTER_KEPT_GOOD : ROUTER_KEPT_NO_MEMORY;
}

// ---- Lines ---------------------------------------------------------------------------------------

static bool is_empty(struct evbuffer *line, size_t at, size_t end) {
    struct evbuffer_ptr p;
    char c = 0;
    if (end == at) return true;
    if (end != at + 1 || evbuffer_ptr_set(line, &p, at, EVBUFFER_PTR_SET)) return false;
    return evbuffer_copyout_from(line, &p, &c, 1) == 1 && c == '\r';
}

// Where the next line ends; −1: it isn't all there. Nearly always all is in one piece.
static ev_ssize_t find_end(struct evbuffer *from, size_t at) {
    struct evbuffer_iovec v;
    struct evbuffer_ptr p;
    if (evbuffer_peek(from, -1, NULL, &v, 1) < 1) return -1;
    const char *lf = at < v.iov_len ? memchr((char *)v.iov_base + at, '\n', v.iov_len - at) : NULL;
    if (lf) return lf - (const char *)v.iov_base;
    if (v.iov_len > at) at = v.iov_len;
    if (evbuffer_ptr_set(from, &p, at, EVBUFFER_PTR_SET)) return -1;
    return evbuffer_search_eol(from, &p, NULL, EVBUFFER_EOL_LF).pos;
}

// Bytes of the event at the beginning, with its empty line; 0: it isn't all there.
static size_t event_size(struct router_kept *k, struct evbuffer *from) {
    for (;;) {
        ev_ssize_t end = find_end(from, k->scanned);
        if (end < 0) {
            k->scanned = evbuffer_get_length(from);
            return 0;
        }
        bool empty = is_empty(from, k->begun, (size_t)end);
        k->begun = k->scanned = (size_t)end + 1;
        if (empty) return k->begun;
        k->lines++;
    }
}

static enum router_kept_outcome pass_whole(struct router_kept *k, struct evbuffer *from,
                                           struct evbuffer *out) {
    for (size_t n; (n = event_size(k, from));) {
        const char *text = (const char *)evbuffer_pullup(from, (ev_ssize_t)n);
        if (!text) return ROUTER_KEPT_NO_MEMORY;
        enum router_kept_outcome how = pass_event(k, text, n, out);
        evbuffer_drain(from, n);
        k->begun = k->scanned = k->lines = 0;
        if (how != ROUTER_KEPT_GOOD) return how;
    }
    return ROUTER_KEPT_GOOD;
}

// Whole events are looked at where they are.
enum router_kept_outcome router_kept_pass(struct router_kept *k, struct evbuffer *in,
                                          struct evbuffer *out) {
    struct evbuffer *from = evbuffer_get_length(k->line) ? k->line : in;
    if (from != in && !h1_buffer_move(in, k->line, evbuffer_get_length(in)))
        return ROUTER_KEPT_NO_MEMORY;
    enum router_kept_outcome how = pass_whole(k, from, out);
    size_t left = evbuffer_get_length(in);
    if (how != ROUTER_KEPT_GOOD) {
        evbuffer_drain(in, left);
        return how;
    }
    if (left && !h1_buffer_move(in, k->line, left)) return ROUTER_KEPT_NO_MEMORY;
    if (evbuffer_get_length(k->line) <= ROUTER_KEPT_MAX_EVENT) return how;
    router_kept_give_up(k, ROUTER_BECAUSE_EVENT);
    return router_kept_end(k, out) ? ROUTER_KEPT_GOOD : ROUTER_KEPT_NO_MEMORY;
}

bool router_kept_end(struct router_kept *k, struct evbuffer *out) {
    k->begun = k->scanned = 0;
    return flush(k, out) && !evbuffer_add_buffer(out, k->line);
}
