// SPDX-License-Identifier: Apache-2.0
#include "top_ui.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "top_screen.h"

void top_ui_init(struct top_ui *u, const struct top_config *c) {
    memset(u, 0, sizeof *u);
    u->sort = c->sort;
    u->reverse = c->reverse;
    u->page_rows = 1;
    memcpy(u->filter, c->filter, sizeof u->filter);
}

void top_ui_free(struct top_ui *u) {
    free(u->rows.items);
    u->rows = (struct top_rows){.n = 0};
}

const struct top_pool *top_ui_pool(const struct top_ui *u, const struct top_view *v) {
    return u->pool < v->n_pools ? v->pools[u->pool] : NULL;
}

const struct top_worker *top_ui_worker(const struct top_ui *u, const struct top_view *v) {
    const struct top_pool *p = top_ui_pool(u, v);
    const struct top_worker *w = p ? p->workers.items : NULL;
    for (size_t i = 0; w && u->chosen[0] && i < p->workers.n; i++)
        if (strcmp(w[i].name, u->chosen) == 0) return &w[i];
    return NULL;
}

// ---- The chosen row ------------------------------------------------------------------------------

static void choose(struct top_ui *u, size_t row) {
    u->row = row < u->rows.n ? row : u->rows.n ? u->rows.n - 1 : 0;
    const char *name = u->row < u->rows.n ? u->rows.items[u->row].worker->name : "";
    snprintf(u->chosen, sizeof u->chosen, "%s", name);
}

bool top_ui_update(struct top_ui *u, const struct top_view *v) {
    const struct top_pool *p = top_ui_pool(u, v);
    if (!p) {
        u->rows.n = 0;
        choose(u, 0);
        return true;
    }
    if (!top_rows_fill(&u->rows, &p->workers, u->sort, u->reverse, u->filter)) {
        u->rows.n = 0; // the list that they pointed into may be gone
        return false;
    }
    // Whoever stands at the top stays there, and sees who comes to stand there.
    for (size_t i = 0; u->row && i < u->rows.n; i++)
        if (strcmp(u->rows.items[i].worker->name, u->chosen) == 0) u->row = i;
    if (u->page != TOP_PAGE_WORKER) choose(u, u->row);
    return true;
}

static size_t moved(size_t at, int64_t by) {
    return by < 0 && at < (size_t)-by ? 0 : (size_t)((int64_t)at + by);
}

static void move(struct top_ui *u, const struct top_view *v, int64_t by) {
    if (u->page == TOP_PAGE_WORKERS) {
        choose(u, moved(u->row, by));
    } else if (u->page == TOP_PAGE_POOLS) {
        size_t to = moved(u->pool, by);
        u->pool = to < v->n_pools ? to : v->n_pools ? v->n_pools - 1 : 0;
    } else {
        u->scroll = moved(u->scroll, by);
    }
}

// ---- Keys ----------------------------------------------------------------------------------------

static void go(struct top_ui *u, enum top_page page) {
    u->page = page;
    u->scroll = 0;
}

static void go_back(struct top_ui *u) {
    if (u->page == TOP_PAGE_HELP)
        go(u, u->before_help);
    else if (u->page != TOP_PAGE_WORKERS)
        go(u, TOP_PAGE_WORKERS);
    else
        u->filter[0] = 0;
}

static void go_in(struct top_ui *u) {
    if (u->page == TOP_PAGE_WORKERS && u->rows.n) {
        go(u, TOP_PAGE_WORKER);
    } else if (u->page == TOP_PAGE_POOLS) {
        go(u, TOP_PAGE_WORKERS);
    } else {
        go_back(u);
    }
}

static void go_to_pool(struct top_ui *u, const struct top_view *v, size_t by) {
    if (v->n_pools) u->pool = (u->pool + by) % v->n_pools;
    u->row = u->first = 0;
    u->chosen[0] = 0;
    if (u->page == TOP_PAGE_WORKER) go(u, TOP_PAGE_WORKERS);
}

static void sort_by(struct top_ui *u, unsigned by) {
    u->sort = (enum top_order)((u->sort + by) % TOP_ORDERS);
    u->row = u->first = 0;
}

