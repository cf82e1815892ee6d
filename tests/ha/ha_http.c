// SPDX-License-Identifier: Apache-2.0
// See ha_http.h.
#define _GNU_SOURCE // prctl
#include "ha_http.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_http.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

enum { HTTP_ANSWER_MS = 60000, HTTP_LOOK_MS = 2000, HTTP_WORDS = 60, HTTP_MAX_REGISTERED = 8 };

#define ANSWER_TOKENS "20" // 0.2 s of an engine that writes 100 a second

// ---- Programs ------------------------------------------------------------------------------------

struct http_place {
    int port;
    const char *path;
};

static bool serves(void *ctx) {
    const struct http_place *p = ctx;
    struct support_response r = support_http(p->port, "GET", p->path, NULL, NULL, HTTP_LOOK_MS);
    bool good = r.status == 200;
    support_response_free(&r);
    return good;
}

static void wait_served(int port, const char *path, const char *what) {
    struct http_place p = {port, path};
    ha_wait(serves, &p, what);
}

void ha_http_engine_start(struct ha_http_engine *e) {
    char port[12], words[160];
    const char *argv[HTTP_WORDS] = {KVROUTE_MOCK, "--no-events",    "--http-port",
                                    port,         "--decode-speed", "100"};
    snprintf(port, sizeof port, "%d", e->port);
    snprintf(words, sizeof words, "%s", e->options);
    support_split(words, argv, 6, HTTP_WORDS);
    e->process->pid = support_start(argv, NULL);
    wait_served(e->port, "/health", "an engine answers");
}

static pid_t start_with_few_files(const char *const *argv, const char *log, size_t few) {
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) ha_give_up("%s: %s", log, strerror(errno));
    pid_t pid = support_fork(-1, fd, fd);
    if (pid) {
        close(fd);
        return pid;
    }
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){few, few});
    support_exec(argv);
}

struct ha_process *ha_http_router_start(const struct ha_http_router_plan *plan) {
    char url[60], listen[40], log[200], engines[HTTP_MAX_REGISTERED][60], words[300];
    const char *argv[HTTP_WORDS] = {KVROUTE_ROUTER, "--redis", url, "--listen", listen};
    size_t n = 5;
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", plan->server->address);
    snprintf(listen, sizeof listen, "127.0.0.1:%d", plan->port);
    for (size_t k = 0; k < plan->n_engines; k++) {
        snprintf(engines[k], sizeof engines[k], "http://127.0.0.1:%d", plan->engines[k].port);
        argv[n++] = "--engine";
        argv[n++] = engines[k];
    }
    snprintf(words, sizeof words, "%s", plan->options ? plan->options : "");
    support_split(words, argv, n, HTTP_WORDS);
    support_path(log, sizeof log, "router-%zu.log", plan->number);
    ha_show_log(log);
    struct ha_process *p = ha_process_add(0);
    p->pid = plan->few_files  ? start_with_few_files(argv, log, plan->few_files)
             : plan->replaced ? support_start_family(argv, log)
                              : support_start(argv, log);
    return p;
}

struct http_replacing {
    char log[200];
    size_t before;
};

static const char taken_over[] = "has taken over";

static bool is_replaced(void *ctx) {
    const struct http_replacing *w = ctx;
    return support_log_count(w->log, taken_over) > w->before;
}

void ha_http_router_replace(struct ha_process *router, size_t number) {
    struct http_replacing w;
    prctl(PR_SET_CHILD_SUBREAPER,
          1); // the new process is this one's child when the old one is gone
    support_path(w.log, sizeof w.log, "router-%zu.log", number);
    w.before = support_log_count(w.log, taken_over);
    kill(router->pid, SIGUSR2);
    ha_wait(is_replaced, &w, "a router is replaced");
    router->pid = support_log_process(w.log, taken_over);
    if (!router->pid) ha_give_up("%s names no process", w.log);
}

// ---- Clients -------------------------------------------------------------------------------------

static bool is_good(const struct support_response *r, bool stream) {
    if (r->status != 200 || !r->complete || strstr(r->body, "\"error\"")) return false;
    return !stream || strstr(r->body, "data: [DONE]");
}

static bool is_refusal(const struct support_response *r) {
    return r->status == 503 && r->complete && strstr(r->body, "\"code\":\"OVERLOAD\"");
}

