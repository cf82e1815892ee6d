// SPDX-License-Identifier: Apache-2.0
#include "pool_defaults.h"

#include <ctype.h>
#include <string.h>

static struct kvr_options defaults;
static RedisModuleString *shown; // what CONFIG GET was given last

const struct kvr_options *mod_defaults(void) {
    return &defaults;
}

static RedisModuleString *get(const char *name, void *data) {
    (void)name;
    char text[MOD_MAX_DOUBLE];
    size_t n = mod_config_text((size_t)(uintptr_t)data, &defaults, text);
    if (shown) RedisModule_FreeString(NULL, shown);
    shown = RedisModule_CreateString(NULL, text, n);
    return shown;
}

static int set(const char *name, RedisModuleString *value, void *data, RedisModuleString **error) {
    (void)name;
    const char *word = mod_config_word((size_t)(uintptr_t)data);
    RedisModuleString *argv[] = {RedisModule_CreateString(NULL, word, strlen(word)), value};
    struct mod_args args = {.argv = argv, .argc = 2};
    struct kvr_options o = defaults;
    if (mod_config_parse(&args, &o) && kvr_options_check(&o) != KVR_OK)
        mod_args_fail(&args, "number is out of range");
    RedisModule_FreeString(NULL, argv[0]);
    if (args.error) {
        *error = RedisModule_CreateString(NULL, args.error, strlen(args.error));
        return REDISMODULE_ERR;
    }
    defaults = o;
    return REDISMODULE_OK;
}

int mod_defaults_register(RedisModuleCtx *ctx) {
    kvr_options_default(&defaults);
    for (size_t i = 0; i < MOD_CONFIG_FIELDS; i++) {
        char name[32] = "", text[MOD_MAX_DOUBLE];
        const char *word = mod_config_word(i);
        for (size_t k = 0; word[k] && k + 1 < sizeof name; k++)
            name[k] = (char)tolower((unsigned char)word[k]);
        text[mod_config_text(i, &defaults, text)] = 0;
        if (RedisModule_RegisterStringConfig(ctx, name, text, REDISMODULE_CONFIG_DEFAULT, get, set,
                                             NULL, (void *)(uintptr_t)i) != REDISMODULE_OK)
            return REDISMODULE_ERR;
    }
    return REDISMODULE_OK;
}
