// SPDX-License-Identifier: Apache-2.0
// One GET at a time over TLS, by libcurl on the loop, whose body is handed on as it comes.
#ifndef CURL_STREAM_H
#define CURL_STREAM_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct curl_stream;

struct curl_stream_port {
    void *ctx;
    void (*head)(void *ctx, long status); // an HTTP status has come
    // False: no more is wanted; then `end` follows. It must neither start nor stop anything.
    bool (*data)(void *ctx, const char *bytes, size_t n);
    // Once. error NULL: it came to its orderly end. From here the next may be started.
    void (*end)(void *ctx, long status, const char *error);
};

struct curl_stream_request {
    const char *url;           // https://
    const char *authorization; // a whole header
    const char *ca_file;       // who may have signed the server's certificate
    int64_t all_ms;            // it has failed when it isn't over by then
};

// NULL: no memory.
struct curl_stream *curl_stream_new(struct event_base *base, const struct curl_stream_port *port);
void curl_stream_free(struct curl_stream *s); // nothing is called any more. NULL: nothing
// False: no memory, nothing has begun. What is under way is dropped.
bool curl_stream_start(struct curl_stream *s, const struct curl_stream_request *r);
// Text for a part of a URL; to be freed with curl_stream_free_text. NULL: no memory.
char *curl_stream_escape(const char *text);
void curl_stream_free_text(char *text);

#endif
