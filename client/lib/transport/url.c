// SPDX-License-Identifier: Apache-2.0
// scheme://[user[:password]@]place[,place…][/path][?name=value&…]
//
// Written here because no URI library knows several hosts in one authority. Everything is cut into
// (pointer, length) pieces first, and a piece is decoded only where it ends up.
#include "url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/hex.h"

struct url_piece {
    const char *p;
    size_t n;
};

static const struct url_scheme {
    const char *name;
    enum kvr_topology_kind kind;
    bool tls, socket;
    int port; // unless the address names one
} schemes[] = {
    {"redis", KVR_TOPOLOGY_SERVER, false, false, 6379},
    {"rediss", KVR_TOPOLOGY_SERVER, true, false, 6379},
    {"unix", KVR_TOPOLOGY_SERVER, false, true, 0},
    {"sentinel", KVR_TOPOLOGY_SENTINEL, false, false, 26379},
    {"sentinels", KVR_TOPOLOGY_SENTINEL, true, false, 26379},
    {"cluster", KVR_TOPOLOGY_CLUSTER, false, false, 6379},
    {"clusters", KVR_TOPOLOGY_CLUSTER, true, false, 6379},
};

static const struct url_setting {
    const char *name;
    size_t at;        // in struct kvr_topology
    int64_t min, max; // of a number; both 0: a text
} settings[] = {
    {"db", offsetof(struct kvr_topology, db), 0, 1 << 20},
    {"deadline", offsetof(struct kvr_topology, deadline), 1, 86400000},
    {"timeout", offsetof(struct kvr_topology, timeout), 1, 86400000},
    {"connect_timeout", offsetof(struct kvr_topology, connect_timeout), 1, 86400000},
    {"user", offsetof(struct kvr_topology, user), 0, 0},
    {"password", offsetof(struct kvr_topology, password), 0, 0},
    {"sentinel_user", offsetof(struct kvr_topology, sentinel_user), 0, 0},
    {"sentinel_password", offsetof(struct kvr_topology, sentinel_password), 0, 0},
    {"name", offsetof(struct kvr_topology, name), 0, 0},
    {"cacert", offsetof(struct kvr_topology, cacert), 0, 0},
    {"cert", offsetof(struct kvr_topology, cert), 0, 0},
    {"key", offsetof(struct kvr_topology, key), 0, 0},
    {"sni", offsetof(struct kvr_topology, sni), 0, 0},
};

// ---- Pieces --------------------------------------------------------------------------------------

static bool is(struct url_piece s, const char *word) {
    return s.n == strlen(word) && memcmp(s.p, word, s.n) == 0;
}

// Cuts off what stands before the first `at` (the last with `last`) and returns it. Without such a
// character: everything, and *rest is empty with p NULL.
static struct url_piece cut(struct url_piece *rest, char at, bool last) {
    struct url_piece head = *rest;
    const char *mark = NULL;
    for (size_t i = 0; i < rest->n && !(mark && !last); i++)
        if (rest->p[i] == at) mark = rest->p + i;
    if (!mark) {
        *rest = (struct url_piece){NULL, 0};
        return head;
    }
    head.n = (size_t)(mark - head.p);
    rest->n -= head.n + 1;
    rest->p = mark + 1;
    return head;
}

// %XX decoded, NUL added. false: too long, a broken escape, a NUL or another control character.
static bool decode(struct url_piece s, char *out, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            int byte = kvr_percent_value(s.p + i, s.n - i);
            if (byte < 0) return false;
            c = (char)byte;
            i += 2;
        }
        if ((unsigned char)c < 0x20 || c == 0x7f || n + 1 >= size) return false;
        out[n++] = c;
    }
    out[n] = 0;
    return true;
}

static bool number(struct url_piece s, int64_t min, int64_t max, int64_t *out) {
    int64_t v = 0;
    if (s.n == 0 || s.n > 12) return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        v = v * 10 + (s.p[i] - '0');
    }
    *out = v;
    return v >= min && v <= max;
}

// ---- Addresses -----------------------------------------------------------------------------------

