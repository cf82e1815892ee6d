// SPDX-License-Identifier: Apache-2.0
// Events of streams: what the scanner finds is what a JSON reader finds, and what is left out leaves JSON.
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/random.h"
#include "client/router/proxy/router_event.h"
#include "client/router/proxy/router_kept_events.h"
#include "client/router/proxy/router_rewrite.h"

// ---- Against another reader ----------------------------------------------------------------------

static const struct {
    enum router_event_field field;
    const char *path[3]; // "0": the list's first
} places[] = {
    {ROUTER_EVENT_ID, {"id"}},
    {ROUTER_EVENT_CREATED, {"created"}},
    {ROUTER_EVENT_MODEL, {"model"}},
    {ROUTER_EVENT_FINGERPRINT, {"system_fingerprint"}},
    {ROUTER_EVENT_CHOICES, {"choices"}},
    {ROUTER_EVENT_USAGE, {"usage"}},
    {ROUTER_EVENT_ERROR, {"error"}},
    {ROUTER_EVENT_ERROR_CODE, {"error", "code"}},
    {ROUTER_EVENT_PROMPT_IDS, {"prompt_token_ids"}},
    {ROUTER_EVENT_PROMPT_TOKENS, {"usage", "prompt_tokens"}},
    {ROUTER_EVENT_COMPLETION_TOKENS, {"usage", "completion_tokens"}},
    {ROUTER_EVENT_INDEX, {"choices", "index"}},
    {ROUTER_EVENT_TEXT, {"choices", "text"}},
    {ROUTER_EVENT_FINISH, {"choices", "finish_reason"}},
    {ROUTER_EVENT_IDS, {"choices", "token_ids"}},
    {ROUTER_EVENT_CHOICE_PROMPT_IDS, {"choices", "prompt_token_ids"}},
    {ROUTER_EVENT_ROLE, {"choices", "delta", "role"}},
    {ROUTER_EVENT_CONTENT, {"choices", "delta", "content"}},
    {ROUTER_EVENT_REASONING, {"choices", "delta", "reasoning"}},
    {ROUTER_EVENT_TOOL_CALLS, {"choices", "delta", "tool_calls"}},
    {ROUTER_EVENT_TEXT_OFFSET, {"choices", "logprobs", "text_offset"}},
};

static uint64_t below(uint64_t *random, uint64_t n) {
    return kvr_random(random) % n;
}

static json_t *value_at(uint64_t *random, int depth) {
    static const char *const texts[] = {"",   "a",    "\"",   "\\",   "\\\"",      "[{",
                                        "}]", "\n\t", "日é😀", "\x01", "token_ids", ": ,"};
    switch (below(random, depth ? 5 : 7)) {
    case 0:
        return json_integer((json_int_t)below(random, 200000));
    case 1:
        return json_null();
    case 2:
        return json_real(-0.125);
    case 3:
    case 4:
        return json_string(texts[below(random, sizeof texts / sizeof *texts)]);
    case 5: {
        json_t *list = json_array();
        for (uint64_t i = below(random, 4); i > 0; i--)
            json_array_append_new(list, value_at(random, 1));
        return list;
    }
    default:
        return json_pack("{s:o,s:o}", "id", value_at(random, 1), "b]", value_at(random, 1));
    }
}

static json_t *object_of(uint64_t *random, const char *const *names, size_t n) {
    json_t *o = json_object();
    for (uint64_t i = below(random, n + 3); i > 0; i--)
        json_object_set_new(o, names[below(random, n)], value_at(random, 0));
    return o;
}

static json_t *random_event(uint64_t *random) {
    static const char *const top[] = {
        "id",    "created", "model", "system_fingerprint", "usage", "error", "prompt_token_ids",
        "other", "choices"};
    static const char *const usage[] = {"prompt_tokens", "completion_tokens", "code", "x"};
    static const char *const choice[] = {"index", "text",  "finish_reason",    "token_ids", "role",
                                         "delta", "usage", "prompt_token_ids", "logprobs"};
    static const char *const delta[] = {"role",       "content",     "reasoning",
                                        "tool_calls", "text_offset", "y"};
    json_t *e = object_of(random, top, sizeof top / sizeof *top);
    if (below(random, 2)) json_object_set_new(e, "usage", object_of(random, usage, 4));
    if (below(random, 4) == 0) json_object_set_new(e, "error", object_of(random, usage, 4));
    if (below(random, 4)) {
        json_t *c = object_of(random, choice, sizeof choice / sizeof *choice), *all = json_array();
        if (below(random, 2)) json_object_set_new(c, "delta", object_of(random, delta, 6));
        if (below(random, 2)) json_object_set_new(c, "logprobs", object_of(random, delta, 6));
        json_array_append_new(all, c);
        for (uint64_t i = below(random, 3); i > 0; i--)
            json_array_append_new(all, value_at(random, 0));
        json_object_set_new(e, "choices", all);
    }
    return e;
}

