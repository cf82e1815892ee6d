// SPDX-License-Identifier: Apache-2.0
// The fake's thread: connections, commands, faults; see fake_server.h.
//
// Nothing here waits but poll(): a client that doesn't read what it is sent, or that never comes back,
// holds up nobody. What the test thread changes, it changes under the lock, and the thread looks at it
// anew for every command.
#define _GNU_SOURCE // accept4
#include "fake_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "fake_pool.h"
#include "fake_queue.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"

enum {
    FAKE_MAX_CONNECTIONS = 128,
    FAKE_STALL_MS = 150,
    FAKE_TICK_MS = 5,
    FAKE_STORY = 2048,
    FAKE_STORY_WORD = 56,
    FAKE_NAMES = 40,
    FAKE_SAID = 600
};

struct fake_connection {
    int fd, node;
    uint64_t id;     // for CLIENT ID and CLIENT KILL
    int64_t stalled; // nothing is heard until then; 0: now
    bool mute;       // hears, and says nothing any more
    bool slow;       // says every byte alone
    bool ending;     // closes when all is written
    bool asking;
    char channel[64]; // it has subscribed to; "": none
    struct fake_buf in, out;
};

struct fake_server {
    pthread_t thread;
    pthread_mutex_t lock;
    int wake; // an eventfd
    bool stop;
    int listeners[FAKE_NODES], n_nodes;
    bool deaf;      // nobody listens
    char path[108]; // of the unix socket, if it is one
    struct fake_connection conns[FAKE_MAX_CONNECTIONS];
    size_t n_conns;
    struct fake_pool pool, kept; // kept: what a failover goes back to
    // Counting and misbehaving.
    struct fake_fault fault;
    uint64_t heard, fault_at, faults, last_id;
    bool fault_stays;
    char story[FAKE_STORY][FAKE_STORY_WORD];
    uint64_t n_story;
    char said[FAKE_NAMES][FAKE_SAID]; // the last command of each name
};

// ---- Connections ---------------------------------------------------------------------------------

static void drop_conn(struct fake_server *f, size_t i) {
    struct fake_connection *c = &f->conns[i];
    close(c->fd);
    free(c->in.p);
    free(c->out.p);
    *c = f->conns[--f->n_conns];
}

static void drop_all(struct fake_server *f) {
    while (f->n_conns)
        drop_conn(f, f->n_conns - 1);
}

static int listen_unix(const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(path);
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 64)) abort();
    return fd;
}

static void close_listeners(struct fake_server *f) {
    for (int i = 0; i < f->n_nodes; i++)
        if (f->listeners[i] >= 0) close(f->listeners[i]);
}

// A TCP port is kept, so that nobody else's server is there when our clients look for ours.
static void stop_listening(struct fake_server *f) {
    if (f->deaf) return;
    f->deaf = true;
    if (f->path[0]) {
        close(f->listeners[0]);
        f->listeners[0] = -1;
        return;
    }
    for (int i = 0; i < f->n_nodes; i++)
        support_listen_stop(f->listeners[i]);
}

static void listen_again(struct fake_server *f) {
    if (!f->deaf) return;
    f->deaf = false;
    if (f->path[0]) f->listeners[0] = listen_unix(f->path);
    for (int i = 0; i < f->n_nodes && !f->path[0]; i++)
        support_listen_again(f->listeners[i]);
}