bool kvr_address_same(const struct kvr_address *a, const struct kvr_address *b) {
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

void kvr_address_text(const struct kvr_address *a, char *out, size_t size) {
    if (!a->port)
        snprintf(out, size, "%s", a->host);
    else
        snprintf(out, size, strchr(a->host, ':') ? "[%s]:%d" : "%s:%d", a->host, a->port);
}

static bool host_and_port(struct url_piece host, struct url_piece port, struct kvr_address *out) {
    int64_t n;
    if (!decode(host, out->host, sizeof out->host) || !out->host[0]) return false;
    if (!number(port, 1, 65535, &n)) return false;
    out->port = (int)n;
    return true;
}

bool kvr_address_parse(const char *text, size_t n, struct kvr_address *out) {
    struct url_piece port = {text, n}, host = cut(&port, ':', true);
    return port.p && host_and_port(host, port, out);
}

// host, host:port, [v6] or [v6]:port
static bool parse_place(struct url_piece s, int default_port, struct kvr_address *out) {
    char digits[16];
    struct url_piece host,
        port = {digits, (size_t)snprintf(digits, sizeof digits, "%d", default_port)};
    if (s.n && s.p[0] == '[') {
        struct url_piece rest = {s.p + 1, s.n - 1};
        host = cut(&rest, ']', false);
        if (!rest.p || (rest.n && rest.p[0] != ':')) return false;
        if (rest.n) port = (struct url_piece){rest.p + 1, rest.n - 1};
    } else {
        struct url_piece rest = s;
        host = cut(&rest, ':', false);
        if (rest.p) port = rest;
    }
    return host_and_port(host, port, out);
}

// ---- The whole -----------------------------------------------------------------------------------

static const char *parse_login(struct url_piece s, struct kvr_topology *t) {
    struct url_piece password = s, user = cut(&password, ':', false);
    if (!password.p) { // a password alone, as redis-cli takes it
        password = user;
        user.n = 0;
    }
    if (!decode(user, t->user, sizeof t->user) ||
        !decode(password, t->password, sizeof t->password))
        return "the user or password is malformed or too long";
    return NULL;
}

static const char *parse_path(struct url_piece s, struct kvr_topology *t) {
    if (t->kind == KVR_TOPOLOGY_SENTINEL) {
        struct url_piece db = s, master = cut(&db, '/', false);
        if (!decode(master, t->master, sizeof t->master) || !t->master[0])
            return "sentinel:// needs the master's name as its path";
        s = db;
    }
    if (s.n && !number(s, 0, 1 << 20, &t->db)) return "the path is no database number";
    return NULL;
}

static const char *parse_setting(struct url_piece s, struct kvr_topology *t) {
    struct url_piece value = s, name = cut(&value, '=', false);
    if (is(name, "role")) {
        t->any_role = is(value, "any");
        return t->any_role || is(value, "primary") ? NULL : "role is primary or any";
    }
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const struct url_setting *set = &settings[i];
        if (!is(name, set->name)) continue;
        char *field = (char *)t + set->at;
        if (!set->max) {
            if (!decode(value, field, KVR_MAX_URL_VALUE))
                return "a setting is malformed or too long";
            return NULL;
        }
        int64_t v;
        if (!number(value, set->min, set->max, &v)) return "a setting's number is out of range";
        memcpy(field, &v, sizeof v);
        return NULL;
    }
    return "a setting of an unknown name";
}

static const char *parse_places(struct url_piece s, const struct url_scheme *scheme,
                                struct kvr_topology *t) {
    struct url_piece places = s, login = cut(&places, '@', true);
    const char *wrong = places.p ? parse_login(login, t) : NULL;
    if (wrong) return wrong;
    if (!places.p) places = s;
    while (places.p) {
        if (t->n_seeds == KVR_MAX_SEEDS) return "too many addresses";
        if (!parse_place(cut(&places, ',', false), scheme->port, &t->seeds[t->n_seeds++]))
            return "an address is malformed";
    }
    if (t->kind == KVR_TOPOLOGY_SERVER && t->n_seeds > 1)
        return "several addresses need sentinel:// or cluster://";
    return NULL;
}

static const char *parse_socket(struct url_piece path, struct kvr_topology *t) {
    enum { MAX_PATH = 107 }; // sun_path without its NUL
    if (!decode(path, t->seeds[0].host, MAX_PATH + 1) || t->seeds[0].host[0] != '/')
        return "unix:// needs an absolute path of at most 107 bytes";
    t->n_seeds = 1;
    return NULL;
}

const char *kvr_url_parse(const char *url, struct kvr_topology *t) {
    *t = (struct kvr_topology){.deadline = 5000, .timeout = 1000, .connect_timeout = 500};
    strcpy(t->name, "kvroute");
    if (!url) return "no URL";
    const char *colon = strstr(url, "://");
    if (!colon) return "no scheme: it begins with redis://, sentinel:// or cluster://";
    struct url_piece name = {url, (size_t)(colon - url)};
    const struct url_scheme *scheme = NULL;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes && !scheme; i++)
        if (is(name, schemes[i].name)) scheme = &schemes[i];
    if (!scheme) return "an unknown scheme: it begins with redis://, sentinel:// or cluster://";
    t->kind = scheme->kind;
    t->tls = scheme->tls;

    struct url_piece set = {colon + 3, strlen(colon + 3)}, rest = cut(&set, '?', false);
    const char *wrong;
    if (scheme->socket) {
        wrong = parse_socket(rest, t);
    } else {
        struct url_piece path = rest, places = cut(&path, '/', false);
        wrong = parse_places(places, scheme, t);
        if (!wrong) wrong = parse_path(path, t);
    }
    while (!wrong && set.n)
        wrong = parse_setting(cut(&set, '&', false), t);
    if (!wrong && t->kind == KVR_TOPOLOGY_CLUSTER && t->db) wrong = "a cluster has database 0 only";
    if (!wrong && t->user[0] && !t->password[0]) wrong = "a user without a password";
    return wrong;
}
