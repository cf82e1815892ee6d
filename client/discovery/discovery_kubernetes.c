// SPDX-License-Identifier: Apache-2.0
#include "discovery_kubernetes.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "curl_stream.h"
#include "kubernetes_slices.h"

#define ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount/"

enum {
    KUBERNETES_LIST_MS = 30000,
    KUBERNETES_WATCH_S = 60,
    KUBERNETES_WATCH_MARGIN_S = 15,   // the server may end it so much later
    KUBERNETES_FIRST_PAUSE_MS = 1000, // after a failure; twice that after the next
    KUBERNETES_MAX_PAUSE_MS = 30000,
    KUBERNETES_PAGE = 20, // slices a page of a list, so that reading one is quick
    KUBERNETES_MAX_PAGES =
        1024, // of a list: a server may put less into one, but it comes to an end
    KUBERNETES_MAX_BYTES = 8 << 20, // of a page, or of an event
    KUBERNETES_MAX_TOKEN = 16384,
};

struct kubernetes_source {
    struct discovery_known *known;
    struct curl_stream *stream;
    struct event *timer;
    char *place; // of the slices: https://…/endpointslices?labelSelector=…
    char token_file[512], ca_file[512];
    struct kubernetes_slices slices;
    bool watching;     // else listing
    bool too_old;      // the watch's version is: list again
    bool changed;      // slices have, and it isn't told yet
    bool refused;      // it is the text of an error that comes
    bool broken;       // what came isn't understood
    char version[128]; // that a watch begins with
    char *page;        // where the list goes on; NULL: at its beginning
    unsigned pages;    // of this list, so far
    char *bytes;       // of a page or an event, as far as it has come
    size_t n, room;
    int64_t pause, began_ms;
};

// ---- Requests ------------------------------------------------------------------------------------

// The first line of a file. False: it can't be read, or is empty or longer.
static bool read_line_of(const char *path, char *out, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
    if (fd >= 0) close(fd);
    if (n <= 0 || (size_t)n == size - 1) return false;
    out[n] = 0;
    out[strcspn(out, "\r\n")] = 0;
    return *out != 0;
}

static void again(struct kubernetes_source *s, int64_t ms) {
    struct timeval t = kvr_timeval(ms);
    event_add(s->timer, &t);
}

static void fail_request(struct kubernetes_source *s) {
    again(s, s->pause);
    s->pause = s->pause * 2 < KUBERNETES_MAX_PAUSE_MS ? s->pause * 2 : KUBERNETES_MAX_PAUSE_MS;
}

static char *url_of(const struct kubernetes_source *s) {
    char *url = NULL, *page = s->page ? curl_stream_escape(s->page) : NULL;
    int n = -1;
    if (s->watching)
        n = asprintf(&url,
                     "%s&watch=1&allowWatchBookmarks=true&timeoutSeconds=%d&resourceVersion=%s",
                     s->place, KUBERNETES_WATCH_S, s->version);
    else if (page || !s->page)
        n = asprintf(&url, "%s&limit=%d%s%s", s->place, KUBERNETES_PAGE, page ? "&continue=" : "",
                     page ? page : "");
    curl_stream_free_text(page);
    return n < 0 ? NULL : url;
}

static void on_request(evutil_socket_t fd, short what, void *ctx) {
    static const char bearer[] = "Authorization: Bearer ";
    struct kubernetes_source *s = ctx;
    char header[sizeof bearer + KUBERNETES_MAX_TOKEN];
    (void)fd;
    (void)what;
    memcpy(header, bearer, sizeof bearer);
    if (!read_line_of(s->token_file, header + sizeof bearer - 1, KUBERNETES_MAX_TOKEN)) {
        discovery_known_failed(s->known, "no token in %.100s", s->token_file);
        fail_request(s);
        return;
    }
    s->n = 0;
    s->refused = s->too_old = s->broken = false;
    s->began_ms = kvr_clock_ms();
    char *url = url_of(s);
    int64_t ms =
        s->watching ? (KUBERNETES_WATCH_S + KUBERNETES_WATCH_MARGIN_S) * 1000 : KUBERNETES_LIST_MS;
    if (!url || !curl_stream_start(s->stream, &(struct curl_stream_request){.url = url,
                                                                            .authorization = header,
                                                                            .ca_file = s->ca_file,
                                                                            .all_ms = ms})) {
        discovery_known_failed(s->known, "no memory");
        fail_request(s);
    }
    free(url);
}

