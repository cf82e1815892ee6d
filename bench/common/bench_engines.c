// SPDX-License-Identifier: Apache-2.0
// Mock engines and bridges as processes; see bench_engines.h.
#include "bench_engines.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_memory.h"
#include "tests/support/support_http.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

enum { ENGINE_PATIENCE_MS = 20000 };

static void choose_ports(struct bench_engine *e) {
    e->http = support_ports(2 * e->ranks + 1);
    e->events = e->http + 1;
    e->replay = e->events + (int)e->ranks;
}

bool bench_engine_start(struct bench_engine *e, const char *program) {
    bool again = e->http != 0;
    for (int tries = 0; tries < 5; tries++) {
        char words[800];
        const char *argv[BENCH_MAX_WORDS] = {program};
        char line[400];
        int out, n;
        if (!again) choose_ports(e);
        n = snprintf(words, sizeof words, "--http-port=%d --replay-port=%d --ranks=%u %s ", e->http,
                     e->replay, e->ranks, e->options);
        snprintf(words + n, sizeof words - (size_t)n,
                 e->connects ? "--connect=tcp://127.0.0.1:%d" : "--events-port=%d", e->events);
        support_split(words, argv, 1, BENCH_MAX_WORDS);
        e->pid = support_start_piped(argv, NULL, &out);
        bool up = support_read_line(out, line, sizeof line, ENGINE_PATIENCE_MS); // where it serves
        close(out);
        if (up) return true;
        support_end(&e->pid, SIGKILL);
    }
    fprintf(stderr, "%s doesn't start with %s\n", program, e->options);
    return false;
}

void bench_bridge_start(struct bench_bridge *b, const struct bench_engine *engines, size_t n) {
    const char *argv[12 + 2 * BENCH_MAX_ENGINES + BENCH_MAX_WORDS] = {b->program, "--redis", b->url,
                                                                      "--pool", b->pool};
    char listen[40], *text = bench_calloc(n, 400), more[300];
    size_t k = 5;
    if (b->listen) {
        snprintf(listen, sizeof listen, "127.0.0.1:%d", b->listen);
        argv[k++] = "--listen";
        argv[k++] = listen;
    }
    if (b->create) {
        argv[k++] = "--create";
        argv[k++] = b->create;
    }
    for (size_t i = 0; i < n; i++) {
        const struct bench_engine *e = &engines[i];
        char *words = text + 400 * i;
        if (e->unlisted) continue;
        int len =
            snprintf(words, 400, "%s http=http://127.0.0.1:%d %s", e->name, e->http, e->bridge);
        argv[k++] = "--engine";
        argv[k++] = words;
        if (e->asked) continue;
        len = snprintf(words, 400,
                       "%s http=http://127.0.0.1:%d events=tcp://127.0.0.1:%d mode=%s ranks=%u "
                       "%s",
                       e->name, e->http, e->events, e->connects ? "bind" : "connect", e->ranks,
                       e->bridge);
        if (!strstr(e->options, "--no-replay"))
            snprintf(words + len, 400 - (size_t)len, " replay=tcp://127.0.0.1:%d", e->replay);
    }
    snprintf(more, sizeof more, "%s", b->more ? b->more : "");
    support_split(more, argv, k, sizeof argv / sizeof *argv);
    b->pid = support_start(argv, b->log);
    free(text);
}

// A line for each engine: its name and "ok", or what isn't.
bool bench_bridge_settled(const struct bench_bridge *b) {
    struct support_response a =
        support_http(b->listen, "GET", "/healthz", NULL, NULL, ENGINE_PATIENCE_MS);
    char *rest = NULL;
    bool good = a.status == 200;
    for (char *line = good ? strtok_r(a.body, "\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\n", &rest)) {
        size_t n = strlen(line);
        good = good && n > 3 && strcmp(line + n - 3, " ok") == 0;
    }
    support_response_free(&a);
    return good;
}
