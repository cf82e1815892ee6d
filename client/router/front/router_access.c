// SPDX-License-Identifier: Apache-2.0
//
// Lines are gathered and written a few times a second, or when there are many. A log that can't be
// written (a full disk, a pipe that nobody reads) never holds up a request: lines wait while there is
// room, then they are lost. How many is a metric.
#define _GNU_SOURCE // memrchr
#include "router_access.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/router/pools/router_pools.h"
#include "client/router/prompt/router_service.h"
#include "client/router/router.h"
#include "client/router/router_exchange.h"
#include "client/router/router_metrics.h"
#include "client/router/trace/router_trace.h"

enum {
    ACCESS_ROOM = 64 << 10,
    ACCESS_MAX_LINE = 8192,
    ACCESS_MAX_TEXT = 256, // bytes of a name, before they are escaped
    ACCESS_FLUSH_MS = 200,
    ACCESS_ATOMIC = PIPE_BUF,
};

struct router_access_log {
    struct router *router;
    int fd; // −1: none
    struct event *flush;
    bool armed;
    size_t n;
    char lines[ACCESS_ROOM];
};

// How much is written at once. Where other processes write to the same place, as many whole lines as nobody cuts
// apart, be it a pipe.
static size_t size_of_write(const struct router_access_log *a, size_t at) {
    size_t n = a->n - at;
    if (!a->router->slots || n <= ACCESS_ATOMIC) return n;
    const char *end = memrchr(a->lines + at, '\n', ACCESS_ATOMIC);
    return end ? (size_t)(end + 1 - a->lines) - at : n;
}

static void write_out(struct router_access_log *a) {
    size_t at = 0;
    while (at < a->n) {
        ssize_t n = write(a->fd, a->lines + at, size_of_write(a, at));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        at += (size_t)n;
    }
    memmove(a->lines, a->lines + at, a->n - at);
    a->n -= at;
}

static void flush_soon(struct router_access_log *a) {
    struct timeval soon = {0, ACCESS_FLUSH_MS * 1000};
    if (!a->armed) event_add(a->flush, &soon);
    a->armed = true;
}

static void on_flush(evutil_socket_t fd, short what, void *arg) {
    struct router_access_log *a = arg;
    (void)fd;
    (void)what;
    a->armed = false;
    write_out(a);
    if (a->n) flush_soon(a);
}