static const json_t *follow(const json_t *e, const char *const path[3]) {
    for (size_t i = 0; i < 3 && path[i]; i++) {
        e = json_object_get(e, path[i]);
        if (i == 0 && !strcmp(path[0], "choices") && path[1]) e = json_array_get(e, 0);
    }
    return e;
}

static void check_event(const json_t *value, size_t flags) {
    char *text = json_dumps(value, flags);
    struct router_event e;
    cr_assert(router_event_read(&e, text, strlen(text)), "%s", text);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const json_t *want = follow(value, places[i].path);
        const struct router_event_span *at = &e.at[places[i].field];
        cr_assert((at->end != 0) == (want != NULL), "%s in %s", places[i].path[0], text);
        if (!want) continue;
        char *dump = json_dumps(want, flags | JSON_ENCODE_ANY);
        cr_assert(strlen(dump) == at->end - at->value &&
                      !memcmp(dump, text + at->value, strlen(dump)),
                  "%s in %s", dump, text);
        free(dump);
    }
    free(text);
}

Test(event, positions_are_those_of_another_reader) {
    uint64_t random = 7;
    for (int i = 0; i < 20000; i++) {
        json_t *e = random_event(&random);
        check_event(e, i % 2 ? JSON_COMPACT : 0);
        check_event(e, JSON_ENSURE_ASCII);
        json_decref(e);
    }
}

// Whatever comes: nothing outside of the text is looked at, and positions are within it.
Test(event, what_is_no_json_does_no_harm) {
    uint64_t random = 8;
    for (int i = 0; i < 20000; i++) {
        json_t *value = random_event(&random);
        char *dump = json_dumps(value, JSON_COMPACT);
        size_t n = strlen(dump);
        for (uint64_t k = below(&random, 4); k > 0; k--)
            dump[below(&random, n)] = "\"\\{}[]:,0 "[below(&random, 10)];
        n -= below(&random, n < 4 ? n : 4);
        char *exact = malloc(n ? n : 1); // a sanitizer sees its end
        memcpy(exact, dump, n);
        struct router_event e;
        if (router_event_read(&e, exact, n))
            for (size_t f = 0; f < ROUTER_EVENT_FIELDS; f++)
                cr_assert(e.at[f].name <= e.at[f].value && e.at[f].value <= e.at[f].end &&
                          e.at[f].end <= n);
        free(exact);
        free(dump);
        json_decref(value);
    }
}

