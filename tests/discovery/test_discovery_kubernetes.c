// SPDX-License-Identifier: Apache-2.0
// Engines of a Kubernetes service, from an API of our own: lists and watches, what conditions say, and all the ways in
// which a watch ends.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "dtest_kubernetes.h"
#include "dtest_watch.h"

#define ENDPOINT(address, conditions)                                                              \
    "{\"addresses\":[\"" address "\"],\"conditions\":{" conditions "},\"nodeName\":\"n1\","        \
    "\"zone\":\"z1\",\"targetRef\":{\"kind\":\"Pod\",\"name\":\"pod-" address "\"}}"
#define READY "\"ready\":true,\"serving\":true,\"terminating\":false"

static struct dtest_kubernetes api;
static size_t wanted;
static uint64_t count;

static void begin(void) {
    dtest_watch_open();
    dtest_kubernetes_start(&api, dtest_watch.base);
}

static void end(void) {
    dtest_watch_close_discovery();
    dtest_kubernetes_stop(&api);
    dtest_watch_close();
}

static void look(const char *more) {
    dtest_watch_look("kubernetes://ai/llm api=https://127.0.0.1:%d token_file=%s ca_file=%s %s",
                     api.port, api.token_file, api.cert, more);
}

static bool are_there(void) {
    return dtest_watch.there == wanted && dtest_kubernetes_watchers(&api);
}

static void until_there(size_t n) {
    wanted = n;
    dtest_watch_until(are_there);
}

static bool have_failed(void) {
    return dtest_watch_stats().failures >= count;
}

static void until_failures(uint64_t more) {
    count = dtest_watch_stats().failures + more;
    dtest_watch_until(have_failed);
}

static bool has_changed(void) {
    return dtest_watch.changed >= count;
}

static bool is_well(void) {
    return !dtest_watch_stats().failing;
}

static bool has_listed(void) {
    return api.lists >= count && dtest_kubernetes_watchers(&api);
}

static bool has_watched(void) {
    return api.watches >= count && dtest_kubernetes_watchers(&api);
}

Test(discovery_kubernetes, slices_are_put_together, .init = begin, .fini = end) {
    dtest_kubernetes_put(&api, "llm-a",
                         "[" ENDPOINT("10.0.0.1", READY) "," ENDPOINT("10.0.0.2", READY) "]");
    dtest_kubernetes_put(&api, "llm-b", "[" ENDPOINT("10.0.0.3", READY) "]");
    look("port=http role=decode");
    until_there(3);
    const struct dtest_seen *s = dtest_watch_at("http://10.0.0.3:8000");
    cr_assert(s);
    cr_assert_str_eq(s->name, "10.0.0.3:8000");
    cr_assert_str_eq(s->labels, "zone=z1 node=n1 pod=pod-10.0.0.3");
    cr_assert_eq(s->role, KVR_ROLE_DECODE);
    dtest_kubernetes_put(&api, "llm-c", "[" ENDPOINT("10.0.0.4", READY) "]");
    until_there(4);
    dtest_kubernetes_delete(&api, "llm-a");
    until_there(2);
    dtest_kubernetes_put(&api, "llm-b", "null");
    until_there(1);
    cr_assert_eq(api.lists, 1);
}

Test(discovery_kubernetes, ports_by_name_number_or_place, .init = begin, .fini = end) {
    dtest_kubernetes_put(&api, "llm-a", "[" ENDPOINT("10.0.0.1", READY) "]");
    look("");
    until_there(1);
    cr_assert(dtest_watch_at("http://10.0.0.1:9000")); // the first
    dtest_watch_close_discovery();
    dtest_watch.there = dtest_watch.n = 0;
    look("port=1234");
    until_there(1);
    cr_assert(dtest_watch_at("http://10.0.0.1:1234"));
}

Test(discovery_kubernetes, many_slices_come_in_pages, .init = begin, .fini = end) {
    char name[20], endpoint[200];
    for (int i = 0; i < 45; i++) {
        snprintf(name, sizeof name, "llm-%d", i);
        snprintf(endpoint, sizeof endpoint, "[{\"addresses\":[\"10.1.0.%d\"],\"conditions\":{}}]",
                 i);
        dtest_kubernetes_put(&api, name, endpoint);
    }
    look("");
    until_there(45); // not said whether ready: ready
    cr_assert_eq(api.lists, 3);
}

