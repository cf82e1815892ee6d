// SPDX-License-Identifier: Apache-2.0
// Deployments that are set up wrongly, or are just changing: a server that is no primary, Sentinels
// that name a dead, wrong or impossible one, a Cluster that sends in circles. Each for a while and then
// not any more; and what a healthy change must not show.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "ctest_conversation.h"
#include "ctest_parallel.h"
#include "fake_server.h"
#include "tests/support/support_alloc.h"

#define BIT(code) (1u << KVR_CODE_##code)
#define LOCALHOST "$9\r\n127.0.0.1\r\n"

static const struct wrong_deployment {
    const char *name;
    enum fake_kind kind;
    struct fake_lies lies;
    unsigned codes; // of calls while it lasts, besides OK; 0: all is well all the same
} deployments[] = {
    // One server.
    {"a replica", FAKE_TCP, {.role = "slave"}, BIT(TIMEOUT)},
    {"a replica on a unix socket", FAKE_UNIX, {.role = "slave"}, BIT(TIMEOUT)},
    {"a Sentinel", FAKE_TCP, {.role = "sentinel"}, BIT(TIMEOUT)},
    {"a role without a name", FAKE_TCP, {.role = false}, BIT(TIMEOUT)},
    {"a role of another world", FAKE_TCP, {.role = "handshake"}, BIT(TIMEOUT)},
    {"no ROLE", FAKE_TCP, {.fails = "ROLE", .error = "NOPERM no"}, BIT(TIMEOUT) | BIT(DENIED)},
    {"no INFO", FAKE_TCP, {.fails = "INFO", .error = "NOPERM no"}, BIT(TIMEOUT) | BIT(DENIED)},
    // Only who is connected can't be said then.
    {"no CLIENT", FAKE_TCP, {.fails = "CLIENT", .error = "NOPERM no"}, BIT(DENIED)},
    {"no SELECT", FAKE_TCP, {.fails = "KVROUTE.SELECT", .error = "NOPERM no"}, BIT(DENIED)},
    {"not the module",
     FAKE_TCP,
     {.fails = "KVROUTE.SELECT", .error = "ERR unknown command"},
     BIT(REFUSED)},
    {"a pool that can't be made", FAKE_TCP, {.fails = "KVROUTE.CREATE", .error = "OOM no"}, 0},
    // Sentinels.
    {"names a dead one", FAKE_SENTINEL, {.port = "1"}, BIT(TIMEOUT)},
    {"names nobody", FAKE_SENTINEL, {.master = "*-1\r\n"}, BIT(TIMEOUT)},
    {"names nothing", FAKE_SENTINEL, {.master = "*0\r\n"}, BIT(TIMEOUT)},
    {"a null", FAKE_SENTINEL, {.master = "$-1\r\n"}, BIT(TIMEOUT)},
    {"a number", FAKE_SENTINEL, {.master = ":1\r\n"}, BIT(TIMEOUT)},
    {"nulls", FAKE_SENTINEL, {.master = "*2\r\n$-1\r\n$-1\r\n"}, BIT(TIMEOUT)},
    {"numbers", FAKE_SENTINEL, {.master = "*2\r\n:1\r\n:2\r\n"}, BIT(TIMEOUT)},
    {"arrays", FAKE_SENTINEL, {.master = "*2\r\n*0\r\n*0\r\n"}, BIT(TIMEOUT)},
    {"no port", FAKE_SENTINEL, {.master = "*2\r\n$2\r\nip\r\n" LOCALHOST}, BIT(TIMEOUT)},
    {"half a field",
     FAKE_SENTINEL,
     {.master = "*3\r\n$2\r\nip\r\n" LOCALHOST "$4\r\nport\r\n"},
     BIT(TIMEOUT)},
    {"a port that is a number",
     FAKE_SENTINEL,
     {.master =
          "*6\r\n$2\r\nip\r\n" LOCALHOST "$4\r\nport\r\n:1\r\n$12\r\nconfig-epoch\r\n$1\r\n0\r\n"},
     BIT(TIMEOUT)},
    {"an ip that is null",
     FAKE_SENTINEL,
     {.master = "*6\r\n$2\r\nip\r\n$-1\r\n$4\r\nport\r\n$1\r\n1\r\n$12\r\nconfig-epoch\r\n"
                "$1\r\n0\r\n"},
     BIT(TIMEOUT)},
    {"an epoch that is none",
     FAKE_SENTINEL,
     {.master =
          "*6\r\n$2\r\nip\r\n" LOCALHOST "$4\r\nport\r\n$1\r\n1\r\n$12\r\nconfig-epoch\r\n$-1\r\n"},
     BIT(TIMEOUT)},
    {"an empty host", FAKE_SENTINEL, {.ip = ""}, BIT(TIMEOUT)},
    {"a host of garbage", FAKE_SENTINEL, {.ip = "\xff\x01?"}, BIT(TIMEOUT)},
    {"an address nobody has", FAKE_SENTINEL, {.ip = "127.0.0.1.2.3"}, BIT(TIMEOUT)},
    {"an empty port", FAKE_SENTINEL, {.port = ""}, BIT(TIMEOUT)},
    {"port 0", FAKE_SENTINEL, {.port = "0"}, BIT(TIMEOUT)},
    {"port -1", FAKE_SENTINEL, {.port = "-1"}, BIT(TIMEOUT)},
    {"port 65536", FAKE_SENTINEL, {.port = "65536"}, BIT(TIMEOUT)},
    {"port x", FAKE_SENTINEL, {.port = "63x9"}, BIT(TIMEOUT)},
    {"doesn't know it",
     FAKE_SENTINEL,
     {.fails = "SENTINEL", .error = "IDONTKNOW I have not enough information"},
     BIT(TIMEOUT)},
    {"wants a password",
     FAKE_SENTINEL,
     {.fails = "SENTINEL", .error = "NOAUTH no"},
     BIT(TIMEOUT) | BIT(DENIED)},
    {"all are replicas", FAKE_SENTINEL, {.role = "slave"}, BIT(TIMEOUT)},
    {"a failover", FAKE_SENTINEL, {.swapped = true}, 0},
    // Clusters.
    {"in a circle", FAKE_CLUSTER, {.circle = true}, BIT(TIMEOUT)},
    {"a slot that moves", FAKE_CLUSTER, {.ask = true}, 0},
    {"a slot that has moved", FAKE_CLUSTER, {.swapped = true}, 0},
    {"slots: none", FAKE_CLUSTER, {.slots = "*0\r\n"}, BIT(TIMEOUT)},
    {"slots: a null", FAKE_CLUSTER, {.slots = "*-1\r\n"}, BIT(TIMEOUT)},
    {"slots: a number", FAKE_CLUSTER, {.slots = ":3\r\n"}, BIT(TIMEOUT)},
    {"slots: empty ones", FAKE_CLUSTER, {.slots = "*2\r\n*0\r\n*-1\r\n"}, BIT(TIMEOUT)},
    {"slots: others",
     FAKE_CLUSTER,
     {.slots = "*1\r\n*3\r\n:786\r\n:800\r\n*3\r\n" LOCALHOST ":1\r\n$1\r\nx\r\n"},
     BIT(TIMEOUT)},
    {"slots: without a node",
     FAKE_CLUSTER,
     {.slots = "*1\r\n*2\r\n:0\r\n:16383\r\n"},
     BIT(TIMEOUT)},
    {"slots: a node without a port",
     FAKE_CLUSTER,
     {.slots = "*1\r\n*3\r\n:0\r\n:16383\r\n*1\r\n" LOCALHOST},
     BIT(TIMEOUT)},
    {"slots: a dead node",
     FAKE_CLUSTER,
     {.slots = "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n" LOCALHOST ":1\r\n"},
     BIT(TIMEOUT)},
    {"slots: port 70000",
     FAKE_CLUSTER,
     {.slots = "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n" LOCALHOST ":70000\r\n"},
     BIT(TIMEOUT)},
    {"slots: port -1",
     FAKE_CLUSTER,
     {.slots = "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n" LOCALHOST ":-1\r\n"},
     BIT(TIMEOUT)},
    {"slots: host ?",
     FAKE_CLUSTER,
     {.slots = "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$1\r\n?\r\n:6379\r\n"},
     BIT(TIMEOUT)},
    {"slots: null host",
     FAKE_CLUSTER,
     {.slots = "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$-1\r\n:1\r\n"},
     BIT(TIMEOUT)},
    {"slots: a slot of text",
     FAKE_CLUSTER,
     {.slots = "*1\r\n*3\r\n$1\r\n0\r\n$5\r\n16383\r\n*2\r\n" LOCALHOST ":1\r\n"},
     BIT(TIMEOUT)},
    {"no SLOTS",
     FAKE_CLUSTER,
     {.fails = "CLUSTER", .error = "NOPERM no"},
     BIT(TIMEOUT) | BIT(DENIED)},
    {"cluster support disabled",
     FAKE_CLUSTER,
     {.fails = "CLUSTER", .error = "ERR This instance has cluster support disabled"},
     BIT(TIMEOUT) | BIT(REFUSED)},
};
enum { WRONGS = sizeof deployments / sizeof *deployments };

