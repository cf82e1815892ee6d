// SPDX-License-Identifier: Apache-2.0
#include "btest_look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"

void btest_look_field(struct btest_fleet *w, const char *name, const char *field, char out[40]) {
    redisReply *r = support_redis_command(&w->redis, "KVROUTE.WORKER GET pool %s", name);
    if (!r) btest_fleet_fail(w, "no answer");
    snprintf(out, 40, "none");
    for (size_t i = 0; r->type == REDIS_REPLY_ARRAY && i + 1 < r->elements; i += 2) {
        const redisReply *v = r->element[i + 1];
        if (strcmp(r->element[i]->str, field) != 0) continue;
        if (v->type == REDIS_REPLY_ARRAY)
            snprintf(out, 40, "%zu", v->elements);
        else if (v->type == REDIS_REPLY_INTEGER)
            snprintf(out, 40, "%lld", v->integer);
        else
            snprintf(out, 40, "%s", v->str);
    }
    freeReplyObject(r);
}

void btest_look_becomes(struct btest_fleet *w, const char *name, const char *field,
                        const char *value) {
    char now[40] = "";
    for (int64_t end = kvr_clock_ms() + BTEST_LOOK_MS; kvr_clock_ms() < end; support_sleep_ms(10)) {
        btest_look_field(w, name, field, now);
        if (strcmp(now, value) == 0) return;
    }
    btest_fleet_fail(w, "%s: %s is %s, not %s", name, field, now, value);
}

struct support_response btest_look_at(const struct btest_fleet *w, const char *path) {
    return support_http(w->bridges[0].listen, "GET", path, "", NULL, BTEST_LOOK_MS);
}

void btest_look_says(struct btest_fleet *w, const char *path, int status, const char *text) {
    struct support_response a = {0};
    for (int64_t end = kvr_clock_ms() + BTEST_LOOK_MS; kvr_clock_ms() < end; support_sleep_ms(10)) {
        a = btest_look_at(w, path);
        if (a.status == status && strstr(a.body, text)) {
            support_response_free(&a);
            return;
        }
        support_response_free(&a);
    }
    a = btest_look_at(w, path);
    btest_fleet_fail(w, "%s says %d and not %s: %s", path, a.status, text, a.body ? a.body : "");
}

bool btest_look_logged(const struct btest_fleet *w, const char *text) {
    char line[700];
    bool found = false;
    FILE *log = fopen(w->log, "r");
    while (log && !found && fgets(line, sizeof line, log))
        found = strstr(line, text) != NULL;
    if (log) fclose(log);
    return found;
}

void btest_look_logs(struct btest_fleet *w, const char *text) {
    for (int64_t end = kvr_clock_ms() + BTEST_LOOK_MS; kvr_clock_ms() < end; support_sleep_ms(20))
        if (btest_look_logged(w, text)) return;
    btest_fleet_fail(w, "the log never says: %s", text);
}
