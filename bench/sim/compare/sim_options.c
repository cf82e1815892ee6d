// SPDX-License-Identifier: Apache-2.0
// The command line of the simulator.
#include "sim_options.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "bench/common/bench_args.h"
#include "bench/sim/fleet/transfers.h"
#include "bench/sim/routers/routers.h"

// clang-format off: lines as they are shown
static const char usage[] =
    "usage: kvroute-sim [options]\n"
    "\n"
    "Simulates a fleet of inference engines in virtual time and compares routers on one load. "
    "Those on the\n"
    "shared pool ask the real module in a real redis-server. docs/simulator.md explains all of "
    "it.\n"
    "\n"
    "The load\n"
    "  --load NAME          chat, agents, alone, hot, bursts or sessions (chat)\n"
    "  --trace FILE         a recorded one instead: JSON lines of timestamp, input_length,\n"
    "                       output_length and hash_ids, one id for 512 tokens; with session_id\n"
    "                       and delay in closed loop\n"
    "  --speed X            divide the trace's times by X (1)\n"
    "  --rate X             requests a second of a generated load (its own for so many engines)\n"
    "  --requests N         at most so many (12000, or the whole trace); with users: are measured\n"
    "  --sessions N         of a load in closed loop: N users at a time, each with a copy of one\n"
    "                       session after the other (its own for so many engines)\n"
    "  --begin WHERE        of a session a user begins with: start or midst (midst)\n"
    "  --ramp S             seconds until the last user has begun (600)\n"
    "  --warmup S           seconds whose arrivals aren't measured (0; with users 1200)\n"
    "  --duration S         seconds after that in which requests arrive (all; with users 3600)\n"
    "  --block-size N       tokens a block (64); divides 512 for a trace\n"
    "  --seed N             (1)\n"
    "  --seeds N            run with so many seeds and give the means of all figures (1)\n"
    "The engines\n"
    "  --model NAME[:N],…   small, middle, large or mock; N like each, or all in turn (middle)\n"
    "  --workers N          (as many as are listed; 8)\n"
    "  --speeds X,NxX,…     in turn; one of speed X takes 1/X of the time for everything (1)\n"
    "  --attention          prompt tokens cost the more, the more are before them\n"
    "  --preempt            output gets blocks as it comes; out of them, the youngest begins anew\n"
    "  --host-blocks N      of a second tier in each engine, for what is evicted (none)\n"
    "  --blocks N           of KV cache in each (the model's)\n"
    "  --budget N           tokens a step (the model's)\n"
    "Prompts here, answers there\n"
    "  --roles ROLE:N,…     prefill, decode or both; N like each, in turn; then kinds of routers "
    "are\n"
    "                       shared, one, own, events, both, two-steps and llm-d\n"
    "  --transfer X[,MS]    GB/s of a network port, and what each transfer takes besides (40,2)\n"
    "  --racks N            engines in N racks, with a tenth of that between them (1)\n"
    "  --local-prefill N    tokens that a decoding engine lacks at most to compute them itself "
    "(256)\n"
    "The routers\n"
    "  --router LIST        KIND[:ROUTERS][:POLICY][:conversation][:ROOM][:fair],… or all; one "
    "row\n"
    "                       of the table for each. conversation: a balancer in front of several\n"
    "                       routers sends all of a session to one of them; else each request\n"
    "                       comes to any. ROOM is room=N[/TOKENS[/PERCENT]]: requests wait in the\n"
    "                       pool until an engine has fewer than N (MAXREQUESTS), queued prompts\n"
    "                       below TOKENS (MAXPREFILL) and PERCENT of its cache for them\n"
    "                       (MAXBLOCKS; 0: no such limit). fair: each session is a flow\n"
    "                       kinds: shared, round-robin, random, two-choices, least, session-hash,\n"
    "                       affinity, sticky, cache-aware, vllm-router, smg, smg-no-veto, "
    "smg-prefix-hash, llm-d,\n"
    "                       dynamo, lmetric, fixed, own, events, both, sync, one, two-steps\n"
    "  --wait S             so long at most in the pool (3600)\n"
    "  --pool WORDS         weights, for example --pool 'PREFILL 2 REQUESTS 4'\n"
    "  --without TERM,…     leave terms out of the delay rule of own, events and sync: expected,\n"
    "                       queue, arrivals, reuse, pace, first, rounding\n"
    "  --ablation           a row for the whole rule, one without each term, one without any;\n"
    "                       with these two, --router is events unless it is given\n"
    "  --session-names      requests name their session (SESSION) to shared, one, own, events, "
    "sync\n"
    "  --hop MS             between routers, engines and the pool (0.25)\n"
    "  --delay MS           until a cached or evicted block is known (10)\n"
    "  --sync MS            until a decision is known to the other routers (2)\n"
    "  --age MS             between two readings of the engines' metrics (50)\n"
    "  --affinity N         affinity goes by so many tokens of a prompt, not by its session\n"
    "  --fixed A,B,C,D,E,BITS  constants of `fixed` (4,8,1,0.0078125,256,3); see --search\n"
    "  --search N           find them first, on N seeds that follow those that are reported\n"
    "Logged decisions (KVROUTE.DECISIONS)\n"
    "  --decisions FILE     what other policies would have chosen, and by how much that is worse "
    "than\n"
    "                       the best there was; then, if the log has blocks, its requests are the\n"
    "                       load, for as many engines as it has instances and, unless they are\n"
    "                       given, the routers one:delay, one:linear, round-robin and least\n"
    "  --policies LIST      NAME[:overlap=X][:prefill=X][:requests=X][:without=TERM],…; NAME is\n"
    "                       delay, linear, requests or random (all of them)\n"
    "  --fetch-decisions URL  --key NAME --out FILE: copies a pool's log into a file, no more\n"
    "  --log-decisions FILE what `shared` decided is copied into a file (of the last run)\n"
    "Instead of comparing routers\n"
    "  --experiment NAME    what one queue for all routers does: batch, shares, retry, quota;\n"
    "                       prompts here, answers there: pairs, roles\n"
    "What goes wrong; times are seconds since the first request; may be repeated\n"
    "  --fail router:N:AT:FOR[:lost]   router N dies; what it knew is kept or lost\n"
    "  --fail server:AT:FOR[:lost]     the shared pool's server\n"
    "  --fail worker:N:AT[:FOR]        an engine, for good or until it comes back empty\n"
    "  --fail join:N:AT                N more engines\n"
    "  --notice MS          until routers know that an engine is dead (1000)\n"
    "What comes out\n"
    "  --slo TTFT,TBT       seconds that a good answer keeps to (2,0.1); for pairs and roles\n"
    "                       up to three pairs of them (2,0.1,0.45,0.04,2,0.025)\n"
    "  --load-factor X,X,…  compare at these multiples of the load, a table each (1)\n"
    "  --sweep X,X,…        also at these multiples of the load\n"
    "  --scale N,N,…        also with so many routers\n"
    "  --stretches N        cut the run into N stretches of time (60 with --fail)\n"
    "  --json FILE          all figures\n"
    "  --plots DIR          SVG: load.svg of a sweep, routers.svg of a scale, recovery.svg\n"
    "  --module PATH        kvroute.so (beside this program: ../module/kvroute.so)\n"
    "  --redis-server PATH\n"
    "  --help, --version\n";
