// SPDX-License-Identifier: Apache-2.0
// What the person at the keyboard has chosen to see. Knows no terminal: keys come as numbers.
#ifndef TOP_UI_H
#define TOP_UI_H

#include "top_rows.h"

enum top_page {
    TOP_PAGE_WORKERS,
    TOP_PAGE_WORKER,
    TOP_PAGE_QUEUE,
    TOP_PAGE_CHOICE,
    TOP_PAGE_POOLS,
    TOP_PAGE_HELP
};

// Keys that aren't characters.
enum top_key {
    TOP_KEY_ENTER = 10,
    TOP_KEY_ESCAPE = 27,
    TOP_KEY_BACKSPACE = 127,
    TOP_KEY_UP = 0x110000, // above all characters
    TOP_KEY_DOWN,
    TOP_KEY_LEFT,
    TOP_KEY_RIGHT,
    TOP_KEY_PAGE_UP,
    TOP_KEY_PAGE_DOWN,
    TOP_KEY_HOME,
    TOP_KEY_END,
    TOP_KEY_TAB_BACK,
};

struct top_ui {
    enum top_page page, before_help;
    size_t pool; // of the view's
    enum top_order sort;
    bool reverse;
    char filter[TOP_MAX_FILTER];
    char filter_before[TOP_MAX_FILTER]; // what it was before it was typed at
    bool typing;                        // keys go to the filter
    bool paused, quit;
    struct top_rows rows;              // of the pool's workers, as chosen
    size_t row;                        // of these, the one that is chosen
    char chosen[KVR_MAX_NAME * 4 + 1]; // its worker's name, by which it is found again
    size_t first;                      // the first row on the screen
    size_t page_rows;                  // how many rows there were on it, for PageUp
    size_t scroll;                     // of pages without a chosen row
};

void top_ui_init(struct top_ui *u, const struct top_config *c);
void top_ui_free(struct top_ui *u);
// Takes a key; whether something has changed.
bool top_ui_key(struct top_ui *u, const struct top_view *v, uint32_t key);
// Sorts and filters anew, and finds the chosen worker again. False: no memory, all is as it was.
bool top_ui_update(struct top_ui *u, const struct top_view *v);
// NULL: there is none.
const struct top_pool *top_ui_pool(const struct top_ui *u, const struct top_view *v);
// The one that is chosen, also while it is filtered out. NULL: it is gone.
const struct top_worker *top_ui_worker(const struct top_ui *u, const struct top_view *v);

#endif
