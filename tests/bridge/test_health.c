// SPDX-License-Identifier: Apache-2.0
// Numbers in what engines say of themselves, wherever they stand.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "health.h"

static const struct {
    const char *text;
    uint32_t number; // of block_size
} answers[] = {
    {"{\"block_size\":16}", 16},
    {"{\"a\":{\"block_size\": 32 }}", 32},
    {"CacheConfig(block_size=64, swap=4)", 64},
    {"{'block_size': 8}", 8},
    {"{\"config\":\"{\\\"block_size\\\": 128}\"}", 128}, // text within text
    {"{\"hash_block_size\": 5, \"block_size\": 7}", 7},
    {"{\"block_size_bytes\": 5, \"block_size\": 7}", 7},
    {"{\"block_size\": null, \"x\": {\"block_size\": 9}}", 9},
    {"{\"block_size\": 0}", 0},
    {"{\"block_size\": -4}", 0},
    {"{\"block_size\": \"16\"}", 0}, // a text is no number
    {"the block_size is 16", 0},
    {"block_size", 0},
    {"block_size=", 0},
    {"block_size = 12", 12},
    {"block_size=12", 12},
    {"", 0},
};

Test(health, numbers_by_name) {
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        // Nothing stands behind it that may be read.
        size_t n = strlen(answers[i].text);
        char *copy = malloc(n ? n : 1);
        memcpy(copy, answers[i].text, n);
        cr_expect_eq(health_number(copy, n, "block_size"), answers[i].number, "%s: %u",
                     answers[i].text, health_number(copy, n, "block_size"));
        free(copy);
    }
    // However long it is.
    static const char many[] = "block_size=99999999999999999999999999999";
    cr_expect_leq(health_number(many, sizeof many - 1, "block_size"), 1000000000u);
}
