// SPDX-License-Identifier: Apache-2.0
#include "fake_queue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/random.h"

// ---- Who waits -----------------------------------------------------------------------------------

static struct fake_waiter *find(struct fake_pool *p, struct fake_word id) {
    for (size_t i = 0; i < p->n_waiting; i++)
        if (p->waiting[i].n == id.n && !memcmp(p->waiting[i].id, id.p, id.n)) return &p->waiting[i];
    return NULL;
}

static void take_out(struct fake_pool *p, struct fake_waiter *w) {
    size_t at = (size_t)(w - p->waiting);
    memmove(w, w + 1, (--p->n_waiting - at) * sizeof *w);
    p->version++;
}

bool fake_queue_drop(struct fake_pool *p, struct fake_word id) {
    struct fake_waiter *w = find(p, id);
    if (w) take_out(p, w);
    return w != NULL;
}

static bool has_room(const struct fake_pool *p) {
    return !p->limited || p->n_live < p->room;
}

static void admit(struct fake_pool *p) {
    while (p->n_waiting && has_room(p)) {
        struct fake_waiter w = p->waiting[0];
        take_out(p, p->waiting);
        fake_request_book(p, (struct fake_word){w.id, w.n});
        struct fake_request *r = &p->live[p->n_live - 1];
        r->uncalled = true;
        r->by = kvr_clock_ms() + p->accept;
        p->admitted++;
        if (!w.channel[0] || kvr_random(&p->random) % 100 < p->lose) continue;
        p->publish(p->publisher, w.channel, w.id, w.n);
    }
}

void fake_queue_came(struct fake_pool *p, struct fake_request *r) {
    if (r->uncalled) p->version++;
    r->uncalled = false;
}

void fake_queue_tick(struct fake_pool *p) {
    int64_t now = kvr_clock_ms();
    for (size_t i = p->n_waiting; i-- > 0;)
        if (p->waiting[i].until <= now) take_out(p, &p->waiting[i]);
    for (size_t i = p->n_live; i-- > 0;)
        if (p->live[i].uncalled && p->live[i].by <= now) {
            p->live[i] = p->live[--p->n_live];
            p->version++;
            p->unclaimed++;
        }
    admit(p);
}

bool fake_queue_has_time(const struct fake_pool *p) {
    for (size_t i = 0; i < p->n_live; i++)
        if (p->live[i].uncalled) return true;
    return p->n_waiting > 0;
}

void fake_queue_renew(struct fake_pool *p) {
    int64_t now = kvr_clock_ms();
    for (size_t i = 0; i < p->n_waiting; i++)
        p->waiting[i].until = now + p->waiting[i].ms;
    for (size_t i = 0; i < p->n_live; i++)
        p->live[i].by = now + p->accept;
}

// ---- SELECT --------------------------------------------------------------------------------------

static struct fake_word option(const struct fake_word *argv, size_t argc, const char *name) {
    for (size_t i = 3; i + 1 < argc && i + 1 < FAKE_WORDS; i++)
        if (fake_word_is(argv[i], name)) return argv[i + 1];
    return (struct fake_word){"", 0};
}

static void set_channel(struct fake_waiter *w, struct fake_word channel) {
    if (channel.n) snprintf(w->channel, sizeof w->channel, "%.*s", (int)channel.n, channel.p);
}

static void say_waiting(const struct fake_pool *p, const struct fake_waiter *w,
                        struct fake_buf *out) {
    fake_buf_text(out, "*8\r\n");
    fake_buf_fields(out, "waiting 1 position %zu estimate 70 version %" PRId64,
                    (size_t)(w - p->waiting), p->version);
}

