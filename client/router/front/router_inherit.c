// SPDX-License-Identifier: Apache-2.0
#include "router_inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/common/log.h"

enum { INHERIT_MAX_TEXT = 2048 };

// How they are announced.
struct inherit_source {
    const char *variable;
    char names[INHERIT_MAX_TEXT]; // of the sockets, with colons between them
    long n;
};

// ---- Descriptors ---------------------------------------------------------------------------------

static int option(int fd, int name) {
    int value = -1;
    socklen_t n = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &n) == 0 ? value : -1;
}

// NULL: it is one to accept from.
static const char *wrong_with(int fd) {
    struct stat st;
    int family = option(fd, SO_DOMAIN);
    if (fstat(fd, &st) != 0) return "isn't open";
    if (!S_ISSOCK(st.st_mode)) return "is no socket";
    if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
        return "is neither of IP nor a Unix socket";
    if (option(fd, SO_TYPE) != SOCK_STREAM) return "is no stream socket";
    return option(fd, SO_ACCEPTCONN) == 1 ? NULL : "doesn't listen";
}

static enum h1_place place_named(const char *name, size_t n, bool *known) {
    for (int i = H1_PLACE_PLAIN; i <= H1_PLACE_ADMIN; i++)
        if (strlen(h1_place_names[i]) == n && !memcmp(h1_place_names[i], name, n))
            return (enum h1_place)i;
    *known = false;
    return H1_PLACE_PLAIN;
}

// strict: a name that isn't one of ours is an error; else it is just a name.
static bool take_all(struct router_inherited *out, const struct inherit_source *s, bool strict,
                     char *error, size_t error_size) {
    const char *at = s->names;
    if (s->n < 0 || s->n > H1_MAX_LISTENERS) {
        snprintf(error, error_size, "%s: there can be %d sockets at most", s->variable,
                 H1_MAX_LISTENERS);
        return false;
    }
    for (int i = 0; i < s->n; i++) {
        int fd = ROUTER_INHERIT_FIRST + i;
        size_t n = strcspn(at, ":");
        bool known = true, plus = strict && n && at[n - 1] == '+';
        struct h1_socket one = {fd, place_named(at, n - plus, &known), plus || !strict};
        const char *wrong = strict && !known ? "has a name that isn't known" : wrong_with(fd);
        if (wrong) {
            snprintf(error, error_size, "%s: descriptor %d %s", s->variable, fd, wrong);
            return false;
        }
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        out->sockets[out->n++] = one;
        at += n + (at[n] == ':');
    }
    return true;
}

// ---- The environment -----------------------------------------------------------------------------

// False: it isn't set, or too long; *error "" if the first.
static bool take_text(const char *name, char *out, size_t size, char *error, size_t error_size) {
    const char *value = getenv(name);
    *error = 0;
    if (!value) return false;
    size_t n = strlen(value);
    bool fits = n < size;
    if (fits) memcpy(out, value, n + 1);
    if (!fits) snprintf(error, error_size, "%s is too long", name);
    unsetenv(name);
    return fits;
}

static bool read_number(const char *text, long *out) {
    char *end;
    errno = 0;
    *out = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno;
}

static bool inherit_service(struct router_inherited *out, char *error, size_t error_size) {
    struct inherit_source s = {.variable = "LISTEN_FDS"};
    char pid[32], count[32];
    long whose;
    bool has_pid = take_text("LISTEN_PID", pid, sizeof pid, error, error_size);
    if (*error) return false;
    bool has_count = take_text("LISTEN_FDS", count, sizeof count, error, error_size);
    if (*error) return false;
    take_text("LISTEN_FDNAMES", s.names, sizeof s.names, error, error_size);
    if (*error) return false;
    if (!has_pid || !has_count) return true;
    if (!read_number(pid, &whose)) {
        snprintf(error, error_size, "LISTEN_PID: %.20s is no process", pid);
        return false;
    }
    if (whose != (long)getpid()) return true; // meant for somebody else
    if (read_number(count, &s.n)) return take_all(out, &s, false, error, error_size);
    snprintf(error, error_size, "LISTEN_FDS: %.20s is no number of sockets", count);
    return false;
}

static bool inherit_router(struct router_inherited *out, char *error, size_t error_size) {
    struct inherit_source s = {.variable = ROUTER_INHERIT_NAME};
    struct stat st;
    if (!take_text(s.variable, s.names, sizeof s.names, error, error_size)) return !*error;
    s.n = *s.names != 0;
    for (const char *c = s.names; *c; c++)
        s.n += *c == ':';
    if (!take_all(out, &s, true, error, error_size)) return false;
    int fd = ROUTER_INHERIT_FIRST + (int)s.n;
    if (fstat(fd, &st) != 0 || !S_ISFIFO(st.st_mode)) {
        snprintf(error, error_size, "%s: descriptor %d is no pipe", s.variable, fd);
        return false;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    out->ready = fd;
    return true;
}

bool router_inherit(struct router_inherited *out, char *error, size_t error_size) {
    *out = (struct router_inherited){.ready = -1};
    if (!inherit_router(out, error, error_size)) return false;
    return out->ready >= 0 || inherit_service(out, error, error_size);
}

void router_inherit_say_ready(struct router_inherited *in) {
    if (in->ready < 0) return;
    (void)!write(in->ready, "r", 1);
    close(in->ready);
    in->ready = -1;
    kvr_log_line(KVR_LOG_INFO, "ready in the place of process %d, version %s", (int)getppid(),
                 KVROUTE_VERSION);
}
