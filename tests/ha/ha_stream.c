// SPDX-License-Identifier: Apache-2.0
// See ha_stream.h.
#include "ha_stream.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_http.h"
#include "tests/support/support_port.h"

enum { STREAM_ANSWER_MS = 60000, STREAM_PROMPTS = 64, STREAM_MAX_THREADS = 256 };

// ---- One stream ----------------------------------------------------------------------------------

// What differs between two answers to one request is when they were made.
static void blank_times(char *body) {
    static const char name[] = "\"created\":";
    for (char *at = body; at && (at = strstr(at, name));)
        for (at += sizeof name - 1; *at >= '0' && *at <= '9'; at++)
            *at = '0';
}

// Half of them are chats, and many begin alike, as requests do that caches are for.
static const char *write_request(char body[400], const struct ha_stream_fleet *f, uint64_t number) {
    bool chat = number % 2;
    uint64_t prompt = number / 2 % STREAM_PROMPTS;
    char text[120];
    snprintf(text, sizeof text, "a long introduction to all that follows, number %" PRIu64, prompt);
    snprintf(body, 400,
             chat ? "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],"
                  : "{\"prompt\":\"%s\",",
             text);
    size_t n = strlen(body);
    snprintf(body + n, 400 - n,
             "\"max_tokens\":%d,\"temperature\":0,\"stream\":true,"
             "\"stream_options\":{\"include_usage\":true}}",
             f->tokens);
    return chat ? "/v1/chat/completions" : "/v1/completions";
}

static struct support_response ask(int port, const char *path, const char *id, const char *body,
                                   int64_t *first_us) {
    char headers[120];
    snprintf(headers, sizeof headers, "Content-Type: application/json\r\nX-Request-Id: %s\r\n", id);
    int64_t from = kvr_clock_us();
    int fd = support_http_connect(port);
    if (fd < 0) return (struct support_response){.status = 0};
    support_http_request(fd, "POST", path, headers, body);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    poll(&p, 1, STREAM_ANSWER_MS);
    *first_us = kvr_clock_us() - from; // a head waits for the first token
    struct support_response r = support_http_response(fd, false, STREAM_ANSWER_MS);
    close(fd);
    return r;
}

static void note_first_us(struct ha_stream_seen *s, int phase, int64_t us) {
    size_t i = s->n_first[phase]++;
    if (i < HA_STREAM_FOLLOWED) s->first_us[phase][i] = us < INT32_MAX ? (int32_t)us : INT32_MAX;
}

static void note_trouble(struct ha_stream_seen *s, const char *what, const char *id,
                         const struct support_response *r) {
    size_t n = r->body ? strlen(r->body) : 0;
    if (!*s->first_error)
        snprintf(s->first_error, sizeof s->first_error, "%s %s: %d … %s", what, id, r->status,
                 n > 60 ? r->body + n - 60
                 : n    ? r->body
                        : "");
}

static void compare(const struct ha_stream_fleet *f, const char *path, const char *id,
                    const char *body, struct support_response *r) {
    int64_t none;
    struct support_response whole = ask(f->undisturbed.port, path, id, body, &none);
    blank_times(r->body);
    blank_times(whole.body);
    if (whole.status != 200 || !whole.complete) ha_give_up("the undisturbed engine is disturbed");
    if (strcmp(r->body, whole.body) != 0) {
        f->seen->different++;
        note_trouble(f->seen, "different", id, r);
    }
    support_response_free(&whole);
}

static void follow(const struct ha_stream_fleet *f, uint64_t number) {
    struct ha_stream_seen *s = f->seen;
    char body[400], id[40];
    int64_t first_us = 0;
    int phase = s->phase;
    const char *path = write_request(body, f, number);
    snprintf(id, sizeof id, "s%" PRIu64, number);
    struct support_response r = ask(f->ports[number % HA_HTTP_ROUTERS], path, id, body, &first_us);
    s->streams++;
    if (r.status != 200) {
        s->refused++;
        note_trouble(s, "refused", id, &r);
    } else if (!r.complete || !strstr(r.body, "data: [DONE]") || strstr(r.body, "\"error\"")) {
        s->cut++;
        note_trouble(s, "cut", id, &r);
    } else {
        note_first_us(s, phase, first_us);
        s->unprotected += !support_response_has(&r, "X-Kvroute-Protected: ids");
        compare(f, path, id, body, &r);
    }
    support_response_free(&r);
}

// ---- Clients -------------------------------------------------------------------------------------

struct stream_thread {
    const struct ha_stream_fleet *fleet;
    uint64_t first;
    pthread_t thread;
};

static void *follow_some(void *arg) {
    const struct stream_thread *t = arg;
    for (uint64_t i = t->first; !t->fleet->seen->stop; i += t->fleet->streams)
        follow(t->fleet, i);
    return NULL;
}