// ---- A list --------------------------------------------------------------------------------------

static void restart_list(struct kubernetes_source *s) {
    s->watching = false;
    free(s->page);
    s->page = NULL;
    s->pages = 0;
}

static bool take_version(struct kubernetes_source *s, const json_t *o) {
    const char *version =
        json_string_value(json_object_get(json_object_get(o, "metadata"), "resourceVersion"));
    if (!version || strlen(version) >= sizeof s->version ||
        version[strspn(version,
                       "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.")])
        return false;
    memcpy(s->version, version, strlen(version) + 1);
    return true;
}

// A page. False: it is none.
static bool take_page(struct kubernetes_source *s, const json_t *list) {
    const json_t *items = json_object_get(list, "items");
    const json_t *more = json_object_get(json_object_get(list, "metadata"), "continue");
    const char *page = json_string_value(more);
    if (!json_is_array(items) && !json_is_null(items)) return false;
    if (!take_version(s, list)) return false;
    if (!s->page) kubernetes_slices_begin(&s->slices);
    for (size_t i = 0; i < json_array_size(items); i++)
        if (!kubernetes_slices_put(&s->slices, json_array_get(items, i), s->known->config.port))
            return false;
    free(s->page);
    s->page = page && *page ? strdup(page) : NULL;
    if (page && *page) return s->page && ++s->pages < KUBERNETES_MAX_PAGES;
    s->pages = 0;
    kubernetes_slices_end(&s->slices);
    kubernetes_slices_tell(&s->slices, s->known);
    s->watching = true;
    return true;
}

static bool end_list(struct kubernetes_source *s) {
    json_t *list = json_loadb(s->bytes ? s->bytes : "", s->n, 0, NULL);
    bool good = list && take_page(s, list);
    json_decref(list);
    return good;
}

// ---- A watch -------------------------------------------------------------------------------------

// False: it is none, or an error.
static bool take_event(struct kubernetes_source *s, const char *line, size_t n) {
    json_t *event = json_loadb(line, n, 0, NULL);
    const json_t *object = json_object_get(event, "object");
    const char *type = json_string_value(json_object_get(event, "type"));
    bool good = type && object;
    if (good && strcmp(type, "ERROR") == 0) {
        s->too_old = json_integer_value(json_object_get(object, "code")) == 410;
        good = false;
    } else if (good && strcmp(type, "DELETED") == 0) {
        kubernetes_slices_remove(&s->slices, object);
        s->changed = true;
    } else if (good && strcmp(type, "BOOKMARK") != 0) {
        good = kubernetes_slices_put(&s->slices, object, s->known->config.port);
        s->changed = true;
    }
    good = good && take_version(s, object);
    json_decref(event);
    return good;
}

// All whole lines that are there. What they change is told at once, however many they are.
static bool take_events(struct kubernetes_source *s) {
    char *at = s->bytes, *end = s->bytes + s->n, *line_end;
    bool good = true;
    for (; good && (line_end = memchr(at, '\n', (size_t)(end - at))); at = line_end + 1)
        good = line_end == at || take_event(s, at, (size_t)(line_end - at));
    s->n = (size_t)(end - at);
    memmove(s->bytes, at, s->n);
    if (s->changed) kubernetes_slices_tell(&s->slices, s->known);
    s->changed = false;
    return good;
}

// ---- What comes ----------------------------------------------------------------------------------

static void on_kubernetes_head(void *ctx, long status) {
    struct kubernetes_source *s = ctx;
    s->refused = status != 200;
    if (s->refused || !s->watching) return;
    s->pause = KUBERNETES_FIRST_PAUSE_MS;
    discovery_known_well(s->known);
}

static bool on_kubernetes_data(void *ctx, const char *bytes, size_t n) {
    struct kubernetes_source *s = ctx;
    if (s->refused) return true; // the text of an error
    size_t need = s->n + n;
    s->broken = need > KUBERNETES_MAX_BYTES;
    if (!s->broken && need > s->room) {
        size_t room = need * 2;
        char *all = realloc(s->bytes, room);
        s->broken = !all;
        if (all) s->bytes = all;
        if (all) s->room = room;
    }
    if (s->broken) return false;
    memcpy(s->bytes + s->n, bytes, n);
    s->n = need;
    s->broken = s->watching && !take_events(s);
    return !s->broken;
}

