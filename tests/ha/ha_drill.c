// SPDX-License-Identifier: Apache-2.0
// kvroute-drill: plays what can break, and shows what came of it in one table.
#define _GNU_SOURCE // prctl
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "ha_process.h"
#include "ha_scenario.h"

static const char usage[] =
    "usage: kvroute-drill [--list | --help | --version] [--runs n] [--waiting n] [--bookings n]\n"
    "       [name …]\n\n"
    "Breaks real Redis servers under load and compares the pool with what clients and publishers\n"
    "were told. Plays all scenarios, or those named (queue-* are all that begin so); --list names\n"
    "them. Exit status 1: something was lost for good, or a client saw an error.\n\n"
    "  --runs n     plays each n times (1)\n"
    "  --waiting n  requests in scenarios of the queue, 60..4000 (1000); a fifth as many streams\n"
    "               in those of streams\n"
    "  --bookings n bookings in all scenarios of pairs together, 1000..1000000 (100000)\n";

static void list(void) {
    for (size_t i = 0; i < ha_n_scenarios; i++)
        printf("%-18s %s\n", ha_scenarios[i].name, ha_scenarios[i].says);
}

// In a process of its own, which may give up.
static void play(const struct ha_scenario *s, const struct ha_scale *scale, struct ha_result *v) {
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        perror("kvroute-drill: fork");
        return;
    }
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(HA_BROKEN);
        ha_scenario_run(s, scale, v);
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) printf("(ended by signal %d) ", WTERMSIG(status));
}

static bool passed(const struct ha_scenario *s, const struct ha_result *v) {
    return v->complete && !v->unrepaired && !v->errors && (v->lost || !s->loses);
}

static void print_result(const struct ha_scenario *s, const struct ha_result *v, int64_t ms) {
    printf("%s in %.1f s: %" PRIu64 " requests", passed(s, v) ? "kept" : "NOT KEPT",
           (double)ms / 1000, v->requests);
    if (v->degraded) printf(", %" PRIu64 " answers without a primary", v->degraded);
    if (v->timeouts) printf(", %" PRIu64 " timeouts", v->timeouts);
    if (v->faults[0]) printf("; %s", v->faults);
    if (v->first_error[0]) printf("; first error: %s", v->first_error);
    if (!v->complete) printf("; not played to its end");
    if (s->loses && !v->lost) printf("; nothing was lost, so nothing is shown");
    printf("\n");
}

// ---- Tables --------------------------------------------------------------------------------------

// All runs of a scenario.
struct drill_sum {
    struct ha_result all; // sums; the longest time; the latest words
    size_t runs, kept;
};

static void add_streams(struct ha_stream_result *a, const struct ha_stream_result *v) {
    a->streams += v->streams;
    a->continued += v->continued;
    a->cut += v->cut;
    a->different += v->different;
    a->refused += v->refused;
    if (v->calm_ms > a->calm_ms) a->calm_ms = v->calm_ms;
    if (v->broken_ms > a->broken_ms) a->broken_ms = v->broken_ms;
}

static void add_pairs(struct ha_pair_result *a, const struct ha_pair_result *v) {
    a->faults += v->faults;
    a->bookings += v->bookings;
    a->released += v->released;
    a->with_worker += v->with_worker;
    a->by_lease += v->by_lease;
    a->resent += v->resent;
    a->undone += v->undone;
    a->looks += v->looks;
    a->quiet += v->quiet;
    a->half += v->half;
    a->above += v->above;
    if (v->over > a->over) a->over = v->over;
    a->twice += v->twice;
    a->never += v->never;
}

static void add_result(struct ha_result *a, const struct ha_result *v) {
    struct ha_queue_result *q = &a->queue;
    a->in_flight += v->in_flight;
    a->lost += v->lost;
    a->counted = v->counted;
    a->repaired += v->repaired;
    a->unrepaired += v->unrepaired;
    a->errors += v->errors;
    if (v->ms_without > a->ms_without) a->ms_without = v->ms_without;
    add_streams(&a->stream, &v->stream);
    q->waited += v->queue.waited;
    q->admitted += v->queue.admitted;
    q->refused += v->queue.refused;
    q->twice += v->queue.twice;
    q->never += v->queue.never;
    q->disorder += v->queue.disorder;
    q->missed += v->queue.missed;
    q->for_nobody += v->queue.for_nobody;
    add_pairs(&a->pairs, &v->pairs);
}

