// SPDX-License-Identifier: Apache-2.0
#include "router_offload.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct router_offload {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct kvr_list_item waiting, finished;
    size_t undone; // jobs that have run, and whose `done` hasn't returned
    bool leaving, started;
    int fd; // readable: something is finished
    struct event *told;
};

// The first of a list; NULL: it is empty. Under the lock.
static struct router_job *take(struct kvr_list_item *list) {
    struct kvr_list_item *first = list->next;
    if (kvr_list_empty(list)) return NULL;
    kvr_list_remove(first);
    return (struct router_job *)first;
}

// The next to be run, under the lock; NULL: there is none yet.
static struct router_job *take_waiting(struct router_offload *o) {
    const struct router_job *first = (const struct router_job *)o->waiting.next;
    bool later = !kvr_list_empty(&o->waiting) && first->large && o->undone;
    return later ? NULL : take(&o->waiting);
}

static void finish(struct router_offload *o, struct router_job *j) {
    static const uint64_t one = 1;
    kvr_list_push(&o->finished, &j->link);
    o->undone++;
    (void)!write(o->fd, &one, sizeof one);
}

static void *work(void *arg) {
    struct router_offload *o = arg;
    pthread_mutex_lock(&o->lock);
    while (!o->leaving) {
        struct router_job *j = take_waiting(o);
        if (!j) {
            pthread_cond_wait(&o->more, &o->lock);
            continue;
        }
        j->waiting = false;
        pthread_mutex_unlock(&o->lock);
        j->run(j);
        pthread_mutex_lock(&o->lock);
        finish(o, j);
    }
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

static struct router_job *take_finished(struct router_offload *o) {
    pthread_mutex_lock(&o->lock);
    struct router_job *j = take(&o->finished);
    pthread_mutex_unlock(&o->lock);
    return j;
}

static void one_is_done(struct router_offload *o) {
    pthread_mutex_lock(&o->lock);
    if (!--o->undone) pthread_cond_signal(&o->more);
    pthread_mutex_unlock(&o->lock);
}

static void on_told(evutil_socket_t fd, short what, void *arg) {
    uint64_t n;
    (void)what;
    (void)!read(fd, &n, sizeof n);
    for (struct router_job *j; (j = take_finished(arg)); one_is_done(arg))
        j->done(j);
}

// Signals are the loop's.
static bool start_thread(struct router_offload *o) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    o->started = pthread_create(&o->thread, NULL, work, o) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return o->started;
}

struct router_offload *router_offload_new(struct event_base *base) {
    struct router_offload *o = calloc(1, sizeof *o);
    if (!o) return NULL;
    kvr_list_init(&o->waiting);
    kvr_list_init(&o->finished);
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->more, NULL);
    o->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    o->told = o->fd < 0 ? NULL : event_new(base, o->fd, EV_READ | EV_PERSIST, on_told, o);
    if (o->told && !event_add(o->told, NULL)) return o;
    router_offload_free(o);
    return NULL;
}

void router_offload_free(struct router_offload *o) {
    if (!o) return;
    pthread_mutex_lock(&o->lock);
    o->leaving = true;
    pthread_cond_signal(&o->more);
    pthread_mutex_unlock(&o->lock);
    if (o->started) pthread_join(o->thread, NULL);
    for (struct router_job *j; (j = take(&o->finished)) || (j = take(&o->waiting));) {
        if (j->waiting) j->run(j);
        j->waiting = false;
        j->done(j);
    }
    if (o->told) event_free(o->told);
    if (o->fd >= 0) close(o->fd);
    pthread_cond_destroy(&o->more);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

// Not before it is needed: in a process with one thread the C library locks nothing, and every request
// is cheaper for it.
static bool has_thread(struct router_offload *o) {
    return o->started || start_thread(o);
}

void router_offload_here(struct router_offload *o, struct router_job *j) {
    j->run(j);
    pthread_mutex_lock(&o->lock);
    finish(o, j);
    pthread_mutex_unlock(&o->lock);
}

void router_offload_add(struct router_offload *o, struct router_job *j, bool urgent) {
    if (!has_thread(o)) {
        router_offload_here(o, j); // late is better than never
        return;
    }
    pthread_mutex_lock(&o->lock);
    j->waiting = true;
    j->large = j->large && !urgent;
    if (urgent)
        kvr_list_unshift(&o->waiting, &j->link);
    else
        kvr_list_push(&o->waiting, &j->link);
    pthread_cond_signal(&o->more);
    pthread_mutex_unlock(&o->lock);
}

bool router_offload_cancel(struct router_offload *o, struct router_job *j) {
    pthread_mutex_lock(&o->lock);
    bool waiting = j->waiting;
    if (waiting) kvr_list_remove(&j->link);
    j->waiting = false;
    pthread_mutex_unlock(&o->lock);
    return waiting;
}
