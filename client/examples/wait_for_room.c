// SPDX-License-Identifier: Apache-2.0
// Waiting for room: five requests for an engine that takes one at a time. Each waits in the pool's queue until the
// one before it is done; a sixth that may not wait is told when to come back.
//
//     kvroute-example-wait_for_room redis://127.0.0.1:6379 pool
#include <kvroute/client.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static struct kvr_client *client;
static int booked, refused;

static void answered(void *id, const struct kvr_result *r) {
    struct kvr_bytes request = kvr_text(id);
    if (r->code !=
        KVR_CODE_OK) { // NOROOM: its time is over. r->number: ms after which to come back
        printf("%s: %s\n", (const char *)id, kvr_code_name(r->code));
        refused++;
        return;
    }
    printf("%.*s takes number %d\n", (int)r->choice.worker.n, r->choice.worker.p, ++booked);
    kvr_client_release_async(client, &request, 1, NULL,
                             NULL); // its work is done: the next may come
}

int main(int argc, char **argv) {
    static char ids[6][32];
    struct kvr_client_options options = {.create = "MAXREQUESTS 1"};
    signal(SIGPIPE, SIG_IGN);
    client = kvr_client_open(argc > 1 ? argv[1] : "redis://127.0.0.1:6379",
                             argc > 2 ? argv[2] : "pool", &options, NULL, 0);
    if (!client) return 1;
    kvr_client_worker_set(client, &(struct kvr_worker_call){.worker = kvr_text("engine-1")});
    for (int i = 0; i < 6; i++) {
        snprintf(ids[i], sizeof ids[i], "waiting-%d-%d", (int)getpid(), i);
        struct kvr_select_call call = {.request = kvr_text(ids[i]),
                                       .wait = i < 5 ? 60000 : 0}; // ms; 0: refused at once
        kvr_client_select_async(client, &call, answered, ids[i]);
    }
    while (booked + refused < 6)
        kvr_client_run(client, 1000);
    kvr_client_close(client);
    return booked == 5 ? 0 : 1;
}