// clang-format on

static const char everything[] =
    "shared:8:delay,shared:1:delay,shared:8:linear,own:1:delay,round-robin,least,session-hash,"
    "affinity,sticky,sticky:8,cache-aware,cache-aware:8,vllm-router,vllm-router:8,smg,smg:8,smg:8:"
    "conversation,"
    "smg-no-veto:8:conversation,"
    "smg-prefix-hash,llm-d,llm-d:8,dynamo,dynamo:8,lmetric";
static const char for_pairs[] = "shared:8:delay,two-steps:8,llm-d:8";

// The next part of a list; NULL at its end. Writes over the separators.
static char *part(char **list, char separator) {
    if (!*list) return NULL;
    char *word = *list, *end = strchr(word, separator);
    *list = end ? end + 1 : NULL;
    if (end) *end = 0;
    return word;
}

enum { SIM_MAX_LIST = 2048 };

// A copy to take apart.
static char *copy(char room[SIM_MAX_LIST], const char *text) {
    if (snprintf(room, SIM_MAX_LIST, "%s", text) >= SIM_MAX_LIST) {
        fprintf(stderr, "kvroute-sim: a list of more than %d characters\n", SIM_MAX_LIST - 1);
        exit(2);
    }
    return room;
}

// A list of up to `room` numbers.
static bool numbers(const struct bench_arg *a, const char *text, size_t room, double *out,
                    size_t *n) {
    char words[SIM_MAX_LIST], *list = copy(words, text);
    *n = 0;
    for (char *word; (word = part(&list, ','));) {
        if (*n == room) return bench_arg_wrong(a->name, "too many");
        if (!bench_arg_number(a->name, word, a->min, a->max, &out[(*n)++])) return false;
    }
    return true;
}

