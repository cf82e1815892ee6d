// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // pipe2, posix_spawn_file_actions_addclosefrom_np
#include "router_upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "router_inherit.h"

enum { UPGRADE_END_MS = 1000, UPGRADE_MAX_WORDS = 200 };

struct router_upgrade {
    struct router_upgrade_options options;
    char path[PATH_MAX];
    pid_t pid;                            // of the one that isn't ready yet; 0: none
    int said;                             // where it says that it is; -1: it doesn't any more
    struct event *on_said, *ended, *late; // ended: SIGCHLD
    int64_t ms;                           // that it has
    bool over;                            // its time has passed
    bool cancelled;
};

// ---- The program ---------------------------------------------------------------------------------

static bool copy_absolute(char out[PATH_MAX], const char *folder, size_t n, const char *name) {
    char here[PATH_MAX] = "";
    if (!n || *folder != '/') {
        if (!getcwd(here, sizeof here)) return false;
    }
    int size = snprintf(out, PATH_MAX, "%s%s%.*s%s%s", here, *here && n ? "/" : "", (int)n, folder,
                        n || *here ? "/" : "", name);
    return size > 0 && size < PATH_MAX && access(out, X_OK) == 0;
}

// Where the shell found it. Not what /proc/self/exe says: that is the file, not the link to it that an upgrade
// changes.
static void find_program(char out[PATH_MAX], const char *name) {
    const char *path = getenv("PATH");
    if (*name == '/') {
        snprintf(out, PATH_MAX, "%s", name);
        return;
    }
    if (strchr(name, '/') && copy_absolute(out, "", 0, name)) return;
    while (!strchr(name, '/') && path && *path) {
        size_t n = strcspn(path, ":");
        if (copy_absolute(out, path, n, name)) return;
        path += n + (path[n] == ':');
    }
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = 0;
}

// ---- Its end, or its word ------------------------------------------------------------------------

static void close_pipe(struct router_upgrade *u) {
    if (u->said < 0) return;
    event_free(u->on_said);
    u->on_said = NULL;
    close(u->said);
    u->said = -1;
}

static void forget(struct router_upgrade *u) {
    close_pipe(u);
    event_del(u->late);
    u->pid = 0;
}

static void fail(struct router_upgrade *u, int status) {
    char why[100];
    if (u->over)
        snprintf(why, sizeof why, "wasn't ready in %lld ms", (long long)u->ms);
    else if (WIFSIGNALED(status))
        snprintf(why, sizeof why, "ended with signal %d before it was ready", WTERMSIG(status));
    else
        snprintf(why, sizeof why, "ended with status %d before it was ready", WEXITSTATUS(status));
    kvr_log_line(u->cancelled ? KVR_LOG_INFO : KVR_LOG_ERROR, "upgrade: process %d %s%s",
                 (int)u->pid, why, u->cancelled ? "" : "; this one goes on");
    forget(u);
    if (!u->cancelled) u->options.failed(u->options.ctx);
}

// Also those that were replaced in turn while this one is leaving, and processes that share its sockets.
static void on_ended(evutil_socket_t fd, short what, void *arg) {
    struct router_upgrade *u = arg;
    int status;
    (void)fd;
    (void)what;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        if (pid == u->pid)
            fail(u, status);
        else if (u->options.ended)
            u->options.ended(u->options.ctx, pid, status);
}

static void on_said(evutil_socket_t fd, short what, void *arg) {
    struct router_upgrade *u = arg;
    char word;
    (void)what;
    ssize_t n = read(fd, &word, 1);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n == 1 && !u->over) {
        pid_t pid = u->pid;
        forget(u);
        if (!u->cancelled) u->options.replaced(u->options.ctx, pid); // else it leaves, too
        return;
    }
    // It has ended, or won't ever say so; how it ended is known in a moment.
    struct timeval soon = kvr_timeval(UPGRADE_END_MS);
    close_pipe(u);
    event_add(u->late, &soon);
}

static void on_late(evutil_socket_t fd, short what, void *arg) {
    struct router_upgrade *u = arg;
    (void)fd;
    (void)what;
    // What it has said in the last moment counts: it may be serving somebody.
    if (u->said >= 0) on_said(u->said, EV_READ, u);
    if (!u->pid) return;
    u->over = true;
    kill(u->pid, SIGKILL); // its end is told by SIGCHLD
}

// ---- Starting ------------------------------------------------------------------------------------