// Standard output opened a second time can be made non-blocking without changing it for other programs that
// share it. If it is a socket, it can't be opened again.
static int open_output(void) {
    int fd = open("/proc/self/fd/1", O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd >= 0 ? fd : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
}

static bool open_file(struct router_access_log *a, char *error, size_t error_size) {
    const char *path = a->router->config.access_log;
    int fd = -1;
    if (strcmp(path, "-") == 0)
        fd = open_output();
    else if (*path)
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
    if (*path && fd < 0) {
        snprintf(error, error_size, "access_log %.200s: %s", path, strerror(errno));
        return false;
    }
    if (a->fd >= 0) {
        write_out(a);
        close(a->fd);
    }
    a->fd = fd;
    a->n = 0;
    return true;
}

struct router_access_log *router_access_new(struct router *r, char *error, size_t error_size) {
    struct router_access_log *a = calloc(1, sizeof *a);
    if (!a) return NULL;
    a->router = r;
    a->fd = -1;
    a->flush = event_new(r->base, -1, 0, on_flush, a);
    if (a->flush && open_file(a, error, error_size)) return a;
    router_access_free(a);
    return NULL;
}

bool router_access_reload(struct router_access_log *a, char *error, size_t error_size) {
    return open_file(a, error, error_size);
}

void router_access_free(struct router_access_log *a) {
    if (!a) return;
    if (a->fd >= 0) {
        write_out(a);
        close(a->fd);
    }
    if (a->flush) event_free(a->flush);
    free(a);
}

// ---- Lines ---------------------------------------------------------------------------------------

// Fields are in it as a whole or not at all, so that it is JSON whatever is in them.
struct access_line {
    char text[ACCESS_MAX_LINE];
    size_t n, size; // size: that may be used
    bool full;      // a field found no room: nothing more is added
};

static void add(struct access_line *l, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add(struct access_line *l, const char *format, ...) {
    size_t room = l->size - 3 - l->n; // for the end
    va_list args;
    va_start(args, format);
    int n = vsnprintf(l->text + l->n, room, format, args);
    va_end(args);
    l->full |= n < 0 || (size_t)n >= room;
    if (!l->full) l->n += (size_t)n;
}

// Names come from others: what isn't plain ASCII is escaped byte by byte, and a long one is cut.
static void add_text(struct access_line *l, const char *name, const char *value) {
    size_t before = l->n;
    if (!*value) return;
    add(l, ",\"%s\":\"", name);
    for (size_t i = 0; value[i] && i < ACCESS_MAX_TEXT; i++) {
        unsigned char u = (unsigned char)value[i];
        if (u < ' ' || u > 126)
            add(l, "\\u%04x", u);
        else
            add(l, u == '"' || u == '\\' ? "\\%c" : "%c", u);
    }
    add(l, "\"");
    if (l->full) l->n = before;
}

static void add_name(struct access_line *l, const char *name, struct kvr_bytes value) {
    char text[KVR_MAX_ID + 1];
    size_t n = value.n < sizeof text ? value.n : sizeof text - 1;
    if (n) memcpy(text, value.p, n);
    text[n] = 0;
    add_text(l, name, text);
}

static void add_number(struct access_line *l, const char *name, int64_t value) {
    if (value >= 0) add(l, ",\"%s\":%lld", name, (long long)value);
}

static void add_ms(struct access_line *l, const char *name, int64_t us) {
    if (us >= 0) add(l, ",\"%s\":%.3f", name, (double)us / 1000);
}

static void add_flag(struct access_line *l, const char *name, bool value) {
    if (value) add(l, ",\"%s\":true", name);
}

void router_access_done(struct router *r, const struct router_exchange *x) {
    struct router_access_log *a = r->access;
    const struct h1_exchange *h = &x->h1;
    const struct router_record *c = &x->record;
    char now[KVR_LOG_TIME_SIZE];
    struct access_line l; // its text is as large as it may get: it isn't set to 0
    if (!a || a->fd < 0) return;
    l.n = 0;
    l.full = false;
    l.size = r->slots ? ACCESS_ATOMIC : ACCESS_MAX_LINE;
    kvr_log_time(now);
    add(&l, "{\"time\":\"%s\"", now);
    add_text(&l, "id", c->id);
    add_text(&l, "trace_id", router_trace_id(x));
    add_text(&l, "method", x->h1.head.verb ? x->h1.head.verb : "");
    // The path only where it is one of ours: others may have anything in them.
    add_text(&l, "path", x->route ? x->route->path : "");
    add(&l, ",\"status\":%d,\"ms\":%.3f", h->gone && !h->status ? 499 : h->status,
        (double)(kvr_clock_us() - h->began_us) / 1000);
    add(&l, ",\"in\":%llu,\"out\":%llu", (unsigned long long)h->in_bytes,
        (unsigned long long)h->out_bytes);
    add_text(&l, "code", c->code);
    if (x->pool) add_text(&l, "pool", x->pool->options.name);
    add_text(&l, "model", c->model);
    add_name(&l, "class", router_service_class(x->service));
    add_name(&l, "flow", router_service_flow(x->service));
    add_text(&l, "worker", c->worker);
    if (*c->worker) add_number(&l, "rank", c->rank);
    add_text(&l, "prefill_worker", c->prefill_worker);
    if (*c->prefill_worker) {
        add_number(&l, "prefill_rank", c->prefill_rank);
        add_ms(&l, "prefill_ms", c->prefill_us);
    }
    add_number(&l, "blocks", c->blocks);
    add_number(&l, "overlap", c->overlap);
    add_number(&l, "expected", c->expected);
    add_number(&l, "input", c->input);
    add_number(&l, "output", c->output);
    add_number(&l, "cached", c->cached);
    if (c->waited > 0) add_number(&l, "waited_ms", c->waited);
    add_ms(&l, "first_ms", c->first_us);
    add_ms(&l, "ttft_ms", c->booked_us);
    add_ms(&l, "ttft_predicted_ms", c->predicted_us);
    if (c->tries > 1) add_number(&l, "tries", c->tries);
    add_flag(&l, "stream", c->stream);
    if (c->protection) add_text(&l, "protected", c->protection);
    if (c->continued) add_number(&l, "continued", c->continued);
    add_flag(&l, "degraded", c->degraded);
    add_flag(&l, "gone", h->gone);
    add_flag(&l, "cut", h->cut);
    l.text[l.n++] = '}';
    l.text[l.n++] = '\n';
    if (a->n + l.n > ACCESS_ROOM) write_out(a);
    if (a->n + l.n > ACCESS_ROOM) {
        r->metrics->lost_lines++;
        return;
    }
    memcpy(a->lines + a->n, l.text, l.n);
    a->n += l.n;
    flush_soon(a);
}