// From the start, or after half of a conversation that went well.
static void run_nth(void *ctx, size_t i, char wrong[CTEST_TEXT]) {
    const struct wrong_deployment *w = &deployments[i / 2 % WRONGS];
    enum ctest_form form = (enum ctest_form)(i / 2 / WRONGS);
    bool half_way = i % 2;
    struct support_alloc mem = {0};
    struct kvr_alloc alloc = support_alloc_use(&mem);
    struct fake_server *f = fake_start(w->kind);
    char url[300], story[1500];
    (void)ctx;
    // What can't be got over needs no time; what is answered must not look silent on a busy machine.
    fake_url(f,
             w->codes & BIT(TIMEOUT) ? "deadline=80&timeout=40&connect_timeout=40"
                                     : "deadline=8000&timeout=200&connect_timeout=200",
             url, sizeof url);
    if (!half_way) fake_lie(f, &w->lies);
    struct ctest_conversation *t = ctest_conversation_open(form, url, &alloc);
    if (!t) {
        snprintf(wrong, CTEST_TEXT, "doesn't open");
        fake_stop(f);
        return;
    }
    ctest_conversation_steps(t, 0, CTEST_HALF, 2);
    if (half_way) {
        fake_lie(f, &w->lies);
        if (w->codes) fake_hang_up(f); // what is connected already has no reason to look again
    }
    ctest_conversation_steps(t, CTEST_HALF, CTEST_STEPS, 2);
    unsigned odd = ctest_conversation_codes(t) & ~(w->codes | BIT(OK));
    fake_lie(f, NULL);
    ctest_conversation_simple(t, 15000, 0);
    fake_story(f, NULL, story, sizeof story);
    if (ctest_conversation_complaint(t)[0])
        snprintf(wrong, CTEST_TEXT, "%s\n  %s", ctest_conversation_complaint(t), story);
    else if (odd)
        snprintf(wrong, CTEST_TEXT, "%s isn't what to say to that\n  %s",
                 kvr_code_name((enum kvr_code)__builtin_ctz(odd)), story);
    else if (fake_live(f))
        snprintf(wrong, CTEST_TEXT, "%zu requests are still there\n  %s", fake_live(f), story);
    ctest_conversation_close(t, true);
    if (!wrong[0] && (mem.bytes || mem.blocks))
        snprintf(wrong, CTEST_TEXT, "%zu bytes were never given back", mem.bytes);
    fake_stop(f);
}

