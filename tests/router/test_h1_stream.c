// SPDX-License-Identifier: Apache-2.0
// A connection's bytes: all of them, in order, and what is told of them from the loop.
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "client/http1/h1_stream.h"

enum { STREAM_LARGE = 4 << 20, STREAM_MAX_IN = 5000, STREAM_ROUNDS = 300 };

static struct event_base *base;
static struct h1_stream *stream;
static int other; // the other end, which is read and written by hand
static int reads, writes, error_seen;
static short told;
static bool inside; // a function of the stream's: nothing may be called back
static void (*then)(void);

static void on_read(void *arg) {
    cr_assert(arg == &base && !inside);
    reads++;
    if (then) then();
}

static void on_write(void *arg) {
    cr_assert(arg == &base && !inside);
    writes++;
}

static void on_event(void *arg, short what) {
    cr_assert(arg == &base && !inside);
    error_seen = errno;
    told |= what;
    if (then) then();
}

static void call_back(void) {
    static const struct h1_stream_callbacks port = {on_read, on_write, on_event};
    h1_stream_call(stream, &port, &base);
}

static void up(void) {
    int ends[2];
    base = event_base_new();
    cr_assert(base && !socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends));
    other = ends[1];
    stream = h1_stream_new(base, ends[0]);
    cr_assert(stream);
    call_back();
}

static void down(void) {
    h1_stream_free(stream);
    if (other >= 0) close(other);
    event_base_free(base);
}

static void turn(void) {
    event_base_loop(base, EVLOOP_NONBLOCK);
}

static void send_now(void) {
    inside = true;
    h1_stream_send(stream);
    inside = false;
}

static size_t take(char *out, size_t room) {
    ssize_t n = recv(other, out, room, MSG_DONTWAIT);
    return n > 0 ? (size_t)n : 0;
}

static char byte_at(size_t i) {
    return (char)(i * 7 + i / 251);
}

Test(h1_stream, what_is_put_goes_at_once, .init = up, .fini = down) {
    char got[20];
    inside = true;
    cr_assert(h1_stream_put(stream, "abc", 3));
    inside = false;
    cr_assert(take(got, sizeof got) == 3 && !memcmp(got, "abc", 3));
    evbuffer_add(stream->out, "de", 2);
    cr_assert(take(got, sizeof got) == 0);
    inside = true;
    cr_assert(h1_stream_put(stream, "fg", 2)); // behind what waits
    inside = false;
    cr_assert(take(got, sizeof got) == 4 && !memcmp(got, "defg", 4));
    turn();
    cr_assert(!writes && !told && !reads);
}

Test(h1_stream, later_is_with_what_follows, .init = up, .fini = down) {
    char got[20];
    evbuffer_add(stream->out, "ab", 2);
    h1_stream_send_later(stream);
    h1_stream_send_later(stream);
    cr_assert(take(got, sizeof got) == 0);
    turn();
    cr_assert(take(got, sizeof got) == 2);
    evbuffer_add(stream->out, "cd", 2);
    h1_stream_send_later(stream);
    evbuffer_add(stream->out, "ef", 2);
    send_now();
    cr_assert(take(got, sizeof got) == 4 && !memcmp(got, "cdef", 4));
    turn();
    cr_assert(take(got, sizeof got) == 0 && !told && !writes);
}

// What the other end has no room for goes when it has; how long there has been none is known.
Test(h1_stream, a_slow_reader, .init = up, .fini = down) {
    static char got[1 << 16];
    size_t n, all = 0;
    for (size_t i = 0; i < STREAM_LARGE; i++)
        evbuffer_add(stream->out, &(char){byte_at(i)}, 1);
    stream->low_out = 1000;
    send_now();
    turn();
    cr_assert(evbuffer_get_length(stream->out) && !writes);
    cr_assert(h1_stream_is_stuck(stream, kvr_clock_us() + 1));
    cr_assert(!h1_stream_is_stuck(stream, kvr_clock_us() - 3600 * (int64_t)1000000));
    while (all < STREAM_LARGE) {
        n = take(got, sizeof got);
        for (size_t i = 0; i < n; i++)
            cr_assert(got[i] == byte_at(all + i), "at %zu", all + i);
        all += n;
        bool low = evbuffer_get_length(stream->out) <= stream->low_out;
        cr_assert(!low || writes);
        turn();
    }
    cr_assert(writes && !told && !h1_stream_is_stuck(stream, INT64_MAX));
}

Test(h1_stream, reading_rests_while_enough_waits, .init = up, .fini = down) {
    static char text[3 * STREAM_MAX_IN], got[sizeof text];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = byte_at(i);
    stream->max_in = STREAM_MAX_IN;
    cr_assert(send(other, text, sizeof text, 0) == sizeof text);
    turn();
    cr_assert(!reads, "it isn't to be read yet");
    h1_stream_read(stream, true);
    for (int i = 0; i < 20; i++)
        turn();
    cr_assert(evbuffer_get_length(stream->in) == STREAM_MAX_IN && reads == 1);
    for (size_t all = 0; all < sizeof text;) {
        int n = evbuffer_remove(stream->in, got + all, 701);
        cr_assert(n > 0 || !evbuffer_get_length(stream->in));
        all += (size_t)n;
        turn();
        cr_assert(evbuffer_get_length(stream->in) <= STREAM_MAX_IN);
    }
    cr_assert(!memcmp(text, got, sizeof text) && !told);
    h1_stream_read(stream, false);
    cr_assert(send(other, "x", 1, 0) == 1);
    int before = reads;
    turn();
    cr_assert(reads == before);
    h1_stream_read_again(stream); // whether or not something comes
    cr_assert(reads == before);
    turn();
    cr_assert(reads == before + 1 && !evbuffer_get_length(stream->in));
}