// N[/TOKENS[/PERCENT]]
static bool spec_room(struct sim_spec *s, const char *text) {
    char room[SIM_MAX_LIST], *list = copy(room, text);
    uint64_t *to[] = {&s->max_requests, &s->max_prefill, &s->max_blocks};
    double v;
    s->queue = true;
    for (size_t i = 0; i < 3 && list; i++) {
        if (!bench_arg_number("router: room", part(&list, '/'), 0, 1e9, &v)) return false;
        *to[i] = (uint64_t)v;
    }
    return (!list && (s->max_requests || s->max_prefill || s->max_blocks)) ||
           bench_arg_wrong("router: room takes N[/TOKENS[/PERCENT]]", text);
}

static bool spec_word(struct sim_spec *s, const char *word) {
    double v;
    if (!strncmp(word, "room=", 5)) return spec_room(s, word + 5);
    if (!strcmp(word, "fair")) return s->fair = true;
    if (*word >= '0' && *word <= '9') {
        if (!bench_arg_number("router", word, 1, SIM_MAX_ROUTERS, &v)) return false;
        s->routers = (unsigned)v;
    } else if (!strcmp(word, "conversation")) {
        s->together = true;
    } else if ((s->policy = kvr_policy_find(word, strlen(word))) < 0) {
        return bench_arg_wrong("router: no policy", word);
    }
    return true;
}

static bool specs(struct sim_options *o, const char *text) {
    if (!strcmp(text, "all")) text = everything;
    char room[SIM_MAX_LIST], *list = copy(room, text);
    o->n_specs = 0;
    for (char *word; (word = part(&list, ','));) {
        char *kind = part(&word, ':'), *more;
        struct sim_spec s = {
            .kind = sim_router_find(kind), .routers = 1, .policy = o->plan.rule.policy};
        if (!s.kind) return bench_arg_wrong("router: no kind", kind);
        while ((more = part(&word, ':')))
            if (!spec_word(&s, more)) return false;
        if ((s.queue || s.fair) && !s.kind->waits)
            return bench_arg_wrong("router: no queue in", kind);
        if (s.fair && !s.queue) return bench_arg_wrong("router", "fair is of a queue: room=…");
        if (o->n_specs == SIM_MAX_SPECS) return bench_arg_wrong("router", "too many");
        o->specs[o->n_specs++] = s;
    }
    return true;
}

// ---- Terms ---------------------------------------------------------------------------------------

const char *const sim_term_names[SIM_TERMS] = {"expected", "queue", "arrivals", "reuse",
                                               "pace",     "first", "rounding"};
_Static_assert(KVR_TERM_EXPECTED == 1 && KVR_TERM_ROUNDING == 1 << (SIM_TERMS - 1),
               "the names stand in the order of enum kvr_term");

unsigned sim_term_find(const char *name) {
    for (unsigned i = 0; i < SIM_TERMS; i++)
        if (!strcmp(sim_term_names[i], name)) return 1u << i;
    return 0;
}

int sim_terms_text(unsigned terms, char *room, size_t n) {
    if (terms == SIM_TERMS_ALL) return snprintf(room, n, "terms");
    int at = snprintf(room, n, "%s", "");
    for (unsigned i = 0; i < SIM_TERMS; i++) {
        size_t left = (size_t)at < n ? n - (size_t)at : 0;
        if (terms & 1u << i)
            at += snprintf(left ? room + at : NULL, left, "%s%s", at ? " or " : "",
                           sim_term_names[i]);
    }
    return at;
}

// Terms can be left out where the rule is in this process.
static bool leave_out(struct sim_options *o) {
    struct sim_spec given[SIM_MAX_SPECS];
    size_t n = o->n_specs;
    if (!o->without && !o->ablation) return true;
    memcpy(given, o->specs, sizeof given);
    o->n_specs = 0;
    for (size_t i = 0; i < n; i++) {
        struct sim_spec s = given[i];
        if (!s.kind->scores || s.kind->remote || s.policy != KVR_DELAY)
            return bench_arg_wrong("without, --ablation: not of", s.kind->name);
        // First as it was asked for; then without one more term, and at last without all.
        for (unsigned k = 0; k <= (o->ablation ? SIM_TERMS + 1 : 0); k++) {
            unsigned term = k > SIM_TERMS ? SIM_TERMS_ALL : k ? 1u << (k - 1) : 0;
            if (k && !(term & ~o->without)) continue;
            if (o->n_specs == SIM_MAX_SPECS) return bench_arg_wrong("router", "too many");
            s.without = o->without | term;
            o->specs[o->n_specs++] = s;
        }
    }
    return true;
}

