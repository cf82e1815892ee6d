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

#include "rtest_fleet.h"

enum {
    FOLLOWUP_ENGINES = 8,
    FOLLOWUP_ROUTERS = 3,
    FOLLOWUP_CONVERSATIONS = 200,
    FOLLOWUP_AT_A_TIME = 20,
    FOLLOWUP_GOAL = 98
};

struct followup {
    json_t *messages;
    char worker[140];
};

// A pool that is slow to answer, on a busy machine, isn't what this is about.
static const char *const flags[] = {"--deadline", "10000", NULL};

static void say(struct followup *c, const char *role, const char *content) {
    json_array_append_new(c->messages, json_pack("{s:s,s:s}", "role", role, "content", content));
}

// What a person says: some hundred words that nobody else says.
static void ask_something(struct followup *c, size_t number, int turn) {
    char text[3000];
    size_t n = 0;
    for (int i = 0; i < 100; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "word%zu-%d-%zu ", number, turn,
                              (number * 7919 + (size_t)i * 104729) % 10007);
    say(c, "user", text);
}

static void take_answer(struct followup *c, struct rtest_client *who) {
    char *text = rtest_client_text(who);
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
static int turn(struct followup *all, int number, size_t first, size_t at_a_time) {
    struct rtest_client who[FOLLOWUP_AT_A_TIME];
    int same = 0;
    for (size_t from = 0; from < FOLLOWUP_CONVERSATIONS; from += at_a_time) {
        for (size_t i = 0; i < at_a_time; i++) {
            struct followup *c = &all[from + i];
            ask_something(c, from + i, number);
            json_t *body = json_pack("{s:s,s:O,s:i}", "model", "mock", "messages", c->messages,
                                     "max_tokens", 60);
            char *text = json_dumps(body, JSON_COMPACT);
            rtest_client_start(&who[i],
                               rtest_fleet.routers[(first + from + i) % FOLLOWUP_ROUTERS].port,
                               "/v1/chat/completions", NULL, text);
            free(text);
            json_decref(body);
        }
        rtest_clients_finish();
        for (size_t i = 0; i < at_a_time; i++) {
            struct followup *c = &all[from + i];
            take_answer(c, &who[i]);
            same += !strcmp(c->worker, who[i].worker);
            snprintf(c->worker, sizeof c->worker, "%s", who[i].worker);
            rtest_client_free(&who[i]);
        }
    }
    return same;
}

static void follow_up(bool everybody_dies) {
    static struct followup all[FOLLOWUP_CONVERSATIONS];
    if (everybody_dies) {
        static const char *const aof[] = {"--appendonly", "yes", NULL};
        rtest_fleet.redis.words = aof;
    }
    rtest_fleet_up(FOLLOWUP_ENGINES, "--time-scale 50", FOLLOWUP_ROUTERS, flags);
    for (size_t i = 0; i < FOLLOWUP_CONVERSATIONS; i++)
        all[i] = (struct followup){.messages = json_array()};
    turn(all, 1, 0, FOLLOWUP_AT_A_TIME);
    int used[FOLLOWUP_ENGINES] = {0};
    for (size_t i = 0; i < FOLLOWUP_CONVERSATIONS; i++)
        for (int k = 0; k < FOLLOWUP_ENGINES; k++)
            used[k] += atoi(strchr(all[i].worker, ':') + 1) == rtest_fleet.engines[k].port;
    for (int k = 0; k < FOLLOWUP_ENGINES; k++)
        cr_assert(used[k] >= FOLLOWUP_CONVERSATIONS / FOLLOWUP_ENGINES / 2, "engine %d has %d", k,
                  used[k]);
    // What a router had no time to release weighs on its engine for a while, and that isn't asked here.
    rtest_await_released("kvroute");
    if (everybody_dies) {
        for (int i = 0; i < FOLLOWUP_ROUTERS; i++)
            rtest_kill(&rtest_fleet.routers[i], SIGKILL);
        rtest_redis();
        rtest_fleet_routers(FOLLOWUP_ENGINES, FOLLOWUP_ROUTERS, flags);
    }
    int same = turn(all, 2, 1, 1);
    cr_log_info("%d of %d", same, FOLLOWUP_CONVERSATIONS);
    cr_assert(same >= FOLLOWUP_CONVERSATIONS * FOLLOWUP_GOAL / 100, "%d of %d", same,
              FOLLOWUP_CONVERSATIONS);
    for (size_t i = 0; i < FOLLOWUP_CONVERSATIONS; i++)
        json_decref(all[i].messages);
}

Test(followup, another_router_knows, .fini = rtest_fleet_down) {
    follow_up(false);
}

Test(followup, it_is_known_when_all_have_died, .fini = rtest_fleet_down) {
    follow_up(true);
}
