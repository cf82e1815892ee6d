// SPDX-License-Identifier: Apache-2.0
#include "router_parent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/router/router_slots.h"
#include "router_notify.h"
#include "router_upgrade.h"

enum {
    PARENT_FIRST_WAIT_MS = 100, // before another process is started; twice as long each time
    PARENT_MAX_WAIT_MS = 10000,
    PARENT_LONG_LIFE_MS = 10000, // a process that lived for so long didn't die of its start
    PARENT_END_MS = 60000,       // beyond drain: who isn't gone then stands still, and is ended
    PARENT_SIGNALS = 4,
};

struct parent_process {
    struct router_parent *parent;
    size_t number; // from 1 on
    pid_t pid;     // 0: none
    int line;
    struct event *on_word; // NULL: there is none, or the line is over
    struct event *again;   // it is to be started
    bool due, ready;
    int64_t began_us, wait_ms;
};

struct router_parent {
    struct router_parent_options o;
    struct event_base *base;
    struct h1_server *sockets; // that holds them, and accepts nothing
    struct router_slots *slots;
    struct router_upgrade *upgrade;
    struct event *signals[PARENT_SIGNALS], *late;
    struct parent_process all[ROUTER_MAX_PROCESSES];
    size_t n;
    bool ready;    // all were, once
    bool leaving;  // no more processes are started
    bool replaced; // by another router
    bool told;     // by a signal
    int code;
};

