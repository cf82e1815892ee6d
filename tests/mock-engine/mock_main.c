// SPDX-License-Identifier: Apache-2.0
// kvroute-mock-engine: an inference engine for tests; see mock_engine.h and docs/mock-engine.md.
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/http1/h1_client.h"
#include "mock_faults.h"
#include "mock_routes.h"

static void on_signal(evutil_socket_t number, short what, void *base) {
    (void)number;
    (void)what;
    event_base_loopbreak(base);
}

// Steps are shorter than a millisecond when time runs fast.
static struct event_base *new_base(void) {
    struct event_config *config = event_config_new();
    if (!config) return NULL;
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

static void announce(const struct mock_engine *m) {
    json_t *where = mock_engine_describe(m);
    json_dumpf(where, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(where);
}

int main(int argc, char **argv) {
    struct mock_options options;
    int status = mock_options_read(&options, argc, argv);
    if (status >= 0) return status;
    signal(SIGPIPE, SIG_IGN);
    struct event_base *base = new_base();
    const char *why = "no event loop";
    struct mock_engine *m =
        base ? mock_engine_new(base, &options, mock_routes_serve, mock_routes_serve_side, &why)
             : NULL;
    if (!m) {
        fprintf(stderr, "kvroute-mock-engine: %s\n", why);
        if (base) event_base_free(base);
        return 1;
    }
    struct event *ends[] = {evsignal_new(base, SIGTERM, on_signal, base),
                            evsignal_new(base, SIGINT, on_signal, base)};
    for (size_t i = 0; i < 2; i++)
        event_add(ends[i], NULL);
    mock_faults_init(m);
    announce(m);
    event_base_dispatch(base);
    for (size_t i = 0; i < 2; i++)
        event_free(ends[i]);
    mock_faults_free(m);
    mock_engine_free(m);
    h1_loop_free(base);
    return 0;
}