// The environment, with the sockets' names. To be freed, and its first entry.
static char **environment(const struct h1_socket *sockets, size_t n) {
    char text[UPGRADE_MAX_WORDS] = ROUTER_INHERIT_NAME "=";
    size_t at = strlen(text), k = 0, m = 0;
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s%s", i ? ":" : "",
                               h1_place_names[sockets[i].place], sockets[i].given ? "+" : "");
    while (environ[m])
        m++;
    char **all = calloc(m + 2, sizeof *all);
    if (!all || !(all[k++] = strdup(text))) {
        free(all);
        return NULL;
    }
    for (size_t i = 0; i < m; i++)
        all[k++] = environ[i];
    return all;
}

// The descriptors are first moved out of the way of where they are to be. Returns an error number.
static int spawn(struct router_upgrade *u, const struct h1_socket *sockets, size_t n,
                 int pipe_end) {
    posix_spawn_file_actions_t files;
    int moved[H1_MAX_LISTENERS + 1], end = ROUTER_INHERIT_FIRST + (int)n + 1, wrong = 0;
    char **env = environment(sockets, n);
    if (!env || posix_spawn_file_actions_init(&files)) {
        if (env) free(*env);
        free(env);
        return ENOMEM;
    }
    size_t k = 0;
    for (; k <= n && !wrong; k++) {
        moved[k] = fcntl(k < n ? sockets[k].fd : pipe_end, F_DUPFD_CLOEXEC, end);
        wrong = moved[k] < 0 ? errno
                             : posix_spawn_file_actions_adddup2(&files, moved[k],
                                                                ROUTER_INHERIT_FIRST + (int)k);
    }
    if (!wrong) wrong = posix_spawn_file_actions_addclosefrom_np(&files, end);
    if (!wrong) wrong = posix_spawn(&u->pid, u->path, &files, NULL, u->options.argv, env);
    if (wrong) u->pid = 0;
    while (k--)
        if (moved[k] >= 0) close(moved[k]);
    posix_spawn_file_actions_destroy(&files);
    free(*env);
    free(env);
    return wrong;
}

bool router_upgrade_start(struct router_upgrade *u, const struct h1_server *s, int64_t ms) {
    struct h1_socket sockets[H1_MAX_LISTENERS];
    struct timeval end = kvr_timeval(ms);
    int ends[2];
    if (u->pid) {
        kvr_log_line(KVR_LOG_WARNING, "upgrade refused: process %d isn't ready yet", (int)u->pid);
        return false;
    }
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        kvr_log_line(KVR_LOG_ERROR, "upgrade: %s", strerror(errno));
        return false;
    }
    u->on_said = event_new(u->options.base, ends[0], EV_READ | EV_PERSIST, on_said, u);
    int wrong = u->on_said && !event_add(u->on_said, NULL)
                    ? spawn(u, sockets, h1_server_sockets(s, sockets), ends[1])
                    : ENOMEM;
    close(ends[1]);
    if (wrong) {
        kvr_log_line(KVR_LOG_ERROR, "upgrade: can't start %s: %s", u->path, strerror(wrong));
        if (u->on_said) event_free(u->on_said);
        u->on_said = NULL;
        close(ends[0]);
        return false;
    }
    u->said = ends[0];
    u->ms = ms;
    u->over = u->cancelled = false;
    event_add(u->late, &end);
    kvr_log_line(KVR_LOG_INFO, "upgrade: started %s as process %d", u->path, (int)u->pid);
    return true;
}

void router_upgrade_cancel(struct router_upgrade *u) {
    if (!u->pid) return;
    u->cancelled = true;
    // Not by force: it may be ready, and serve somebody, without this one having read so.
    kill(u->pid, SIGTERM);
}

// ---- Beginning and ending ------------------------------------------------------------------------

struct router_upgrade *router_upgrade_new(const struct router_upgrade_options *o) {
    struct router_upgrade *u = calloc(1, sizeof *u);
    if (!u) return NULL;
    u->options = *o;
    u->said = -1;
    find_program(u->path, o->argv[0]);
    u->ended = evsignal_new(o->base, SIGCHLD, on_ended, u);
    u->late = event_new(o->base, -1, 0, on_late, u);
    if (u->ended && u->late && !event_add(u->ended, NULL)) return u;
    router_upgrade_free(u);
    return NULL;
}

void router_upgrade_free(struct router_upgrade *u) {
    char word;
    if (!u) return;
    // One that had become ready before it was told to leave has requests to finish.
    if (u->pid && (u->said < 0 || read(u->said, &word, 1) != 1)) kill(u->pid, SIGKILL);
    close_pipe(u);
    if (u->ended) event_free(u->ended);
    if (u->late) event_free(u->late);
    free(u);
}

void router_upgrade_abandon(struct router_upgrade *u) {
    if (u) u->pid = 0;
    router_upgrade_free(u);
}