bool fake_queue_select(struct fake_pool *p, const struct fake_word *argv, size_t argc,
                       struct fake_buf *out) {
    struct fake_word id = argv[2], wait = option(argv, argc, "WAIT"),
                     channel = option(argv, argc, "NOTIFY");
    struct fake_waiter *w;
    if (p->lies.mute && channel.n) {
        fake_buf_text(out, "-NOPERM No permissions to access a channel\r\n");
        return false;
    }
    fake_queue_tick(p);
    if (fake_request_find(p, id)) return true;
    if ((w = find(p, id))) {
        set_channel(w, channel);
        say_waiting(p, w, out);
        return false;
    }
    if (has_room(p)) return true;
    if (!wait.n) {
        fake_buf_text(out, "-NOROOM 250 no instance has room\r\n");
        return false;
    }
    if (p->n_waiting == FAKE_WAITING || id.n > sizeof w->id) abort();
    w = &p->waiting[p->n_waiting++];
    *w = (struct fake_waiter){.n = id.n, .ms = strtoll(wait.p, NULL, 10)};
    w->until = kvr_clock_ms() + w->ms;
    memcpy(w->id, id.p, id.n);
    set_channel(w, channel);
    p->version++;
    p->enqueued++;
    say_waiting(p, w, out);
    return false;
}

// ---- Looking -------------------------------------------------------------------------------------

static void say_queue(const struct fake_pool *p, struct fake_buf *out) {
    fake_buf_text(out, "*8\r\n");
    fake_buf_fields(out, "waiting %zu tokens %zu estimate %d", p->n_waiting, p->n_waiting * 64,
                    p->n_waiting ? 70 : -1);
    fake_buf_bulk(out, "first");
    fake_buf_text(out, "*%zu\r\n", p->n_waiting);
    for (size_t i = 0; i < p->n_waiting; i++) {
        const struct fake_waiter *w = &p->waiting[i];
        fake_buf_text(out, "*12\r\n$2\r\nid\r\n$%zu\r\n", w->n);
        fake_buf_add(out, w->id, w->n);
        fake_buf_text(out, "\r\n");
        fake_buf_fields(out, "class 'default flow ' position %zu waited %" PRId64 " blocks 2", i,
                        kvr_clock_ms() - (w->until - w->ms));
    }
}

static void say_classes(const struct fake_pool *p, struct fake_buf *out) {
    fake_buf_text(out, "*2\r\n*16\r\n");
    fake_buf_fields(out, "class 'batch priority -5 weight '0.25 waiting 0 tokens 0 oldest 0 "
                         "admitted 3 refused 4");
    fake_buf_text(out, "*20\r\n");
    fake_buf_fields(out,
                    "class 'default priority 0 weight '1 waiting %zu tokens 64 oldest 9 admitted "
                    "1 refused 2 max_waiting 50 room 90",
                    p->n_waiting);
}

static void say_flows(struct fake_word cursor, struct fake_buf *out) {
    bool more = fake_word_is(cursor, "0");
    fake_buf_text(out, "*2\r\n");
    fake_buf_bulk(out, more ? "18446744073709551615" : "0");
    fake_buf_text(out, "*1\r\n*16\r\n");
    fake_buf_fields(out,
                    "flow '%s weight '%s max_requests 5 rate 1000 burst 2000 requests 1 "
                    "waiting 2 left %d",
                    more ? "tenant-1" : "tenant-2", more ? "2.5" : "1", more ? -40 : 700);
}

void fake_queue_answer(struct fake_pool *p, const struct fake_word *argv, size_t argc,
                       struct fake_buf *out) {
    struct fake_word sub = argc > 1 ? argv[1] : (struct fake_word){"", 0};
    bool list = fake_word_is(sub, "LIST");
    fake_queue_tick(p);
    if (p->lies.old)
        fake_buf_text(out, "-ERR unknown command\r\n");
    else if (fake_word_is(argv[0], "KVROUTE.QUEUE"))
        say_queue(p, out);
    else if (list && fake_word_is(argv[0], "KVROUTE.CLASS"))
        say_classes(p, out);
    else if (list)
        say_flows(argc > 3 ? argv[3] : (struct fake_word){"0", 1}, out);
    else if (fake_word_is(sub, "DEL") && argc > 3 && fake_word_is(argv[3], "default"))
        fake_buf_text(out, "-ERR the class default is always there\r\n");
    else
        fake_buf_text(out, ":1\r\n");
}
