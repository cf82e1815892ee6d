// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // memmem
#include "router_joint.h"

#include <stdlib.h>
#include <string.h>

void router_joint_free(struct router_joint *j) {
    free(j->owed);
    j->owed = NULL;
    if (j->joined) evbuffer_free(j->joined);
    j->joined = NULL;
}

void router_joint_seam(struct router_joint *j) {
    router_joint_free(j);
    j->owed_size = 0;
    j->stop = NULL;
}

bool router_joint_decode(const char *json, size_t n, struct evbuffer *out) {
    const char *escape = memchr(json, '\\', n);
    if (!escape) return !evbuffer_add(out, json, n);
    char *quoted = malloc(n + 2);
    if (!quoted) return false;
    quoted[0] = quoted[n + 1] = '"';
    memcpy(quoted + 1, json, n);
    json_t *text = json_loadb(quoted, n + 2, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    free(quoted);
    bool good = text && !evbuffer_add(out, json_string_value(text), json_string_length(text));
    json_decref(text);
    return good;
}

void router_joint_sent(struct router_joint *j, const char *text, size_t n) {
    size_t room = sizeof j->tail, more = n < room ? n : room;
    size_t stays = j->n_tail + more > room ? room - more : j->n_tail;
    memmove(j->tail, j->tail + (j->n_tail - stays), stays);
    memcpy(j->tail + stays, text + (n - more), more);
    j->n_tail = stays + more;
}

// ---- Stop strings --------------------------------------------------------------------------------

size_t router_joint_longest(const json_t *stops) {
    size_t i, longest = 0;
    json_t *one;
    json_array_foreach(stops, i, one) if (json_string_length(one) > longest) longest =
        json_string_length(one);
    return longest;
}

bool router_joint_can(const json_t *stops) {
    return json_array_size(stops) <= ROUTER_JOINT_MAX_STOPS &&
           router_joint_longest(stops) <= ROUTER_JOINT_MAX_STOP;
}

static size_t characters(const char *text, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

static size_t longest_in_characters(const json_t *stops) {
    size_t i, longest = 0;
    json_t *one;
    json_array_foreach(stops, i, one) {
        size_t n = characters(json_string_value(one), json_string_length(one));
        if (n > longest) longest = n;
    }
    return longest;
}

// Engines hold back as many characters as the longest stop string has but one; of several places where what was sent
// may end that one is taken, else the last one.
static const char *find_end(const struct router_joint *j, const json_t *stops, const char *text,
                            size_t n) {
    const char *end = text + n, *found = NULL;
    size_t held = longest_in_characters(stops);
    for (const char *at = text; (at = memmem(at, (size_t)(end - at), j->tail, j->n_tail)); at++) {
        found = at + j->n_tail;
        if (characters(found, (size_t)(end - found)) + 1 == held) break;
    }
    return found;
}

bool router_joint_settle(struct router_joint *j, const json_t *stops, const char *text, size_t n) {
    const char *end = j->n_tail ? find_end(j, stops, text, n) : NULL;
    if (!end) return false;
    j->owed_size = (size_t)(text + n - end);
    if (!j->owed_size) return true;
    j->owed = malloc(j->owed_size);
    j->joined = evbuffer_new();
    if (!j->owed || !j->joined) return false;
    memcpy(j->owed, end, j->owed_size);
    return !evbuffer_add(j->joined, end, j->owed_size);
}

enum router_joint_state router_joint_look(struct router_joint *j, const json_t *stops, bool over) {
    const char *text = (const char *)evbuffer_pullup(j->joined, -1);
    size_t n = evbuffer_get_length(j->joined), i, at = j->owed_size;
    json_t *one;
    j->stop = NULL;
    json_array_foreach(stops, i, one) {
        const char *stop = json_string_value(one);
        const char *found = memmem(text, n, stop, json_string_length(one));
        if (!found || (size_t)(found - text) >= at) continue;
        at = (size_t)(found - text);
        j->stop = stop;
    }
    j->stop_at = at;
    if (j->stop) return ROUTER_JOINT_STOPS;
    bool enough = n - j->owed_size + 1 >= router_joint_longest(stops);
    return enough || over ? ROUTER_JOINT_CLEAR : ROUTER_JOINT_UNSURE;
}
