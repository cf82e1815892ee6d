// SPDX-License-Identifier: Apache-2.0
#include "router_advice_body.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/router/prompt/router_json.h"
#include "client/router/prompt/router_token_ids.h"

enum advice_form {
    FORM_TEXT,
    FORM_NUMBER,
    FORM_FLAG,
    FORM_WEIGHT,
    FORM_NAMES,
    FORM_TOKENS,
    FORM_HASHES
};
enum { ADVICE_MAX_TEXT = 1 << 26, ADVICE_MAX_REQUESTS = 1 << 16, ADVICE_MAX_WEIGHT = 1000000000 };
enum {
    ADVICE_CHOOSE = ROUTER_ADVICE_SELECT | ROUTER_ADVICE_SCORE,
    ADVICE_ANY = ADVICE_CHOOSE | ROUTER_ADVICE_UPDATE | ROUTER_ADVICE_RELEASE |
                 ROUTER_ADVICE_REPORT | ROUTER_ADVICE_ADMIT,
    ADVICE_QUEUES = ROUTER_ADVICE_SELECT | ROUTER_ADVICE_ADMIT
};

static const struct advice_field {
    const char *name;
    unsigned in; // router_advice_kind
    enum advice_form form;
    size_t at;
    int64_t max; // of a number, a text's bytes, a list's names; of a weight: its flag
} advice_fields[] = {
#define AT(field) offsetof(struct router_advice_body, field)
    {"model", ADVICE_ANY, FORM_TEXT, AT(model), 1024},
    {"pool", ADVICE_ANY, FORM_TEXT, AT(pool), 128},
    {"request", ROUTER_ADVICE_SELECT | ROUTER_ADVICE_UPDATE | ROUTER_ADVICE_RELEASE, FORM_TEXT,
     AT(request), KVR_MAX_ID},
    {"requests", ROUTER_ADVICE_RELEASE, FORM_NAMES, AT(requests), ADVICE_MAX_REQUESTS},
    {"tokens", ADVICE_CHOOSE, FORM_TOKENS, AT(tokens), 0},
    {"hashes", ADVICE_CHOOSE, FORM_HASHES, AT(hashes), 0},
    {"text", ADVICE_CHOOSE, FORM_TEXT, AT(text), ADVICE_MAX_TEXT},
    {"lora", ADVICE_CHOOSE, FORM_TEXT, AT(lora), 1024},
    {"namespace", ADVICE_CHOOSE, FORM_TEXT, AT(space), 1024},
    {"isl", ADVICE_CHOOSE, FORM_NUMBER, AT(isl), KVR_MAX_TOKENS},
    {"osl", ADVICE_CHOOSE | ROUTER_ADVICE_ADMIT, FORM_NUMBER, AT(osl), KVR_MAX_TOKENS},
    {"lease", ROUTER_ADVICE_SELECT | ROUTER_ADVICE_UPDATE, FORM_NUMBER, AT(lease), KVR_MAX_MS},
    {"among", ADVICE_CHOOSE, FORM_NAMES, AT(among), KVR_MAX_INSTANCES},
    {"exclude", ADVICE_CHOOSE, FORM_NAMES, AT(exclude), KVR_MAX_INSTANCES},
    {"session", ADVICE_CHOOSE, FORM_TEXT, AT(session), KVR_MAX_ID},
    {"with", ADVICE_CHOOSE, FORM_NAMES, AT(with), KVR_MAX_LABELS},
    {"without", ADVICE_CHOOSE, FORM_NAMES, AT(without), KVR_MAX_LABELS},
    {"policy", ADVICE_CHOOSE, FORM_TEXT, AT(policy), 64},
    {"overlap_weight", ADVICE_CHOOSE, FORM_WEIGHT, AT(overlap), KVR_WEIGH_OVERLAP},
    {"prefill_weight", ADVICE_CHOOSE, FORM_WEIGHT, AT(prefill), KVR_WEIGH_PREFILL},
    {"requests_weight", ADVICE_CHOOSE, FORM_WEIGHT, AT(requests_weight), KVR_WEIGH_REQUESTS},
    {"temperature", ADVICE_CHOOSE, FORM_WEIGHT, AT(temperature), KVR_WEIGH_TEMPERATURE},
    {"prefilled", ROUTER_ADVICE_UPDATE, FORM_FLAG, AT(prefilled), 0},
    {"worker", ROUTER_ADVICE_REPORT, FORM_TEXT, AT(worker), KVR_MAX_NAME},
    {"ok", ROUTER_ADVICE_REPORT, FORM_FLAG, AT(ok), 0},
    {"output", ROUTER_ADVICE_UPDATE, FORM_NUMBER, AT(output), KVR_MAX_TOKENS},
    {"class", ADVICE_QUEUES, FORM_TEXT, AT(class_name), KVR_MAX_ID},
    {"flow", ADVICE_QUEUES, FORM_TEXT, AT(flow), KVR_MAX_ID},
    {"wait", ROUTER_ADVICE_SELECT, FORM_NUMBER, AT(wait), KVR_MAX_MS},
    {"prompt_tokens", ROUTER_ADVICE_ADMIT, FORM_NUMBER, AT(prompt_tokens), KVR_MAX_TOKENS},
    {"max_tokens", ROUTER_ADVICE_ADMIT, FORM_NUMBER, AT(max_tokens), KVR_MAX_TOKENS},
#undef AT
};

