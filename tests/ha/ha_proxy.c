// SPDX-License-Identifier: Apache-2.0
// The proxy process: one poll loop over all connections; see ha_proxy.h.
#define _GNU_SOURCE // accept4
#include "ha_proxy.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/support_port.h"

enum { HA_MAX_ADDRESSES = 16, HA_MAX_CONNECTIONS = 400, HA_BUFFER = 16 << 10, HA_TICK_MS = 5 };

struct ha_address {
    int port;
    _Atomic int target, side; // target 0: leads nowhere
    _Atomic bool bound;
};

// What the scenario says and the proxy does; shared.
struct ha_network {
    struct ha_address addresses[HA_MAX_ADDRESSES];
    _Atomic size_t n;
    _Atomic int links[HA_SIDES][HA_SIDES];
    _Atomic unsigned said, done; // changes; equal: all are in force
};
static struct ha_network *network;

// ---- The scenario's part -------------------------------------------------------------------------

static bool in_force(void *ctx) {
    (void)ctx;
    return network->done == network->said;
}

static void tell(void) {
    network->said++;
    ha_wait(in_force, NULL, "the proxy has heard");
}

int ha_proxy_address(void) {
    size_t i = network->n;
    if (i == HA_MAX_ADDRESSES) ha_give_up("too many addresses");
    network->addresses[i].port = support_port();
    network->n = i + 1;
    tell();
    return network->addresses[i].port;
}

void ha_proxy_target(int address, const struct ha_server *to) {
    for (size_t i = 0; i < network->n; i++) {
        struct ha_address *a = &network->addresses[i];
        if (a->port != address) continue;
        a->side = to->side;
        a->target = to->redis.port;
    }
}

void ha_proxy_link(int from, int to, enum ha_link how) {
    network->links[from][to] = (int)how;
    tell();
}

// ---- Who is it? ----------------------------------------------------------------------------------

static int diagnosis = -1; // netlink; reading /proc/net/tcp takes milliseconds

// The inode of the connected socket of 127.0.0.1 whose own port is `port` and whose peer's is `peer`;
// 0: there is none any more.
static unsigned long inode_of(in_port_t port, in_port_t peer) {
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 body;
    } question = {
        .header = {.nlmsg_len = sizeof question,
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST},
        .body = {.sdiag_family = AF_INET,
                 .sdiag_protocol = IPPROTO_TCP,
                 .idiag_states = ~0u,
                 .id = {.idiag_sport = port,
                        .idiag_dport = peer,
                        .idiag_src = {htonl(INADDR_LOOPBACK)},
                        .idiag_dst = {htonl(INADDR_LOOPBACK)},
                        .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}},
    };
    struct {
        struct nlmsghdr header;
        struct inet_diag_msg body;
        char more[512];
    } answer;
    if (diagnosis < 0) diagnosis = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (send(diagnosis, &question, sizeof question, 0) < 0 ||
        recv(diagnosis, &answer, sizeof answer, 0) < (ssize_t)sizeof answer.header)
        ha_give_up("the kernel doesn't say whose a connection is: %s", strerror(errno));
    return answer.header.nlmsg_type == SOCK_DIAG_BY_FAMILY ? answer.body.idiag_inode : 0;
}

static bool has_socket(pid_t pid, unsigned long inode) {
    char path[300], want[40], have[40];
    snprintf(want, sizeof want, "socket:[%lu]", inode);
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    bool found = false;
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        snprintf(path, sizeof path, "/proc/%d/fd/%s", (int)pid, e->d_name);
        ssize_t n = readlink(path, have, sizeof have - 1);
        if (n < 0) continue;
        have[n] = 0;
        found = strcmp(have, want) == 0;
    }
    if (d) closedir(d);
    return found;
}

// The side of the process at the other end; -1: nobody's, or gone already.
static int side_of(int fd, int own_port) {
    struct sockaddr_in peer;
    socklen_t n = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &n) != 0) return -1;
    unsigned long inode = inode_of(peer.sin_port, htons((uint16_t)own_port));
    if (!inode) return -1;
    for (size_t i = 0; i < ha_process_count(); i++) {
        const struct ha_process *p = ha_process_at(i);
        if (p->pid && has_socket(p->pid, inode)) return p->side;
    }
    return -1;
}

// ---- The proxy's part ----------------------------------------------------------------------------

struct ha_stream { // one direction of a connection
    int from, to;
    size_t at, n; // of what is in the buffer, where the rest begins and ends
    bool ended;   // nothing more comes
    char buffer[HA_BUFFER];
};

struct ha_connection {
    bool open;
    bool stuck;         // it was there when the link got stuck
    int client, server; // server -1: not connected yet
    int from, to;       // sides
    int target;         // port
    struct ha_stream there, back;
};

static struct ha_connection connections[HA_MAX_CONNECTIONS];
static int listeners[HA_MAX_ADDRESSES];
static size_t n_listeners;