// A router that is away admits nobody, but a queue in it would go on.
static bool queues_stay(const struct sim_options *o) {
    bool own = false;
    for (size_t i = 0; i < o->n_specs; i++)
        own |= o->specs[i].queue && !o->specs[i].kind->remote;
    for (size_t i = 0; own && i < o->plan.n_incidents; i++)
        if (o->incidents[i].kind == SIM_ROUTER_DIES)
            return bench_arg_wrong("fail: router", "not with a queue in each router");
    return true;
}

// What was searched for is shown with the rest.
static bool add_fixed(struct sim_options *o) {
    const struct sim_router *kind = sim_router_find("fixed");
    if (!o->search) return true;
    for (size_t i = 0; i < o->n_specs; i++)
        if (o->specs[i].kind == kind) return true;
    if (o->n_specs == SIM_MAX_SPECS) return bench_arg_wrong("router", "too many");
    o->specs[o->n_specs++] =
        (struct sim_spec){.kind = kind, .routers = 1, .policy = o->plan.rule.policy};
    return true;
}

// A file as seen from the folder of this program, else where the build put it.
static const char *beside(char path[PATH_MAX + 32], const char *name, const char *built) {
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
    path[n > 0 ? n : 0] = 0;
    char *slash = strrchr(path, '/');
    if (!slash) return built;
    strcpy(slash + 1, name);
    return access(path, R_OK) == 0 ? path : built;
}

// ---- Options -------------------------------------------------------------------------------------

// Milliseconds; kept in seconds.
static bool take_ms(void *options, const struct bench_arg *a, const char *text) {
    double *seconds = (double *)((char *)options + a->at);
    if (!bench_arg_number(a->name, text, a->min, a->max, seconds)) return false;
    *seconds /= 1000;
    return true;
}

static bool take_factors(void *options, const struct bench_arg *a, const char *text) {
    struct sim_factors *f = (struct sim_factors *)((char *)options + a->at);
    return numbers(a, text, SIM_MAX_FACTORS, f->v, &f->n);
}

static bool take_load(void *options, const struct bench_arg *a, const char *text) {
    struct sim_options *o = options;
    o->load = sim_load_find(text);
    o->named = true;
    return o->load || bench_arg_wrong(a->name, text);
}

static bool take_begin(void *options, const struct bench_arg *a, const char *text) {
    struct sim_options *o = options;
    o->fresh = !strcmp(text, "start");
    return o->fresh || !strcmp(text, "midst") || bench_arg_wrong(a->name, "takes start or midst");
}

static bool take_slo(void *options, const struct bench_arg *a, const char *text) {
    struct sim_options *o = options;
    double v[2 * SIM_SLOS] = {0};
    size_t n;
    if (!numbers(a, text, 2 * SIM_SLOS, v, &n)) return false;
    for (size_t k = 0; k < n / 2; k++)
        o->targets[k] = (struct sim_slo){v[2 * k], v[2 * k + 1]};
    o->slo = o->targets[0];
    return (n && n % 2 == 0) || bench_arg_wrong(a->name, "takes TTFT,TBT[,TTFT,TBT …]");
}

static bool take_transfer(void *options, const struct bench_arg *a, const char *text) {
    struct sim_options *o = options;
    double v[2] = {0, o->plan.network.fixed * 1e3};
    size_t n;
    if (!numbers(a, text, 2, v, &n)) return false;
    o->plan.network.rate = v[0] * 1e9;
    o->plan.network.fixed = v[1] / 1e3;
    return v[0] > 0 || bench_arg_wrong(a->name, "takes GB/s above 0");
}

static bool take_racks(void *options, const struct bench_arg *a, const char *text) {
    struct sim_options *o = options;
    double v;
    if (!bench_arg_number(a->name, text, a->min, a->max, &v)) return false;
    o->plan.network.racks = (unsigned)v;
    return true;
}

