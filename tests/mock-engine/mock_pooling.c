// SPDX-License-Identifier: Apache-2.0
// Vectors, scores and classes; see mock_pooling.h. Each is a function of its tokens.
#define _GNU_SOURCE // htole32
#include "mock_pooling.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "mock_life.h"
#include "mock_memory.h"
#include "mock_prompt.h"
#include "mock_reply.h"
#include <kvroute/hash.h>

enum { DIMENSIONS = 8, MADE_AT = 1700000000 };

// One request of this kind: what has been read of it, and what is answered.
struct pooled {
    json_t *body, *data;
    size_t n_tokens;
    const char *wrong; // or NULL
};

static bool begin(struct pooled *p, struct h1_exchange *x) {
    *p = (struct pooled){.body = mock_body_object(x)};
    if (p->body) p->data = json_array();
    return p->body;
}

static json_int_t tokens_of(const struct pooled *p) {
    return (json_int_t)p->n_tokens;
}

// Takes the answer over; NULL: the data with what every list has.
static void finish(struct pooled *p, const struct mock_engine *m, struct h1_exchange *x,
                   const char *id, json_t *answer) {
    if (p->wrong) {
        mock_reply_error(x, 400, "%s", p->wrong);
        json_decref(answer);
    } else {
        if (!answer) answer = json_pack("{s:s,s:O}", "object", "list", "data", p->data);
        json_object_set_new(answer, "id", json_string(id));
        json_object_set_new(answer, "created", json_integer(MADE_AT));
        json_object_set_new(answer, "model", json_string(m->options->model));
        json_object_set_new(
            answer, "usage",
            json_pack("{s:I,s:I}", "prompt_tokens", tokens_of(p), "total_tokens", tokens_of(p)));
        mock_reply_json(x, 200, answer);
    }
    json_decref(p->body);
    json_decref(p->data);
}

// ---- Of one text each ----------------------------------------------------------------------------

static double draw(const struct mock_tokens *t, uint64_t i) {
    uint64_t h = XXH3_64bits_withSeed(&i, sizeof i, mock_answer_seed(t));
    return (double)(h >> 40) / (1 << 23) - 1;
}

static json_t *vector_of(const struct mock_tokens *t) {
    json_t *out = json_array();
    for (uint64_t i = 0; i < DIMENSIONS; i++)
        json_array_append_new(out, json_real(draw(t, i)));
    return out;
}

static json_t *embedding_row(const struct mock_tokens *t, json_int_t i) {
    return json_pack("{s:s,s:I,s:o}", "object", "embedding", "index", i, "embedding", vector_of(t));
}

static void put_base64(const unsigned char *bytes, size_t n, char *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        unsigned long three = (unsigned long)bytes[i] << 16;
        if (i + 1 < n) three |= (unsigned long)bytes[i + 1] << 8;
        if (i + 2 < n) three |= bytes[i + 2];
        for (int k = 0; k < 4; k++)
            *out++ = i + (size_t)k > n ? '=' : digits[three >> (18 - 6 * k) & 63];
    }
    *out = 0;
}

// As encoding_format base64 has it: single-precision numbers, little-endian.
static json_t *packed_row(const struct mock_tokens *t, json_int_t i) {
    unsigned char bytes[DIMENSIONS * 4];
    char text[DIMENSIONS * 4 / 3 * 4 + 8];
    for (uint64_t k = 0; k < DIMENSIONS; k++) {
        float x = (float)draw(t, k);
        uint32_t word;
        memcpy(&word, &x, sizeof word);
        word = htole32(word);
        memcpy(bytes + 4 * k, &word, sizeof word);
    }
    put_base64(bytes, sizeof bytes, text);
    return json_pack("{s:s,s:I,s:s}", "object", "embedding", "index", i, "embedding", text);
}

static json_t *pooling_row(const struct mock_tokens *t, json_int_t i) {
    return json_pack("{s:s,s:I,s:o}", "object", "pooling", "index", i, "data", vector_of(t));
}