// Who terminates or isn't ready gets nothing new, and isn't found at all if it wasn't known.
Test(discovery_kubernetes, conditions_say_who_leaves, .init = begin, .fini = end) {
    dtest_kubernetes_put(&api, "llm-a",
                         "[" ENDPOINT("10.0.0.1", READY) "," ENDPOINT(
                             "10.0.0.2", READY) "," ENDPOINT("10.0.0.3", "\"ready\":false") "]");
    look("");
    until_there(2);
    dtest_kubernetes_put(
        &api, "llm-a",
        "[" ENDPOINT("10.0.0.1", "\"ready\":false,\"serving\":true,\"terminating\":true") "," ENDPOINT(
            "10.0.0.2",
            "\"ready\":false,\"serving\":false,\"terminating\":false") "," ENDPOINT("10.0.0.3",
                                                                                    READY) "]");
    until_there(3);
    count = 2;
    dtest_watch_until(has_changed);
    cr_assert(dtest_watch_at("http://10.0.0.1:9000")->leaving);
    cr_assert(dtest_watch_at("http://10.0.0.2:9000")->leaving);
    cr_assert_eq(dtest_watch_stats().leaving, 2);
    dtest_kubernetes_put(&api, "llm-a",
                         "[" ENDPOINT("10.0.0.2", READY) "," ENDPOINT("10.0.0.3", READY) "]");
    until_there(2);
    cr_assert(!dtest_watch_at("http://10.0.0.2:9000")->leaving);
}

// In both slices for a moment: ready anywhere is ready.
Test(discovery_kubernetes, moves_between_slices, .init = begin, .fini = end) {
    dtest_kubernetes_put(&api, "llm-a", "[" ENDPOINT("10.0.0.1", READY) "]");
    look("");
    until_there(1);
    dtest_kubernetes_put(&api, "llm-b", "[" ENDPOINT("10.0.0.1", "\"ready\":false") "]");
    dtest_kubernetes_put(&api, "llm-b",
                         "[" ENDPOINT("10.0.0.1", READY) "," ENDPOINT("10.0.0.2", READY) "]");
    dtest_kubernetes_put(&api, "llm-a", "[]");
    until_there(2);
    cr_assert_eq(dtest_watch.lost, 0);
    cr_assert_eq(dtest_watch.changed, 0);
}

// Orderly or not, the next watch goes on where this one ended.
Test(discovery_kubernetes, watches_end, .init = begin, .fini = end) {
    dtest_kubernetes_put(&api, "llm-a", "[" ENDPOINT("10.0.0.1", READY) "]");
    look("");
    until_there(1);
    for (int orderly = 0; orderly < 2; orderly++) {
        count = api.watches + 1;
        dtest_kubernetes_end_watches(&api, orderly);
        char name[20];
        snprintf(name, sizeof name, "llm-%d", orderly);
        dtest_kubernetes_put(&api, name,
                             orderly ? "[" ENDPOINT("10.0.0.2", READY) "]"
                                     : "[" ENDPOINT("10.0.0.3", READY) "]");
        until_there(2 + (size_t)orderly);
        dtest_watch_until(has_watched);
    }
    cr_assert_eq(api.lists, 1);
    cr_assert_eq(dtest_watch.lost, 0);
}

// Too old, by status or by event: what happened meanwhile is in the list.
Test(discovery_kubernetes, too_old_lists_again, .init = begin, .fini = end) {
    dtest_kubernetes_put(&api, "llm-a", "[" ENDPOINT("10.0.0.1", READY) "]");
    look("");
    until_there(1);
    dtest_kubernetes_put_unseen(&api, "llm-b", "[" ENDPOINT("10.0.0.2", READY) "]");
    dtest_kubernetes_end_watches(&api, true);
    until_there(2);
    cr_assert_eq(api.lists, 2);
    dtest_kubernetes_put_unseen(&api, "llm-a", "[]");
    dtest_kubernetes_say(&api,
                         "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}");
    until_there(1);
    cr_assert_eq(api.lists, 3);
    cr_assert_eq(dtest_watch_stats().failures, 0);
}