static bool take_fixed(void *options, const struct bench_arg *a, const char *text) {
    struct sim_options *o = options;
    double v[6] = {0};
    size_t n;
    if (!numbers(a, text, 6, v, &n)) return false;
    o->fixed = (struct sim_fixed){v[0], v[1], v[2], v[3], v[4], v[5]};
    return (n == 6 && v[5] >= 1 && v[5] <= 53) ||
           bench_arg_wrong(a->name, "takes A,B,C,D,E,BITS, and 1 to 53 bits");
}

static bool take_without(void *options, const struct bench_arg *a, const char *text) {
    struct sim_options *o = options;
    char room[SIM_MAX_LIST], *list = copy(room, text);
    for (char *word; (word = part(&list, ','));) {
        unsigned term = sim_term_find(word);
        if (!term) return bench_arg_wrong(a->name, word);
        o->without |= term;
    }
    return true;
}

// The weights of --pool, for the module as they are and for the core as numbers.
static bool take_weights(void *options, const struct bench_arg *a, const char *text) {
    struct sim_options *o = options;
    static const struct {
        const char *name;
        size_t at;
    } known[] = {
        {"OVERLAP", offsetof(struct kvr_rule, overlap)},
        {"PREFILL", offsetof(struct kvr_rule, prefill)},
        {"REQUESTS", offsetof(struct kvr_rule, requests)},
        {"TEMPERATURE", offsetof(struct kvr_rule, temperature)},
    };
    enum { SIM_WEIGHTS = sizeof known / sizeof *known };
    o->plan.words = text;
    char room[SIM_MAX_LIST], *list = copy(room, text);
    for (char *name; (name = part(&list, ' '));) {
        char *value = part(&list, ' ');
        size_t i = 0;
        while (i < SIM_WEIGHTS && strcasecmp(known[i].name, name))
            i++;
        if (i == SIM_WEIGHTS || !value)
            return bench_arg_wrong("pool takes NAME VALUE …, not", name);
        if (!bench_arg_number(a->name, value, 0, a->max,
                              (double *)((char *)&o->plan.rule + known[i].at)))
            return false;
    }
    return true;
}

static bool take_incident(void *options, const struct bench_arg *a, const char *text) {
    struct sim_options *o = options;
    char room[SIM_MAX_LIST], *list = copy(room, text), *kind = part(&list, ':'), *word[4] = {0};
    size_t n = 0;
    bool lost = false;
    while (n < 4 && (word[n] = part(&list, ':')))
        n++;
    if (n && !strcmp(word[n - 1], "lost")) lost = n--;
    double v[3] = {0};
    for (size_t i = 0; i < n && i < 3; i++)
        if (!bench_arg_number(a->name, word[i], 0, a->max, &v[i])) return false;
    if (o->plan.n_incidents == SIM_MAX_INCIDENTS) return bench_arg_wrong(a->name, "too many");
    struct sim_incident *x = &o->incidents[o->plan.n_incidents++];
    if (!strcmp(kind, "server") && n == 2)
        *x = (struct sim_incident){SIM_SERVER_DIES, v[0], v[1], 0, lost};
    else if (!strcmp(kind, "router") && n == 3)
        *x = (struct sim_incident){SIM_ROUTER_DIES, v[1], v[2], (uint32_t)v[0], lost};
    else if (!strcmp(kind, "worker") && (n == 2 || n == 3) && !lost)
        *x = (struct sim_incident){SIM_WORKER_DIES, v[1], v[2], (uint32_t)v[0], true};
    else if (!strcmp(kind, "join") && n == 2 && !lost)
        *x = (struct sim_incident){SIM_WORKERS_JOIN, v[1], 0, (uint32_t)v[0], false};
    else
        return bench_arg_wrong("fail doesn't know this", text);
    return true;
}

// ---- The engines ---------------------------------------------------------------------------------

// NAME[:N],… Without numbers in turn, for as many engines as there are. *n: how many were listed.
static bool list_models(struct sim_options *o, const char *text, size_t *n, bool *counted) {
    char room[SIM_MAX_LIST], *list = copy(room, text);
    *n = 0;
    for (char *word; (word = part(&list, ','));) {
        char *name = part(&word, ':');
        const struct sim_model *m = sim_model_find(name);
        double count = 1;
        if (!m) return bench_arg_wrong("model", name);
        if (word && !bench_arg_number("model", word, 1, SIM_MAX_WORKERS, &count)) return false;
        *counted |= word != NULL;
        for (unsigned i = 0; i < (unsigned)count; i++) {
            if (*n == SIM_MAX_WORKERS) return bench_arg_wrong("model", "too many");
            o->engines[(*n)++].model = *m;
        }
    }
    return true;
}

