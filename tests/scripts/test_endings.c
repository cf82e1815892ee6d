// SPDX-License-Identifier: Apache-2.0
// The demo's scripts start a dozen processes. Whatever ends a script ends them: Ctrl-C, SIGTERM, a terminal that
// goes away, a pipe that nobody reads, in the middle and at the beginning.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "script_run.h"
#include "tests/support/support_needs.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

#define TOUR KVROUTE_TOP "/bench/demo/tour.sh"
#define DEMO KVROUTE_TOP "/bench/demo/demo.sh"

enum { UP_PORTS = 13 };

TestSuite(endings, .timeout = 600);

static void start(struct script_run *r, const char *script, const char *word) {
    script_start(r, (const char *[]){script, word, NULL}, NULL);
}

static void ends_at(const char *script, const char *word, const char *line, int signal, bool group,
                    int status) {
    struct script_run r;
    start(&r, script, word);
    script_await(&r, line);
    script_ends(&r, signal, group, status);
}

Test(endings, up) {
    support_needs_program("curl", "curl");
    ends_at(TOUR, "up", "Running until Ctrl-C.", SIGINT, true, 128 + SIGINT);
    ends_at(TOUR, "up", "Running until Ctrl-C.", SIGTERM, false, 128 + SIGTERM);
    ends_at(TOUR, "up", "Starting", SIGINT, true, 128 + SIGINT);
}

Test(endings, tour) {
    support_needs_program("curl", "curl");
    ends_at(TOUR, "tour", "Eight callers", SIGINT, true, 128 + SIGINT);
    ends_at(TOUR, "tour", "Eight callers", SIGHUP, false, 128 + SIGTERM);
}

Test(endings, demo) {
    support_needs_program("curl", "curl");
    // What it says first comes with the first load.
    ends_at(DEMO, "--quick", "8 mock engines", SIGINT, true, 128 + SIGINT);
    ends_at(DEMO, "--quick", "8 mock engines", SIGTERM, false, 128 + SIGTERM);
}

Test(endings, nobody_reads) {
    support_needs_program("curl", "curl");
    struct script_run r;
    start(&r, TOUR, "tour");
    script_await(&r, "Starting");
    script_unheard(&r);
}

Test(endings, wrong_words) {
    static const struct {
        const char *words[4];
    } wrong[] = {{{TOUR}},
                 {{TOUR, "nosuch"}},
                 {{TOUR, "up", "--port"}},
                 {{TOUR, "up", "--port", "65530"}},
                 {{TOUR, "tour", "--port", "20000"}},
                 {{DEMO, "--nosuch"}},
                 {{DEMO, "--routers", "1"}}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct script_run r;
        const char *words[5] = {wrong[i].words[0], wrong[i].words[1], wrong[i].words[2],
                                wrong[i].words[3]};
        script_start(&r, words, NULL);
        script_refuses(&r, 2);
    }
}

// Routers first, one after the other; nothing is started when one of the ports is somebody else's.
Test(endings, fixed_ports) {
    support_needs_program("curl", "curl");
    struct script_run r;
    char port[16], line[120];
    int first = support_ports(UP_PORTS), listening, fd = support_listen(&listening);
    snprintf(port, sizeof port, "%d", first);
    snprintf(line, sizeof line,
             "  routers    http://127.0.0.1:%d  http://127.0.0.1:%d  http://127.0.0.1:%d", first,
             first + 1, first + 2);
    script_start(&r, (const char *[]){TOUR, "up", "--port", port, NULL}, NULL);
    script_await(&r, line);
    script_ends(&r, SIGTERM, false, 128 + SIGTERM);
    snprintf(port, sizeof port, "%d", listening);
    script_start(&r, (const char *[]){TOUR, "up", "--port", port, NULL}, NULL);
    script_refuses(&r, 1);
    close(fd);
}

// Two fleets at once, and what tests keep beside them.
Test(endings, ports_are_kept) {
    enum { KEPT = 60 };
    static const char *const argv[] = {KVROUTE_PORTS, "60", NULL};
    int ports[3 * KEPT], out, n = 0;
    pid_t keepers[2];
    for (int k = 0; k < 2; k++) {
        char line[1000], *at = line;
        keepers[k] = support_start_piped(argv, NULL, &out);
        cr_assert(support_read_line(out, line, sizeof line, SCRIPT_WAIT_MS));
        for (int i = 0; i < KEPT; i++)
            ports[n++] = (int)strtol(at, &at, 10);
        cr_assert(*at == 0, "more than %d: %s", KEPT, line);
        close(out);
    }
    while (n < 3 * KEPT)
        ports[n++] = support_port();
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            cr_assert(ports[i] > 0 && ports[i] != ports[k], "%d twice", ports[i]);
    for (int k = 0; k < 2; k++)
        support_end(&keepers[k], SIGKILL);
}