static json_t *class_row(const struct mock_tokens *t, json_int_t i) {
    double yes = draw(t, 0) / 2 + 0.5;
    return json_pack("{s:I,s:s,s:[f,f],s:i}", "index", i, "label",
                     yes > 0.5 ? "LABEL_1" : "LABEL_0", "probs", 1 - yes, yes, "num_classes", 2);
}

typedef json_t *pooled_row(const struct mock_tokens *t, json_int_t i);

static void add_tokens(struct pooled *p, const struct mock_tokens *t, pooled_row *row) {
    json_array_append_new(p->data, row(t, (json_int_t)json_array_size(p->data)));
    p->n_tokens += t->n;
}

static void add_row(struct pooled *p, const json_t *input, pooled_row *row) {
    struct mock_tokens t = {0};
    if (!p->wrong) p->wrong = mock_prompt_read(&t, input);
    if (!p->wrong) add_tokens(p, &t, row);
    mock_tokens_free(&t);
}

// input is a text, token ids, or an array of these; or there are messages.
static void add_rows(struct pooled *p, const char *name, pooled_row *row) {
    const json_t *input = json_object_get(p->body, name), *first = json_array_get(input, 0);
    json_t *one;
    size_t i;
    if (json_object_get(p->body, "messages")) {
        struct mock_tokens t = {0};
        p->wrong = mock_prompt_read_chat(&t, p->body, false);
        if (!p->wrong) add_tokens(p, &t, row);
        mock_tokens_free(&t);
    } else if (json_is_string(first) || json_is_array(first)) {
        json_array_foreach(input, i, one) add_row(p, one, row);
    } else {
        add_row(p, input, row);
    }
}

void mock_serve_embeddings(struct mock_engine *m, struct h1_exchange *x) {
    struct pooled p;
    if (!begin(&p, x)) return;
    const char *form = json_string_value(json_object_get(p.body, "encoding_format"));
    add_rows(&p, "input", form && strcmp(form, "base64") == 0 ? packed_row : embedding_row);
    finish(&p, m, x, "embd-mock", NULL);
}

void mock_serve_pooling(struct mock_engine *m, struct h1_exchange *x) {
    struct pooled p;
    if (!begin(&p, x)) return;
    add_rows(&p, "input", pooling_row);
    finish(&p, m, x, "pool-mock", NULL);
}

void mock_serve_classify(struct mock_engine *m, struct h1_exchange *x) {
    struct pooled p;
    if (!begin(&p, x)) return;
    add_rows(&p, "input", class_row);
    finish(&p, m, x, "classify-mock", NULL);
}

// Cohere's: only texts, and vectors by their type.
void mock_serve_cohere_embed(struct mock_engine *m, struct h1_exchange *x) {
    struct pooled p;
    json_t *row, *vectors = json_array();
    size_t i;
    if (begin(&p, x)) {
        add_rows(&p, "texts", embedding_row);
        json_array_foreach(p.data, i, row)
            json_array_append(vectors, json_object_get(row, "embedding"));
        finish(&p, m, x, "embed-mock",
               json_pack("{s:{s:O},s:{s:{s:s},s:{s:I}}}", "embeddings", "float", vectors, "meta",
                         "api_version", "version", "2", "billed_units", "input_tokens",
                         tokens_of(&p)));
    }
    json_decref(vectors);
}

// ---- Of a question and a text --------------------------------------------------------------------

static double score_pair(struct pooled *p, const json_t *query, const json_t *document) {
    struct mock_tokens t = {0};
    const json_t *text = json_object_get(document, "text");
    p->wrong = mock_prompt_read(&t, query);
    if (!p->wrong) p->wrong = mock_prompt_read(&t, text ? text : document);
    double score = draw(&t, 0) / 2 + 0.5;
    p->n_tokens += t.n;
    mock_tokens_free(&t);
    return score;
}

// vLLM's names for the two sides of a pair.
static const json_t *side_of(const json_t *body, const char *const *names, size_t n) {
    const json_t *found = NULL;
    for (size_t i = 0; i < n && !found; i++)
        found = json_object_get(body, names[i]);
    return found;
}

static const json_t *at(const json_t *side, size_t i) {
    if (!json_is_array(side)) return side;
    return json_array_get(side, json_array_size(side) == 1 ? 0 : i);
}

