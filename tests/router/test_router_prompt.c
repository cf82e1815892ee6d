// SPDX-License-Identifier: Apache-2.0
// Bodies of requests, and the blocks that they are.
#include <criterion/criterion.h>
#include <kvroute/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/router/prompt/router_json.h"
#include "client/router/prompt/router_prompt.h"
#include "rtest_prompt.h"

// How many blocks two prompts share from their beginning.
static size_t shared(enum router_prompt_kind kind, const char *a, const char *b,
                     const struct router_prompt_config *how) {
    struct router_prompt p = rtest_prompt(kind, a, how), q = rtest_prompt(kind, b, how);
    size_t n = 0;
    while (n < p.n && n < q.n && p.hashes[n] == q.hashes[n])
        n++;
    router_prompt_free(&p);
    router_prompt_free(&q);
    return n;
}

static const struct router_prompt_config ids = {.way = ROUTER_PROMPT_IDS, .block_size = 4};
static const struct router_prompt_config text = {.way = ROUTER_PROMPT_TEXT, .block_size = 4};
static const struct router_prompt_config ask = {.way = ROUTER_PROMPT_TOKENIZE, .block_size = 4};

// ---- Bodies --------------------------------------------------------------------------------------

Test(prompt, what_is_no_object) {
    static const char *const wrong[] = {
        "", "x", "[]", "1", "\"x\"", "null", "{\"a\":}", "{}x", "{\"a\":\"\xff\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char why[100] = "";
        struct evbuffer *b = evbuffer_new();
        evbuffer_add(b, wrong[i], strlen(wrong[i]));
        cr_assert_null(router_json_parse(b, why, sizeof why), "%s", wrong[i]);
        cr_assert(*why && !strchr(why, '\xff'));
        evbuffer_free(b);
    }
    struct evbuffer *deep = evbuffer_new();
    char why[100];
    evbuffer_add(deep, "{\"a\":", 5);
    for (int i = 0; i < 1000000; i++)
        evbuffer_add(deep, "[", 1);
    cr_assert_null(router_json_parse(deep, why, sizeof why));
    evbuffer_free(deep);
}

