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

// The kinds are the first bytes of the wire form; a RESP2 null is REPLY_NULL too.
enum reply_kind {
    REPLY_STATUS = '+',
    REPLY_ERROR = '-',
    REPLY_INTEGER = ':',
    REPLY_BULK = '$',
    REPLY_ARRAY = '*',
    REPLY_NULL = '_',
    REPLY_DOUBLE = ',',
    REPLY_BOOLEAN = '#',
    REPLY_BIG_NUMBER = '(',
    REPLY_VERBATIM = '=',
    REPLY_BLOB_ERROR = '!',
    REPLY_MAP = '%',
    REPLY_SET = '~',
    REPLY_PUSH = '>',
};

struct reply {
    enum reply_kind kind;
    int64_t integer;     // INTEGER, BOOLEAN
    double real;         // DOUBLE
    char *bytes;         // everything that isn't an aggregate or null, as sent; NUL added
    size_t n;            // bytes, without that NUL
    struct reply *items; // aggregates
    size_t count;        // items; a map has two for each pair
};

// The next value in p[0..n): the bytes it takes, 0 if it isn't whole yet, -1 if it is no RESP.
long reply_parse(const char *p, size_t n, struct reply *out);
void reply_clear(struct reply *r);

struct conn {
    int fd;
    int protocol;
    char *in; // bytes read and not yet parsed
    size_t used, cap;
    struct reply last;
};

// To a unix socket, or to port of 127.0.0.1 when path is NULL. NULL if nobody answers there.
struct conn *conn_open(const char *path, int port);
void conn_close(struct conn *c); // may be NULL

// false when the peer has gone or doesn't take the bytes for a minute.
bool conn_write(struct conn *c, const void *bytes, size_t n);
// NULL when the peer has gone, sends nonsense, or nothing whole within ms.
const struct reply *conn_read(struct conn *c, int ms);

// A command with any number of arguments, each of any bytes.
struct args {
    char **v;
    size_t *len;
    size_t n, cap;
};

void args_add(struct args *a, const void *bytes, size_t n);
void args_str(struct args *a, const char *s);
void args_int(struct args *a, int64_t i);
void args_words(struct args *a, const char *words); // split at spaces
void args_clear(struct args *a);                    // ready for the next command
bool conn_write_args(struct conn *c, const struct args *a);

#endif
