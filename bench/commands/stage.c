// SPDX-License-Identifier: Apache-2.0
// Servers and connections to them; see scenes.h.
#define _GNU_SOURCE // program_invocation_short_name
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/common/memory.h"
#include "bench/common/stop.h"
#include "scenes.h"

// Whatever ends the program, the servers and their folders go first.
enum { MAX_STAGES = 4 };
static struct stage *stages[MAX_STAGES];

static void remove_all(void) {
    for (size_t i = 0; i < MAX_STAGES; i++)
        if (stages[i]) server_remove(&stages[i]->server);
}

static void remember(struct stage *s) {
    static bool told;
    if (!told && atexit(remove_all)) scene_fail("can't be told of the end");
    told = true;
    for (size_t i = 0; i < MAX_STAGES; i++)
        if (!stages[i]) {
            stages[i] = s;
            return;
        }
    scene_fail("too many servers");
}

void scene_fail(const char *what) {
    if (!stop_asked()) fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

void stage_connect(struct stage *s, struct wire *w, bool tcp) {
    if (tcp) {
        if (!s->server.port && !server_open(&s->server)) exit(1);
        wire_open_tcp(w, s->server.port);
    } else {
        char path[256];
        snprintf(path, sizeof path, "%s/control.sock", s->server.dir);
        wire_open_unix(w, path);
    }
}

void stage_begin(struct stage *s, const struct options *o, size_t workers, size_t blocks) {
    *s = (struct stage){.server.plan = {.module = o->module, .server = o->server}};
    remember(s);
    if (!server_start(&s->server)) exit(1);
    held_make(&s->held, workers, blocks);
    caller_open(&s->caller, &s->held, 0, 1);
    stage_connect(s, &s->caller.wire, false);
}

void stage_end(struct stage *s) {
    caller_close(&s->caller);
    held_free(&s->held);
    server_remove(&s->server);
    for (size_t i = 0; i < MAX_STAGES; i++)
        if (stages[i] == s) stages[i] = NULL;
}