static void note_error(struct ha_http_client *c, const struct support_response *r) {
    if (c->errors++) return;
    snprintf(c->first_error, sizeof c->first_error, "%d%s %.120s", r->status,
             r->complete ? "" : " cut", r->body ? r->body : "");
}

static void work(struct ha_http_client *c, const struct ha_http *h, size_t self, bool streams) {
    int64_t good_ms = kvr_clock_ms();
    for (size_t k = 0; !c->stop; k++) {
        bool stream = streams && k % 2, may_refuse = c->may_refuse;
        size_t router = (self + k) % HA_HTTP_ROUTERS;
        char body[300];
        snprintf(body, sizeof body,
                 "{\"messages\":[{\"role\":\"user\",\"content\":\"client %zu asks for the %zu. "
                 "time\"}],\"max_tokens\":" ANSWER_TOKENS ",\"stream\":%s}",
                 self, k, stream ? "true" : "false");
        c->busy = true;
        struct support_response r =
            support_http(h->ports[router], "POST", "/v1/chat/completions",
                         "Content-Type: application/json\r\n", body, HTTP_ANSWER_MS);
        c->busy = false;
        c->requests++;
        if (is_good(&r, stream)) {
            int64_t now = kvr_clock_ms();
            if (now - good_ms > c->longest_ms) c->longest_ms = now - good_ms;
            good_ms = now;
        } else if (may_refuse && router == 0 && is_refusal(&r)) {
            c->refusals++;
        } else {
            note_error(c, &r);
        }
        support_response_free(&r);
    }
}

static void start_client(struct ha_http *h, size_t i, bool streams) {
    struct ha_http_client *c = &h->clients[i];
    c->process = ha_process_add(0);
    if (ha_process_fork(c->process)) return;
    work(c, h, i, streams);
    _exit(0);
}

static bool all_have_answers(void *ctx) {
    const struct ha_http *h = ctx;
    for (size_t i = 0; i < h->n_clients; i++)
        if (h->clients[i].requests < 2) return false;
    return true;
}

void ha_http_wait_routed(const int *ports, size_t n) {
    for (size_t i = 0; i < n; i++)
        wait_served(ports[i], "/readyz", "a router is ready");
}

struct http_learning {
    size_t router, engines;
};

static bool has_learnt(void *ctx) {
    const struct http_learning *l = ctx;
    char log[200];
    support_path(log, sizeof log, "router-%zu.log", l->router);
    return support_log_count(log, " serves ") >= l->engines;
}

void ha_http_wait_learnt(size_t routers, size_t engines) {
    for (size_t i = 0; i < routers; i++)
        ha_wait(has_learnt, &(struct http_learning){i, engines},
                "a router knows what all engines serve");
}

void ha_http_wait_ready(const struct ha_http *h) {
    ha_http_wait_routed(h->ports, HA_HTTP_ROUTERS);
}

void ha_http_start(struct ha_http *h, const struct ha_http_plan *plan) {
    *h = (struct ha_http){.n_engines = plan->engines, .n_clients = plan->clients};
    h->clients = ha_share(HA_HTTP_MAX_CLIENTS * sizeof *h->clients);
    h->server = ha_server_start(&(struct ha_server_plan){.name = "a"});
    for (size_t i = 0; i < h->n_engines; i++) {
        struct ha_http_engine *e = &h->engines[i];
        e->port = support_port();
        e->process = ha_process_add(0);
        snprintf(e->options, sizeof e->options, "%s",
                 plan->engine_options ? plan->engine_options : "");
        ha_http_engine_start(e);
    }
    if (plan->without_redis) ha_server_kill(h->server);
    for (size_t i = 0; i < HA_HTTP_ROUTERS; i++) {
        h->ports[i] = support_port();
        h->routers[i] = ha_http_router_start(
            &(struct ha_http_router_plan){.number = i,
                                          .port = h->ports[i],
                                          .server = h->server,
                                          .engines = h->engines,
                                          .n_engines = h->n_engines,
                                          .options = plan->router_options,
                                          .few_files = i == 0 ? plan->few_files : 0});
    }
    ha_http_wait_ready(h);
    for (size_t i = 0; i < h->n_clients; i++)
        start_client(h, i, plan->streams);
    ha_wait(all_have_answers, h, "all clients have answers");
}

// ---- Looking -------------------------------------------------------------------------------------

void ha_http_note_fault(struct ha_result *v, const struct ha_http *h, const char *what) {
    snprintf(v->killed, sizeof v->killed, "%s", what);
    while (!v->in_flight) // a moment at which nobody is between two requests
        for (size_t i = 0; i < h->n_clients; i++)
            v->in_flight += h->clients[i].busy;
}

