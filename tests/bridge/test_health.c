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

#define INFO "vllm:cache_config_info{"
static const struct {
    const char *text;
    uint32_t number; // the least of num_gpu_blocks in lines of vllm:cache_config_info
} pages[] = {
    {INFO "block_size=\"16\",num_gpu_blocks=\"27000\"} 1.0\n", 27000},
    {"# HELP x\n" INFO "a=\"\\\"}{,\",num_gpu_blocks=\"7\",b=\"\"} 1.0", 7},
    {INFO "engine=\"0\",num_gpu_blocks=\"9\"} 1\n" INFO "engine=\"1\",num_gpu_blocks=\"8\"} 1\n",
     8},
    {INFO "num_gpu_blocks=\"None\"} 1\n" INFO "num_gpu_blocks=\"8\"} 1\n", 8},
    {INFO "num_gpu_blocks_override=\"5\"} 1\n", 0},
    {INFO "num_gpu_blocks=\"-5\"} 1\n", 0},
    {INFO "num_gpu_blocks=\"5.5\"} 1\n", 0},
    {INFO "num_gpu_blocks=5} 1\n", 0},
    {INFO "num_gpu_blocks=\"", 0},
    {INFO "num_gpu_blocks", 0},
    {INFO, 0},
    {"vllm:cache_config_info 1\nvllm:cache_config_info", 0},
    {"x" INFO "num_gpu_blocks=\"5\"} 1\n", 0},
    {"vllm:cache_config_info_of_old{num_gpu_blocks=\"5\"} 1\n", 0},
    {"", 0},
};

Test(health, labels_by_name) {
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        size_t n = strlen(pages[i].text);
        char *copy = malloc(n ? n : 1);
        memcpy(copy, pages[i].text, n);
        uint32_t found = health_label(copy, n, "vllm:cache_config_info", "num_gpu_blocks");
        cr_expect_eq(found, pages[i].number, "%s: %u", pages[i].text, found);
        free(copy);
    }
}