static void name_nth(void *ctx, size_t i, char name[CTEST_TEXT]) {
    static const char *const kinds[] = {"tcp", "unix", "sentinel", "cluster"};
    const struct wrong_deployment *w = &deployments[i / 2 % WRONGS];
    (void)ctx;
    snprintf(name, CTEST_TEXT, "%s, %s: %s, %s", kinds[w->kind],
             ctest_form_name((enum ctest_form)(i / 2 / WRONGS)), w->name,
             i % 2 ? "half way" : "from the start");
}

Test(wrong, deployments, .timeout = 900) {
    struct ctest_parallel parallel = {NULL, 2 * WRONGS * CTEST_FORMS, run_nth, name_nth};
    cr_assert(ctest_parallel_run(&parallel) == 0);
}

// Addresses in the URL where nobody listens are passed over.
Test(wrong, some_addresses_are_dead, .timeout = 300) {
    for (enum fake_kind kind = FAKE_SENTINEL; kind <= FAKE_CLUSTER; kind++)
        for (enum ctest_form form = 0; form < CTEST_FORMS; form++) {
            struct fake_server *f = fake_start(kind);
            char url[300];
            snprintf(url, sizeof url, "%s://127.0.0.1:1,127.0.0.1:2,127.0.0.1:%d%s?deadline=5000",
                     kind == FAKE_CLUSTER ? "cluster" : "sentinel",
                     fake_port(f, kind == FAKE_CLUSTER ? 0 : 3),
                     kind == FAKE_CLUSTER ? "" : "/main");
            struct ctest_conversation *t = ctest_conversation_open(form, url, NULL);
            cr_assert(t);
            ctest_conversation_steps(t, 0, CTEST_STEPS, 1);
            cr_expect(ctest_conversation_codes(t) == BIT(OK), "%x", ctest_conversation_codes(t));
            cr_expect_str_eq(ctest_conversation_complaint(t), "");
            ctest_conversation_close(t, false);
            fake_stop(f);
        }
}