static void reset(int fd) {
    struct linger now = {1, 0};
    if (fd < 0) return;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

static void drop(struct ha_connection *c) {
    reset(c->client);
    reset(c->server);
    c->open = false;
}

// After an end in good order what was sent before it still arrives; all else is passed on as it is.
static void finish(struct ha_connection *c) {
    if (c->there.ended || c->back.ended) {
        close(c->client);
        close(c->server);
        c->open = false;
    } else {
        drop(c);
    }
}

static int listen_on(int port) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) != 0 || listen(fd, 128) != 0)
        ha_give_up("the proxy can't listen: %s", strerror(errno));
    return fd;
}

static int connect_to(int port) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0 || errno == EINPROGRESS) return fd;
    close(fd);
    return -1;
}

static enum ha_link link_of(const struct ha_connection *c) {
    return (enum ha_link)network->links[c->from][c->to];
}

static bool passes(const struct ha_connection *c) {
    return link_of(c) == HA_LINK_OPEN || (link_of(c) == HA_LINK_STUCK && !c->stuck);
}

static void accept_one(size_t address) {
    struct ha_address *a = &network->addresses[address];
    int fd = accept4(listeners[address], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    int from = side_of(fd, a->port);
    struct ha_connection *c = connections;
    while (c < connections + HA_MAX_CONNECTIONS && c->open)
        c++;
    if (c == connections + HA_MAX_CONNECTIONS || from < 0 || !a->target) {
        reset(fd);
        return;
    }
    *c = (struct ha_connection){
        .open = true, .client = fd, .server = -1, .from = from, .to = a->side, .target = a->target};
}

// Moves what can be moved. false: the connection is at its end.
static bool pass(struct ha_stream *w) {
    for (;;) {
        while (w->at < w->n) {
            ssize_t n = send(w->to, w->buffer + w->at, w->n - w->at, MSG_NOSIGNAL);
            if (n < 0) return errno == EAGAIN || errno == EINTR || errno == ENOTCONN;
            w->at += (size_t)n;
        }
        if (w->ended) return false;
        ssize_t n = recv(w->from, w->buffer, HA_BUFFER, 0);
        if (n < 0) return errno == EAGAIN || errno == EINTR || errno == ENOTCONN;
        w->at = 0;
        w->n = (size_t)n;
        w->ended = n == 0;
    }
}

// Follows what the scenario has said: addresses, and links that are held or cut.
static void heed(void) {
    unsigned said = network->said;
    for (; n_listeners < network->n; n_listeners++)
        listeners[n_listeners] = listen_on(network->addresses[n_listeners].port);
    for (struct ha_connection *c = connections; c < connections + HA_MAX_CONNECTIONS; c++) {
        if (!c->open) continue;
        if (said != network->done) c->stuck = link_of(c) == HA_LINK_STUCK;
        if (link_of(c) == HA_LINK_CUT) drop(c);
    }
    network->done = said;
}

static short wishes(const struct ha_stream *in, const struct ha_stream *out) {
    return (short)((in->at < in->n ? 0 : POLLIN) | (out->at < out->n ? POLLOUT : 0));
}

static size_t watch(struct pollfd *fds, struct ha_connection **who) {
    size_t n = 0;
    for (struct ha_connection *c = connections; c < connections + HA_MAX_CONNECTIONS; c++) {
        if (!c->open || !passes(c)) continue;
        if (c->server < 0) {
            c->server = connect_to(c->target);
            c->there.from = c->back.to = c->client;
            c->there.to = c->back.from = c->server;
        }
        if (c->server < 0) {
            drop(c);
            continue;
        }
        fds[n] = (struct pollfd){c->client, wishes(&c->there, &c->back), 0};
        who[n++] = c;
        fds[n] = (struct pollfd){c->server, wishes(&c->back, &c->there), 0};
        who[n++] = c;
    }
    return n;
}

static void run_proxy(void) {
    static struct pollfd fds[HA_MAX_ADDRESSES + 2 * HA_MAX_CONNECTIONS];
    static struct ha_connection *who[2 * HA_MAX_CONNECTIONS];
    for (;;) {
        heed();
        size_t n = watch(fds + HA_MAX_ADDRESSES, who);
        for (size_t i = 0; i < HA_MAX_ADDRESSES; i++)
            fds[i] = (struct pollfd){i < n_listeners ? listeners[i] : -1, POLLIN, 0};
        if (poll(fds, HA_MAX_ADDRESSES + n, HA_TICK_MS) <= 0) continue;
        for (size_t i = 0; i < n; i++) {
            struct ha_connection *c = who[i];
            if (!fds[HA_MAX_ADDRESSES + i].revents || !c->open || !passes(c)) continue;
            if (!pass(&c->there) || !pass(&c->back)) finish(c);
        }
        for (size_t i = 0; i < n_listeners; i++)
            if (fds[i].revents) accept_one(i);
    }
}

void ha_proxy_start(void) {
    network = ha_share(sizeof *network);
    if (!ha_process_fork(ha_process_add(-1))) run_proxy();
}