static void add(struct drill_sum *sum, const struct ha_scenario *s, const struct ha_result *v) {
    sum->runs++;
    sum->kept += passed(s, v);
    memcpy(sum->all.killed, v->killed, sizeof v->killed);
    add_result(&sum->all, v);
}

static void print_row(const struct ha_scenario *s, const struct ha_result *v) {
    char bound[24] = "";
    if (s->bound) snprintf(bound, sizeof bound, " < %" PRId64, s->bound);
    printf("%-18s %-38s %9" PRIu64 " %6" PRIu64 "%c %9" PRIu64 " %11" PRIu64 " %8" PRId64
           "%-7s %7" PRIu64 "\n",
           s->name, v->killed, v->in_flight, v->lost, v->counted ? '*' : ' ', v->repaired,
           v->unrepaired, v->ms_without, bound, v->errors);
}

static void print_table(const struct drill_sum *sums) {
    printf("\n%-18s %-38s %9s %7s %9s %11s %15s %7s\n", "fault", "killed", "in flight", "lost",
           "repaired", "unrepaired", "ms without", "errors");
    for (size_t i = 0; i < ha_n_scenarios; i++)
        if (sums[i].runs && ha_scenario_kind(&ha_scenarios[i]) == HA_KIND_OF_ROUTING)
            print_row(&ha_scenarios[i], &sums[i].all);
    printf(
        "\nlost: acknowledged writes that Redis lost; * counted in the server itself, else as the "
        "handles noticed.\nms without: the longest time that a client, always asking, had no "
        "answer; < the goal where Sentinels\nfail over, down-after + 2000 ms.\n");
}

static void print_stream_table(const struct drill_sum *sums) {
    printf("\n%-18s %7s %8s %8s %8s %6s %10s %8s %14s %14s\n", "fault", "kept", "at once",
           "streams", "went on", "cut", "different", "refused", "first, calm ms", "then");
    for (size_t i = 0; i < ha_n_scenarios; i++) {
        const struct drill_sum *s = &sums[i];
        const struct ha_stream_result *r = &s->all.stream;
        char kept[24];
        if (!s->runs || ha_scenario_kind(&ha_scenarios[i]) != HA_KIND_OF_STREAMS) continue;
        snprintf(kept, sizeof kept, "%zu/%zu", s->kept, s->runs);
        printf("%-18s %7s %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %6" PRIu64 " %10" PRIu64
               " %8" PRIu64 " %14.1f %14.1f\n",
               ha_scenarios[i].name, kept, s->all.in_flight / s->runs, r->streams, r->continued,
               r->cut, r->different, r->refused, r->calm_ms, r->broken_ms);
    }
    printf("\nkept: runs in which all held. went on: at another engine. cut: not to their end, or "
           "with an error. different: from\nwhat an undisturbed engine answers, in any byte but "
           "the time it was made. first: 99 %% of streams had their first\ntoken in so long, "
           "before anything was broken and then; of several runs the longest.\n");
}

static void print_queue_table(const struct drill_sum *sums) {
    printf("\n%-21s %7s %8s %8s %7s %7s %6s %6s %9s %7s %11s %8s\n", "fault", "kept", "waiting",
           "waited", "refused", "undone", "twice", "lost", "disorder", "missed", "for nobody",
           "ms");
    for (size_t i = 0; i < ha_n_scenarios; i++) {
        const struct drill_sum *s = &sums[i];
        const struct ha_queue_result *q = &s->all.queue;
        char kept[24];
        if (!s->runs || ha_scenario_kind(&ha_scenarios[i]) != HA_KIND_OF_QUEUE) continue;
        snprintf(kept, sizeof kept, "%zu/%zu", s->kept, s->runs);
        printf("%-21s %7s %8" PRIu64 " %8" PRIu64 " %7" PRIu64 " %6" PRIu64 "%c %6" PRIu64
               " %6" PRIu64 " %9" PRIu64 " %7" PRIu64 " %11" PRIu64 " %8" PRId64 "\n",
               ha_scenarios[i].name, kept, s->all.in_flight, q->waited, q->refused, s->all.lost,
               s->all.counted ? '*' : ' ', q->twice, q->never, q->disorder, q->missed,
               q->for_nobody, s->all.ms_without);
    }
    printf("\nkept: runs in which all held. waiting: when it broke. waited: booked after that. "
           "refused: in their time.\nundone: acknowledged writes that Redis lost. twice: served "
           "twice. lost: never answered. disorder: served before\none of its flow that came "
           "earlier. missed: lost their turn, as their owners didn't come within ACCEPT.\nfor "
           "nobody: admitted though served already, or dead; ended by ACCEPT. ms: the longest "
           "time between two bookings\nof one handle.\n");
}