// X or NxX, ….
static bool list_speeds(const char *text, double *speeds, size_t *n) {
    char room[SIM_MAX_LIST], *list = copy(room, text);
    *n = 0;
    for (char *word; (word = part(&list, ','));) {
        double count = 1, speed;
        char *times = strchr(word, 'x');
        if (times) {
            *times = 0;
            if (!bench_arg_number("speeds", word, 1, SIM_MAX_WORKERS, &count)) return false;
            word = times + 1;
        }
        if (!bench_arg_number("speeds", word, 1e-3, 1e3, &speed)) return false;
        for (unsigned i = 0; i < (unsigned)count; i++) {
            if (*n == SIM_MAX_WORKERS) return bench_arg_wrong("speeds", "too many");
            speeds[(*n)++] = speed;
        }
    }
    return true;
}

// ROLE[:N],… Without a list all are of the role `both`.
static bool list_roles(const char *text, enum kvr_role *roles, size_t *n) {
    char room[SIM_MAX_LIST], *list = copy(room, text ? text : kvr_role_names[KVR_ROLE_BOTH]);
    *n = 0;
    for (char *word; (word = part(&list, ','));) {
        char *name = part(&word, ':');
        int role = KVR_ROLE_DECODE;
        double count = 1;
        while (role >= 0 && strcmp(kvr_role_names[role], name))
            role--;
        if (role < 0) return bench_arg_wrong("roles", name);
        if (word && !bench_arg_number("roles", word, 1, SIM_MAX_WORKERS, &count)) return false;
        for (unsigned i = 0; i < (unsigned)count; i++) {
            if (*n == SIM_MAX_WORKERS) return bench_arg_wrong("roles", "too many");
            roles[(*n)++] = (enum kvr_role)role;
        }
    }
    return true;
}

// Where engines have roles somebody must compute prompts, and somebody put out answers.
static bool check_roles(const struct sim_options *o) {
    bool prefill = false, decode = false;
    if (!o->plan.pairs) return true;
    for (size_t w = 0; w < o->workers; w++) {
        prefill |= o->engines[w].role != KVR_ROLE_DECODE;
        decode |= o->engines[w].role != KVR_ROLE_PREFILL;
    }
    if (!prefill || !decode)
        return bench_arg_wrong("roles: nobody is there to", prefill ? "decode" : "prefill");
    for (size_t i = 0; i < o->n_specs && !o->experiment; i++)
        if (!o->specs[i].kind->pairs)
            return bench_arg_wrong("roles: unknown to", o->specs[i].kind->name);
    return true;
}

// As many engines as --workers says, or as are listed.
static bool plan_engines(struct sim_options *o) {
    double speeds[SIM_MAX_WORKERS];
    enum kvr_role roles[SIM_MAX_WORKERS];
    size_t models_n, speeds_n, roles_n;
    bool counted = false;
    if (!list_models(o, o->models, &models_n, &counted) ||
        !list_speeds(o->speeds, speeds, &speeds_n) || !list_roles(o->roles, roles, &roles_n))
        return false;
    o->plan.pairs = o->roles != NULL;
    if (!o->workers) {
        o->workers = 8;
        if (counted || models_n > 1) o->workers = models_n;
        if (speeds_n > 1 && speeds_n > models_n) o->workers = speeds_n;
        if (roles_n > 1 && roles_n > models_n && roles_n > speeds_n) o->workers = roles_n;
    }
    for (size_t w = 0; w < o->workers; w++) {
        struct sim_engine_plan *e = &o->engines[w];
        e->model = o->engines[w % models_n].model;
        e->speed = speeds[w % speeds_n];
        e->role = roles[w % roles_n];
        if (o->budget) e->model.budget = (uint32_t)o->budget;
        if (o->attention) sim_model_attend(&e->model);
        e->model.preempt = o->preempt;
        e->blocks = o->blocks ? o->blocks : e->model.capacity / o->block_size;
    }
    o->plan.engines = o->engines;
    o->plan.n_engines = o->plan.workers = (unsigned)o->workers;
    o->plan.model = &o->engines[0].model;
    o->plan.blocks = o->engines[0].blocks;
    o->plan.transfer = sim_transfer_token(&o->plan.network, o->plan.model, o->plan.model,
                                          o->plan.network.racks > 1) /
                       o->plan.model->prefill;
    return check_roles(o);
}

// ---- All settings --------------------------------------------------------------------------------

