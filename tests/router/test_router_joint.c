// SPDX-License-Identifier: Apache-2.0
// Where two parts of a stream meet: what is owed, and stop strings that begin in it.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "client/router/proxy/router_joint.h"

static json_t *stops_of(const char *text) {
    json_t *stops = json_loads(text, 0, NULL);
    cr_assert(stops);
    return stops;
}

Test(joint, what_is_owed_comes_behind_what_was_sent) {
    static const struct {
        const char *sent, *text, *stops, *owed; // NULL: it isn't found
    } cases[] = {
        {"one two", "xone two thr", "[\"three\"]", " thr"},
        {"one two", "one two", "[\"a\"]", ""},
        {"aaa", "aaaa", "[\"ab\"]", "a"}, // so many are held back, wherever else it would fit
        {"aaa", "aaaaaaa", "[\"ab\"]", "a"},
        {"dé", "xdé日", "[\"é!\"]", "日"},       // in characters
        {"ab", "ab cd ab cd", "[\"x\"]", " cd"}, // none fits: the last one
        {"ab", "cd", "[\"x\"]", NULL},
        {"", "cd", "[\"x\"]", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct router_joint j = {.n_tail = 0};
        json_t *stops = stops_of(cases[i].stops);
        router_joint_sent(&j, cases[i].sent, strlen(cases[i].sent));
        bool found = router_joint_settle(&j, stops, cases[i].text, strlen(cases[i].text));
        cr_assert(found == (cases[i].owed != NULL), "%zu", i);
        if (found)
            cr_assert(j.owed_size == strlen(cases[i].owed) &&
                          !memcmp(j.owed ? j.owed : "", cases[i].owed, j.owed_size),
                      "%zu", i);
        router_joint_free(&j);
        json_decref(stops);
    }
}

Test(joint, stop_strings_that_begin_in_what_is_owed) {
    static const struct {
        const char *owed, *come, *stops;
        bool over;
        enum router_joint_state state;
        size_t at;
    } cases[] = {
        {" thr", "", "[\"three\"]", false, ROUTER_JOINT_UNSURE, 0},
        {" thr", "e", "[\"three\"]", false, ROUTER_JOINT_UNSURE, 0},
        {" thr", "ee", "[\"three\"]", false, ROUTER_JOINT_STOPS, 1},
        {" thr", "ough", "[\"three\"]", false, ROUTER_JOINT_CLEAR, 0},
        {" thr", "e", "[\"three\"]", true, ROUTER_JOINT_CLEAR, 0},
        {"ab", "c", "[\"bc\",\"abc\"]", false, ROUTER_JOINT_STOPS, 0},
        {"ab", "xcd", "[\"cd\"]", false, ROUTER_JOINT_CLEAR, 0}, // is for the engine to see
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct router_joint j = {.n_tail = 0};
        json_t *stops = stops_of(cases[i].stops);
        char text[20] = "sent";
        strcat(text, cases[i].owed);
        router_joint_sent(&j, "sent", 4);
        cr_assert(router_joint_settle(&j, stops, text, strlen(text)));
        cr_assert(router_joint_decode(cases[i].come, strlen(cases[i].come), j.joined));
        cr_assert(router_joint_look(&j, stops, cases[i].over) == cases[i].state, "%zu", i);
        if (cases[i].state == ROUTER_JOINT_STOPS) cr_assert(j.stop_at == cases[i].at, "%zu", i);
        router_joint_seam(&j);
        cr_assert(!j.owed && j.n_tail == 4);
        json_decref(stops);
    }
}

// Only the end of it is kept.
Test(joint, what_was_sent_last) {
    for (size_t piece = 1; piece < 200; piece++) {
        struct router_joint j = {.n_tail = 0};
        char all[600];
        for (size_t i = 0; i < sizeof all; i++)
            all[i] = (char)('a' + i % 23);
        for (size_t at = 0; at + piece <= sizeof all; at += piece) {
            router_joint_sent(&j, all + at, piece);
            size_t n = at + piece < sizeof j.tail ? at + piece : sizeof j.tail;
            cr_assert(j.n_tail == n && !memcmp(j.tail, all + at + piece - n, n));
        }
    }
}

Test(joint, texts_are_decoded) {
    static const char json[] = "a\\n\\\"\\u00e9\\ud83d\\ude00b";
    struct evbuffer *out = evbuffer_new();
    cr_assert(router_joint_decode(json, strlen(json), out));
    cr_assert(router_joint_decode("\\ud83d", 6, out) == false);
    size_t n = evbuffer_get_length(out);
    cr_assert(n == 10 && !memcmp(evbuffer_pullup(out, -1), "a\n\"é😀b", n), "%zu", n);
    evbuffer_free(out);
}