Test(discovery_kubernetes, bookmarks_move_the_version, .init = begin, .fini = end) {
    dtest_kubernetes_put(&api, "llm-a", "[" ENDPOINT("10.0.0.1", READY) "]");
    look("");
    until_there(1);
    dtest_kubernetes_bookmark(&api);
    dtest_watch_run(300);
    api.oldest = api.version; // what is older is forgotten
    count = api.watches + 1;
    dtest_kubernetes_end_watches(&api, true);
    dtest_watch_until(has_watched);
    cr_assert_eq(api.lists, 1);
}

Test(discovery_kubernetes, tokens_are_read_anew, .init = begin, .fini = end) {
    dtest_kubernetes_put(&api, "llm-a", "[" ENDPOINT("10.0.0.1", READY) "]");
    look("");
    until_there(1);
    snprintf(api.token, sizeof api.token, "second");
    dtest_kubernetes_token(&api, "second");
    count = api.watches + 1;
    dtest_kubernetes_end_watches(&api, true);
    dtest_watch_until(has_watched);
    cr_assert_eq(api.unauthorized, 0);
    // One that is late is a failure until it is there.
    snprintf(api.token, sizeof api.token, "third");
    dtest_kubernetes_end_watches(&api, true);
    until_failures(1);
    cr_assert_eq(dtest_watch.there, 1);
    dtest_kubernetes_token(&api, "third");
    count = api.watches + 1;
    dtest_watch_until(has_watched);
    cr_assert_eq(dtest_watch.lost, 0);
    dtest_watch_until(is_well);
}

Test(discovery_kubernetes, failures_lose_nobody, .init = begin, .fini = end) {
    static const char *const nonsense[] = {"{\"type\":", "[]", "{\"type\":\"ADDED\",\"object\":{}}",
                                           "{\"type\":\"ERROR\",\"object\":{\"code\":500}}"};
    dtest_kubernetes_put(&api, "llm-a", "[" ENDPOINT("10.0.0.1", READY) "]");
    look("");
    until_there(1);
    api.refuse = 500;
    dtest_kubernetes_end_watches(&api, false);
    until_failures(2);
    cr_assert(dtest_watch_stats().failing);
    api.refuse = 0;
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        count = api.lists + (i > 0);
        dtest_watch_until(has_listed);
        dtest_kubernetes_say(&api, nonsense[i]);
        until_failures(1);
    }
    until_there(1);
    cr_assert_eq(dtest_watch.lost, 0);
}

// Whatever a source says, what becomes a worker can be asked.
Test(discovery_kubernetes, addresses_that_are_none, .init = begin, .fini = end) {
    dtest_kubernetes_put(
        &api, "llm-a",
        "[" ENDPOINT("10.0.0.1", READY) "," ENDPOINT("a b", READY) "," ENDPOINT(
            "x\\r\\nY: z", READY) "," ENDPOINT("u@10.0.0.2", READY) "," ENDPOINT("h/p", READY) "]");
    look("");
    until_there(1);
    cr_assert(dtest_watch_at("http://10.0.0.1:9000"));
    cr_assert_eq(dtest_watch_stats().left_out, 4);
}

// A server that answers at once, and never with a list: it is asked no more often than one that fails.
Test(discovery_kubernetes, lists_without_an_end, .init = begin, .fini = end) {
    dtest_kubernetes_put(&api, "llm-a", "[" ENDPOINT("10.0.0.1", READY) "]");
    api.refuse = 410;
    look("");
    until_failures(2);
    cr_assert(dtest_watch_stats().failing);
    api.refuse = 0;
    api.endless = true;
    until_failures(1);
    cr_assert(dtest_watch_stats().failing);
    cr_assert_eq(dtest_watch.there, 0);
    api.endless = false;
    until_there(1);
}

// Another authority, no token: nothing is asked, nothing known.
Test(discovery_kubernetes, nobody_else_is_trusted, .init = begin, .fini = end) {
    dtest_kubernetes_put(&api, "llm-a", "[" ENDPOINT("10.0.0.1", READY) "]");
    dtest_kubernetes_other_ca(&api);
    look("");
    until_failures(1);
    cr_assert_eq(api.lists, 0);
    cr_assert_eq(dtest_watch.there, 0);
    remove(api.token_file);
    until_failures(1);
    cr_assert_eq(api.lists, 0);
}