#define AT(field) offsetof(struct sim_options, field)
static const struct bench_arg args[] = {
    {"load", take_load, 0, 0, 0},
    {"trace", bench_arg_text, AT(trace), 0, 0},
    {"speed", bench_arg_real, AT(speed), 1e-6, 1e6},
    {"rate", bench_arg_real, AT(rate), 1e-6, 1e6},
    {"requests", bench_arg_whole, AT(requests), 1, 1e7},
    {"sessions", bench_arg_whole, AT(users), 1, 1e5},
    {"begin", take_begin, 0, 0, 0},
    {"ramp", bench_arg_real, AT(ramp), 0, 1e6},
    {"warmup", bench_arg_real, AT(warmup), 0, 1e6},
    {"duration", bench_arg_real, AT(duration), 1e-3, 1e6},
    {"block-size", bench_arg_whole, AT(block_size), 1, 4096},
    {"seed", bench_arg_whole, AT(seed), 0, 9e15},
    {"seeds", bench_arg_whole, AT(seeds), 1, SIM_MAX_SEEDS},
    {"model", bench_arg_text, AT(models), 0, 0},
    {"speeds", bench_arg_text, AT(speeds), 0, 0},
    {"preempt", bench_arg_flag, AT(preempt), 0, 0},
    {"host-blocks", bench_arg_whole, AT(plan.host), 1, 1e8},
    {"attention", bench_arg_flag, AT(attention), 0, 0},
    {"workers", bench_arg_whole, AT(workers), 1, SIM_MAX_WORKERS},
    {"blocks", bench_arg_whole, AT(blocks), 1, 1e8},
    {"budget", bench_arg_whole, AT(budget), 1, 1e6},
    {"roles", bench_arg_text, AT(roles), 0, 0},
    {"transfer", take_transfer, 0, 0, 1e6},
    {"racks", take_racks, 0, 1, SIM_MAX_WORKERS},
    {"local-prefill", bench_arg_whole, AT(plan.local_prefill), 0, 1e9},
    {"router", bench_arg_text, AT(routers), 0, 0},
    {"wait", bench_arg_real, AT(plan.admission.wait), 0, 1e6},
    {"experiment", bench_arg_text, AT(experiment), 0, 0},
    {"decisions", bench_arg_text, AT(decisions), 0, 0},
    {"policies", bench_arg_text, AT(policies), 0, 0},
    {"fetch-decisions", bench_arg_text, AT(fetch), 0, 0},
    {"log-decisions", bench_arg_text, AT(plan.log), 0, 0},
    {"key", bench_arg_text, AT(key), 0, 0},
    {"out", bench_arg_text, AT(out), 0, 0},
    {"pool", take_weights, 0, 0, KVR_MAX_WEIGHT},
    {"without", take_without, 0, 0, 0},
    {"ablation", bench_arg_flag, AT(ablation), 0, 0},
    {"session-names", bench_arg_flag, AT(plan.named), 0, 0},
    {"hop", take_ms, AT(plan.hop), 0, 1e9},
    {"delay", take_ms, AT(plan.delay), 0, 1e9},
    {"sync", take_ms, AT(plan.sync), 0, 1e9},
    {"age", take_ms, AT(plan.age), 1e-3, 1e9},
    {"affinity", bench_arg_whole, AT(plan.affinity), 0, 1e6},
    {"fixed", take_fixed, 0, 0, 1e12},
    {"search", bench_arg_whole, AT(search), 1, SIM_MAX_SEEDS},
    {"fail", take_incident, 0, 0, 1e9},
    {"notice", take_ms, AT(plan.notice), 0, 1e9},
    {"slo", take_slo, 0, 0, 1e9},
    {"load-factor", take_factors, AT(factor), 1e-6, 1e3},
    {"sweep", take_factors, AT(sweep), 1e-6, 1e3},
    {"scale", take_factors, AT(scale), 1e-6, SIM_MAX_ROUTERS},
    {"stretches", bench_arg_whole, AT(stretches), 1, 1e4},
    {"json", bench_arg_text, AT(json), 0, 0},
    {"plots", bench_arg_text, AT(plots), 0, 0},
    {"module", bench_arg_text, AT(module), 0, 0},
    {"redis-server", bench_arg_text, AT(server), 0, 0},
};
#undef AT

