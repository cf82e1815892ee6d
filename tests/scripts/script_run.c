// SPDX-License-Identifier: Apache-2.0
// See script_run.h.
#include "script_run.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/support_home.h"
#include "tests/support/support_process.h"

void script_start(struct script_run *r, const char *const *words, const char *setting) {
    char tmp[300], build[300], server[300], module[300];
    static int runs;
    support_path(r->tmp, sizeof r->tmp, "s%d", ++runs);
    cr_assert(mkdir(r->tmp, 0700) == 0);
    snprintf(r->mark, sizeof r->mark, "KVROUTE_MARK=%d-%d", (int)getpid(), runs);
    snprintf(tmp, sizeof tmp, "TMPDIR=%s", r->tmp);
    snprintf(build, sizeof build, "KVROUTE_BUILD=%s", KVROUTE_BUILT);
    snprintf(server, sizeof server, "REDIS_SERVER=%s",
             support_setting("REDIS_SERVER", REDIS_SERVER));
    snprintf(module, sizeof module, "KVROUTE_MODULE=%s",
             support_setting("KVROUTE_MODULE", KVROUTE_MODULE));
    // What started us may have these ignored, and a shell can't change that.
    const char *argv[16 + SCRIPT_WORDS] = {
        "env", "--default-signal=INT,QUIT,PIPE,TERM,HUP", r->mark, tmp, build, server, module};
    size_t n = 7;
    if (setting) argv[n++] = setting;
    for (size_t i = 0; words[i]; i++)
        argv[n++] = words[i];
    support_path(r->complaints, sizeof r->complaints, "s%d.err", runs);
    r->pid = support_start_piped(argv, r->complaints, &r->out);
}

void script_await(struct script_run *r, const char *line) {
    char got[1000];
    do
        if (!support_read_line(r->out, got, sizeof got, SCRIPT_WAIT_MS)) {
            support_log_show(r->complaints);
            cr_assert_fail("it doesn't say \"%s\", but last \"%s\"", line, got);
        }
    while (strncmp(got, line, strlen(line)) != 0);
}

static bool is_marked(const char *pid, const char *mark) {
    char path[300];
    static char environ[65536];
    snprintf(path, sizeof path, "/proc/%s/environ", pid);
    FILE *f = fopen(path, "r");
    if (!f) return false;
    size_t n = fread(environ, 1, sizeof environ - 1, f);
    fclose(f);
    environ[n] = 0;
    for (size_t i = 0; i < n; i += strlen(environ + i) + 1)
        if (strcmp(environ + i, mark) == 0) return true;
    return false;
}

// One entry of the folder that is left, or a process; "": none.
static void find_left(const struct script_run *r, char *out, size_t size) {
    *out = 0;
    DIR *d = opendir(r->tmp);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') snprintf(out, size, "%s/%s", r->tmp, e->d_name);
    if (d) closedir(d);
    d = opendir("/proc");
    for (struct dirent *e; d && (e = readdir(d));)
        if (isdigit((unsigned char)e->d_name[0]) && is_marked(e->d_name, r->mark))
            snprintf(out, size, "process %s", e->d_name);
    if (d) closedir(d);
}

struct leftover {
    const struct script_run *run;
    char what[600];
};

static bool nothing_left(void *ctx) {
    struct leftover *l = ctx;
    find_left(l->run, l->what, sizeof l->what);
    return !*l->what;
}

void script_nothing_left(const struct script_run *r) {
    struct leftover l = {.run = r};
    cr_expect(support_wait(nothing_left, &l, SCRIPT_WAIT_MS), "left: %s", l.what);
}

void script_refuses(struct script_run *r, int status) {
    int ended;
    cr_assert(support_ends(&r->pid, SCRIPT_WAIT_MS, &ended), "it goes on");
    cr_expect(ended == status, "ended with %d, not %d", ended, status);
    close(r->out);
    script_nothing_left(r);
}

void script_ends(struct script_run *r, int signal, bool group, int status) {
    cr_assert(kill(group ? -r->pid : r->pid, signal) == 0);
    script_refuses(r, status);
}

void script_unheard(struct script_run *r) {
    int ended;
    close(r->out);
    cr_assert(support_ends(&r->pid, SCRIPT_WAIT_MS, &ended), "it goes on");
    script_nothing_left(r);
}
