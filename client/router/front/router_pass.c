// SPDX-License-Identifier: Apache-2.0
#include "router_pass.h"

#include <ctype.h>
#include <string.h>

#include "client/common/config.h"
#include "client/common/hex.h"

// What paths begin with that stop an engine, change what it serves or tell of its inside; of vLLM, SGLang and
// TensorRT-LLM.
static const char *const managing[] = {
    "/abort",       "/add_",         "/admin",
    "/attach",      "/clear",        "/close_",
    "/collective",  "/configure",    "/continue",
    "/debug",       "/destroy",      "/detach",
    "/dump",        "/flush",        "/freeze",
    "/get_",        "/hicache",      "/inference/v1/abort",
    "/init_",       "/is_",          "/kv_",
    "/load_",       "/metrics",      "/open_",
    "/pause",       "/pd_",          "/perf_",
    "/prometheus",  "/release",      "/remove_",
    "/reset",       "/resume",       "/scale",
    "/server_info", "/set_",         "/shutdown",
    "/sleep",       "/slow_down",    "/start_",
    "/start",       "/stop_",        "/unload_",
    "/update_",     "/v1/load_lora", "/v1/unload_lora",
    "/wake",        "/weights",
};

static bool begins(const char *text, const char *with) {
    return !strncmp(text, with, strlen(with));
}

static bool is_managing(const char *path) {
    for (size_t i = 0; i < sizeof managing / sizeof *managing; i++)
        if (begins(path, managing[i])) return true;
    return false;
}

// Whether this %XX stands for what means something in a path, or needn't be written so: an engine that decodes before it
// looks reads another path than who doesn't.
static bool hides(const char *at) {
    static const char meant[] = "-._~/\\%";
    int high = kvr_hex_value(at[1]), low = high < 0 ? -1 : kvr_hex_value(at[2]);
    if (low < 0) return true; // no two hex digits
    int c = high * 16 + low;
    return c < ' ' || c == 127 || (c < 127 && (isalnum(c) || strchr(meant, c)));
}

bool router_pass_is_ambiguous(const char *path) {
    static const char *const odd[] = {"..", "//", "/./", "\\", "#"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        if (strstr(path, odd[i])) return true;
    for (const char *at = path; (at = strchr(at, '%')); at++)
        if (hides(at)) return true;
    return false;
}

// The path itself, or one below it.
static bool is_below(const char *path, const char *word, size_t n) {
    return !strncmp(path, word, n) && (!path[n] || path[n] == '/' || word[n - 1] == '/');
}

bool router_pass_admits(const char *pass, const char *path) {
    bool all = false;
    size_t n;
    if (!*pass || *path != '/' || router_pass_is_ambiguous(path) || begins(path, "/kvroute"))
        return false;
    for (const char *at = pass; (n = kvr_config_word(&at)); at += n) {
        if (n == 1 && *at == '*')
            all = true;
        else if (is_below(path, at, n))
            return true;
    }
    return all && !is_managing(path);
}
