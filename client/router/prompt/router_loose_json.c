// SPDX-License-Identifier: Apache-2.0
#include "router_loose_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LOOSE_MAX_DIGITS = 18, LOOSE_MAX_NUMBER = 400 };

// Puts 0 in the place of n bytes.
static void set_zero(char *at, size_t n) {
    memset(at, ' ', n);
    *at = '0';
}

// ---- Texts ---------------------------------------------------------------------------------------

// The code unit of an escape \uXXXX at `at`; −1: it is none.
static long unit_at(const char *at, const char *end) {
    char digits[5] = "", *stop;
    if (end - at < 6 || at[0] != '\\' || at[1] != 'u') return -1;
    memcpy(digits, at + 2, 4);
    if (strspn(digits, "0123456789abcdefABCDEF") != 4) return -1;
    return strtol(digits, &stop, 16);
}

// Behind the escape, which becomes U+FFFD if it is half a pair.
static char *mend_escape(char *at, const char *end) {
    long unit = unit_at(at, end);
    if (unit < 0) return end - at < 2 ? (char *)end : at + 2;
    if (unit >= 0xd800 && unit < 0xdc00) {
        long low = unit_at(at + 6, end);
        if (low >= 0xdc00 && low < 0xe000) return at + 12;
    }
    if (unit >= 0xd800 && unit < 0xe000) memcpy(at + 2, "fffd", 4);
    return at + 6;
}

// Behind the text that begins at `at`.
static char *mend_text(char *at, const char *end) {
    for (at++; at < end && *at != '"';) {
        unsigned char a = (unsigned char)at[0], b = end - at > 2 ? (unsigned char)at[1] : 0;
        if (a == '\\') {
            at = mend_escape(at, end);
        } else if (a == 0xed && b >= 0xa0) { // half a pair, as three bytes
            memcpy(at, "\xef\xbf\xbd", 3);
            at += 3;
        } else {
            at++;
        }
    }
    return at < end ? at + 1 : (char *)end;
}

// ---- Numbers -------------------------------------------------------------------------------------

static size_t number_length(const char *at, const char *end) {
    size_t n = 0;
    while (at + n < end && strchr("0123456789+-.eE", at[n]) && at[n])
        n++;
    return n;
}

static bool is_too_large(const char *at, size_t n) {
    char text[LOOSE_MAX_NUMBER + 1];
    bool whole = true;
    for (size_t i = 0; i < n; i++)
        whole = whole && (at[i] == '-' || (at[i] >= '0' && at[i] <= '9'));
    if (whole) return n > LOOSE_MAX_DIGITS;
    if (n > LOOSE_MAX_NUMBER) return true;
    memcpy(text, at, n);
    text[n] = 0;
    return isinf(strtod(text, NULL));
}

static bool begins(const char *at, const char *end, const char *word) {
    size_t n = strlen(word);
    return (size_t)(end - at) >= n && !memcmp(at, word, n);
}

// Behind the word or number at `at`.
static char *mend_value(char *at, const char *end) {
    static const char *const words[] = {"NaN", "Infinity", "-Infinity"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!begins(at, end, words[i])) continue;
        set_zero(at, strlen(words[i]));
        return at + strlen(words[i]);
    }
    size_t n = number_length(at, end);
    if (n && is_too_large(at, n)) set_zero(at, n);
    return at + (n ? n : 1);
}

// ---- All of it -----------------------------------------------------------------------------------

static void mend(char *text, size_t n) {
    char *at = text;
    const char *end = text + n;
    if (begins(at, end, "\xef\xbb\xbf")) memset(at, ' ', 3);
    while (at < end)
        at = *at == '"' ? mend_text(at, end) : mend_value(at, end);
}

// As Python's json.loads tells it: JSON begins with ASCII, so there are zeros or a mark.
static bool is_wide(const char *text, size_t n) {
    if (n < 2) return false;
    return !text[0] || !text[1] || begins(text, text + n, "\xff\xfe") ||
           begins(text, text + n, "\xfe\xff");
}

json_t *router_loose_json_parse(struct evbuffer *body, char *why, size_t size) {
    json_t *value = router_json_parse(body, why, size);
    size_t n = evbuffer_get_length(body);
    if (value || !n) return value;
    char *text = malloc(n), unused[100];
    if (!text) return NULL;
    evbuffer_copyout(body, text, n);
    if (is_wide(text, n)) {
        value = json_object();
    } else {
        mend(text, n);
        value = router_json_parse_text(text, n, unused, sizeof unused);
    }
    free(text);
    return value;
}