Test(h1_stream, the_other_end_closes, .init = up, .fini = down) {
    h1_stream_read(stream, true);
    cr_assert(send(other, "bye", 3, 0) == 3);
    close(other);
    other = -1;
    for (int i = 0; i < 3; i++)
        turn();
    cr_assert(reads == 1 && evbuffer_get_length(stream->in) == 3);
    cr_assert(told == (BEV_EVENT_READING | BEV_EVENT_EOF));
    told = 0;
    inside = true;
    cr_assert(h1_stream_put(stream, "x", 1));
    inside = false;
    cr_assert(!told);
    turn();
    cr_assert(told == (BEV_EVENT_WRITING | BEV_EVENT_ERROR) && error_seen == EPIPE);
    told = 0;
    send_now();
    turn();
    cr_assert(!told, "it is said once");
}

static void free_stream(void) {
    h1_stream_free(stream);
    stream = NULL;
}

// In any callback, with all else still due.
Test(h1_stream, freed_in_a_callback) {
    for (int kind = 0; kind < 3; kind++) {
        up();
        then = free_stream;
        h1_stream_read(stream, true);
        if (kind == 0) send(other, "x", 1, 0);
        if (kind == 1) h1_stream_fail(stream, EPROTO);
        h1_stream_read_again(stream);
        evbuffer_add(stream->out, "x", 1);
        h1_stream_send_later(stream);
        reads = told = 0;
        for (int i = 0; i < 3; i++)
            turn();
        cr_assert(!stream && reads + (told != 0) == 1);
        cr_assert(kind != 1 || (told == BEV_EVENT_ERROR && error_seen == EPROTO));
        then = NULL;
        down();
    }
}

Test(h1_stream, connects_or_says_why) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof a;
    char got[8];
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    base = event_base_new();
    stream = h1_stream_new(base, -1);
    call_back();
    cr_assert(!bind(listener, (struct sockaddr *)&a, n) && !listen(listener, 1));
    cr_assert(!getsockname(listener, (struct sockaddr *)&a, &n));
    evbuffer_add(stream->out, "hello", 5);
    cr_assert(!h1_stream_connect(stream, (struct sockaddr *)&a, n) && !told);
    for (int i = 0; i < 1000 && !told; i++)
        event_base_loop(base, EVLOOP_ONCE);
    cr_assert(told == BEV_EVENT_CONNECTED);
    send_now();
    other = accept(listener, NULL, NULL);
    cr_assert(recv(other, got, 5, MSG_WAITALL) == 5 && !memcmp(got, "hello", 5));
    // Nobody is there any more: another connection is refused.
    close(listener);
    close(other);
    other = -1;
    told = 0;
    h1_stream_close(stream);
    cr_assert(!h1_stream_connect(stream, (struct sockaddr *)&a, n) && !told);
    for (int i = 0; i < 1000 && !told; i++)
        event_base_loop(base, EVLOOP_ONCE);
    cr_assert(told == BEV_EVENT_ERROR && error_seen == ECONNREFUSED);
    down();
}

// Both ends do whatever they like: what arrives is what was sent.
Test(h1_stream, at_random) {
    unsigned seed = (unsigned)time(NULL), from = seed;
    static char bytes[1 << 16], got[1 << 16];
    size_t sent[2] = {0, 0}, came[2] = {0, 0};
    printf("h1_stream: seed %u\n", from);
    up();
    stream->max_in = STREAM_MAX_IN;
    for (int i = 0; i < STREAM_ROUNDS; i++) {
        size_t n = (size_t)rand_r(&seed) % sizeof bytes;
        switch (rand_r(&seed) % 6) {
        case 0:
            for (size_t k = 0; k < n; k++)
                bytes[k] = byte_at(sent[0] + k);
            sent[0] += n;
            if (n % 2) {
                cr_assert(h1_stream_put(stream, bytes, n));
            } else {
                evbuffer_add(stream->out, bytes, n);
                h1_stream_send_later(stream);
            }
            break;
        case 1:
            for (size_t k = 0; k < n; k++)
                bytes[k] = byte_at(sent[1] + k);
            ssize_t w = send(other, bytes, n, MSG_DONTWAIT);
            if (w > 0) sent[1] += (size_t)w;
            break;
        case 2:
            n = take(got, n);
            for (size_t k = 0; k < n; k++)
                cr_assert(got[k] == byte_at(came[0] + k), "seed %u", from);
            came[0] += n;
            break;
        case 3:
            w = evbuffer_remove(stream->in, got, n);
            for (ssize_t k = 0; k < w; k++)
                cr_assert(got[k] == byte_at(came[1] + (size_t)k), "seed %u", from);
            if (w > 0) came[1] += (size_t)w;
            break;
        case 4:
            h1_stream_read(stream, rand_r(&seed) % 4);
            break;
        default:
            turn();
        }
        cr_assert(evbuffer_get_length(stream->in) <= STREAM_MAX_IN);
    }
    h1_stream_read(stream, true);
    for (int i = 0; i < 100000 && (came[0] < sent[0] || came[1] < sent[1]); i++) {
        came[0] += take(got, sizeof got);
        int n = evbuffer_remove(stream->in, got, sizeof got);
        if (n > 0) came[1] += (size_t)n;
        turn();
    }
    cr_assert(came[0] == sent[0] && came[1] == sent[1] && !told,
              "seed %u: %zu of %zu, %zu of %zu, told %d", from, came[0], sent[0], came[1], sent[1],
              told);
    down();
}