static void print_pair_row(const char *name, const char *kept, const struct ha_result *v) {
    const struct ha_pair_result *r = &v->pairs;
    printf("%-20s %5s %6" PRIu64 " %8" PRIu64 " %8" PRIu64 " %11" PRIu64 " %8" PRIu64 " %6" PRIu64
           " %6" PRIu64 " %8" PRIu64 " %6" PRIu64 " %5" PRIu64 " %4" PRIu64 " %5" PRIu64
           " %4" PRId64 " %5" PRIu64 " %4" PRIu64 " %6" PRId64 "\n",
           name, kept, r->faults, r->bookings, r->released, r->with_worker, r->by_lease, r->resent,
           r->undone, v->repaired, r->looks, r->quiet, r->half, r->above, r->over, r->twice,
           r->never, v->ms_without);
}

static void print_pair_table(const struct drill_sum *sums) {
    struct drill_sum all = {.runs = 0};
    char kept[24];
    printf("\n%-20s %5s %6s %8s %8s %11s %8s %6s %6s %8s %6s %5s %4s %5s %4s %5s %4s %6s\n",
           "fault", "kept", "faults", "bookings", "released", "with worker", "by lease", "resent",
           "undone", "put back", "looks", "quiet", "half", "above", "over", "twice", "lost", "ms");
    for (size_t i = 0; i < ha_n_scenarios; i++) {
        const struct drill_sum *s = &sums[i];
        if (!s->runs || ha_scenario_kind(&ha_scenarios[i]) != HA_KIND_OF_PAIRS) continue;
        snprintf(kept, sizeof kept, "%zu/%zu", s->kept, s->runs);
        print_pair_row(ha_scenarios[i].name, kept, &s->all);
        add_result(&all.all, &s->all);
        all.runs += s->runs;
        all.kept += s->kept;
    }
    snprintf(kept, sizeof kept, "%zu/%zu", all.kept, all.runs);
    print_pair_row("together", kept, &all.all);
    printf(
        "\nfaults: killed, deleted or cut. bookings: acknowledged. These are released by their "
        "clients, ended with their\nworker or by their lease, released with the first answer "
        "lost (resent), or lost when that came (undone). put\nback: by the library. looks: at "
        "servers, at work; quiet: while everybody held still. half: legs booked alone.\nabove: "
        "instances above a limit by what was chosen; over: requests of one, by what was put back. "
        "twice, lost:\nbookings. ms: the longest time without an answer.\n");
}

// ---- Words ---------------------------------------------------------------------------------------

// All of them answer and end: the exit status.
static int option(const char *word) {
    if (strcmp(word, "--list") == 0) {
        list();
    } else if (strcmp(word, "--help") == 0) {
        fputs(usage, stdout);
    } else if (strcmp(word, "--version") == 0) {
        printf("kvroute-drill %s\n", KVROUTE_VERSION);
    } else {
        fprintf(stderr, "%s%s: no such option\n", usage, word);
        return 2;
    }
    return 0;
}

struct drill_plan {
    bool chosen[64], any;
    size_t runs;
    size_t bookings; // of all scenarios of pairs
    struct ha_scale scale;
};

static bool number(const char *word, size_t min, size_t max, size_t *out) {
    char *end;
    unsigned long n = word ? strtoul(word, &end, 10) : 0;
    if (!word || !*word || *end || n < min || n > max) return false;
    *out = n;
    return true;
}