// Whatever it is, it goes to the engine, which says what is wrong with it.
Test(prompt, what_is_odd_has_no_blocks) {
    static const char *const odd[] = {
        "{}",
        "{\"prompt\":1,\"messages\":1,\"input\":1}",
        "{\"prompt\":null,\"messages\":null}",
        "{\"prompt\":[],\"messages\":[]}",
        "{\"prompt\":{},\"messages\":{},\"input\":{}}",
        "{\"prompt\":[1,2,3,-1],\"input\":[1,2,3,4294967296]}",
        "{\"prompt\":[1,2,3,4.5],\"messages\":[1,2]}",
        "{\"prompt\":[1,2,\"x\",3],\"messages\":[{}]}",
        "{\"prompt\":[[1,2,3,[]]],\"messages\":[{\"role\":1,\"content\":2}]}",
        "{\"prompt\":true,\"messages\":\"x\",\"n\":\"x\",\"max_tokens\":\"y\",\"stream\":\"z\"}",
        "{\"max_tokens\":-5,\"n\":-1,\"cache_salt\":7}",
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        for (int kind = ROUTER_PROMPT_CHAT; kind <= ROUTER_PROMPT_EMBEDDING; kind++) {
            struct router_prompt p = rtest_prompt((enum router_prompt_kind)kind, odd[i], &ids);
            cr_assert(p.n == 0 && p.osl == (kind == ROUTER_PROMPT_EMBEDDING) && !p.stream, "%s",
                      odd[i]);
            router_prompt_free(&p);
            p = rtest_prompt((enum router_prompt_kind)kind, odd[i], &text);
            router_prompt_free(&p);
        }
}

Test(prompt, lengths) {
    static const struct {
        const char *body;
        int64_t isl, osl;
        bool stream;
    } cases[] = {
        // A limit is no expectation, unless the answer can't end before it.
        {"{\"prompt\":[1,2,3,4,5],\"max_tokens\":7}", 5, 0, false},
        {"{\"prompt\":[1],\"max_tokens\":7,\"ignore_eos\":true}", 1, 7, false},
        {"{\"prompt\":[1],\"max_tokens\":7,\"ignore_eos\":1,\"min_tokens\":6}", 1, 0, false},
        {"{\"prompt\":[1],\"max_tokens\":7,\"min_tokens\":7}", 1, 7, false},
        {"{\"prompt\":[1],\"min_tokens\":7}", 1, 0, false},
        {"{\"prompt\":[1],\"max_tokens\":9,\"nvext\":{\"agent_hints\":{\"osl\":5}}}", 1, 5, false},
        {"{\"prompt\":[1],\"nvext\":{\"agent_hints\":[]}}", 1, 0, false},
        {"{\"prompt\":\"123456789\",\"max_tokens\":7,\"n\":3,\"stream\":true,\"ignore_eos\":true}",
         3, 21, true},
        {"{\"prompt\":[\"1234\",\"12345678\"]}", 3, 0, false},
        {"{\"prompt\":[[1,2,3],[4,5]],\"max_tokens\":1,\"max_completion_tokens\":9,\"ignore_eos\":"
         "true}",
         5, 9, false},
        {"{\"prompt_token_ids\":[1,2],\"prompt\":\"123456789\"}", 2, 0, false},
        {"{\"prompt\":\"\",\"max_tokens\":9223372036854775807,\"n\":9223372036854775807,\"ignore_"
         "eos\":true}",
         0, KVR_MAX_TOKENS, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct router_prompt p = rtest_prompt(ROUTER_PROMPT_COMPLETION, cases[i].body, &ids);
        cr_assert(p.isl == cases[i].isl && p.osl == cases[i].osl && p.stream == cases[i].stream,
                  "%zu: %lld %lld", i, (long long)p.isl, (long long)p.osl);
        router_prompt_free(&p);
    }
}

// ---- Ids -----------------------------------------------------------------------------------------

Test(prompt, ids_are_hashed_as_engines_report_them) {
    uint32_t tokens[11];
    uint64_t want[2];
    char list[200], body[300], *at = list;
    for (uint32_t i = 0; i < 11; i++) {
        tokens[i] = i * 400000000u;
        at += sprintf(at, "%s%u", i ? "," : "", tokens[i]);
    }
    struct router_prompt_config how = ids;
    how.lora = (struct kvr_bytes){"ad", 2};
    cr_assert(kvr_hash_tokens(tokens, 11, 4, kvr_hash_salt("ad", 2, "s", 1), NULL, want) == 2);
    for (int own = 0; own < 2; own++) {
        // The pool's namespace is for those that don't say one.
        how.space = (struct kvr_bytes){own ? "pool's" : "s", own ? 6 : 1};
        snprintf(body, sizeof body, "{%s\"prompt\":[%s]}", own ? "\"cache_salt\":\"s\"," : "",
                 list);
        struct router_prompt p = rtest_prompt(ROUTER_PROMPT_COMPLETION, body, &how);
        cr_assert(p.n == 2 && !memcmp(p.hashes, want, sizeof want));
        router_prompt_free(&p);
    }
}

Test(prompt, ids_wherever_they_stand) {
    static const char *const same[] = {"{\"prompt\":[1,2,3,4,5]}", "{\"prompt\":[[1,2,3,4],[9]]}",
                                       "{\"prompt_token_ids\":[1,2,3,4]}"};
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < 3; k++) {
            cr_assert(shared(ROUTER_PROMPT_COMPLETION, same[i], same[k], &ids) == 1);
            cr_assert(shared(ROUTER_PROMPT_COMPLETION, same[i], same[k], &text) == 1);
        }
    cr_assert(shared(ROUTER_PROMPT_EMBEDDING, "{\"input\":[1,2,3,4]}", "{\"input\":[1,2,3,4,5]}",
                     &ids) == 1);
    cr_assert(shared(ROUTER_PROMPT_CHAT, "{\"prompt_token_ids\":[1,2,3,4]}",
                     "{\"prompt_token_ids\":[1,2,3,4]}", &ids) == 1);
    struct router_prompt_config unknown = {.way = ROUTER_PROMPT_IDS};
    struct router_prompt p = rtest_prompt(ROUTER_PROMPT_COMPLETION, same[0], &unknown);
    cr_assert(p.n == 0 && p.isl == 5);
    router_prompt_free(&p);
}

// ---- Text ----------------------------------------------------------------------------------------

#define TURN_1                                                                                     \
    "{\"role\":\"system\",\"content\":\"be brief and kind\"},"                                     \
    "{\"role\":\"user\",\"content\":\"what is the answer, please?\"}"
#define TURN_2                                                                                     \
    "{\"role\":\"assistant\",\"content\":\"forty-two\"},{\"role\":\"user\",\"content\":\"why?\"}"

// The next turn begins with all of this one, whatever else is in the body.
Test(prompt, a_chat_goes_on_where_it_was) {
    const char *first = "{\"messages\":[" TURN_1 "],\"max_tokens\":5}";
    const char *next = "{\"stream\":true,\"messages\":[" TURN_1 "," TURN_2 "],\"user\":\"u\"}";
    struct router_prompt p = rtest_prompt(ROUTER_PROMPT_CHAT, first, &text),
                         q = rtest_prompt(ROUTER_PROMPT_CHAT, next, &text);
    cr_assert(p.n == 3 && q.n > p.n && p.isl >= 13 && p.isl < 17, "%zu", p.n);
    router_prompt_free(&p);
    router_prompt_free(&q);
    cr_assert(shared(ROUTER_PROMPT_CHAT, first, next, &text) == 3);
    cr_assert(shared(ROUTER_PROMPT_CHAT, first, "{\"tools\":[{\"a\":1}],\"messages\":[" TURN_1 "]}",
                     &text) == 0);
    cr_assert(shared(ROUTER_PROMPT_CHAT, first, "{\"cache_salt\":\"x\",\"messages\":[" TURN_1 "]}",
                     &text) == 0);
    struct router_prompt_config small = text;
    small.chunk = 7;
    cr_assert(shared(ROUTER_PROMPT_CHAT, first, next, &small) == 60 / 7);
}

// A content in parts is its text; who says it, and where one message ends, counts.
Test(prompt, what_makes_texts_the_same) {
#define SAYS(role, content) "{\"messages\":[{\"role\":\"" role "\",\"content\":" content "}]}"
    const char *one = SAYS("user", "\"0123456789012345678901234567\"");
    cr_assert(shared(ROUTER_PROMPT_CHAT, one, one, &text) == 2);
    cr_assert(shared(ROUTER_PROMPT_CHAT, one,
                     SAYS("user", "[{\"type\":\"text\",\"text\":"
                                  "\"0123456789012345678901234567\"}]"),
                     &text) == 2);
    cr_assert(shared(ROUTER_PROMPT_CHAT, one, SAYS("rude", "\"0123456789012345678901234567\""),
                     &text) == 0);
    cr_assert(shared(ROUTER_PROMPT_CHAT, SAYS("a", "\"bc\",\"name\":\"0123456789012345\""),
                     SAYS("ab", "\"c\",\"name\":\"0123456789012345\""), &text) == 0);
    cr_assert(shared(ROUTER_PROMPT_CHAT,
                     SAYS("a", "[{\"type\":\"image_url\",\"image_url\":{\"url\":\"one\"}}]"),
                     SAYS("a", "[{\"image_url\":{\"url\":\"one\"},\"type\":\"image_url\"}]"),
                     &text) == 3);
    cr_assert(shared(ROUTER_PROMPT_CHAT,
                     SAYS("a", "[{\"image_url\":{\"url\":\"one two three four\"}}]"),
                     SAYS("a", "[{\"image_url\":{\"url\":\"two two three four\"}}]"), &text) == 1);
}

Test(prompt, text_is_cut_in_equal_pieces) {
    struct router_prompt p = rtest_prompt(
        ROUTER_PROMPT_COMPLETION, "{\"prompt\":\"0123456789abcdef0123456789abcdef!\"}", &text);
    uint64_t block = XXH3_64bits_withSeed("0123456789abcdef", 16, KVR_HASH_SEED);
    cr_assert(p.n == 2 && p.hashes[0] == block && p.isl == 9);
    cr_assert(p.hashes[1] == kvr_hash_chain(block, block));
    router_prompt_free(&p);
}

// ---- /tokenize -----------------------------------------------------------------------------------

static void check_question(enum router_prompt_kind kind, const char *body, const char *want) {
    json_t *b = rtest_body(body), *w = rtest_body(want);
    struct router_prompt p;
    cr_assert(router_prompt_read(&p, kind, b, &ask) && p.tokenize && !p.n);
    struct evbuffer *q = router_prompt_tokenize_request(kind, b);
    char why[100];
    json_t *got = router_json_parse(q, why, sizeof why);
    cr_assert(json_equal(got, w), "%s", body);
    evbuffer_free(q);
    q = evbuffer_new();
    evbuffer_add_printf(q, "{\"count\":5,\"tokens\":[1,2,3,4,5]}");
    cr_assert(router_prompt_tokenize_response(&p, q, b, &ask));
    uint32_t tokens[] = {1, 2, 3, 4};
    cr_assert(p.n == 1 && p.isl == 5 && !p.tokenize &&
              p.hashes[0] == kvr_hash_block(tokens, 4, KVR_HASH_SEED));
    router_prompt_free(&p);
    evbuffer_free(q);
    json_decref(got);
    json_decref(b);
    json_decref(w);
}

Test(prompt, what_tokenize_is_asked) {
    check_question(ROUTER_PROMPT_CHAT,
                   "{\"model\":\"m\",\"messages\":[" TURN_1 "],\"tools\":[],\"max_tokens\":1}",
                   "{\"model\":\"m\",\"messages\":[" TURN_1 "],\"tools\":[]}");
    // What the template is given besides, where /tokenize looks for it.
    check_question(ROUTER_PROMPT_CHAT,
                   "{\"messages\":[" TURN_1 "],\"documents\":[{\"text\":\"d\"}],"
                   "\"reasoning_effort\":\"none\",\"chat_template_kwargs\":{\"a\":1},"
                   "\"mm_processor_kwargs\":{\"fps\":1},\"media_io_kwargs\":{\"b\":2}}",
                   "{\"messages\":[" TURN_1 "],\"mm_processor_kwargs\":{\"fps\":1},"
                   "\"media_io_kwargs\":{\"b\":2},\"chat_template_kwargs\":{\"a\":1,"
                   "\"documents\":[{\"text\":\"d\"}],\"reasoning_effort\":\"none\","
                   "\"enable_thinking\":false}}");
    check_question(ROUTER_PROMPT_CHAT,
                   "{\"messages\":[" TURN_1 "],\"reasoning_effort\":\"high\",\"documents\":null,"
                   "\"chat_template_kwargs\":{\"enable_thinking\":false}}",
                   "{\"messages\":[" TURN_1 "],\"chat_template_kwargs\":{\"enable_thinking\":false,"
                   "\"reasoning_effort\":\"high\"}}");
    check_question(ROUTER_PROMPT_COMPLETION, "{\"prompt\":[\"abc\",\"d\"],\"n\":1}",
                   "{\"prompt\":\"abc\"}");
    check_question(ROUTER_PROMPT_EMBEDDING, "{\"input\":\"abc\",\"model\":\"m\"}",
                   "{\"prompt\":\"abc\",\"model\":\"m\"}");
}

// The last ids are the prompt, whatever /tokenize says of the whole.
Test(prompt, a_prompt_that_is_cut) {
    static const char body[] = "{\"prompt\":\"abc\",\"truncate_prompt_tokens\":5,\"x\":[1,2]}";
    json_t *b = rtest_body(body), *rest = router_prompt_tokenize_rest(b);
    struct router_prompt p;
    struct evbuffer *answer = evbuffer_new();
    evbuffer_add_printf(answer, "{\"tokens\":[9,8,1,2,3,4,5]}");
    cr_assert(json_object_size(rest) == 1);
    cr_assert(router_prompt_read(&p, ROUTER_PROMPT_COMPLETION, b, &ask) &&
              router_prompt_tokenize_response(&p, answer, rest, &ask));
    uint32_t tokens[] = {1, 2, 3, 4};
    cr_assert(p.n == 1 && p.isl == 5 && p.hashes[0] == kvr_hash_block(tokens, 4, KVR_HASH_SEED));
    router_prompt_free(&p);
    evbuffer_free(answer);
    json_decref(rest);
    json_decref(b);
}

Test(prompt, what_tokenize_may_answer_instead) {
    static const char *const odd[] = {"",
                                      "{}",
                                      "[]",
                                      "{\"tokens\":1}",
                                      "{\"tokens\":[\"a\"]}",
                                      "{\"tokens\":[1,2,3,-4]}",
                                      "{\"tokens\":[1,2"};
    json_t *body = rtest_body("{\"prompt\":\"abcdefgh\"}");
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct router_prompt p;
        struct evbuffer *answer = evbuffer_new();
        evbuffer_add(answer, odd[i], strlen(odd[i]));
        cr_assert(router_prompt_read(&p, ROUTER_PROMPT_COMPLETION, body, &ask));
        cr_assert(!router_prompt_tokenize_response(&p, answer, body, &ask), "%s", odd[i]);
        cr_assert(p.n == 0 && p.tokenize && p.isl == 2);
        router_prompt_free(&p);
        evbuffer_free(answer);
    }
    json_decref(body);
    struct router_prompt p = rtest_prompt(ROUTER_PROMPT_COMPLETION, "{\"prompt\":[1,2,3,4]}", &ask);
    cr_assert(!p.tokenize && p.n == 1);
    router_prompt_free(&p);
}