void ha_http_note_wrong(struct ha_result *v, const char *what) {
    size_t n = strlen(v->faults);
    v->unrepaired++;
    snprintf(v->faults + n, sizeof v->faults - n, "%s%s", n ? "; " : "", what);
}

static redisReply *ask_pool(struct ha_server *s, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    redisReply *r = support_redis_ask(&s->redis, format, ap);
    va_end(ap);
    return r;
}

// −1: there is no pool, or no answer.
static int64_t pool_info(struct ha_server *s, const char *field) {
    redisReply *r = ask_pool(s, "KVROUTE.INFO kvroute");
    const redisReply *found = r && r->type == REDIS_REPLY_ARRAY ? ha_field(r, field) : NULL;
    int64_t n = found ? found->integer : -1;
    if (r) freeReplyObject(r);
    return n;
}

void ha_http_may_refuse(struct ha_http *h, bool may) {
    for (size_t i = 0; i < h->n_clients; i++)
        h->clients[i].may_refuse = may;
}

uint64_t ha_http_refusals(const struct ha_http *h) {
    uint64_t n = 0;
    for (size_t i = 0; i < h->n_clients; i++)
        n += h->clients[i].refusals;
    return n;
}

int64_t ha_http_open_circuits(const struct ha_http *h) {
    return pool_info(h->server, "open_circuits");
}

struct http_open {
    const struct ha_http *h;
    int64_t n;
};

static bool so_many_are_open(void *ctx) {
    const struct http_open *o = ctx;
    return ha_http_open_circuits(o->h) == o->n;
}

void ha_http_wait_circuits(const struct ha_http *h, int64_t n) {
    struct http_open o = {h, n};
    ha_wait(so_many_are_open, &o, n ? "circuits are open" : "all circuits are closed");
}

static bool some_are_booked(void *ctx) {
    return pool_info(ctx, "requests") > 0;
}

void ha_http_wait_booked(const struct ha_http *h) {
    ha_wait(some_are_booked, h->server, "requests are booked");
}

uint64_t ha_http_sum(const int *ports, size_t n_ports, const char *name) {
    char line[100];
    uint64_t sum = 0;
    size_t n = (size_t)snprintf(line, sizeof line, "\nkvroute_router_%s", name);
    for (size_t i = 0; i < n_ports; i++) {
        struct support_response r =
            support_http(ports[i], "GET", "/metrics", NULL, NULL, HTTP_LOOK_MS);
        for (const char *at = r.body; at && (at = strstr(at, line));) {
            at += n;
            if (*at == '{') at = strchr(at, '}') + 1;
            if (*at == ' ') sum += (uint64_t)strtod(at, NULL);
        }
        support_response_free(&r);
    }
    return sum;
}

uint64_t ha_http_count(const struct ha_http *h, const char *name) {
    return ha_http_sum(h->ports, HA_HTTP_ROUTERS, name);
}

// ---- The end -------------------------------------------------------------------------------------

static bool client_has_ended(void *ctx) {
    struct ha_http_client *c = ctx;
    int status;
    return !c->process->pid || ha_process_ended(c->process, &status);
}

static bool nothing_is_booked(void *ctx) {
    return pool_info(ctx, "requests") == 0;
}

bool ha_http_wait_empty(struct ha_server *server) {
    return support_wait(nothing_is_booked, server, HA_PATIENCE_MS / 4);
}

void ha_http_finish(struct ha_result *v, struct ha_http *h) {
    for (size_t i = 0; i < h->n_clients; i++)
        h->clients[i].stop = true;
    for (size_t i = 0; i < h->n_clients; i++) {
        struct ha_http_client *c = &h->clients[i];
        ha_wait(client_has_ended, c, "a client has ended");
        v->requests += c->requests;
        if (c->errors && !v->errors)
            snprintf(v->first_error, sizeof v->first_error, "%s", c->first_error);
        v->errors += c->errors;
        if (c->longest_ms > v->ms_without) v->ms_without = c->longest_ms;
    }
    if (!ha_http_wait_empty(h->server)) ha_http_note_wrong(v, "something stays booked");
    v->degraded = ha_http_count(h, "degraded_selects_total");
    v->repaired = ha_http_count(h, "repaired_requests_total");
    v->digests_equal = true; // there is one server
}
