// SPDX-License-Identifier: Apache-2.0
// A blocking Redis connection that reads RESP2 and RESP3 and hides nothing of either.
//
// Commands are formatted by hiredis. Replies are read here, because the packaged hiredis knows RESP2
// alone and a test has to see whether a map was a map. A reply belongs to its connection and lives
// until the next one is read.
#ifndef FLOW_RESP_H
#define FLOW_RESP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The kinds are the first bytes of the wire form; a RESP2 null is FLOW_REPLY_NULL too.
enum flow_reply_kind {
    FLOW_REPLY_STATUS = '+',
    FLOW_REPLY_ERROR = '-',
    FLOW_REPLY_INTEGER = ':',
    FLOW_REPLY_BULK = '$',
    FLOW_REPLY_ARRAY = '*',
    FLOW_REPLY_NULL = '_',
    FLOW_REPLY_DOUBLE = ',',
    FLOW_REPLY_BOOLEAN = '#',
    FLOW_REPLY_BIG_NUMBER = '(',
    FLOW_REPLY_VERBATIM = '=',
    FLOW_REPLY_BLOB_ERROR = '!',
    FLOW_REPLY_MAP = '%',
    FLOW_REPLY_SET = '~',
    FLOW_REPLY_PUSH = '>',
};

struct flow_reply {
    enum flow_reply_kind kind;
    int64_t integer;          // INTEGER, BOOLEAN
    double real;              // DOUBLE
    char *bytes;              // everything that isn't an aggregate or null, as sent; NUL added
    size_t n;                 // bytes, without that NUL
    struct flow_reply *items; // aggregates
    size_t count;             // items; a map has two for each pair
};

// The next value in p[0..n): the bytes it takes, 0 if it isn't whole yet, -1 if it is no RESP.
long flow_reply_parse(const char *p, size_t n, struct flow_reply *out);
void flow_reply_clear(struct flow_reply *r);

struct flow_conn {
    int fd;
    int protocol;
    char *in; // bytes read and not yet parsed
    size_t used, cap;
    size_t skimmed;      // of them, that are known to belong to the next reply
    int64_t values_left; // of it, that begin behind those
    struct flow_reply last;
};

// To a unix socket, or to port of 127.0.0.1 when path is NULL. NULL if nobody answers there.
struct flow_conn *flow_conn_open(const char *path, int port);
void flow_conn_close(struct flow_conn *c); // may be NULL

// false when the peer has gone or doesn't take the bytes for a minute.
bool flow_conn_write(struct flow_conn *c, const void *bytes, size_t n);
// NULL when the peer has gone, sends nonsense, or nothing whole within ms.
const struct flow_reply *flow_conn_read(struct flow_conn *c, int ms);

// A command with any number of arguments, each of any bytes.
struct flow_args {
    char **v;
    size_t *len;
    size_t n, cap;
};

void flow_args_add(struct flow_args *a, const void *bytes, size_t n);
void flow_args_str(struct flow_args *a, const char *s);
void flow_args_int(struct flow_args *a, int64_t i);
void flow_args_words(struct flow_args *a, const char *words); // split at spaces
void flow_args_clear(struct flow_args *a);                    // ready for the next command
bool flow_conn_write_args(struct flow_conn *c, const struct flow_args *a);

#endif