// Whether the word names something: a scenario, or "queue-*", those that begin so.
static bool choose(struct drill_plan *p, const char *word) {
    size_t n = strlen(word);
    bool found = false;
    if (n && word[n - 1] == '*') n--;
    for (size_t i = 0; i < ha_n_scenarios; i++) {
        const char *name = ha_scenarios[i].name;
        if (word[n] ? strncmp(name, word, n) != 0 : strcmp(name, word) != 0) continue;
        p->chosen[i] = p->any = found = true;
    }
    return found;
}

// False: it is none of these. *bad: it is, but not a number that it can be.
static bool take_number(struct drill_plan *p, const char *option, const char *word, bool *bad) {
    size_t bookings = p->bookings;
    if (strcmp(option, "--runs") == 0)
        *bad = !number(word, 1, 10000, &p->runs);
    else if (strcmp(option, "--waiting") == 0)
        *bad = !number(word, 60, 4000, &p->scale.waiting);
    else if (strcmp(option, "--bookings") == 0)
        *bad = !number(word, 1000, 1000000, &bookings);
    else
        return false;
    p->bookings = bookings;
    return true;
}

// -1: go on; else the exit status.
static int parse(int argc, char **argv, struct drill_plan *p) {
    for (int i = 1; i < argc; i++) {
        bool bad = false;
        if (take_number(p, argv[i], argv[i + 1], &bad)) {
            if (bad) {
                fprintf(stderr, "%s%s: not a number that it can be\n", usage, argv[i]);
                return 2;
            }
            i++;
        } else if (argv[i][0] == '-') {
            return option(argv[i]);
        } else if (!choose(p, argv[i])) {
            fprintf(stderr, "%s%s: no scenario of that name\n", usage, argv[i]);
            return 2;
        }
    }
    return -1;
}

static bool is_chosen(const struct drill_plan *p, size_t i) {
    return !p->any || p->chosen[i];
}

// Each of pairs has its share of the bookings.
static void share_out(struct drill_plan *p) {
    size_t n = 0;
    for (size_t i = 0; i < ha_n_scenarios; i++)
        n += is_chosen(p, i) && ha_scenario_kind(&ha_scenarios[i]) == HA_KIND_OF_PAIRS;
    p->scale.bookings = n ? (p->bookings + n - 1) / n : 0;
}

static bool play_all(const struct drill_plan *p, size_t i, struct ha_result *v,
                     struct drill_sum *sum) {
    const struct ha_scenario *s = &ha_scenarios[i];
    bool kept = true;
    for (size_t run = 0; run < p->runs; run++) {
        printf("%-18s %s … ", s->name, s->says);
        int64_t from = kvr_clock_ms();
        memset(v, 0, sizeof *v);
        play(s, &p->scale, v);
        print_result(s, v, kvr_clock_ms() - from);
        add(sum, s, v);
        kept &= passed(s, v);
    }
    return kept;
}

int main(int argc, char **argv) {
    static struct drill_sum sums[64];
    struct drill_plan plan = {.runs = 1, .bookings = 100000, .scale = {.waiting = 1000}};
    bool failed = false, shown[HA_KINDS_OF_SCENARIO] = {false};
    int status = parse(argc, argv, &plan);
    if (status >= 0) return status;
    struct ha_result *v =
        mmap(NULL, sizeof *v, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (v == MAP_FAILED) {
        perror("kvroute-drill");
        return 2;
    }
    share_out(&plan);
    if (plan.scale.bookings > HA_MAX_BOOKINGS) {
        fprintf(stderr, "kvroute-drill: more than %d bookings for one scenario\n", HA_MAX_BOOKINGS);
        return 2;
    }
    for (size_t i = 0; i < ha_n_scenarios; i++) {
        if (!is_chosen(&plan, i)) continue;
        failed |= !play_all(&plan, i, v, &sums[i]);
        shown[ha_scenario_kind(&ha_scenarios[i])] = true;
    }
    if (shown[HA_KIND_OF_ROUTING]) print_table(sums);
    if (shown[HA_KIND_OF_STREAMS]) print_stream_table(sums);
    if (shown[HA_KIND_OF_QUEUE]) print_queue_table(sums);
    if (shown[HA_KIND_OF_PAIRS]) print_pair_table(sums);
    return failed;
}
