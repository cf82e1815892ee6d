// SPDX-License-Identifier: Apache-2.0
// Router 0 and the processes that take its place; and clients that don't know of it.
#ifndef RTEST_UPGRADE_H
#define RTEST_UPGRADE_H

#include "rtest_fleet.h"

enum { RTEST_SHORT = 6, RTEST_KEPT = 4 };

// Steady traffic: short requests, each on a connection of its own, and others on connections that are kept.
struct rtest_load {
    struct rtest_client fresh[RTEST_SHORT];
    struct {
        int fd;           // -1: none
        int64_t asked_ms; // when it was last used; 0: never
    } kept[RTEST_KEPT];
    size_t answered; // all; the test fails if one isn't
    size_t turn, reconnected;
};

// Before the router is started: processes that it starts become children of this one when it ends, and die with it.
// Its program is a link, which may lead elsewhere later.
void rtest_upgrade_prepare(void);
void rtest_upgrade_link(const char *program); // NULL: to the router that was built
// A script in the test's folder, of these lines.
void rtest_upgrade_script(const char *lines);
// Until the router's log has n lines with this text.
void rtest_upgrade_await_log(const char *text, size_t n);
// The process that is named last in its log before this text.
pid_t rtest_upgrade_process(const char *text);
// Has router 0 replaced, under this load (NULL: none). Returns the one that leaves.
pid_t rtest_upgrade(struct rtest_load *load);
void rtest_upgrade_await_end(pid_t pid); // it must end well

// Where a service manager would hear what routers say that are started from now on: NOTIFY_SOCKET.
int rtest_upgrade_hear(void);
void rtest_upgrade_expect_word(int fd, const char *text); // the next one begins so

void rtest_load_begin(struct rtest_load *l);
void rtest_load_run(struct rtest_load *l); // a few ms
void rtest_load_end(struct rtest_load *l);

#endif
