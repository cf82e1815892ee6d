// SPDX-License-Identifier: Apache-2.0
#include "router_continuation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID_ROOM = 11 }; // characters of one, with its comma

static char *put_number(char *at, uint32_t n) {
    char digits[ID_ROOM];
    size_t i = 0;
    do
        digits[i++] = (char)('0' + n % 10);
    while ((n /= 10));
    while (i)
        *at++ = digits[--i];
    return at;
}

// [1,2,3]; NULL: no memory.
static char *list_ids(const struct router_kept *k) {
    char *text = malloc(k->n_sent * ID_ROOM + 3), *at = text;
    if (!text) return NULL;
    *at++ = '[';
    for (size_t i = 0; i < k->n_sent; i++) {
        if (i) *at++ = ',';
        at = put_number(at, k->ids[i]);
    }
    *at++ = ']';
    *at = 0;
    return text;
}

static void edit_ids(const struct router_kept *k, struct router_edits *e) {
    char *ids = list_ids(k);
    if (!ids) {
        e->failed = true;
    } else if (k->how.chat) {
        router_edits_put(e, "kv_transfer_params", "prompt_token_ids", ids);
    } else {
        router_edits_set(e, "prompt", ids);
        free(ids);
    }
}

// Behind the messages there is one more.
static char *add_message(const struct router_kept *k) {
    const char *body = (const char *)evbuffer_pullup(k->body, -1);
    const struct router_member *m = router_members_find(&k->members, body, "messages");
    size_t n = evbuffer_get_length(k->said);
    json_t *text = json_stringn((const char *)evbuffer_pullup(k->said, -1), n);
    char *dump = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL, *all = NULL;
    if (dump && m && body[m->end - 1] == ']') {
        int before = (int)(m->end - 1 - m->value);
        size_t size = (size_t)before + strlen(dump) + 60;
        if ((all = malloc(size)))
            snprintf(all, size, "%.*s,{\"role\":\"assistant\",\"content\":%s}]", before,
                     body + m->value, dump);
    }
    free(dump);
    json_decref(text);
    return all;
}

static void edit_messages(const struct router_kept *k, struct router_edits *e) {
    char *messages = add_message(k);
    if (!messages) {
        e->failed = true;
        return;
    }
    router_edits_set(e, "messages", messages);
    free(messages);
    router_edits_set(e, "continue_final_message", "true");
    router_edits_set(e, "add_generation_prompt", "false");
}

static void edit_limit(struct router_edits *e, const char *name, int64_t limit, int64_t sent) {
    if (limit >= 0) router_edits_set_number(e, name, limit > sent ? limit - sent : 0);
}

void router_continuation_edit(const struct router_kept *k, enum router_leg_side side,
                              struct router_edits *e) {
    const struct router_protection *p = &k->how;
    int64_t sent = (int64_t)router_kept_sent(k);
    bool ids = k->by == ROUTER_PROTECTED_IDS;
    if (ids && !p->asks_ids && side != ROUTER_LEG_PREFILL)
        router_edits_set(e, "return_token_ids", "true");
    if (!k->seams || (ids ? !k->n_prompt : !k->n_said)) return;
    if (ids)
        edit_ids(k, e);
    else
        edit_messages(k, e);
    edit_limit(e, "max_tokens", p->max_tokens, sent);
    edit_limit(e, "max_completion_tokens", p->max_answer, sent);
    if (!p->chat && p->max_tokens < 0) edit_limit(e, "max_tokens", router_kept_left(k), 0);
    edit_limit(e, "min_tokens", p->min_tokens, sent);
}
