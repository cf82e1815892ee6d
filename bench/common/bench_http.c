// SPDX-License-Identifier: Apache-2.0
// One HTTP request; see bench_http.h.
#define _GNU_SOURCE
#include "bench_http.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench_memory.h"

static bool send_all(int fd, const char *bytes, size_t n) {
    while (n) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

int bench_http_send(int port, const char *method, const char *path, const char *extra,
                    const char *body, int ms) {
    char head[1024];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval patience = {ms / 1000, ms % 1000 * 1000};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    size_t n = body ? strlen(body) : 0;
    int len = snprintf(head, sizeof head,
                       "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu"
                       "\r\n\r\n",
                       method, path, extra, n);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (len < (int)sizeof head && connect(fd, (struct sockaddr *)&to, sizeof to) == 0 &&
        send_all(fd, head, (size_t)len) && send_all(fd, body, n))
        return fd;
    close(fd);
    return -1;
}

struct bench_answer bench_http_read(int fd) {
    struct bench_answer a = {0};
    size_t room = 0, n = 0;
    ssize_t got = -1;
    char *text = NULL, *body, *length;
    while (fd >= 0) {
        text = bench_grow(text, &room, n + 16384, 1);
        got = recv(fd, text + n, room - n - 1, 0);
        if (got <= 0) break;
        n += (size_t)got;
    }
    if (fd >= 0) close(fd);
    if (!text) return a;
    text[n] = 0;
    if (got == 0 && strncmp(text, "HTTP/1.1 ", 9) == 0 && (body = strstr(text, "\r\n\r\n"))) {
        *body = 0;
        body += 4;
        a.status = atoi(text + 9);
        a.n = n - (size_t)(body - text);
        length = strcasestr(text, "\r\ncontent-length:");
        if (length && strtoul(length + 17, NULL, 10) != a.n) a.status = 0;
        memmove(text, body, a.n + 1);
    }
    a.body = text;
    return a;
}

struct bench_answer bench_http(int port, const char *method, const char *path, const char *extra,
                               const char *body, int ms) {
    return bench_http_read(bench_http_send(port, method, path, extra, body, ms));
}