// Whether it went well; what didn't is told. That it is too old is how a watch ends, and tells of a list that it took too
// long, or of a server that has none.
static bool went_well(struct kubernetes_source *s, long status, const char *error) {
    const char *what = s->watching ? "watch" : "list";
    bool too_old = status == 410 || s->too_old, watched = s->watching;
    if (too_old) restart_list(s);
    if (too_old && watched) return true;
    if (status && status != 200) {
        discovery_known_failed(s->known, "Kubernetes, %s: HTTP %ld", what, status);
        return false;
    }
    if (error && !s->broken) {
        discovery_known_failed(s->known, "Kubernetes, %s: %s", what, error);
        return false;
    }
    if (!s->broken && (s->watching || end_list(s))) return true;
    discovery_known_failed(s->known, "Kubernetes, %s: not understood", what);
    restart_list(s);
    return false;
}

static void on_kubernetes_end(void *ctx, long status, const char *error) {
    struct kubernetes_source *s = ctx;
    bool quick = s->watching && kvr_clock_ms() - s->began_ms < KUBERNETES_FIRST_PAUSE_MS;
    if (!went_well(s, status, error)) {
        fail_request(s);
        return;
    }
    if (!quick) s->pause = KUBERNETES_FIRST_PAUSE_MS;
    again(s, quick ? KUBERNETES_FIRST_PAUSE_MS : 0);
}

// ---- Coming and going ----------------------------------------------------------------------------

static bool make_place(struct kubernetes_source *s, char *error, size_t error_size) {
    const struct discovery_config *c = &s->known->config;
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    char api[300], space[254], selector[600];
    if (*c->api)
        snprintf(api, sizeof api, "%s", c->api);
    else if (host && port)
        snprintf(api, sizeof api,
                 strchr(host, ':') ? "https://[%.200s]:%.10s" : "https://%.200s:%.10s", host, port);
    else
        return snprintf(error, error_size, "no pod: KUBERNETES_SERVICE_HOST isn't set; say api"),
               false;
    snprintf(space, sizeof space, "%s", c->space);
    if (!*space && !read_line_of(ACCOUNT "namespace", space, sizeof space))
        return snprintf(error, error_size, "no namespace, and none in " ACCOUNT), false;
    snprintf(selector, sizeof selector, "%s%s", *c->selector ? "" : "kubernetes.io/service-name=",
             *c->selector ? c->selector : c->place);
    char *escaped = curl_stream_escape(selector);
    int n =
        escaped
            ? asprintf(&s->place,
                       "%s/apis/discovery.k8s.io/v1/namespaces/%s/endpointslices?labelSelector=%s",
                       api, space, escaped)
            : -1;
    if (n < 0) s->place = NULL;
    curl_stream_free_text(escaped);
    return n >= 0 || (snprintf(error, error_size, "no memory"), false);
}

void *discovery_kubernetes_new(struct event_base *base, struct discovery_known *k, char *error,
                               size_t error_size) {
    const struct discovery_config *c = &k->config;
    struct kubernetes_source *s = calloc(1, sizeof *s);
    snprintf(error, error_size, "no memory");
    if (!s) return NULL;
    s->known = k;
    s->pause = KUBERNETES_FIRST_PAUSE_MS;
    kubernetes_slices_init(&s->slices);
    snprintf(s->token_file, sizeof s->token_file, "%s",
             *c->token_file ? c->token_file : ACCOUNT "token");
    snprintf(s->ca_file, sizeof s->ca_file, "%s", *c->ca_file ? c->ca_file : ACCOUNT "ca.crt");
    s->timer = event_new(base, -1, 0, on_request, s);
    s->stream =
        curl_stream_new(base, &(struct curl_stream_port){s, on_kubernetes_head, on_kubernetes_data,
                                                         on_kubernetes_end});
    if (s->timer && s->stream && make_place(s, error, error_size)) {
        event_active(s->timer, EV_TIMEOUT, 0);
        return s;
    }
    discovery_kubernetes_free(s);
    return NULL;
}

void discovery_kubernetes_free(void *source) {
    struct kubernetes_source *s = source;
    curl_stream_free(s->stream);
    if (s->timer) event_free(s->timer);
    kubernetes_slices_free(&s->slices);
    free(s->place);
    free(s->page);
    free(s->bytes);
    free(s);
}