static size_t count(const json_t *side) {
    return json_is_array(side) ? json_array_size(side) : side != NULL;
}

static void put_score(struct pooled *p, bool sglang, double score) {
    json_int_t i = (json_int_t)json_array_size(p->data);
    json_t *row = sglang
                      ? json_pack("[f,f]", score, 1 - score)
                      : json_pack("{s:I,s:s,s:f}", "index", i, "object", "score", "score", score);
    json_array_append_new(p->data, row);
}

void mock_serve_score(struct mock_engine *m, struct h1_exchange *x) {
    static const char *const lefts[] = {"queries", "query", "data_1", "text_1"};
    static const char *const rights[] = {"documents", "items", "data_2", "text_2"};
    struct pooled p;
    bool sglang = mock_is_sglang(m);
    if (!begin(&p, x)) return;
    const json_t *left = side_of(p.body, lefts, 4), *right = side_of(p.body, rights, 4);
    size_t n = count(left), k = count(right);
    if (!n || !k || (n != k && n != 1)) p.wrong = "one text for each, or one for all";
    for (size_t i = 0; i < k && !p.wrong; i++)
        put_score(&p, sglang, score_pair(&p, at(left, i), at(right, i)));
    json_t *answer = NULL;
    if (sglang && !p.wrong) answer = json_pack("{s:s,s:O}", "object", "scoring", "scores", p.data);
    finish(&p, m, x, "score-mock", answer);
}

// The best first.
static int by_score(const void *left, const void *right) {
    const json_t *const *a = left, *const *b = right;
    double x = json_real_value(json_object_get(*a, "relevance_score"));
    double y = json_real_value(json_object_get(*b, "relevance_score"));
    return (x < y) - (x > y);
}

static json_t *sorted(const json_t *rows, size_t most) {
    size_t n = json_array_size(rows), i;
    json_t **all = mock_take(n, sizeof *all), *row, *out = json_array();
    json_array_foreach((json_t *)(uintptr_t)rows, i, row) all[i] = row;
    qsort(all, n, sizeof *all, by_score);
    for (i = 0; i < n && i < most; i++)
        json_array_append(out, all[i]);
    free(all);
    return out;
}

static json_t *rank_row(const json_t *document, json_int_t i, double score) {
    const json_t *text = json_object_get(document, "text");
    return json_pack("{s:I,s:{s:O},s:f}", "index", i, "document", "text", text ? text : document,
                     "relevance_score", score);
}

// SGLang's answer is a bare list.
static void finish_sglang_rerank(struct pooled *p, struct h1_exchange *x, json_t *results) {
    json_t *list = json_array(), *row;
    size_t i;
    json_array_foreach(results, i, row) json_array_append_new(
        list, json_pack("{s:O,s:O,s:O}", "score", json_object_get(row, "relevance_score"),
                        "document", json_object_get(json_object_get(row, "document"), "text"),
                        "index", json_object_get(row, "index")));
    mock_reply_json(x, 200, list);
    json_decref(results);
    json_decref(p->body);
    json_decref(p->data);
}

void mock_serve_rerank(struct mock_engine *m, struct h1_exchange *x) {
    struct pooled p;
    json_t *one;
    size_t i;
    if (!begin(&p, x)) return;
    const json_t *query = json_object_get(p.body, "query"),
                 *documents = json_object_get(p.body, "documents"),
                 *top = json_object_get(p.body, "top_n");
    json_int_t most = json_integer_value(top);
    if (!json_is_array(documents) || !json_array_size(documents)) p.wrong = "documents is a list";
    json_array_foreach(documents, i, one) {
        double score = p.wrong ? 0 : score_pair(&p, query, one);
        if (!p.wrong) json_array_append_new(p.data, rank_row(one, (json_int_t)i, score));
    }
    json_t *results = sorted(p.data, most > 0 ? (size_t)most : SIZE_MAX);
    if (mock_is_sglang(m) && !p.wrong)
        finish_sglang_rerank(&p, x, results);
    else
        finish(&p, m, x, "rerank-mock", json_pack("{s:o}", "results", results));
}
