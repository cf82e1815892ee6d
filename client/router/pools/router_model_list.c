// SPDX-License-Identifier: Apache-2.0
#include "router_model_list.h"

#include <stdlib.h>
#include <string.h>

#include "client/http1/h1_buffer.h"
#include "client/router/prompt/router_json.h"
#include "client/router/router_offload.h"

enum {
    MODEL_LIST_MAX_MODELS = 4096,
    MODEL_LIST_MAX_ID = 1024,
    MODEL_LIST_SMALL = 32 << 10, // bytes that are read in the loop
};

struct router_model_list {
    struct router_job job; // first
    struct evbuffer *answer;
    json_t *models;
    router_model_list_read *done; // NULL: nobody wants to know. Not for the thread
    void *ctx;
};

json_t *router_model_list_of(const json_t *answer) {
    const json_t *data = json_object_get(answer, "data");
    json_t *models = json_is_array(data) ? json_object() : NULL, *model;
    size_t i;
    json_array_foreach(data, i, model) {
        const json_t *id = json_object_get(model, "id");
        const char *text = json_string_value(id);
        size_t n = json_string_length(id);
        if (models && n && n <= MODEL_LIST_MAX_ID && strlen(text) == n &&
            json_object_size(models) < MODEL_LIST_MAX_MODELS)
            json_object_set(models, text, model);
    }
    return models;
}

static void run_read(struct router_job *j) {
    struct router_model_list *l = (struct router_model_list *)j;
    char why[100];
    json_t *answer = router_json_parse(l->answer, why, sizeof why);
    l->models = router_model_list_of(answer);
    json_decref(answer);
    evbuffer_drain(l->answer, evbuffer_get_length(l->answer));
}

static void on_read(struct router_job *j) {
    struct router_model_list *l = (struct router_model_list *)j;
    if (l->done)
        l->done(l->ctx, l->models);
    else
        json_decref(l->models);
    evbuffer_free(l->answer);
    free(l);
}

struct router_model_list *router_model_list_start(struct router_offload *o, struct evbuffer *answer,
                                                  router_model_list_read *done, void *ctx) {
    struct router_model_list *l = calloc(1, sizeof *l);
    size_t n = evbuffer_get_length(answer);
    if (l) l->answer = evbuffer_new();
    if (!l || !l->answer) {
        free(l);
        return NULL;
    }
    h1_buffer_move(answer, l->answer, n);
    l->job.run = run_read;
    l->job.done = on_read;
    l->done = done;
    l->ctx = ctx;
    if (n > MODEL_LIST_SMALL)
        router_offload_add(o, &l->job, false);
    else
        router_offload_here(o, &l->job);
    return l;
}

void router_model_list_cancel(struct router_model_list *l) {
    if (l) l->done = NULL;
}