static void tell(const struct parent_process *q, enum router_child_word word) {
    char letter = (char)word;
    if (q->pid) (void)!send(q->line, &letter, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void tell_all(const struct router_parent *p, enum router_child_word word) {
    for (size_t i = 0; i < p->n; i++)
        tell(&p->all[i], word);
}

static void begin_end(struct router_parent *p, int64_t ms) {
    struct timeval end = kvr_timeval(ms);
    p->leaving = true;
    for (size_t i = 0; i < p->n; i++)
        event_del(p->all[i].again);
    event_add(p->late, &end);
    event_base_loopbreak(p->base); // there may be nobody to wait for
}

static bool has_processes(const struct router_parent *p) {
    for (size_t i = 0; i < p->n; i++)
        if (p->all[i].pid) return true;
    return false;
}

static void on_late(evutil_socket_t fd, short what, void *arg) {
    struct router_parent *p = arg;
    (void)fd;
    (void)what;
    for (size_t i = 0; i < p->n; i++)
        if (p->all[i].pid) {
            kvr_log_line(KVR_LOG_ERROR, "process %d doesn't end, and is ended", (int)p->all[i].pid);
            kill(p->all[i].pid, SIGKILL);
        }
}

// ---- What processes say, and their ends ----------------------------------------------------------

static void on_all_ready(struct router_parent *p) {
    const struct router_config *c = p->o.config;
    p->ready = true;
    h1_server_own(p->sockets);
    kvr_log_line(KVR_LOG_INFO, "listening at %s%s%s%s%s, with %zu processes", c->listen,
                 *c->listen && *c->tls_listen ? " " : "", c->tls_listen,
                 *c->admin_listen ? ", for operators at " : "", c->admin_listen, p->n);
    if (p->o.inherited->ready < 0) {
        router_notify_ready();
        return;
    }
    router_inherit_say_ready(p->o.inherited);
}

static void on_word(evutil_socket_t fd, short what, void *arg) {
    struct parent_process *q = arg;
    struct router_parent *p = q->parent;
    char word;
    (void)what;
    ssize_t n = recv(fd, &word, 1, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n != 1) { // how it ended is known in a moment
        event_free(q->on_word);
        q->on_word = NULL;
        return;
    }
    if (word != ROUTER_CHILD_READY) return;
    q->ready = true;
    for (size_t i = 0; i < p->n; i++)
        if (!p->all[i].ready) return;
    if (!p->ready && !p->leaving) on_all_ready(p);
}

static void close_line(struct parent_process *q) {
    if (q->on_word) event_free(q->on_word);
    q->on_word = NULL;
    close(q->line);
}

static void start_later(struct parent_process *q) {
    int64_t lived_us = kvr_clock_us() - q->began_us;
    if (lived_us >= (int64_t)PARENT_LONG_LIFE_MS * 1000 || !q->wait_ms)
        q->wait_ms = PARENT_FIRST_WAIT_MS;
    else
        q->wait_ms = 2 * q->wait_ms < PARENT_MAX_WAIT_MS ? 2 * q->wait_ms : PARENT_MAX_WAIT_MS;
    struct timeval wait = kvr_timeval(q->wait_ms);
    event_add(q->again, &wait);
}

static bool somebody_accepts(const struct router_parent *p) {
    for (size_t i = 0; i < p->n; i++)
        if (p->all[i].ready) return true;
    return false;
}

static void explain_end(char *out, size_t size, int status) {
    if (WIFSIGNALED(status))
        snprintf(out, size, "died of signal %d", WTERMSIG(status));
    else
        snprintf(out, size, "ended with status %d", WEXITSTATUS(status));
}

static void on_process_ended(struct parent_process *q, int status) {
    struct router_parent *p = q->parent;
    char how[60];
    explain_end(how, sizeof how, status);
    close_line(q);
    if (!router_slots_end(p->slots, q->number))
        kvr_log_line(KVR_LOG_WARNING, "no memory: what process %d has counted is lost",
                     (int)q->pid);
    pid_t pid = q->pid;
    q->pid = 0;
    q->ready = false;
    if (p->leaving) {
        // One that got the signal itself before it could hear it ends so.
        if (status && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM)) {
            kvr_log_line(KVR_LOG_ERROR, "process %d %s", (int)pid, how);
            p->code = 1;
        }
        if (!has_processes(p)) event_base_loopbreak(p->base);
        return;
    }
    if (!p->ready) {
        kvr_log_line(KVR_LOG_ERROR, "process %d %s before all were ready", (int)pid, how);
        p->code = WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1;
        tell_all(p, ROUTER_CHILD_NOW);
        begin_end(p, PARENT_END_MS);
        return;
    }
    atomic_fetch_add(&p->slots->restarts, 1);
    start_later(q);
    kvr_log_line(status ? KVR_LOG_ERROR : KVR_LOG_INFO,
                 "process %d %s; another one comes in %lld ms", (int)pid, how,
                 (long long)q->wait_ms);
    // Those that wait until they know what there is do so because others serve.
    if (!somebody_accepts(p)) tell_all(p, ROUTER_CHILD_ACCEPT);
}

static void on_ended(void *ctx, pid_t pid, int status) {
    struct router_parent *p = ctx;
    for (size_t i = 0; i < p->n; i++)
        if (p->all[i].pid == pid) on_process_ended(&p->all[i], status);
}

// ---- Starting a process --------------------------------------------------------------------------

static void on_again(evutil_socket_t fd, short what, void *arg) {
    struct parent_process *q = arg;
    (void)fd;
    (void)what;
    q->due = true;
    event_base_loopbreak(q->parent->base); // forked from a loop, it would be in that loop
}

static void free_parent(struct router_parent *p) {
    h1_server_free(p->sockets);
    for (size_t i = 0; i < p->n; i++) {
        if (p->all[i].pid) close_line(&p->all[i]);
        if (p->all[i].again) event_free(p->all[i].again);
    }
    for (int i = 0; i < PARENT_SIGNALS; i++)
        if (p->signals[i]) event_free(p->signals[i]);
    if (p->late) event_free(p->late);
    if (p->base) event_base_free(p->base);
    free(p);
}

// In the child: all of the parent's goes, without a word to anybody. What an operator says to all processes of a
// terminal is for the parent, and so is what it tells a service manager.
static void become_child(struct router_parent *p, struct parent_process *q, int line,
                         struct router_child *child) {
    *child = (struct router_child){.number = q->number, .line = line, .slots = p->slots};
    child->others = somebody_accepts(p) || p->o.inherited->ready >= 0;
    if (event_reinit(p->base) != 0) _exit(1);
    child->n = h1_server_sockets(p->sockets, child->sockets);
    for (size_t i = 0; i < child->n; i++) {
        int fd = fcntl(child->sockets[i].fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0) _exit(1);
        child->sockets[i].fd = fd;
        child->sockets[i].given = true;
    }
    h1_server_hand_over(p->sockets);
    router_upgrade_abandon(p->upgrade);
    if (p->o.inherited->ready >= 0) close(p->o.inherited->ready);
    p->o.inherited->ready = -1;
    free_parent(p);
    signal(SIGINT, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    unsetenv("NOTIFY_SOCKET");
}

// True: this is the child.
static bool start(struct router_parent *p, struct parent_process *q, struct router_child *child) {
    int ends[2];
    q->due = false;
    q->began_us = kvr_clock_us();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        kvr_log_line(KVR_LOG_ERROR, "can't start a process: %s", strerror(errno));
        start_later(q);
        return false;
    }
    pid_t pid = fork();
    if (!pid) {
        close(ends[0]);
        become_child(p, q, ends[1], child);
        return true;
    }
    close(ends[1]);
    q->on_word = pid > 0 ? event_new(p->base, ends[0], EV_READ | EV_PERSIST, on_word, q) : NULL;
    if (q->on_word && !event_add(q->on_word, NULL)) {
        q->pid = pid;
        q->line = ends[0];
        return false;
    }
    kvr_log_line(KVR_LOG_ERROR, "can't start a process: %s", strerror(pid < 0 ? errno : ENOMEM));
    if (q->on_word) event_free(q->on_word);
    q->on_word = NULL;
    if (pid > 0) kill(pid, SIGKILL); // nobody would know of it
    close(ends[0]);
    start_later(q);
    return false;
}

// ---- Signals -------------------------------------------------------------------------------------

static void on_stop(evutil_socket_t fd, short what, void *arg) {
    struct router_parent *p = arg;
    (void)fd;
    (void)what;
    if (p->told) {
        tell_all(p, ROUTER_CHILD_NOW);
        begin_end(p, PARENT_END_MS);
        return;
    }
    p->told = true;
    if (!p->replaced) {
        router_notify_stopping();
        router_upgrade_cancel(p->upgrade);
        kvr_log_line(KVR_LOG_INFO, "leaving");
    }
    // Before they do: a socket that nobody accepts from refuses nobody.
    h1_server_unlisten(p->sockets);
    tell_all(p, ROUTER_CHILD_LEAVE);
    begin_end(p, p->o.config->drain + PARENT_END_MS);
}

static void on_replaced(void *ctx, pid_t by) {
    struct router_parent *p = ctx;
    kvr_log_line(KVR_LOG_INFO, "process %d has taken over; leaving", (int)by);
    router_notify_successor(by);
    p->replaced = true;
    h1_server_hand_over(p->sockets);
    h1_server_unlisten(p->sockets);
    tell_all(p, ROUTER_CHILD_REPLACED);
    begin_end(p, p->o.config->drain + PARENT_END_MS);
}

static void on_not_replaced(void *ctx) {
    (void)ctx;
    router_notify_ready();
}

static void on_upgrade(evutil_socket_t fd, short what, void *arg) {
    struct router_parent *p = arg;
    (void)fd;
    (void)what;
    if (p->leaving || !p->ready) {
        kvr_log_line(KVR_LOG_WARNING, "upgrade refused: this process %s",
                     p->leaving ? "is leaving" : "isn't ready yet");
        return;
    }
    if (router_upgrade_start(p->upgrade, p->sockets, p->o.config->upgrade_timeout))
        router_notify_reloading();
}

// Those that run read them for themselves; those that come later get them from here.
static void reload(struct router_parent *p) {
    struct router_config fresh, *c = p->o.config;
    char error[400];
    bool help;
    if (!router_config_read(&fresh, p->o.argc, p->o.argv, &help, error, sizeof error)) {
        kvr_log_line(KVR_LOG_ERROR, "settings not changed: %s", error);
        return;
    }
    if (router_config_fix(&fresh, c)) kvr_log_line(KVR_LOG_WARNING, "%s", router_config_fixed);
    router_config_free(c);
    *c = fresh;
    kvr_log_debug(c->debug);
    tell_all(p, ROUTER_CHILD_RELOAD);
}

static void on_reload(evutil_socket_t fd, short what, void *arg) {
    struct router_parent *p = arg;
    (void)fd;
    (void)what;
    if (p->leaving) return;
    if (p->ready) router_notify_reloading();
    reload(p);
    if (p->ready) router_notify_ready();
}

// ---- Beginning and ending ------------------------------------------------------------------------

static bool hold_sockets(struct router_parent *p, char *error, size_t error_size) {
    const struct router_config *c = p->o.config;
    struct h1_server_options o = h1_server_defaults;
    o.base = p->base;
    o.listen = c->listen;
    o.tls_listen = c->tls_listen;
    o.admin_listen = c->admin_listen;
    o.tls_cert = c->tls_cert;
    o.tls_key = c->tls_key;
    o.reuse_port = c->reuse_port;
    o.sockets = p->o.inherited->sockets;
    o.n_sockets = p->o.inherited->n;
    o.hold = true;
    p->sockets = h1_server_new(&o, error, error_size);
    return p->sockets != NULL;
}

static bool open_parent(struct router_parent *p, char *error, size_t error_size) {
    static const struct {
        int number;
        event_callback_fn call;
    } signals[PARENT_SIGNALS] = {
        {SIGTERM, on_stop}, {SIGINT, on_stop}, {SIGHUP, on_reload}, {SIGUSR2, on_upgrade}};
    p->base = event_base_new();
    p->slots = router_slots_new(p->n);
    if (!p->base || !p->slots || !hold_sockets(p, error, error_size)) return false;
    struct router_upgrade_options upgrade = {.base = p->base,
                                             .argv = p->o.argv,
                                             .ctx = p,
                                             .replaced = on_replaced,
                                             .failed = on_not_replaced,
                                             .ended = on_ended};
    p->upgrade = router_upgrade_new(&upgrade);
    p->late = event_new(p->base, -1, 0, on_late, p);
    if (!p->upgrade || !p->late) return false;
    for (int i = 0; i < PARENT_SIGNALS; i++) {
        p->signals[i] = evsignal_new(p->base, signals[i].number, signals[i].call, p);
        if (!p->signals[i] || event_add(p->signals[i], NULL)) return false;
    }
    for (size_t i = 0; i < p->n; i++) {
        struct parent_process *q = &p->all[i];
        q->parent = p;
        q->number = i + 1;
        q->due = true;
        if (!(q->again = event_new(p->base, -1, 0, on_again, q))) return false;
    }
    return true;
}

// True: this is a child.
static bool run(struct router_parent *p, struct router_child *child) {
    do {
        for (size_t i = 0; i < p->n; i++)
            if (p->all[i].due && !p->leaving && start(p, &p->all[i], child)) return true;
        event_base_dispatch(p->base);
    } while (!p->leaving || has_processes(p));
    return false;
}

bool router_parent_run(const struct router_parent_options *o, struct router_child *child,
                       int *code) {
    struct router_parent *p = calloc(1, sizeof *p);
    char error[400] = "no memory";
    *code = 1;
    if (!p) return false;
    p->o = *o;
    p->n = o->config->processes;
    kvr_log_debug(o->config->debug);
    if (!open_parent(p, error, sizeof error)) {
        kvr_log_line(KVR_LOG_ERROR, "%s", error);
    } else {
        if (run(p, child)) return true;
        *code = p->code;
    }
    router_slots_free(p->slots);
    router_upgrade_free(p->upgrade);
    free_parent(p);
    return false;
}
