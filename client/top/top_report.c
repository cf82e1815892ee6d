// SPDX-License-Identifier: Apache-2.0
#include "top_report.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD_ROWS = 16 };

static void draw_all(struct top_screen *s, struct top_ui *u, const struct top_pool *p,
                     struct top_moments_now now) {
    top_screen_print(s, 0, 0, TOP_BOLD, "pool %s", p->name);
    int row = top_draw_head(s, 1, p, now);
    if (!p->known) return;
    row = top_draw_workers(s, row + 1, s->rows, u);
    top_draw_queue(s, row + 1, s->rows, 0, p);
}

static void print_rows(const struct top_screen *s, FILE *out) {
    static char line[4 * TOP_MAX_COLS + 1];
    int last = 0;
    for (int row = 0; row < s->rows; row++) {
        top_screen_line(s, row, line, sizeof line);
        if (*line) last = row;
    }
    for (int row = 0; row <= last; row++) {
        top_screen_line(s, row, line, sizeof line);
        fprintf(out, "%s\n", line);
    }
}

bool top_report_text(const struct top_view *v, const struct top_config *c, bool utf8, int cols,
                     struct top_moments_now now, FILE *out) {
    struct top_screen s = {.utf8 = utf8};
    bool good = true;
    for (size_t i = 0; good && i < v->n_pools; i++) {
        const struct top_pool *p = v->pools[i];
        struct top_ui u;
        top_ui_init(&u, c);
        u.pool = i;
        size_t rows = HEAD_ROWS + p->workers.n + p->classes.n + p->flows.n + p->queued.n;
        good = top_ui_update(&u, v) && top_screen_resize(&s, (int)rows, cols);
        if (good) {
            draw_all(&s, &u, p, now);
            if (i) fputc('\n', out);
            print_rows(&s, out);
        }
        top_ui_free(&u);
    }
    top_screen_free(&s);
    return good && fflush(out) == 0 && !ferror(out);
}
