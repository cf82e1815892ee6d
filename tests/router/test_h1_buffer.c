// SPDX-License-Identifier: Apache-2.0
// What comes byte by byte takes as much memory as what comes at once.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/http1/h1_buffer.h"

Test(bytes, moved_in_pieces_of_every_size) {
    enum { RTEST_TOTAL_BYTES = 200000 };
    char *whole = malloc(RTEST_TOTAL_BYTES), *got = malloc(RTEST_TOTAL_BYTES);
    for (size_t i = 0; i < RTEST_TOTAL_BYTES; i++)
        whole[i] = (char)(i * 2654435761u >> 13);
    static const size_t pieces[] = {1, 2, 1000, 4096, 4097, 70000};
    for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
        struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
        for (size_t at = 0; at < RTEST_TOTAL_BYTES; at += pieces[k]) {
            size_t n = RTEST_TOTAL_BYTES - at < pieces[k] ? RTEST_TOTAL_BYTES - at : pieces[k];
            evbuffer_add(in, whole + at, n);
            cr_assert(h1_buffer_move(in, out, n));
            cr_assert_eq(evbuffer_get_length(in), 0);
        }
        cr_assert_lt(evbuffer_peek(out, -1, NULL, NULL, 0), 300, "pieces of %zu", pieces[k]);
        cr_assert_eq(evbuffer_remove(out, got, RTEST_TOTAL_BYTES), RTEST_TOTAL_BYTES);
        cr_assert(!memcmp(got, whole, RTEST_TOTAL_BYTES));
        evbuffer_free(in);
        evbuffer_free(out);
    }
    free(whole);
    free(got);
}

Test(bytes, numbers_by_hand) {
    static const uint64_t numbers[] = {0, 7, 10, 99, 100, 4294967296, UINT64_MAX};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[H1_MAX_DIGITS + 4] = "", wanted[H1_MAX_DIGITS + 4];
        char *end = h1_put_text(h1_put_number(h1_put_bytes(text, "<", 1), numbers[i]), ">");
        snprintf(wanted, sizeof wanted, "<%llu>", (unsigned long long)numbers[i]);
        cr_assert(!strcmp(text, wanted) && end == text + strlen(wanted), "%s", text);
    }
}