// Returns false for keys that mean nothing here.
static bool letter(struct top_ui *u, const struct top_view *v, uint32_t key) {
    switch (key) {
    case 'q':
        u->quit = true;
        break;
    case '?':
    case 'h':
        if (u->page != TOP_PAGE_HELP) u->before_help = u->page;
        go(u, TOP_PAGE_HELP);
        break;
    case 'p':
    case ' ':
        u->paused = !u->paused;
        break;
    case 'r':
        u->reverse = !u->reverse;
        break;
    case '>':
    case 's':
        sort_by(u, 1);
        break;
    case '<':
    case 'S':
        sort_by(u, TOP_ORDERS - 1);
        break;
    case '/':
        if (u->page != TOP_PAGE_WORKERS) return false;
        u->typing = true;
        memcpy(u->filter_before, u->filter, sizeof u->filter);
        break;
    case 'w':
        go(u, u->page == TOP_PAGE_QUEUE ? TOP_PAGE_WORKERS : TOP_PAGE_QUEUE);
        break;
    case 'x':
        go(u, u->page == TOP_PAGE_CHOICE ? TOP_PAGE_WORKERS : TOP_PAGE_CHOICE);
        break;
    case 'o':
        go(u, u->page == TOP_PAGE_POOLS ? TOP_PAGE_WORKERS : TOP_PAGE_POOLS);
        break;
    case '\t':
        go_to_pool(u, v, 1);
        break;
    case 'j':
        move(u, v, 1);
        break;
    case 'k':
        move(u, v, -1);
        break;
    default:
        return false;
    }
    return true;
}

static bool command(struct top_ui *u, const struct top_view *v, uint32_t key) {
    int64_t rows = (int64_t)u->page_rows;
    switch (key) {
    case TOP_KEY_UP:
        move(u, v, -1);
        break;
    case TOP_KEY_DOWN:
        move(u, v, 1);
        break;
    case TOP_KEY_PAGE_UP:
        move(u, v, -rows);
        break;
    case TOP_KEY_PAGE_DOWN:
        move(u, v, rows);
        break;
    case TOP_KEY_HOME:
        move(u, v, -(int64_t)KVR_MAX_INSTANCES);
        break;
    case TOP_KEY_END:
        move(u, v, KVR_MAX_INSTANCES);
        break;
    case TOP_KEY_RIGHT:
        sort_by(u, 1);
        break;
    case TOP_KEY_LEFT:
        sort_by(u, TOP_ORDERS - 1);
        break;
    case TOP_KEY_TAB_BACK:
        go_to_pool(u, v, v->n_pools ? v->n_pools - 1 : 0);
        break;
    case TOP_KEY_ENTER:
    case '\r':
        go_in(u);
        break;
    case TOP_KEY_ESCAPE:
        go_back(u);
        break;
    default:
        return letter(u, v, key);
    }
    return true;
}

static void cut_last(char *text) {
    size_t n = strlen(text);
    while (n && ((unsigned char)text[--n] & 0xc0) == 0x80)
        ;
    text[n] = 0;
}

static bool type(struct top_ui *u, uint32_t key) {
    size_t n = strlen(u->filter);
    char bytes[4];
    if (key == TOP_KEY_ENTER || key == '\r') {
        u->typing = false;
    } else if (key == TOP_KEY_ESCAPE) {
        u->typing = false;
        memcpy(u->filter, u->filter_before, sizeof u->filter);
    } else if (key == TOP_KEY_BACKSPACE || key == '\b') {
        cut_last(u->filter);
    } else if (key >= ' ' && key < TOP_KEY_UP) {
        size_t size = top_screen_encode(key, bytes);
        if (n + size >= sizeof u->filter) return false;
        memcpy(u->filter + n, bytes, size);
        u->filter[n + size] = 0;
    } else {
        return false;
    }
    u->row = u->first = 0;
    return true;
}

bool top_ui_key(struct top_ui *u, const struct top_view *v, uint32_t key) {
    bool changed = u->typing ? type(u, key) : command(u, v, key);
    if (changed) top_ui_update(u, v);
    return changed;
}
