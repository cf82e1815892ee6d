// SPDX-License-Identifier: Apache-2.0
// The blocking form: registers a worker where there is none, routes one request and ends it.
//
//     kvroute-example-blocking redis://127.0.0.1:6379 pool
#include <kvroute/client.h>
#include <kvroute/hash.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { EXAMPLE_BLOCK = 16, EXAMPLE_PROMPT = 100 };

static int give_up(struct kvr_client *c, const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    kvr_client_close(c);
    return 1;
}

int main(int argc, char **argv) {
    const char *url = argc > 1 ? argv[1] : "redis://127.0.0.1:6379";
    const char *pool = argc > 2 ? argv[2] : "pool";
    struct kvr_client_options options = {.create = "BLOCKSIZE 16"};
    char why[160], id[32];
    signal(SIGPIPE, SIG_IGN);
    struct kvr_client *c = kvr_client_open(url, pool, &options, why, sizeof why);
    if (!c) return give_up(c, url, why);

    const struct kvr_result *r = kvr_client_worker_list(c);
    if (r->code == KVR_CODE_OK && r->n == 0)
        r = kvr_client_worker_set(c, &(struct kvr_worker_call){.worker = kvr_text("engine-1"),
                                                               .set = KVR_WORKER_ADDR,
                                                               .addr = kvr_text("10.0.0.1:8000")});
    if (r->code != KVR_CODE_OK) return give_up(c, "workers", r->message);

    uint32_t prompt[EXAMPLE_PROMPT]; // from the tokenizer
    uint64_t hashes[EXAMPLE_PROMPT / EXAMPLE_BLOCK];
    for (uint32_t i = 0; i < EXAMPLE_PROMPT; i++)
        prompt[i] = i * i;
    size_t n = kvr_hash_tokens(prompt, EXAMPLE_PROMPT, EXAMPLE_BLOCK, KVR_HASH_SEED, NULL, hashes);

    // An id of its own for each request: whoever asks twice with one id is answered twice the same.
    struct kvr_bytes request = {id, (size_t)snprintf(id, sizeof id, "blocking-%d", (int)getpid())};
    r = kvr_client_select(c, &(struct kvr_select_call){.request = request,
                                                       .blocks = {.hashes = hashes, .n = n},
                                                       .isl = EXAMPLE_PROMPT});
    if (r->code != KVR_CODE_OK) return give_up(c, kvr_code_name(r->code), r->message);
    printf("send it to %.*s at %.*s, which has %d of its %d blocks\n", (int)r->choice.worker.n,
           r->choice.worker.p, (int)r->choice.addr.n, r->choice.addr.p, (int)r->choice.overlap,
           (int)r->choice.blocks);

    // The first token is out; say so now and then while there are more, and how many there were before
    // all is over: that is what the pool learns from.
    r = kvr_client_update(
        c, &(struct kvr_update_call){.request = request, .prefilled = true, .output = 1});
    printf("update: %s %d\n", kvr_code_name(r->code), (int)r->number);
    r = kvr_client_update(c, &(struct kvr_update_call){.request = request, .output = 200});
    printf("update: %s %d\n", kvr_code_name(r->code), (int)r->number);
    r = kvr_client_release(c, &request, 1);
    printf("release: %s %d\n", kvr_code_name(r->code), (int)r->number);
    kvr_client_close(c);
    return 0;
}