static void accept_one(struct fake_server *f, int node) {
    int fd = accept4(f->listeners[node], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    if (f->n_conns ==
        FAKE_MAX_CONNECTIONS) { // a client that leaks connections must not look well served
        fprintf(stderr, "the fake has %d connections\n", FAKE_MAX_CONNECTIONS);
        abort();
    }
    f->conns[f->n_conns++] = (struct fake_connection){.fd = fd, .node = node, .id = ++f->last_id};
}

// ---- Commands ------------------------------------------------------------------------------------

static void broken(const struct fake_connection *c) {
    fprintf(stderr, "the client sent what is no command:\n%.*s\n", (int)c->in.n, c->in.p);
    abort();
}

// Reads "*12\r\n" or "$12\r\n" at *at. false: it isn't all there.
static bool read_count(const struct fake_connection *c, size_t *at, char kind, size_t *count) {
    const char *p = c->in.p + *at, *end = c->in.p + c->in.n;
    if (p == end) return false;
    if (*p++ != kind) broken(c);
    size_t value = 0;
    const char *digits = p;
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        if ((value = value * 10 + (size_t)(*p - '0')) > 1u << 30) broken(c);
    if (p < end && (*p != '\r' || p == digits)) broken(c);
    if (end - p < 2) return false;
    if (p[1] != '\n') broken(c);
    *at = (size_t)(p + 2 - c->in.p);
    *count = value;
    return true;
}

// A whole command at the start of what was read: its length; 0: not all of it is there.
static size_t read_command(const struct fake_connection *c, struct fake_word *argv, size_t *argc) {
    size_t at = 0, n, len;
    if (!read_count(c, &at, '*', &n)) return 0;
    if (n == 0) broken(c);
    for (size_t i = 0; i < n; i++) {
        if (!read_count(c, &at, '$', &len)) return 0;
        if (c->in.n < at + len + 2) return 0;
        if (memcmp(c->in.p + at + len, "\r\n", 2) != 0) broken(c);
        if (i < FAKE_WORDS) argv[i] = (struct fake_word){c->in.p + at, len};
        at += len + 2;
    }
    *argc = n;
    return at;
}

// "node:NAME second third=answer", for people who look for what has happened.
static void note(struct fake_server *f, const struct fake_connection *c,
                 const struct fake_word *argv, size_t argc, const struct fake_buf *said,
                 bool faulty) {
    char *line = f->story[f->n_story++ % FAKE_STORY];
    size_t n = (size_t)snprintf(line, FAKE_STORY_WORD, "%d:", c->node);
    const char *name =
        argv[0].n > 8 && !memcmp(argv[0].p, "KVROUTE.", 8) ? argv[0].p + 8 : argv[0].p;
    for (size_t i = 0; i < argc && i < 4 && n < FAKE_STORY_WORD - 8; i++) {
        int most = i == 3 && fake_word_is(argv[3], "HASHES") ? 0 : 14;
        int len = i ? (int)argv[i].n : (int)(argv[0].n - (size_t)(name - argv[0].p));
        if (fake_word_is(argv[i], FAKE_POOL)) continue;
        n += (size_t)snprintf(line + n, FAKE_STORY_WORD - n, "%s%.*s", i ? " " : "",
                              len < most ? len : most, i ? argv[i].p : name);
    }
    if (n > FAKE_STORY_WORD - 8) n = FAKE_STORY_WORD - 8;
    snprintf(line + n, FAKE_STORY_WORD - n, "=%s%.*s", faulty ? "!" : "",
             (int)(said->n < 4 ? said->n : 4), said->n ? said->p : "");
    for (; *line; line++)
        if (*line == '\r' || *line == '\n') *line = '.';
}

static bool begins_with(const char *line, const char *name, size_t n) {
    return !strncmp(line, name, n) && (!line[n] || line[n] == ' ');
}

static void remember(struct fake_server *f, const struct fake_word *argv, size_t argc) {
    size_t i = 0, n = 0;
    while (i < FAKE_NAMES && f->said[i][0] && !begins_with(f->said[i], argv[0].p, argv[0].n))
        i++;
    if (i == FAKE_NAMES || argv[0].n > 30) return;
    for (size_t k = 0; k < argc && k < FAKE_WORDS && n < FAKE_SAID - 1; k++) {
        bool blob = k && fake_word_is(argv[k - 1], "HASHES");
        int added = snprintf(f->said[i] + n, FAKE_SAID - n, "%s%.*s", k ? " " : "",
                             blob ? 3 : (int)argv[k].n, blob ? "…" : argv[k].p);
        n += added > 0 ? (size_t)added : 0;
    }
}

static bool is_faulty(const struct fake_server *f) {
    return f->fault.kind != FAKE_FAULT_NONE &&
           (f->heard == f->fault_at || (f->fault_stays && f->heard > f->fault_at));
}

// Whether a command that meets the fault is carried out all the same: an error says that it wasn't.
static bool carries_out(const struct fake_fault *fault) {
    switch (fault->kind) {
    case FAKE_FAULT_SAY:
        return fault->bytes[0] != '-';
    case FAKE_FAULT_DROP:
    case FAKE_FAULT_STALL:
    case FAKE_FAULT_REDIRECT:
        return false;
    default:
        return true;
    }
}

static void misbehave(struct fake_server *f, struct fake_connection *c,
                      const struct fake_buf *right) {
    const struct fake_fault *fault = &f->fault;
    size_t n = fault->n ? fault->n : fault->bytes ? strlen(fault->bytes) : 0;
    f->faults++;
    switch (fault->kind) {
    case FAKE_FAULT_SAY:
        fake_buf_add(&c->out, fault->bytes, n);
        break;
    case FAKE_FAULT_SAY_HANG:
    case FAKE_FAULT_SAY_CLOSE:
        fake_buf_add(&c->out, fault->bytes, n);
        c->mute = true;
        c->ending = fault->kind == FAKE_FAULT_SAY_CLOSE;
        break;
    case FAKE_FAULT_HALF_HANG:
    case FAKE_FAULT_HALF_CLOSE:
        fake_buf_add(&c->out, right->p, right->n / 2);
        c->mute = true;
        c->ending = fault->kind == FAKE_FAULT_HALF_CLOSE;
        break;
    case FAKE_FAULT_HANG:
        c->mute = true;
        break;
    case FAKE_FAULT_CLOSE:
    case FAKE_FAULT_DROP:
        c->mute = c->ending = true;
        break;
    case FAKE_FAULT_DIE:
        stop_listening(f);
        for (size_t i = 0; i < f->n_conns; i++)
            f->conns[i].mute = f->conns[i].ending = true;
        break;
    case FAKE_FAULT_TWICE:
        fake_buf_add(&c->out, right->p, right->n);
        fake_buf_add(&c->out, right->p, right->n);
        break;
    case FAKE_FAULT_BYTEWISE:
        fake_buf_add(&c->out, right->p, right->n);
        c->slow = true;
        break;
    case FAKE_FAULT_REDIRECT:
        fake_buf_text(&c->out, "-%s %d 127.0.0.1:%d\r\n", fault->bytes, FAKE_SLOT,
                      f->pool.ports[fault->n]);
        break;
    case FAKE_FAULT_STALL: // see obey()
    case FAKE_FAULT_NONE:
        break;
    }
}

// "@" stands for the channel as a bulk string.
static void say_odd(const char *text, const char *channel, struct fake_buf *out) {
    for (; *text; text++)
        if (*text == '@')
            fake_buf_text(out, "$%zu\r\n%s\r\n", strlen(channel), channel);
        else
            fake_buf_add(out, text, 1);
}

static bool subscribe(const struct fake_server *f, struct fake_connection *c,
                      const struct fake_word *argv, size_t argc, struct fake_buf *out) {
    const char *fails = f->pool.lies.fails;
    if (argc != 2 || !fake_word_is(argv[0], "SUBSCRIBE")) return false;
    if (fails && fake_word_is(argv[0], fails)) return false;
    snprintf(c->channel, sizeof c->channel, "%.*s", (int)argv[1].n, argv[1].p);
    if (f->pool.lies.subscribe) {
        say_odd(f->pool.lies.subscribe, c->channel, out);
        return true;
    }
    fake_buf_text(out, "*3\r\n$9\r\nsubscribe\r\n$%zu\r\n%s\r\n:1\r\n", strlen(c->channel),
                  c->channel);
    return true;
}

static void publish(void *server, const char *channel, const char *id, size_t n) {
    struct fake_server *f = server;
    for (size_t i = 0; i < f->n_conns; i++) {
        struct fake_connection *c = &f->conns[i];
        if (c->mute || strcmp(c->channel, channel) != 0) continue;
        fake_buf_text(&c->out, "*3\r\n$7\r\nmessage\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(channel),
                      channel, n);
        fake_buf_add(&c->out, id, n);
        fake_buf_text(&c->out, "\r\n");
    }
}

// The commands that are about connections, which the pool knows nothing of. false: another one.
static bool about_conns(struct fake_server *f, struct fake_connection *c,
                        const struct fake_word *argv, size_t argc, struct fake_buf *out) {
    if (subscribe(f, c, argv, argc, out)) return true;
    if (argc < 2 || !fake_word_is(argv[0], "CLIENT")) return false;
    if (fake_word_is(argv[1], "ID")) {
        fake_buf_text(out, ":%llu\r\n", (unsigned long long)c->id);
        return true;
    }
    if (argc != 4 || !fake_word_is(argv[1], "KILL") || !fake_word_is(argv[2], "ID")) return false;
    char digits[24];
    int killed = 0;
    snprintf(digits, sizeof digits, "%.*s", (int)argv[3].n, argv[3].p);
    for (size_t i = 0; i < f->n_conns; i++)
        if (f->conns[i].id == strtoull(digits, NULL, 10) && f->conns[i].node == c->node) {
            killed++;
            f->conns[i].mute = f->conns[i].ending = true;
            f->conns[i].out.n = 0;
        }
    fake_buf_text(out, ":%d\r\n", killed);
    return true;
}

static void obey(struct fake_server *f, struct fake_connection *c) {
    struct fake_word argv[FAKE_WORDS];
    size_t argc, used, done = 0;
    struct fake_buf whole = c->in;
    while (!c->mute && (used = read_command(c, argv, &argc)) > 0) {
        f->heard++;
        bool faulty = is_faulty(f);
        struct fake_buf right = {0};
        if (faulty && f->fault.kind == FAKE_FAULT_STALL && !c->stalled) {
            c->stalled = kvr_clock_ms() + FAKE_STALL_MS;
            f->faults++;
            break; // it is heard anew when that is over
        }
        if (f->fault.kind == FAKE_FAULT_STALL) faulty = false;
        if ((!faulty || carries_out(&f->fault)) && !about_conns(f, c, argv, argc, &right))
            fake_pool_answer(&f->pool, c->node, &c->asking, argv, argc, &right);
        // A server that hasn't done a thing may fail to say so, but doesn't claim to have done it.
        if (f->fault.kind == FAKE_FAULT_SAY && right.n && right.p[0] == '-') faulty = false;
        note(f, c, argv, argc, &right, faulty);
        remember(f, argv, argc);
        if (faulty)
            misbehave(f, c, &right);
        else
            fake_buf_add(&c->out, right.p, right.n);
        free(right.p);
        done += used;
        c->in.p += used;
        c->in.n -= used;
    }
    c->in.p = whole.p;
    if (c->mute) done = whole.n; // nobody asks any more
    c->in.n = whole.n - done;
    memmove(c->in.p, c->in.p + done, c->in.n);
}

// ---- The thread ----------------------------------------------------------------------------------

// false: the connection is over.
static bool hear(struct fake_server *f, struct fake_connection *c) {
    char bytes[65536];
    ssize_t n = read(c->fd, bytes, sizeof bytes);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    if (c->mute) return true;
    fake_buf_add(&c->in, bytes, (size_t)n);
    obey(f, c);
    return true;
}

static bool say(struct fake_connection *c) {
    size_t done = 0;
    while (done < c->out.n) {
        size_t most = c->slow ? 1 : c->out.n - done;
        ssize_t n = send(c->fd, c->out.p + done, most, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
        if (n < 0) break;
        done += (size_t)n;
    }
    c->out.n -= done;
    if (done) memmove(c->out.p, c->out.p + done, c->out.n);
    return c->out.n || !c->ending;
}

static size_t watch(const struct fake_server *f, struct pollfd *fds) {
    size_t n = 0;
    fds[n++] = (struct pollfd){f->wake, POLLIN, 0};
    for (int i = 0; i < f->n_nodes; i++)
        fds[n++] = (struct pollfd){f->deaf ? -1 : f->listeners[i], POLLIN, 0}; // -1: passed over
    for (size_t i = 0; i < f->n_conns; i++) {
        const struct fake_connection *c = &f->conns[i];
        fds[n++] =
            (struct pollfd){c->stalled ? -1 : c->fd, (short)(POLLIN | (c->out.n ? POLLOUT : 0)), 0};
    }
    return n;
}

// ms until the first stalled connection goes on; -1: there is none.
static int until_thaw(const struct fake_server *f) {
    int64_t first = -1, now = kvr_clock_ms();
    for (size_t i = 0; i < f->n_conns; i++) {
        int64_t left = f->conns[i].stalled - now;
        if (!f->conns[i].stalled) continue;
        if (left < 0) left = 0;
        if (first < 0 || left < first) first = left;
    }
    return (int)first;
}

static void thaw(struct fake_server *f) {
    for (size_t i = f->n_conns; i-- > 0;) {
        struct fake_connection *c = &f->conns[i];
        if (!c->stalled || c->stalled > kvr_clock_ms()) continue;
        if (c->in.n) obey(f, c);
        c->stalled = 0;
        if (!say(c)) drop_conn(f, i);
    }
}

static void serve(struct fake_server *f, const struct pollfd *fds) {
    const struct pollfd *of_conns = fds + 1 + f->n_nodes;
    for (size_t i = f->n_conns; i-- > 0;) { // from the end: dropping moves the last one
        struct fake_connection *c = &f->conns[i];
        bool good = !(of_conns[i].revents & (POLLIN | POLLHUP | POLLERR)) || hear(f, c);
        if (!good || !say(c)) drop_conn(f, i);
    }
    for (size_t i = f->n_conns; i-- > 0;) // those that a dying node takes along
        if (f->conns[i].ending && !f->conns[i].out.n) drop_conn(f, i);
    for (int i = 0; i < f->n_nodes; i++)
        if (fds[1 + i].revents && !f->deaf) accept_one(f, i);
}

static void *run(void *arg) {
    struct fake_server *f = arg;
    struct pollfd fds[1 + FAKE_NODES + FAKE_MAX_CONNECTIONS];
    pthread_mutex_lock(&f->lock);
    while (!f->stop) {
        size_t n = watch(f, fds), n_conns = f->n_conns;
        int until = until_thaw(f);
        if (fake_queue_has_time(&f->pool) && (until < 0 || until > FAKE_TICK_MS))
            until = FAKE_TICK_MS;
        pthread_mutex_unlock(&f->lock);
        poll(fds, n, until);
        pthread_mutex_lock(&f->lock);
        uint64_t count;
        if (fds[0].revents && read(f->wake, &count, sizeof count) < 0) abort();
        // The test thread may have closed connections meanwhile: then all is looked at again.
        if (n_conns == f->n_conns && !fds[0].revents) serve(f, fds);
        thaw(f);
        fake_queue_tick(&f->pool);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

// What a test does to the fake happens between two of its steps.
static void take(struct fake_server *f) {
    pthread_mutex_lock(&f->lock);
}

static void give(struct fake_server *f) {
    uint64_t one = 1; // a counter: however often this is, nobody waits for the thread
    if (write(f->wake, &one, sizeof one) != sizeof one) abort();
    pthread_mutex_unlock(&f->lock);
}

static void tell(struct fake_server *f, const char *what) {
    snprintf(f->story[f->n_story++ % FAKE_STORY], FAKE_STORY_WORD, "(%s)", what);
}

// ---- What tests call -----------------------------------------------------------------------------

struct fake_server *fake_start(enum fake_kind kind) {
    static unsigned serial;
    struct fake_server *f = calloc(1, sizeof *f);
    if (!f || (f->wake = eventfd(0, EFD_CLOEXEC)) < 0) abort();
    pthread_mutex_init(&f->lock, NULL);
    f->pool.kind = kind;
    f->pool.exists = true;
    f->pool.accept = 5000;
    f->pool.publish = publish;
    f->pool.publisher = f;
    f->n_nodes = kind == FAKE_SENTINEL ? 4 : kind == FAKE_CLUSTER ? 2 : 1;
    if (kind == FAKE_UNIX) {
        snprintf(f->path, sizeof f->path, "%s/%u", support_home(),
                 __atomic_add_fetch(&serial, 1, __ATOMIC_RELAXED));
        f->listeners[0] = listen_unix(f->path);
    } else {
        for (int i = 0; i < f->n_nodes; i++)
            f->listeners[i] = support_listen(&f->pool.ports[i]);
    }
    if (pthread_create(&f->thread, NULL, run, f)) abort();
    return f;
}

void fake_stop(struct fake_server *f) {
    take(f);
    f->stop = true;
    give(f);
    pthread_join(f->thread, NULL);
    drop_all(f);
    close_listeners(f);
    if (f->path[0]) unlink(f->path);
    close(f->wake);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

void fake_url(struct fake_server *f, const char *settings, char *out, size_t size) {
    const int *ports = f->pool.ports;
    switch (f->pool.kind) {
    case FAKE_UNIX:
        snprintf(out, size, "unix://%s?%s", f->path, settings);
        break;
    case FAKE_SENTINEL:
        snprintf(out, size, "sentinel://127.0.0.1:%d,127.0.0.1:%d/main?%s", ports[2], ports[3],
                 settings);
        break;
    case FAKE_CLUSTER:
        snprintf(out, size, "cluster://127.0.0.1:%d,127.0.0.1:%d?%s", ports[0], ports[1], settings);
        break;
    default:
        snprintf(out, size, "redis://127.0.0.1:%d?%s", ports[0], settings);
    }
}

void fake_set_fault(struct fake_server *f, const struct fake_fault *fault, uint64_t at, bool stay) {
    take(f);
    f->fault = *fault;
    f->fault_at = f->heard + at;
    f->fault_stays = stay;
    give(f);
}

void fake_heal(struct fake_server *f) {
    take(f);
    tell(f, "heals");
    f->fault.kind = FAKE_FAULT_NONE;
    listen_again(f);
    give(f);
}

uint64_t fake_heard(struct fake_server *f) {
    take(f);
    uint64_t n = f->heard;
    give(f);
    return n;
}

uint64_t fake_faults_met(struct fake_server *f) {
    take(f);
    uint64_t n = f->faults;
    give(f);
    return n;
}

size_t fake_live(struct fake_server *f) {
    take(f);
    size_t n = f->pool.n_live;
    give(f);
    return n;
}

bool fake_has(struct fake_server *f, const char *id, size_t n) {
    take(f);
    bool has = fake_request_find(&f->pool, (struct fake_word){id, n}) != NULL;
    give(f);
    return has;
}

void fake_story(struct fake_server *f, const char *about, char *out, size_t size) {
    enum { LAST = 60 };
    take(f);
    uint64_t first = f->n_story > FAKE_STORY ? f->n_story - FAKE_STORY : 0;
    size_t n = 0;
    if (!about && f->n_story > LAST) first = f->n_story - LAST;
    out[0] = 0;
    for (uint64_t i = first; i < f->n_story && n < size; i++) {
        const char *line = f->story[i % FAKE_STORY];
        if (!about || line[0] == '(' || strstr(line, about))
            n += (size_t)snprintf(out + n, size - n, "%llu-%s ", (unsigned long long)i, line);
    }
    give(f);
}

void fake_said(struct fake_server *f, const char *name, char *out, size_t size) {
    take(f);
    snprintf(out, size, "%s", "");
    for (size_t i = 0; i < FAKE_NAMES; i++)
        if (begins_with(f->said[i], name, strlen(name))) snprintf(out, size, "%s", f->said[i]);
    give(f);
}

void fake_set_room(struct fake_server *f, size_t room, int64_t accept) {
    take(f);
    f->pool.limited = room != SIZE_MAX;
    f->pool.room = room;
    f->pool.accept = accept;
    fake_queue_tick(&f->pool);
    give(f);
}

void fake_lose_news(struct fake_server *f, unsigned percent) {
    take(f);
    f->pool.lose = percent;
    give(f);
}

void fake_publish(struct fake_server *f, const char *id) {
    take(f);
    for (size_t i = 0; i < f->n_conns; i++)
        if (f->conns[i].channel[0]) {
            publish(f, f->conns[i].channel, id, strlen(id));
            break;
        }
    give(f);
}

struct fake_queue_counts fake_queue_counts(struct fake_server *f) {
    take(f);
    const struct fake_pool *p = &f->pool;
    struct fake_queue_counts n = {p->n_waiting, 0, 0, p->enqueued, p->admitted, p->unclaimed};
    for (size_t i = 0; i < p->n_live; i++)
        n.uncalled += p->live[i].uncalled;
    for (size_t i = 0; i < f->n_conns; i++)
        n.subscribed += f->conns[i].channel[0] != 0;
    give(f);
    return n;
}

bool fake_waits(struct fake_server *f, const char *id) {
    bool found = false;
    take(f);
    for (size_t i = 0; i < f->pool.n_waiting; i++)
        found |= f->pool.waiting[i].n == strlen(id) &&
                 !memcmp(f->pool.waiting[i].id, id, f->pool.waiting[i].n);
    give(f);
    return found;
}

void fake_waiting_ids(struct fake_server *f, char *out, size_t size) {
    size_t n = 0;
    take(f);
    out[0] = 0;
    for (size_t i = 0; i < f->pool.n_waiting && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%.*s", i ? " " : "", (int)f->pool.waiting[i].n,
                              f->pool.waiting[i].id);
    give(f);
}

void fake_lie(struct fake_server *f, const struct fake_lies *lies) {
    take(f);
    bool swapped = lies && lies->swapped;
    f->pool.epoch += swapped != f->pool.lies.swapped;
    f->pool.lies = lies ? *lies : (struct fake_lies){0};
    give(f);
}

int fake_port(struct fake_server *f, int node) {
    return f->pool.ports[node];
}

void fake_forget(struct fake_server *f) {
    take(f);
    tell(f, "forgets");
    fake_pool_forget(&f->pool);
    give(f);
}

void fake_keep(struct fake_server *f) {
    take(f);
    tell(f, "keeps");
    f->kept = f->pool;
    give(f);
}

void fake_go_back(struct fake_server *f) {
    take(f);
    tell(f, "goes back");
    struct fake_pool *p = &f->pool;
    memcpy(p->live, f->kept.live, sizeof p->live);
    memcpy(p->waiting, f->kept.waiting, sizeof p->waiting);
    p->n_live = f->kept.n_live;
    p->n_waiting = f->kept.n_waiting;
    fake_queue_renew(p);
    p->version = f->kept.version;
    p->history++;
    drop_all(f);
    give(f);
}

void fake_hang_up(struct fake_server *f) {
    take(f);
    tell(f, "hangs up");
    // A close alone waits for the thread, which may be polling.
    for (size_t i = 0; i < f->n_conns; i++)
        shutdown(f->conns[i].fd, SHUT_RDWR);
    drop_all(f);
    give(f);
}