static void work(const struct ha_stream_fleet *f, size_t process) {
    static struct stream_thread threads[STREAM_MAX_THREADS];
    size_t n = 0;
    for (size_t i = process; i < f->streams && n < STREAM_MAX_THREADS; i += HA_STREAM_PROCESSES) {
        struct stream_thread *t = &threads[n];
        *t = (struct stream_thread){.fleet = f, .first = i};
        if (pthread_create(&t->thread, NULL, follow_some, t)) ha_give_up("no more threads");
        n++;
    }
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i].thread, NULL);
}

// ---- All of it -----------------------------------------------------------------------------------

static void start_engine(struct ha_http_engine *e, const char *options) {
    e->port = support_port();
    e->process = ha_process_add(0);
    snprintf(e->options, sizeof e->options, "%s", options);
    ha_http_engine_start(e);
}

static bool many_have_ended(void *ctx) {
    const struct ha_stream_fleet *f = ctx;
    return f->seen->streams >= f->streams;
}

void ha_stream_start(struct ha_stream_fleet *f, const struct ha_stream_plan *plan) {
    static const char options[] = "--answers ids --end-every 0 --seed 7 --max-running 256";
    char quick[160];
    snprintf(quick, sizeof quick, "%s --time-scale 0", options);
    *f = (struct ha_stream_fleet){
        .n_engines = plan->engines, .streams = plan->streams, .tokens = plan->tokens};
    f->seen = ha_share(sizeof *f->seen);
    f->server = ha_server_start(&(struct ha_server_plan){.name = "a"});
    start_engine(&f->undisturbed, quick);
    for (size_t i = 0; i < f->n_engines; i++)
        start_engine(&f->engines[i], options);
    for (size_t i = 0; i < HA_HTTP_ROUTERS; i++) {
        f->ports[i] = support_port();
        f->routers[i] =
            ha_http_router_start(&(struct ha_http_router_plan){.number = i,
                                                               .port = f->ports[i],
                                                               .server = f->server,
                                                               .engines = f->engines,
                                                               .n_engines = f->n_engines,
                                                               .options = plan->router_options,
                                                               .replaced = plan->replaced});
    }
    ha_http_wait_routed(f->ports, HA_HTTP_ROUTERS);
    ha_http_wait_learnt(HA_HTTP_ROUTERS, f->n_engines);
    for (size_t i = 0; i < HA_STREAM_PROCESSES; i++) {
        f->clients[i] = ha_process_add(0);
        if (ha_process_fork(f->clients[i])) continue;
        work(f, i);
        _exit(0);
    }
    ha_wait(many_have_ended, f, "streams have come to their end");
}

void ha_stream_begin(struct ha_stream_fleet *f, struct ha_result *v, const char *what) {
    snprintf(v->killed, sizeof v->killed, "%s", what);
    v->in_flight = f->streams;
    f->seen->phase = HA_STREAM_BROKEN;
}

static int by_size(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

double ha_stream_first_ms(const struct ha_stream_seen *s, enum ha_stream_phase phase, double q) {
    size_t n = s->n_first[phase] < HA_STREAM_FOLLOWED ? s->n_first[phase] : HA_STREAM_FOLLOWED;
    int32_t *sorted = n ? malloc(n * sizeof *sorted) : NULL;
    if (!sorted) return -1;
    memcpy(sorted, s->first_us[phase], n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_size);
    double ms = sorted[(size_t)((double)(n - 1) * q)] / 1000.0;
    free(sorted);
    return ms;
}

static bool process_has_ended(void *ctx) {
    struct ha_process *p = ctx;
    int status;
    return !p->pid || ha_process_ended(p, &status);
}

void ha_stream_finish(struct ha_stream_fleet *f, struct ha_result *v) {
    struct ha_stream_seen *s = f->seen;
    s->stop = true;
    for (size_t i = 0; i < HA_STREAM_PROCESSES; i++)
        ha_wait(process_has_ended, f->clients[i], "clients have ended");
    v->requests = s->streams;
    v->errors = s->cut + s->different + s->refused + s->unprotected;
    memcpy(v->first_error, s->first_error, sizeof v->first_error);
    if (!*v->first_error && s->unprotected)
        snprintf(v->first_error, sizeof v->first_error, "not protected");
    v->stream = (struct ha_stream_result){
        .streams = s->streams,
        .cut = s->cut,
        .different = s->different,
        .refused = s->refused,
        .continued = ha_http_sum(f->ports, HA_HTTP_ROUTERS, "streams_continued_total"),
        .calm_ms = ha_stream_first_ms(s, HA_STREAM_CALM, 0.99),
        .broken_ms = ha_stream_first_ms(s, HA_STREAM_BROKEN, 0.99)};
    if (!ha_http_wait_empty(f->server)) ha_http_note_wrong(v, "something stays booked");
    v->digests_equal = true; // there is one server
}
