// SPDX-License-Identifier: Apache-2.0
// Line charts; see chart.h.
#define _GNU_SOURCE // program_invocation_short_name
#include "chart.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

// Okabe and Ito's colours, told apart by everybody; a second round is dashed.
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                      "#e69f00", "#56b4e9", "#000000", "#999999"};
enum { COLOURS = sizeof colours / sizeof *colours };

static void put_text(FILE *f, const char *before, const char *s) {
    fprintf(f, "%s'", before);
    for (; *s; s++) {
        if (*s == '\'') fputc('\'', f); // twice is one
        fputc(*s, f);
    }
    fputc('\'', f);
}

static void put_data(FILE *f, size_t chart, size_t line, const struct bench_chart_line *l) {
    fprintf(f, "$d%zu_%zu << END\n", chart, line);
    for (size_t i = 0; i < l->n; i++)
        if (isnan(l->y[i]))
            fputc('\n', f);
        else
            fprintf(f, "%.9g %.9g\n", l->x[i], l->y[i]);
    fputs("END\n", f);
}

static void put_chart(FILE *f, const struct bench_chart *c, size_t chart) {
    put_text(f, "set title ", c->title);
    put_text(f, "\nset xlabel ", c->x_label);
    put_text(f, "\nset ylabel ", c->y_label);
    fprintf(f, "\n%s logscale x\n%s logscale y\n%s\n", c->log_x ? "set" : "unset",
            c->log_y ? "set" : "unset", chart ? "unset key" : "set key left top");
    // A few points on a logarithmic axis are ticked themselves.
    const struct bench_chart_line *l = c->lines;
    fputs("set xtics auto\n", f);
    for (size_t i = 0; c->log_x && c->n_lines && l->n <= 12 && i < l->n; i++)
        fprintf(f, "set xtics %s (%.9g)\n", i ? "add" : "", l->x[i]);
    if (c->mark_to > c->mark_from)
        fprintf(f,
                "set object 1 rectangle from first %.9g, graph 0 to first %.9g, graph 1 behind "
                "fillcolor rgb '#f4d9d0' fillstyle solid noborder\n",
                c->mark_from, c->mark_to);
    for (size_t i = 0; i < c->n_lines; i++) {
        l = &c->lines[i];
        fprintf(f, "%s$d%zu_%zu with %s linecolor rgb '%s' linewidth 1.8%s", i ? ", " : "plot ",
                chart, i, l->n <= 24 ? "linespoints pointtype 7 pointsize 0.4" : "lines",
                colours[i % COLOURS], l->dashed || i / COLOURS ? " dashtype 2" : "");
        put_text(f, " title ", l->name);
    }
    fputs("\nunset object 1\n", f);
}

static bool draw(const char *script) {
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        execlp("gnuplot", "gnuplot", script, (char *)NULL);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

bool bench_chart_write(const char *path, const char *title, const struct bench_chart *charts,
                       size_t n) {
    char name[4096];
    snprintf(name, sizeof name, "%s.gp", path);
    FILE *f = fopen(name, "w");
    if (!f) {
        fprintf(stderr, "%s: can't write %s: %s\n", program_invocation_short_name, name,
                strerror(errno));
        return false;
    }
    fprintf(f,
            "# SPDX-License-Identifier: Apache-2.0\n"
            "set terminal svg noenhanced size 860,%zu font 'sans,12' background 'white'\n",
            80 + n * 340);
    put_text(f, "set output ", path);
    fputs(".'.svg'\nset border 3 linecolor '#444444'\nset tics nomirror\n"
          "set grid linecolor '#e4e4e4' linetype 1\nset key at screen 0.745, screen 0.93 Left "
          "reverse\nset format '%.4g'\n",
          f);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < charts[i].n_lines; k++)
            put_data(f, i, k, &charts[i].lines[k]);
    double height = 80 + (double)n * 340;
    fprintf(f, "set multiplot layout %zu,1 margins 0.09,0.73,%.3f,%.3f spacing 0.1,%.3f", n,
            55 / height, 1 - 70 / height, 95 / height);
    put_text(f, " title ", title);
    fputc('\n', f);
    for (size_t i = 0; i < n; i++)
        put_chart(f, &charts[i], i);
    fputs("unset multiplot\n", f);
    bool ok = !ferror(f);
    ok = !fclose(f) && ok;
    if (ok && draw(name)) return true;
    fprintf(stderr, "%s: %s isn't drawn by gnuplot\n", program_invocation_short_name, name);
    return false;
}