Test(event, lists_of_numbers) {
    static const struct {
        const char *text;
        bool good;
        size_t n;
    } cases[] = {{"{\"prompt_token_ids\":[]}", true, 0},
                 {"{\"prompt_token_ids\":[ ]}", true, 0},
                 {"{\"prompt_token_ids\":[1, 22 ,4294967295]}", true, 3},
                 {"{\"prompt_token_ids\":[4294967296]}", false, 0},
                 {"{\"prompt_token_ids\":[1,]}", false, 0},
                 {"{\"prompt_token_ids\":[-1]}", false, 0},
                 {"{\"prompt_token_ids\":[1.5]}", false, 0},
                 {"{\"prompt_token_ids\":[\"1\"]}", false, 0},
                 {"{\"prompt_token_ids\":null}", false, 0},
                 {"{\"prompt_token_ids\":7}", false, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct router_event e;
        size_t n, at, found = 0;
        uint64_t number;
        cr_assert(router_event_read(&e, cases[i].text, strlen(cases[i].text)));
        bool good = router_event_numbers(&e, ROUTER_EVENT_PROMPT_IDS, &n);
        cr_assert(good == cases[i].good && (!good || n == cases[i].n), "%s", cases[i].text);
        at = e.at[ROUTER_EVENT_PROMPT_IDS].value + 1;
        while (good && router_event_next(&e, ROUTER_EVENT_PROMPT_IDS, &at, &number))
            found++;
        cr_assert(!good || found == n);
    }
}

// ---- Leaving members out -------------------------------------------------------------------------

Test(event, what_is_left_out_leaves_json) {
    static const char *const names[] = {"id",    "created",         "model", "system_fingerprint",
                                        "usage", "prompt_token_ids"};
    static const struct {
        enum router_event_field field;
    } fields[] = {{ROUTER_EVENT_ID},          {ROUTER_EVENT_CREATED}, {ROUTER_EVENT_MODEL},
                  {ROUTER_EVENT_FINGERPRINT}, {ROUTER_EVENT_USAGE},   {ROUTER_EVENT_PROMPT_IDS}};
    for (unsigned there = 0; there < 64; there++)
        for (unsigned gone = 0; gone < 64; gone++)
            for (int loose = 0; loose < 2; loose++) {
                json_t *e = json_object();
                for (size_t i = 0; i < 6; i++)
                    if (there >> i & 1)
                        json_object_set_new(e, names[i], json_pack("[i,s]", 1, ","));
                char *text = json_dumps(e, loose ? JSON_INDENT(2) : JSON_COMPACT);
                struct router_event read;
                struct router_rewrites w = {.n = 0};
                struct evbuffer *out = evbuffer_new();
                cr_assert(router_event_read(&read, text, strlen(text)));
                for (size_t i = 6; i-- > 0;) {
                    if (!(gone >> i & 1)) continue;
                    router_rewrite_remove(&w, &read, fields[i].field);
                    json_object_del(e, names[i]);
                }
                cr_assert(router_rewrite_apply(&w, &read, text, strlen(text), strlen(text), out));
                json_t *got =
                    json_loadb((char *)evbuffer_pullup(out, -1), evbuffer_get_length(out), 0, NULL);
                cr_assert(got && json_equal(got, e), "%s: %u of %u", text, gone, there);
                json_decref(got);
                json_decref(e);
                evbuffer_free(out);
                free(text);
            }
}

// ---- In pieces -----------------------------------------------------------------------------------

static char *pass_pieces(const char *text, size_t piece, size_t *sent, enum router_because *why) {
    struct router_kept_total total = {.max = 1 << 20};
    struct router_protection how = {.max_tokens = -1, .max_answer = -1, .min_tokens = -1};
    struct router_kept *k = router_kept_new(&how, &total);
    struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
    size_t n = strlen(text);
    router_kept_begin(k, ROUTER_PROTECTED_IDS);
    for (size_t at = 0; at < n; at += piece) {
        evbuffer_add(in, text + at, piece < n - at ? piece : n - at);
        cr_assert(router_kept_pass(k, in, out) == ROUTER_KEPT_GOOD && !evbuffer_get_length(in));
    }
    cr_assert(router_kept_end(k, out));
    *sent = router_kept_sent(k);
    *why = k->because;
    n = evbuffer_get_length(out);
    char *all = calloc(1, n + 1);
    evbuffer_remove(out, all, n);
    evbuffer_free(in);
    evbuffer_free(out);
    router_kept_free(k);
    cr_assert(!total.bytes && !total.streams);
    return all;
}

#define FIRST "data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"text\":\"x\""
#define NEXT(text) "data: {\"id\":\"a\",\"choices\":[{\"text\":\"" text "\""

Test(event, streams_come_in_any_pieces) {
    static const struct {
        const char *in, *out;
        size_t sent;
        enum router_because why;
    } cases[] = {
        {FIRST ",\"token_ids\":[7],\"prompt_token_ids\":[1,2]}]}\n\n" NEXT(
             "") ",\"token_ids\":[8]}]}\n\n" NEXT("y") ",\"token_ids\":[9,10]}]}\n\ndata: "
                                                       "[DONE]\n\n",
         FIRST "}]}\n\n" NEXT("") "}]}\n\n" NEXT("y") "}]}\n\ndata: [DONE]\n\n", 4,
         ROUTER_BECAUSE_NOTHING},
        {": ping\n\n" FIRST
         ",\"prompt_token_ids\":[1], \"token_ids\":[7]}]}\r\n\r\n\n: ping\r\n\r\n",
         ": ping\n\n" FIRST "}]}\r\n\r\n\n: ping\r\n\r\n", 1, ROUTER_BECAUSE_NOTHING},
        {FIRST ",\"token_ids\":[7]}]}\n\n", FIRST "}]}\n\n", 0, ROUTER_BECAUSE_IDS},
        {FIRST ",\"prompt_token_ids\":[1]}]}\n\n", FIRST "}]}\n\n", 0, ROUTER_BECAUSE_IDS},
        {FIRST ",\"token_ids\":[7],\"prompt_token_ids\":[1]}]}\n\nevent: x\ndata: {}\n\n",
         FIRST "}]}\n\nevent: x\ndata: {}\n\n", 0, ROUTER_BECAUSE_EVENT},
        {FIRST ",\"token_ids\":[7],\"prompt_token_ids\":[1]}]}\n\ndata: {\"choices\":[\n\n",
         FIRST "}]}\n\ndata: {\"choices\":[\n\n", 0, ROUTER_BECAUSE_EVENT},
        {"data: {\"error\":{\"code\":400}}\n\n", "data: {\"error\":{\"code\":400}}\n\n", 0,
         ROUTER_BECAUSE_REFUSED},
        {"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],"
         "\"prompt_token_ids\":[1]}\n\ndata: {\"choices\":[{\"delta\":{},\"token_ids\":[5]}]}\n\n"
         "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{}]},\"token_ids\":[6]}]}\n\n",
         "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
         "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{}]}}]}\n\n",
         0, ROUTER_BECAUSE_TOOLS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t piece = 1; piece <= strlen(cases[i].in); piece++) {
            size_t sent;
            enum router_because why;
            char *out = pass_pieces(cases[i].in, piece, &sent, &why);
            cr_assert_str_eq(out, cases[i].out, "%zu in pieces of %zu: %s", i, piece, out);
            cr_assert(why == cases[i].why, "%zu: %s", i, router_because_word(why));
            cr_assert(why || sent == cases[i].sent, "%zu: %zu", i, sent);
            free(out);
        }
}

// An engine that breaks off behind the finish_reason has said all but this.
Test(event, what_is_missing_at_the_end_is_written) {
    static const char events[] = FIRST ",\"token_ids\":[7],\"prompt_token_ids\":[1,2]}]}\n\n" NEXT(
        "y") ",\"token_ids\":[8,9],\"finish_reason\":\"stop\"}]}\n\n";
    static const char end[] = "data: {\"id\":\"a\",\"choices\":[],\"usage\":{\"prompt_tokens\":2,"
                              "\"completion_tokens\":3,\"total_tokens\":5}}\n\ndata: [DONE]\n\n";
    for (int usage = 0; usage < 2; usage++) {
        struct router_kept_total total = {.max = 1 << 20};
        struct router_protection how = {
            .asks_usage = usage, .max_tokens = 3, .max_answer = -1, .min_tokens = -1};
        struct router_kept *k = router_kept_new(&how, &total);
        struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
        router_kept_begin(k, ROUTER_PROTECTED_IDS);
        evbuffer_add(in, events, strlen(events));
        cr_assert(router_kept_pass(k, in, out) == ROUTER_KEPT_GOOD && k->finished && !k->done);
        cr_assert(router_kept_left(k) == 0);
        evbuffer_drain(out, evbuffer_get_length(out));
        cr_assert(router_kept_finish(k, false, out) && k->done);
        const char *want = usage ? end : "data: [DONE]\n\n";
        size_t n = evbuffer_get_length(out);
        cr_assert(n == strlen(want) && !memcmp(evbuffer_pullup(out, -1), want, n));
        evbuffer_free(in);
        evbuffer_free(out);
        router_kept_free(k);
    }
}

// The engine that goes on is another one, and the client doesn't see it.
Test(event, the_rest_looks_like_the_first_part) {
    static const char first[] =
        FIRST ",\"token_ids\":[7],\"prompt_token_ids\":[1,2]}],\"created\":5}\n\n";
    static const char rest[] =
        "data: {\"id\":\"b\",\"created\":66,\"model\":\"m\",\"choices\":[{\"text\":\"z\","
        "\"token_ids\":[8],\"prompt_token_ids\":[1,2,7]}]}\n\n"
        "data: {\"id\":\"b\",\"created\":66,\"choices\":[],\"usage\":{\"prompt_tokens\":3,"
        "\"completion_tokens\":1,\"total_tokens\":4,\"prompt_tokens_details\":{\"cached_tokens\":2}"
        "}}\n\n";
    static const char want[] =
        "data: {\"id\":\"a\",\"created\":5,\"model\":\"m\",\"choices\":[{\"text\":\"z\"}]}\n\n"
        "data: {\"id\":\"a\",\"created\":5,\"choices\":[],\"usage\":{\"prompt_tokens\":2,"
        "\"completion_tokens\":2,\"total_tokens\":4,\"prompt_tokens_details\":null}}\n\n";
    struct router_kept_total total = {.max = 1 << 20};
    struct router_protection how = {.max_tokens = -1, .max_answer = -1, .min_tokens = -1};
    struct router_kept *k = router_kept_new(&how, &total);
    struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
    router_kept_begin(k, ROUTER_PROTECTED_IDS);
    evbuffer_add(in, first, strlen(first));
    evbuffer_add(in, first, 20); // and the beginning of another event, which is forgotten
    cr_assert(router_kept_pass(k, in, out) == ROUTER_KEPT_GOOD);
    evbuffer_drain(out, evbuffer_get_length(out));
    router_kept_seam(k);
    evbuffer_add(in, rest, strlen(rest));
    cr_assert(router_kept_pass(k, in, out) == ROUTER_KEPT_GOOD);
    size_t n = evbuffer_get_length(out);
    cr_assert(n == strlen(want) && !memcmp(evbuffer_pullup(out, -1), want, n), "%.*s", (int)n,
              (char *)evbuffer_pullup(out, -1));
    evbuffer_free(in);
    evbuffer_free(out);
    router_kept_free(k);
}

// Whatever engines send, and wherever it breaks: nothing is read that isn't there, and nothing stays.
Test(event, streams_of_anything) {
    static const char events[] =
        FIRST ",\"token_ids\":[7],\"prompt_token_ids\":[1,2],\"logprobs\":{\"text_offset\":[0],"
              "\"tokens\":[\"x\"]}}],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":1}}"
              "\n\n" NEXT("a\\u00e9") ",\"token_ids\":[8, 9]}]}\n\n: x\n\n" NEXT(
                  "") ",\"token_ids\":[5]}]}\n\n" NEXT("b") ",\"finish_reason\":\"stop\",\"token_"
                                                            "ids\":[6]}]}\r\n\r\ndata: [DONE]\n\n";
    uint64_t random = 9;
    for (int i = 0; i < 20000; i++) {
        char text[sizeof events];
        size_t n = sizeof events - 1;
        struct router_kept_total total = {.max = (int64_t)below(&random, 4000)};
        struct router_protection how = {.max_tokens = -1, .max_answer = -1, .min_tokens = -1};
        how.stops = below(&random, 2) ? json_pack("[s,s]", "ab", "never") : NULL;
        struct router_kept *k = router_kept_new(&how, &total);
        struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
        router_kept_begin(k, below(&random, 8) ? ROUTER_PROTECTED_IDS : ROUTER_PROTECTED_TEXT);
        for (int part = 0; part < 2; part++) {
            memcpy(text, events, n);
            for (uint64_t m = below(&random, 6); m > 0; m--)
                text[below(&random, n)] = "\"\\{}[]:,0 \n\r"[below(&random, 12)];
            enum router_kept_outcome good = ROUTER_KEPT_GOOD;
            for (size_t at = 0, piece; at < n && good == ROUTER_KEPT_GOOD; at += piece) {
                piece = 1 + below(&random, 200);
                evbuffer_add(in, text + at, piece < n - at ? piece : n - at);
                good = router_kept_pass(k, in, out);
                cr_assert(good != ROUTER_KEPT_NO_MEMORY && !evbuffer_get_length(in));
                if (below(&random, 20) == 0) break;
            }
            router_kept_seam(k);
            bool again;
            if (router_kept_is_unsure(k)) router_kept_settle(k, "xa\xc3\xa9 z", 6, &again);
        }
        cr_assert(router_kept_finish(k, true, out));
        evbuffer_free(in);
        evbuffer_free(out);
        router_kept_free(k);
        cr_assert(!total.bytes && !total.streams);
    }
}