static void set_defaults(struct sim_options *o) {
    static char beside_module[PATH_MAX + 32], beside_clock[PATH_MAX + 32];
    const char *module = getenv("KVROUTE_MODULE");
    struct kvr_options pool;
    kvr_options_default(&pool);
    *o = (struct sim_options){
        .load = &sim_loads[0],
        .block_size = 64,
        .speed = 1,
        .seed = 1,
        .seeds = 1,
        .policies = "delay,linear,requests,random",
        .models = "middle",
        .speeds = "1",
        .ramp = -1,
        .warmup = -1,
        .duration = -1,
        .plan = {.hop = 0.25e-3,
                 .delay = 10e-3,
                 .sync = 2e-3,
                 .age = 50e-3,
                 .notice = 1,
                 .network = {.rate = 40e9, .fixed = 2e-3, .lease = 30, .across = 0.1},
                 .local_prefill = 256,
                 .admission = {.wait = 3600},
                 .rule = pool.rule,
                 .words = "",
                 .fixed = &o->fixed,
                 .incidents = o->incidents},
        .fixed = sim_fixed_default,
        .factor = {{1}, 1},
        .slo = {2, 0.1},
        // Those of comparisons; MLPerf's interactive ones for a model of 70 B (Inference 5.0); quick tokens.
        .targets = {{2, 0.1}, {0.45, 0.04}, {2, 0.025}},
        .module = module && *module ? module
                                    : beside(beside_module, "../module/kvroute.so", KVROUTE_MODULE),
        .clock = beside(beside_clock, "kvroute-sim-clock.so", SIM_CLOCK),
    };
}

double sim_options_sum(const struct sim_options *o, const double each[SIM_MODELS]) {
    double speeds[SIM_MODELS] = {0}, sum = 0;
    for (size_t w = 0; w < o->workers; w++)
        speeds[sim_model_find(o->engines[w].model.name) - sim_models] += o->engines[w].speed;
    for (size_t m = 0; m < SIM_MODELS; m++)
        sum += each[m] * speeds[m];
    return sum;
}

void sim_options_load(struct sim_options *o) {
    if (!o->decisions && !o->trace && !o->users)
        o->users = (uint64_t)sim_options_sum(o, o->load->users);
    if (!o->requests && !o->decisions && !o->trace && !o->users) o->requests = 12000;
    if (o->ramp < 0) o->ramp = o->users ? 600 : 0;
    if (o->warmup < 0) o->warmup = o->users ? 1200 : 0;
    if (o->duration < 0) o->duration = o->users ? 3600 : 0;
}

// What a log says of the fleet, unless the command line does.
static bool take_logged(struct sim_options *o) {
    const struct sim_decisions *d = &o->logged;
    if (!o->decisions) return true;
    if (o->trace || o->named || o->users || o->experiment || o->search)
        return bench_arg_wrong("decisions", "is a load of its own");
    sim_decisions_read(&o->logged, o->decisions);
    o->block_size = d->block_size;
    if (!o->workers) o->workers = d->instances < SIM_MAX_WORKERS ? d->instances : SIM_MAX_WORKERS;
    if (!o->blocks) o->blocks = (uint64_t)d->capacity;
    if (!o->routers) o->routers = "one:1:delay,one:1:linear,round-robin,least";
    return true;
}

static bool check_fetch(const struct sim_options *o) {
    if (!o->fetch && !o->key && !o->out) return true;
    return (o->fetch && o->key && o->out) ||
           bench_arg_wrong("fetch-decisions", "takes --key NAME and --out FILE");
}

// Only the shared pool is a server's, and logs.
static bool check_log(const struct sim_options *o) {
    bool shared = !o->plan.log;
    for (size_t i = 0; i < o->n_specs; i++)
        shared |= !strcmp(o->specs[i].kind->name, "shared");
    return shared || bench_arg_wrong("log-decisions", "takes a router of the kind shared");
}

int sim_options_parse(struct sim_options *o, int argc, char **argv) {
    set_defaults(o);
    int status = bench_args_read(o, args, sizeof args / sizeof *args, usage, argc, argv);
    if (status >= 0) return status;
    if (!check_fetch(o) || !take_logged(o)) return 2;
    if (!o->routers && o->roles && !o->without && !o->ablation) o->routers = for_pairs;
    if (!o->routers) o->routers = o->without || o->ablation ? "events" : everything;
    if (!specs(o, o->routers) || !leave_out(o) || !add_fixed(o) || !queues_stay(o)) return 2;
    if (!check_log(o)) return 2;
    if (!plan_engines(o)) return 2;
    sim_options_load(o);
    if (!o->stretches && o->plan.n_incidents) o->stretches = 60;
    return -1;
}
