// SPDX-License-Identifier: Apache-2.0
// Conversations whose second turn comes through another router, and what of the first is remembered
// when nobody of those that took part in it is alive any more.
//
// First turns come many at a time, which spreads them. Second turns come one by one: an engine that is
// busy at the moment may rightly lose one to an idle engine, and what is asked here is
// what is known.
#define _GNU_SOURCE // asprintf
#include <criterion/criterion.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crowd.h"
#include "stand.h"
#include "tests/support/home.h"

enum { ENGINES = 8, ROUTERS = 3, CONVERSATIONS = 200, AT_A_TIME = 20, GOAL = 98 };

static struct stand s;
static struct crowd crowd;
static char urls[ENGINES][60];

struct conversation {
    json_t *messages;
    char worker[140];
};

static void down(void) {
    crowd_close(&crowd);
    stand_down(&s);
}

static void start_routers(void) {
    // A pool that is slow to answer, on a busy machine, isn't what this is about.
    const char *flags[2 * ENGINES + 3] = {[2 * ENGINES] = "--deadline", "10000"};
    for (size_t i = 0; i < ENGINES; i++) {
        flags[2 * i] = "--engine";
        flags[2 * i + 1] = urls[i];
    }
    for (int i = 0; i < ROUTERS; i++)
        stand_router(&s, i, flags);
    for (int i = 0; i < ROUTERS; i++)
        stand_await_ready(&s, i);
}

static void say(struct conversation *c, const char *role, const char *content) {
    json_array_append_new(c->messages, json_pack("{s:s,s:s}", "role", role, "content", content));
}

// What a person says: some hundred words that nobody else says.
static void ask_something(struct conversation *c, size_t number, int turn) {
    char text[3000];
    size_t n = 0;
    for (int i = 0; i < 100; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "word%zu-%d-%zu ", number, turn,
                              (number * 7919 + (size_t)i * 104729) % 10007);
    say(c, "user", text);
}

static void take_answer(struct conversation *c, struct caller *who) {
    char *text = caller_text(who);
    json_t *answer = json_loads(text, 0, NULL);
    const char *content = NULL;
    cr_assert(who->status == 200 && who->complete, "%d %s", who->status, text);
    cr_assert(!json_unpack(answer, "{s:[{s:{s:s}}]}", "choices", "message", "content", &content));
    say(c, "assistant", content);
    json_decref(answer);
    free(text);
}

// One turn of all conversations, some at a time, through the routers from `first` on. Returns how many came to the
// worker that they had been with.
static int turn(struct conversation *all, int number, size_t first, size_t at_a_time) {
    struct caller who[AT_A_TIME];
    int same = 0;
    for (size_t from = 0; from < CONVERSATIONS; from += at_a_time) {
        for (size_t i = 0; i < at_a_time; i++) {
            struct conversation *c = &all[from + i];
            ask_something(c, from + i, number);
            json_t *body = json_pack("{s:s,s:O,s:i}", "model", "mock", "messages", c->messages,
                                     "max_tokens", 60);
            char *text = json_dumps(body, JSON_COMPACT);
            crowd_start(&crowd, &who[i], s.routers[(first + from + i) % ROUTERS].port,
                        "/v1/chat/completions", NULL, text);
            free(text);
            json_decref(body);
        }
        crowd_finish(&crowd);
        for (size_t i = 0; i < at_a_time; i++) {
            struct conversation *c = &all[from + i];
            take_answer(c, &who[i]);
            same += !strcmp(c->worker, who[i].worker);
            snprintf(c->worker, sizeof c->worker, "%s", who[i].worker);
            caller_free(&who[i]);
        }
    }
    return same;
}

static void follow_up(bool everybody_dies) {
    static struct conversation all[CONVERSATIONS];
    if (everybody_dies) {
        const char *const aof[] = {"--appendonly", "yes", NULL};
        memcpy(s.redis_more, aof, sizeof aof);
    }
    crowd_open(&crowd);
    stand_redis(&s);
    for (int i = 0; i < ENGINES; i++) {
        stand_engine(&s, i, "--no-events --time-scale 50");
        snprintf(urls[i], sizeof urls[i], "http://127.0.0.1:%d", s.engines[i].port);
    }
    start_routers();
    for (size_t i = 0; i < CONVERSATIONS; i++)
        all[i] = (struct conversation){.messages = json_array()};
    turn(all, 1, 0, AT_A_TIME);
    int used[ENGINES] = {0};
    for (size_t i = 0; i < CONVERSATIONS; i++)
        for (int k = 0; k < ENGINES; k++)
            used[k] += strstr(urls[k], all[i].worker) != NULL;
    for (int k = 0; k < ENGINES; k++)
        cr_assert(used[k] >= CONVERSATIONS / ENGINES / 2, "engine %d has %d", k, used[k]);
    // What a router had no time to release weighs on its engine for a while, and that isn't asked here.
    stand_await_released(&s, "kvroute");
    if (everybody_dies) {
        // A booking that its router couldn't end any more would make an engine busy until its lease ends.
        for (int64_t end = now_ms() + PATIENCE_MS; stand_info(&s, "kvroute", "requests") != 0;
             sleep_ms(5))
            cr_assert(now_ms() < end, "something stays booked");
        for (int i = 0; i < ROUTERS; i++)
            stand_kill(&s.routers[i], SIGKILL);
        stand_kill(&s.redis, SIGKILL);
        stand_redis(&s);
        start_routers();
    }
    int same = turn(all, 2, 1, 1);
    cr_log_info("%d of %d", same, CONVERSATIONS);
    cr_assert(same >= CONVERSATIONS * GOAL / 100, "%d of %d", same, CONVERSATIONS);
    for (size_t i = 0; i < CONVERSATIONS; i++)
        json_decref(all[i].messages);
}

Test(followup, another_router_knows, .fini = down) {
    follow_up(false);
}

Test(followup, it_is_known_when_all_have_died, .fini = down) {
    follow_up(true);
}
