// SPDX-License-Identifier: Apache-2.0
// Streams that outlive their engine: wherever it breaks, the client gets what an unbroken one would have been.
#define _GNU_SOURCE // asprintf
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_fleet.h"

enum { UNBROKEN = 6 }; // an engine that the router doesn't know

static const char same_id[] = "X-Request-Id: same\r\n";

static void bring_up(const char *engine_options, const char *const *flags) {
    char options[300];
    snprintf(options, sizeof options, "--answers ids --time-scale 0 %s", engine_options);
    rtest_fleet_up(2, options, 1, flags);
    snprintf(options, sizeof options, "--no-events --answers ids --time-scale 0 %s",
             engine_options);
    rtest_engine(UNBROKEN, options);
}

// Details of the usage are the last engine's; what is behind the sums isn't compared.
static void drop_details(char *text) {
    static const char sums[] = "\"total_tokens\":";
    for (char *at = text; (at = strstr(at, sums));) {
        at += strlen(sums);
        at += strspn(at, "0123456789");
        char *end = strstr(at, "\n\n");
        memmove(at, end, strlen(end) + 1);
    }
}

static char *text_of(struct rtest_client *who) {
    cr_assert(who->status == 200 && who->complete, "%d", who->status);
    char *text = rtest_client_text(who);
    rtest_client_free(who);
    drop_details(text);
    return text;
}

// The first two engines that get it break after so many tokens each.
static char *broken_at(const char *path, const char *body, int tokens, const char *how) {
    char fault[80];
    snprintf(fault, sizeof fault, "kind=%s&tokens=%d", how, tokens);
    rtest_fault(0, fault);
    rtest_fault(1, fault);
    struct rtest_client who = rtest_client_call(rtest_port(), path, same_id, body);
    char *text = text_of(&who);
    rtest_fault(0, "kind=clear");
    rtest_fault(1, "kind=clear");
    return text;
}

// A mock that is cut after its last token doesn't say that it was the last one. So the router does, in an event of
// its own.
static bool ends_apart(const char *got, const char *want) {
    static const char last[] = "\"finish_reason\":\"length\"", other[] = "\"finish_reason\":null";
    const char *end = strstr(want, last), *apart = strstr(got, last);
    size_t same = end ? (size_t)(end - want) : 0;
    return end && apart && strncmp(got, want, same) == 0 &&
           strncmp(got + same, other, strlen(other)) == 0 && strcmp(end, apart) == 0;
}

