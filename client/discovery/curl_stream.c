// SPDX-License-Identifier: Apache-2.0
#include "curl_stream.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/common/clock.h"

enum { STREAM_CONNECT_MS = 5000, STREAM_KEEPALIVE_S = 10 };

struct curl_stream {
    struct event_base *base;
    struct curl_stream_port port;
    CURLM *multi;
    CURL *easy; // NULL: nothing is under way
    struct curl_slist *headers;
    struct event *timer;
    char error[CURL_ERROR_SIZE];
};

// ---- The loop ------------------------------------------------------------------------------------

static void finish(struct curl_stream *s, CURLcode code) {
    long status = 0;
    char error[CURL_ERROR_SIZE];
    curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    snprintf(error, sizeof error, "%s", *s->error ? s->error : curl_easy_strerror(code));
    curl_multi_remove_handle(s->multi, s->easy);
    curl_easy_cleanup(s->easy);
    s->easy = NULL;
    s->port.end(s->port.ctx, status, code == CURLE_OK ? NULL : error);
}

static void act(struct curl_stream *s, curl_socket_t fd, int what) {
    int running, left;
    curl_multi_socket_action(s->multi, fd, what, &running);
    CURLMsg *m = curl_multi_info_read(s->multi, &left);
    if (m && m->msg == CURLMSG_DONE && m->easy_handle == s->easy) finish(s, m->data.result);
}

static void on_stream_socket(evutil_socket_t fd, short what, void *ctx) {
    act(ctx, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_stream_timer(evutil_socket_t fd, short what, void *ctx) {
    (void)fd;
    (void)what;
    act(ctx, CURL_SOCKET_TIMEOUT, 0);
}

static int on_wanted_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket) {
    struct curl_stream *s = ctx;
    struct event *event = socket;
    (void)easy;
    if (event) event_free(event);
    event = NULL;
    if (what != CURL_POLL_REMOVE) {
        int wanted = (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0);
        event = event_new(s->base, fd, (short)(wanted | EV_PERSIST), on_stream_socket, s);
        if (event) event_add(event, NULL);
    }
    curl_multi_assign(s->multi, fd, event);
    return 0;
}

static int on_wanted_timer(CURLM *multi, long ms, void *ctx) {
    struct curl_stream *s = ctx;
    (void)multi;
    struct timeval t = kvr_timeval(ms);
    if (ms < 0)
        event_del(s->timer);
    else
        event_add(s->timer, &t);
    return 0;
}

// ---- What comes ----------------------------------------------------------------------------------

static size_t on_stream_data(char *bytes, size_t one, size_t n, void *ctx) {
    struct curl_stream *s = ctx;
    return s->port.data(s->port.ctx, bytes, one * n) ? n : 0;
}

static size_t on_stream_header(char *line, size_t one, size_t n, void *ctx) {
    struct curl_stream *s = ctx;
    long status = 0;
    if (one * n <= 2 && *line == '\r') { // the end of the head
        curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
        s->port.head(s->port.ctx, status);
    }
    return n;
}

// ---- Requests ------------------------------------------------------------------------------------

static void drop_stream(struct curl_stream *s) {
    if (s->easy) {
        curl_multi_remove_handle(s->multi, s->easy);
        curl_easy_cleanup(s->easy);
    }
    curl_slist_free_all(s->headers);
    s->easy = NULL;
    s->headers = NULL;
}

static bool add_header(struct curl_stream *s, const char *header) {
    struct curl_slist *all = curl_slist_append(s->headers, header);
    if (all) s->headers = all;
    return all != NULL;
}

static bool set_up(struct curl_stream *s, const struct curl_stream_request *r) {
    CURL *e = s->easy;
    return add_header(s, r->authorization) && add_header(s, "Accept: application/json") &&
           !curl_easy_setopt(e, CURLOPT_URL, r->url) &&
           !curl_easy_setopt(e, CURLOPT_CAINFO, r->ca_file) &&
           !curl_easy_setopt(e, CURLOPT_HTTPHEADER, s->headers) &&
           !curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https") &&
           !curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)r->all_ms) &&
           !curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)STREAM_CONNECT_MS) &&
           !curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L) &&
           !curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, (long)STREAM_KEEPALIVE_S) &&
           !curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, (long)STREAM_KEEPALIVE_S) &&
           !curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) &&
           !curl_easy_setopt(e, CURLOPT_ERRORBUFFER, s->error) &&
           !curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_stream_data) &&
           !curl_easy_setopt(e, CURLOPT_WRITEDATA, s) &&
           !curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_stream_header) &&
           !curl_easy_setopt(e, CURLOPT_HEADERDATA, s);
}

bool curl_stream_start(struct curl_stream *s, const struct curl_stream_request *r) {
    drop_stream(s);
    *s->error = 0;
    s->easy = curl_easy_init();
    if (s->easy && set_up(s, r) && curl_multi_add_handle(s->multi, s->easy) == CURLM_OK)
        return true;
    if (s->easy) curl_easy_cleanup(s->easy);
    s->easy = NULL;
    return false;
}

char *curl_stream_escape(const char *text) {
    return curl_easy_escape(NULL, text, 0);
}

void curl_stream_free_text(char *text) {
    curl_free(text);
}

// ---- Coming and going ----------------------------------------------------------------------------

struct curl_stream *curl_stream_new(struct event_base *base, const struct curl_stream_port *port) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) return NULL;
    struct curl_stream *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->base = base;
    s->port = *port;
    s->timer = event_new(base, -1, 0, on_stream_timer, s);
    s->multi = curl_multi_init();
    if (s->timer && s->multi &&
        curl_multi_setopt(s->multi, CURLMOPT_SOCKETFUNCTION, on_wanted_socket) == CURLM_OK &&
        curl_multi_setopt(s->multi, CURLMOPT_SOCKETDATA, s) == CURLM_OK &&
        curl_multi_setopt(s->multi, CURLMOPT_TIMERFUNCTION, on_wanted_timer) == CURLM_OK &&
        curl_multi_setopt(s->multi, CURLMOPT_TIMERDATA, s) == CURLM_OK)
        return s;
    curl_stream_free(s);
    return NULL;
}

void curl_stream_free(struct curl_stream *s) {
    if (!s) return;
    drop_stream(s);
    if (s->multi) curl_multi_cleanup(s->multi);
    if (s->timer) event_free(s->timer);
    free(s);
    curl_global_cleanup();
}
