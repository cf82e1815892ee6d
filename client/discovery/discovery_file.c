// SPDX-License-Identifier: Apache-2.0
#include "discovery_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "discovery_lines.h"

enum { FILE_MAX_BYTES = 4 << 20 };

struct file_source {
    struct discovery_known *known;
    struct event *timer;
    struct stat taken; // of what was last read to its end
    bool read;         // it was, well or not
};

static bool unchanged(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

// Reads all of it. False: it can't be read (told), or somebody is writing it: then it is read the next time.
static bool read_whole(struct file_source *f, int fd, char *bytes, size_t size) {
    size_t have = 0;
    ssize_t n = 1;
    while (have < size && (n = read(fd, bytes + have, size - have)) > 0)
        have += (size_t)n;
    if (n < 0) discovery_known_failed(f->known, "can't be read: %s", strerror(errno));
    struct stat after;
    return have == size && !fstat(fd, &after) && unchanged(&after, &f->taken);
}

static void take_text(struct file_source *f, const char *bytes, size_t n) {
    char reason[180];
    struct kvr_config_error e = {reason, sizeof reason};
    struct discovery_lines *l = discovery_lines_read(bytes, n, &f->known->config, &e);
    f->read = true;
    if (l)
        discovery_lines_tell(l, f->known);
    else
        discovery_known_failed(f->known, "%s", reason);
    discovery_lines_free(l);
}

static void read_open(struct file_source *f, int fd) {
    struct stat now;
    if (fstat(fd, &now)) return;
    if (!S_ISREG(now.st_mode) || now.st_size > FILE_MAX_BYTES) {
        discovery_known_failed(f->known, "no file, or one of more than %d bytes", FILE_MAX_BYTES);
        return;
    }
    if (f->read && unchanged(&now, &f->taken)) return;
    f->taken = now;
    f->read = false;
    size_t size = (size_t)now.st_size;
    char *bytes = malloc(size + 1);
    if (bytes && read_whole(f, fd, bytes, size)) take_text(f, bytes, size);
    free(bytes);
}

static void on_file_tick(evutil_socket_t unused, short what, void *ctx) {
    struct file_source *f = ctx;
    (void)unused;
    (void)what;
    // Nothing that is no file may hold up the loop.
    int fd = open(f->known->config.place, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        discovery_known_failed(f->known, "can't be opened: %s", strerror(errno));
        f->read = false; // one that comes back counts again, though it is the same
    } else {
        read_open(f, fd);
        close(fd);
    }
    struct timeval next = kvr_timeval(f->known->config.every);
    event_add(f->timer, &next);
}

void *discovery_file_new(struct event_base *base, struct discovery_known *k, char *error,
                         size_t error_size) {
    struct file_source *f = calloc(1, sizeof *f);
    if (f) {
        f->known = k;
        f->timer = event_new(base, -1, 0, on_file_tick, f);
    }
    if (!f || !f->timer) {
        snprintf(error, error_size, "no memory");
        free(f);
        return NULL;
    }
    event_active(f->timer, EV_TIMEOUT, 0);
    return f;
}

void discovery_file_free(void *source) {
    struct file_source *f = source;
    event_free(f->timer);
    free(f);
}
