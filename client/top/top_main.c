// SPDX-License-Identifier: Apache-2.0
// kvroute-top: pools in a terminal, or once for scripts. One thread, one loop.
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/common/clock.h"
#include "client/common/config.h"
#include "top_feed.h"
#include "top_report.h"
#include "top_terminal.h"

enum { SIGNALS = 4, ONCE_COLUMNS = 160, ROUNDS_ONCE = 2 };

struct top_program {
    struct top_config config;
    struct top_view view;
    struct top_ui ui;
    struct top_screen screen;
    struct event_base *base;
    struct top_feed *feed;
    struct event *keys, *signals[SIGNALS];
    int ended_by; // a signal; 0: none
};

static struct top_moments_now moments_now(void) {
    return (struct top_moments_now){kvr_clock_ms(), (int64_t)time(NULL)};
}

static void draw(struct top_program *p) {
    top_draw(&p->screen, &p->ui, &p->view, moments_now());
    top_terminal_show(&p->screen);
}

// ---- What happens --------------------------------------------------------------------------------

static void on_change(void *ctx) {
    struct top_program *p = ctx;
    if (p->config.once) {
        bool done = p->feed && top_feed_searched(p->feed) &&
                    (!p->view.n_pools || top_feed_rounds(p->feed) >= ROUNDS_ONCE);
        if (done) event_base_loopbreak(p->base);
        return;
    }
    top_ui_update(&p->ui, &p->view);
    draw(p);
}

static void on_keys(evutil_socket_t fd, short what, void *arg) {
    struct top_program *p = arg;
    uint32_t key;
    bool changed = false;
    (void)fd;
    (void)what;
    if (top_terminal_gone()) {
        p->ended_by = SIGHUP;
        event_base_loopbreak(p->base);
        return;
    }
    while ((key = top_terminal_key()) != 0)
        changed |= top_ui_key(&p->ui, &p->view, key);
    if (p->ui.quit) {
        event_base_loopbreak(p->base);
        return;
    }
    top_feed_pause(p->feed, p->ui.paused);
    top_feed_watch(p->feed, p->ui.pool);
    top_feed_explain(p->feed, p->ui.page == TOP_PAGE_CHOICE);
    if (changed) draw(p);
}

static void on_end(evutil_socket_t signal, short what, void *arg) {
    struct top_program *p = arg;
    (void)what;
    p->ended_by = (int)signal;
    event_base_loopbreak(p->base);
}

static void on_resize(evutil_socket_t signal, short what, void *arg) {
    struct top_program *p = arg;
    int rows, cols;
    (void)signal;
    (void)what;
    top_terminal_size(&rows, &cols);
    if (top_screen_resize(&p->screen, rows, cols)) draw(p);
}

// ---- Beginning and ending ------------------------------------------------------------------------

static bool open_terminal(struct top_program *p, char *error, size_t error_size) {
    int rows, cols;
    if (!top_terminal_open(p->config.color, error, error_size)) return false;
    p->signals[3] = evsignal_new(p->base, SIGWINCH, on_resize, p);
    p->keys = event_new(p->base, 0, EV_READ | EV_PERSIST, on_keys, p);
    top_terminal_size(&rows, &cols);
    if (p->signals[3] && p->keys && top_screen_resize(&p->screen, rows, cols)) return true;
    snprintf(error, error_size, "no memory");
    return false;
}

// The terminal first: ncurses takes signals, which are ours then.
static bool open_program(struct top_program *p, char *error, size_t error_size) {
    static const int ends[] = {SIGTERM, SIGINT, SIGHUP};
    snprintf(error, error_size, "no memory");
    p->base = event_base_new();
    if (!p->base || (!p->config.once && !open_terminal(p, error, error_size))) return false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (!(p->signals[i] = evsignal_new(p->base, ends[i], on_end, p))) return false;
    p->feed = top_feed_new(p->base, &p->config, &p->view, on_change, p, error, error_size);
    if (!p->feed) return false;
    if (p->config.once) top_feed_watch(p->feed, TOP_MAX_POOLS);
    for (size_t i = 0; i < SIGNALS; i++)
        if (p->signals[i]) event_add(p->signals[i], NULL);
    if (p->keys) event_add(p->keys, NULL);
    return true;
}

static void close_program(struct top_program *p) {
    top_feed_free(p->feed);
    for (size_t i = 0; i < SIGNALS; i++)
        if (p->signals[i]) event_free(p->signals[i]);
    if (p->keys) event_free(p->keys);
    if (p->base) event_base_free(p->base);
    libevent_global_shutdown();
    top_ui_free(&p->ui);
    top_screen_free(&p->screen);
    top_view_free(&p->view);
}

static int columns_to_print(void) {
    const char *columns = getenv("COLUMNS");
    int wide = columns ? atoi(columns) : 0;
    return wide >= 80 ? wide : ONCE_COLUMNS;
}

// 0 if every pool has answered.
static int report(const struct top_program *p) {
    bool all = p->view.n_pools > 0;
    bool good = p->config.json ? top_report_json(&p->view, &p->config, stdout)
                               : top_report_text(&p->view, &p->config, p->screen.utf8,
                                                 columns_to_print(), moments_now(), stdout);
    if (!good) fprintf(stderr, "kvroute-top: it can't be printed\n");
    if (!all) fprintf(stderr, "kvroute-top: %s\n", p->view.trouble);
    for (size_t i = 0; i < p->view.n_pools; i++) {
        const struct top_pool *q = p->view.pools[i];
        if (q->known && !q->message[0]) continue;
        fprintf(stderr, "kvroute-top: pool %s: %s\n", q->name,
                q->message[0] ? q->message : "no answer");
        all = false;
    }
    return good && all ? 0 : 1;
}

static int run(struct top_program *p) {
    char error[300];
    int code = 2;
    setlocale(LC_ALL, "");
    p->screen.utf8 = !p->config.ascii && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    top_view_init(&p->view, p->config.refresh);
    top_ui_init(&p->ui, &p->config);
    bool open = open_program(p, error, sizeof error);
    if (open) {
        event_base_dispatch(p->base);
        code = 0;
    }
    top_terminal_close();
    if (!open) fprintf(stderr, "kvroute-top: %s\n", error);
    if (open && p->config.once && !p->ended_by) code = report(p);
    close_program(p);
    return code;
}

int main(int argc, char **argv) {
    static struct top_program p;
    char error[400];
    bool help;
    signal(SIGPIPE, SIG_IGN);
    if (kvr_config_version(argc, argv, "kvroute-top")) {
        printf("libkvroute %s\n", kvr_client_library());
        return 0;
    }
    if (!top_config_read(&p.config, argc, argv, &help, error, sizeof error)) {
        fprintf(stderr, "kvroute-top: %s\n", error);
        return 2;
    }
    if (help) {
        fputs(top_config_usage, stdout);
        return 0;
    }
    int code = run(&p);
    if (!p.ended_by) return code;
    signal(p.ended_by, SIG_DFL); // whoever started it sees why it ended
    raise(p.ended_by);
    return 128 + p.ended_by;
}