struct advice_reason {
    char *text;
    size_t size;
};

static bool refuse(struct advice_reason *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool refuse(struct advice_reason *r, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(r->text, r->size, format, args);
    va_end(args);
    return false;
}

static bool read_text(struct kvr_bytes *out, const json_t *value, const struct advice_field *f,
                      struct advice_reason *why) {
    size_t n = json_string_length(value);
    if (!json_is_string(value) || (int64_t)n > f->max)
        return refuse(why, "%s is a text of at most %lld bytes", f->name, (long long)f->max);
    *out = (struct kvr_bytes){json_string_value(value), n};
    return true;
}

static bool read_names(struct router_advice_names *out, const json_t *value,
                       const struct advice_field *f, struct advice_reason *why) {
    size_t n = json_array_size(value);
    if (!json_is_array(value) || !n || (int64_t)n > f->max)
        return refuse(why, "%s is a list of 1 to %lld texts", f->name, (long long)f->max);
    // Requests' ids, or names of workers and labels, which may be equally long.
    size_t most = f->in == ROUTER_ADVICE_RELEASE ? KVR_MAX_ID : KVR_MAX_NAME;
    if (!(out->p = calloc(n, sizeof *out->p))) return refuse(why, "no memory");
    for (; out->n < n; out->n++) {
        const json_t *name = json_array_get(value, out->n);
        size_t len = json_string_length(name);
        if (!json_is_string(name) || !len || len > most)
            return refuse(why, "%s is a list of texts of 1 to %zu bytes", f->name, most);
        out->p[out->n] = (struct kvr_bytes){json_string_value(name), len};
    }
    return true;
}

// A list that isn't one of token ids alone, or is empty.
static bool read_tokens(struct router_advice_body *a, const json_t *value,
                        struct advice_reason *why) {
    size_t n = json_array_size(value);
    const json_t *id;
    size_t i;
    if (!json_is_array(value)) return refuse(why, "tokens is a list of token ids");
    if (a->tokens && !n) return true; // taken out before
    if (!(a->tokens = malloc((n ? n : 1) * sizeof *a->tokens))) return refuse(why, "no memory");
    a->n_tokens = n;
    json_array_foreach(value, i, id) {
        json_int_t x = json_is_integer(id) ? json_integer_value(id) : -1;
        if (x < 0 || x > UINT32_MAX) return refuse(why, "a token id is from 0 to 4294967295");
        a->tokens[i] = (uint32_t)x;
    }
    return true;
}

static bool read_hash(uint64_t *out, const json_t *value) {
    const char *s = json_is_string(value) ? json_string_value(value) : "";
    if (json_string_length(value) != 16 || strspn(s, "0123456789abcdefABCDEF") != 16) return false;
    *out = strtoull(s, NULL, 16);
    return true;
}

static bool read_hashes(struct router_advice_body *a, const json_t *value,
                        struct advice_reason *why) {
    size_t n = json_array_size(value);
    const json_t *hash;
    size_t i;
    if (!json_is_array(value) || n > KVR_MAX_BLOCKS)
        return refuse(why, "hashes is a list of at most %d prefix hashes", KVR_MAX_BLOCKS);
    if (!(a->hashes = malloc((n ? n : 1) * sizeof *a->hashes))) return refuse(why, "no memory");
    a->n_hashes = n;
    json_array_foreach(value, i, hash) if (!read_hash(&a->hashes[i], hash)) return refuse(
        why, "a prefix hash is a text of 16 hex digits");
    return true;
}

static bool read_field(struct router_advice_body *a, const struct advice_field *f,
                       const json_t *value, struct advice_reason *why) {
    void *at = (char *)a + f->at;
    double weight;
    switch (f->form) {
    case FORM_TEXT:
        return read_text(at, value, f, why);
    case FORM_NUMBER:
        if (!json_is_integer(value) || json_integer_value(value) < 0 ||
            json_integer_value(value) > f->max)
            return refuse(why, "%s is a whole number from 0 to %lld", f->name, (long long)f->max);
        *(int64_t *)at = json_integer_value(value);
        return true;
    case FORM_FLAG:
        if (!json_is_boolean(value)) return refuse(why, "%s is true or false", f->name);
        *(bool *)at = json_is_true(value);
        if (at == &a->ok) a->has_ok = true;
        return true;
    case FORM_WEIGHT:
        weight = json_number_value(value);
        if (!json_is_number(value) || !(weight >= 0 && weight <= ADVICE_MAX_WEIGHT))
            return refuse(why, "%s is a number from 0 to %d", f->name, ADVICE_MAX_WEIGHT);
        *(double *)at = weight;
        a->weigh |= (unsigned)f->max;
        return true;
    case FORM_NAMES:
        return read_names(at, value, f, why);
    case FORM_TOKENS:
        return read_tokens(a, value, why);
    default:
        return read_hashes(a, value, why);
    }
}

static bool read_object(struct router_advice_body *a, enum router_advice_kind kind,
                        struct advice_reason *why) {
    const char *name;
    json_t *value;
    json_object_foreach(a->root, name, value) {
        const struct advice_field *f = advice_fields,
                                  *end =
                                      advice_fields + sizeof advice_fields / sizeof *advice_fields;
        while (f < end && (!(f->in & kind) || strcmp(f->name, name) != 0))
            f++;
        if (f == end) return refuse(why, "no field \"%.60s\" here", name);
        if (!json_is_null(value) && !read_field(a, f, value, why)) return false;
    }
    unsigned forms = (a->tokens != NULL) + (a->hashes != NULL) + (a->text.p != NULL);
    if (kind & ADVICE_CHOOSE && forms > 1) return refuse(why, "one of tokens, hashes and text");
    if ((a->lora.n || a->space.n) && a->hashes)
        return refuse(why, "lora and namespace are in the hashes already");
    if (kind == ROUTER_ADVICE_UPDATE && !a->request.n) return refuse(why, "request is missing");
    if (kind == ROUTER_ADVICE_REPORT && (!a->worker.n || !a->has_ok))
        return refuse(why, "worker or ok is missing");
    if (kind == ROUTER_ADVICE_RELEASE && !a->request.n && !a->requests.n)
        return refuse(why, "request or requests is missing");
    return true;
}

bool router_advice_body_read(struct router_advice_body *a, enum router_advice_kind kind,
                             struct evbuffer *body, char *why, size_t size) {
    struct advice_reason reason = {why, size};
    memset(a, 0, sizeof *a);
    size_t n = evbuffer_get_length(body);
    char *text = n ? (char *)evbuffer_pullup(body, -1) : (char[1]){0};
    if (!text || !router_token_ids_extract(text, &n, "tokens", &a->tokens, &a->n_tokens))
        return refuse(&reason, "no memory");
    a->root = router_json_parse_strict(text, n, why, size);
    if (a->root && read_object(a, kind, &reason)) return true;
    router_advice_body_free(a);
    return false;
}

void router_advice_body_free(struct router_advice_body *a) {
    json_decref(a->root);
    free(a->requests.p);
    free(a->among.p);
    free(a->exclude.p);
    free(a->with.p);
    free(a->without.p);
    free(a->tokens);
    free(a->hashes);
    memset(a, 0, sizeof *a);
}