static void check_cuts(const char *path, const char *body, int from, int most, const char *how) {
    struct rtest_client who =
        rtest_client_call(rtest_fleet.engines[UNBROKEN].port, path, same_id, body);
    char *want = text_of(&who);
    for (int k = from; k <= most; k++) {
        char *got = broken_at(path, body, k, how);
        cr_assert(strcmp(got, want) == 0 || ends_apart(got, want),
                  "cut after %d\n%s\n---- instead of\n%s", k, got, want);
        free(got);
    }
    free(want);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

#define TWICE                                                                                      \
    (const char *[]) {                                                                             \
        "--migrate", "2", NULL                                                                     \
    }

static const char completion[] =
    "{\"prompt\":\"hello you there\",\"max_tokens\":40,\"stream\":true}";
static const char chat[] =
    "{\"messages\":[{\"role\":\"user\",\"content\":\"tell me of the sea\"}],\"max_tokens\":60,"
    "\"stream\":true}";

Test(migrate, a_completion_is_the_same_wherever_it_is_cut, .fini = rtest_fleet_down) {
    bring_up("--end-every 0", TWICE);
    check_cuts("/v1/completions", completion, 1, 42, "cut");
    check_cuts("/v1/completions", completion, 1, 42, "cut&gently=1");
}

Test(migrate, a_chat_is_the_same_wherever_it_is_cut, .fini = rtest_fleet_down) {
    bring_up("--reasoning", TWICE);
    check_cuts("/v1/chat/completions", chat, 1, 62, "cut&gently=1");
}

// Some of these begin with tokens of half a character: the second engine breaks before the client has any of them.
Test(migrate, what_nobody_got_is_forgotten, .fini = rtest_fleet_down) {
    bring_up("--end-every 0", TWICE);
    for (int i = 40; i < 56; i++) {
        char text[40];
        snprintf(text, sizeof text, "question number %d", i);
        char *body = rtest_chat(text, 12, true);
        check_cuts("/v1/chat/completions", body, 1, 3, "cut&gently=1");
        free(body);
    }
}

// ---- What comes with the text --------------------------------------------------------------------

#define USAGE ",\"stream_options\":{\"include_usage\":true}"

Test(migrate, usage_and_probabilities_are_those_of_one_stream, .fini = rtest_fleet_down) {
    bring_up("--end-every 0", TWICE);
    check_cuts("/v1/completions",
               "{\"prompt\":\"a b c\",\"max_tokens\":24,\"stream\":true,\"logprobs\":1" USAGE "}",
               1, 25, "cut&gently=1");
    check_cuts("/v1/completions",
               "{\"prompt\":\"a b c\",\"stream\":true,\"return_token_ids\":true" USAGE "}", 1, 15,
               "cut&gently=1");
    check_cuts("/v1/chat/completions",
               "{\"messages\":[{\"role\":\"user\",\"content\":\"a b c\"}],\"max_tokens\":20,"
               "\"stream\":true,\"logprobs\":true,\"stream_options\":{\"include_usage\":true,"
               "\"continuous_usage_stats\":true}}",
               1, 9, "cut&gently=1");
}

static bool is_logged(void) {
    char *log = rtest_log(0);
    bool there = strstr(log, "\"protected\":\"ids\",\"continued\":2") != NULL;
    free(log);
    return there;
}

Test(migrate, an_aborted_stream_goes_on, .fini = rtest_fleet_down) {
    bring_up("--end-every 0", TWICE);
    check_cuts("/v1/completions", completion, 2, 4, "abort");
    rtest_await(is_logged, "the log doesn't say that it went on");
    cr_assert(rtest_router_metric(0, "kept_bytes") == 0);
    cr_assert(rtest_router_metric(0, "kept_streams") == 0);
}

// ---- What can't go on ----------------------------------------------------------------------------

static void check_lost(const char *path, const char *body, const char *because) {
    char want[80];
    for (int i = 0; i < 2; i++)
        rtest_fault(i, "kind=cut&tokens=9&gently=1");
    struct rtest_client who = rtest_client_call(rtest_port(), path, NULL, body);
    snprintf(want, sizeof want, "none; because=%s", because);
    cr_assert_str_eq(who.kept, want);
    cr_assert(who.complete && rtest_answer_ends(&who, "\"code\":\"ENGINE\"}}\n\n"), "%s", because);
    cr_assert(!rtest_answer_has(&who, "token_ids"));
    rtest_client_free(&who);
    for (int i = 0; i < 2; i++)
        rtest_fault(i, "kind=clear");
}

#define PROMPT(more) "{\"prompt\":\"hello you there\",\"max_tokens\":40,\"stream\":true," more "}"
#define MESSAGES(more)                                                                             \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}],\"max_tokens\":40,\"stream\":"      \
    "true," more "}"

Test(migrate, what_cannot_go_on_says_why, .fini = rtest_fleet_down) {
    static const char completions[] = "/v1/completions", chats[] = "/v1/chat/completions";
    bring_up("--end-every 0 --reasoning", (const char *[]){"--failures", "100", NULL});
    check_lost(completions, PROMPT("\"n\":2"), "choices");
    check_lost(completions, PROMPT("\"echo\":true"), "echo");
    check_lost(completions, PROMPT("\"truncate_prompt_tokens\":4"), "truncated");
    check_lost(chats, MESSAGES("\"include_reasoning\":false"), "reasoning");
    check_lost(chats, MESSAGES("\"response_format\":{\"type\":\"json_object\"}"), "guided");
    check_lost(chats, MESSAGES("\"tools\":[{\"type\":\"function\"}],\"tool_choice\":\"required\""),
               "guided");
    struct support_response r = rtest_get(rtest_port(), "/metrics");
    cr_assert(strstr(r.body, "kvroute_router_streams_lost_total{because=\"guided\"} 2"), "%s",
              r.body);
    support_response_free(&r);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

Test(migrate, a_stream_goes_on_as_often_as_it_may, .fini = rtest_fleet_down) {
    bring_up("--end-every 0", NULL);
    char *got = broken_at("/v1/completions", completion, 9, "cut&gently=1");
    cr_assert(strstr(got, "\"code\":\"ENGINE\"}}\n\n"), "%s", got);
    free(got);
    struct support_response r = rtest_get(rtest_port(), "/metrics");
    cr_assert(strstr(r.body, "streams_continued_total{pool=\"kvroute\",why=\"broken\"} 1"));
    cr_assert(strstr(r.body, "streams_lost_total{because=\"again\"} 1"));
    support_response_free(&r);
}

Test(migrate, no_more_is_kept_than_may_be, .fini = rtest_fleet_down) {
    bring_up("--end-every 0", (const char *[]){"--max_kept", "1000", NULL});
    check_lost("/v1/completions", completion, "memory");
}

// ---- Seeds and the like --------------------------------------------------------------------------

Test(migrate, what_changes_at_a_seam_is_said, .fini = rtest_fleet_down) {
    bring_up("--end-every 0", NULL);
    struct rtest_client who =
        rtest_client_call(rtest_port(), "/v1/completions", NULL,
                          PROMPT("\"seed\":3,\"presence_penalty\":0.5,\"frequency_penalty\":0"));
    cr_assert_str_eq(who.kept, "ids; changes=seed,presence_penalty");
    rtest_client_free(&who);
    who = rtest_client_call(rtest_port(), "/v1/completions", NULL,
                            PROMPT("\"seed\":3,\"temperature\":0"));
    cr_assert_str_eq(who.kept, "ids");
    rtest_client_free(&who);
}

// ---- Text that is the same, in other pieces ------------------------------------------------------

// What the stream says: its text, how it ends, and what it counts.
static char *said_by(const char *events) {
    char *out = calloc(1, strlen(events) + 100), *at = out;
    const char *finish = "", *stop = "";
    json_t *last = NULL, *event;
    for (const char *line = events; (line = strstr(line, "data: {")); line += 6) {
        event = json_loads(line + 6, JSON_DISABLE_EOF_CHECK, NULL);
        json_t *choice = json_array_get(json_object_get(event, "choices"), 0);
        json_t *delta = json_object_get(choice, "delta");
        const char *text = json_string_value(delta ? json_object_get(delta, "content")
                                                   : json_object_get(choice, "text"));
        cr_assert(event && !json_object_get(event, "error"), "%s", line);
        at += sprintf(at, "%s", text ? text : "");
        json_decref(last);
        last = choice ? event : NULL;
        if (!choice) json_decref(event);
        if (json_is_string(json_object_get(choice, "finish_reason"))) {
            finish = json_string_value(json_object_get(choice, "finish_reason"));
            stop = json_string_value(json_object_get(choice, "stop_reason"));
            sprintf(at, " | %s %s", finish, stop ? stop : "");
        }
    }
    json_decref(last);
    cr_assert(strstr(events, "data: [DONE]"));
    return out;
}

static char *unbroken(const char *path, const char *body) {
    struct rtest_client who =
        rtest_client_call(rtest_fleet.engines[UNBROKEN].port, path, same_id, body);
    char *text = text_of(&who), *said = said_by(text);
    free(text);
    return said;
}

static void check_said(const char *path, const char *body, int from, int most) {
    char *want = unbroken(path, body);
    for (int k = from; k <= most; k++) {
        char *text = broken_at(path, body, k, "cut&gently=1"), *got = said_by(text);
        cr_assert_str_eq(got, want, "cut after %d: %s instead of %s", k, got, want);
        free(got);
        free(text);
    }
    free(want);
    rtest_await(rtest_nothing_booked, "something stays booked");
}

Test(migrate, events_of_several_tokens, .fini = rtest_fleet_down) {
    bring_up("--end-every 0 --stream-interval 4", TWICE);
    check_said("/v1/completions", completion, 1, 40);
    check_said("/v1/chat/completions", chat, 1, 60);
}

// So many bytes of what comes, from there on, as a JSON string.
static char *piece_of(const char *text, size_t at, size_t n) {
    while (((unsigned char)text[at] & 0xc0) == 0x80)
        at++;
    while (((unsigned char)text[at + n] & 0xc0) == 0x80)
        n++;
    json_t *piece = json_stringn(text + at, n);
    char *dump = json_dumps(piece, JSON_ENCODE_ANY);
    json_decref(piece);
    return dump;
}

Test(migrate, stop_strings_are_found_across_the_joint, .fini = rtest_fleet_down) {
    static const size_t lengths[] = {1, 2, 7, 14};
    bring_up("--end-every 0", TWICE);
    char *whole = unbroken("/v1/completions", completion);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char *stop = piece_of(whole, 70 + i, lengths[i]), *body;
        cr_assert(asprintf(&body, PROMPT("\"stop\":[%s,\"nowhere at all\"]"), stop) > 0);
        check_said("/v1/completions", body, 8, 26); // before, nothing is sent
        free(body);
        cr_assert(asprintf(&body, MESSAGES("\"stop\":[\"never to be found\",%s]"), stop) > 0);
        check_said("/v1/chat/completions", body, 8, 26); // before, nothing is sent
        free(body);
        free(stop);
    }
    free(whole);
}

// ---- By text -------------------------------------------------------------------------------------

// SGLang tells no ids in a chat's stream.
Test(migrate, a_chat_goes_on_by_its_text_if_it_may, .fini = rtest_fleet_down) {
    static const char *const flags[] = {"--migrate", "2", "--pool",
                                        "kvroute engine=sglang by_text=yes", NULL};
    bring_up("--end-every 0 --schema sglang", flags);
    char *want = unbroken("/v1/chat/completions", chat);
    for (int k = 1; k < 30; k += 4) {
        char *text = broken_at("/v1/chat/completions", chat, k, "cut&gently=1"),
             *said = said_by(text);
        size_t same = strspn(want, " ");
        while (said[same] && said[same] == want[same])
            same++;
        cr_assert(same > (size_t)k && !strstr(text, "token_ids"), "%s instead of %s", said, want);
        free(text);
        free(said);
    }
    free(want);
    struct rtest_client who = rtest_client_call(rtest_port(), "/v1/chat/completions", NULL, chat);
    cr_assert_str_eq(who.kept, "text");
    rtest_client_free(&who);
    check_cuts("/v1/completions", completion, 1, 20, "cut&gently=1");
    rtest_await(rtest_nothing_booked, "something stays booked");
}

Test(migrate, without_by_text_it_does_not, .fini = rtest_fleet_down) {
    bring_up("--end-every 0 --schema sglang",
             (const char *[]){"--pool", "kvroute engine=sglang", NULL});
    check_lost("/v1/chat/completions", chat, "engine");
}
