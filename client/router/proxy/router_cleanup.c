// SPDX-License-Identifier: Apache-2.0
// See router_cleanup.h.
#include "router_cleanup.h"

#include <stdlib.h>

#include "router_booking.h"
#include "router_request.h"

void router_cleanup_abandoned(struct router_request *r) {
    h1_call_cancel(r->call);
    r->call = NULL;
    router_booking_release(r);
    router_request_forget_body(r);
    router_prompt_free(&r->prompt);
    router_stream_free(&r->stream);
    free(r->session);
    free(r->headers);
    r->session = r->headers = NULL;
    r->x = NULL;
}

void router_cleanup_done(struct router_request *r) {
    router_cleanup_abandoned(r);
    kvr_list_remove(&r->link);
    free(r);
}
