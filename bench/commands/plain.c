// SPDX-License-Identifier: Apache-2.0
// Choosing with plain Redis, three ways:
//   (a) a hash a block with a field a worker; HKEYS of each block in one pipeline, the client scores
//   (b) a string a block with the workers' numbers; MGET of all blocks, the client scores
//   (c) the strings of (b); a script walks them, scores by load, and books the choice on the server
//
// (a) and (b) book nothing: two clients that ask at the same moment choose the same worker, and nobody
// knows of the other's requests. Only (c) does what SELECT does. All three walk from the first block
// on, and count for a worker the blocks it holds without a gap.
#include "ways.h"

#include <string.h>

// KEYS: the blocks. ARGV: the request, how many workers. The loads are a list of numbers, one a worker;
// what a request weighs is kept under its id for as long as a lease lasts.
static const char choose[] =
    "local depth, n, at = {}, #KEYS, 0\n"
    "while at < n do\n"
    "  local to = math.min(at + 256, n)\n"
    "  local values = redis.call('MGET', unpack(KEYS, at + 1, to))\n"
    "  for i = 1, to - at do\n"
    "    local v, more = values[i], false\n"
    "    if v then\n"
    "      for p = 1, #v, 2 do\n"
    "        local low, high = string.byte(v, p, p + 1)\n"
    "        local w = low + 256 * high\n"
    "        if (depth[w] or 0) == at + i - 1 then depth[w] = at + i more = true end\n"
    "      end\n"
    "    end\n"
    "    if not more then n = 0 break end\n"
    "  end\n"
    "  at = to\n"
    "end\n"
    "n = #KEYS\n"
    "local loads, best, least = redis.call('LRANGE', 'loads', 0, -1), 0, math.huge\n"
    "for w = 0, tonumber(ARGV[2]) - 1 do\n"
    "  local cost = tonumber(loads[w + 1]) + n - (depth[w] or 0)\n"
    "  if cost < least then best, least = w, cost end\n"
    "end\n"
    "local weight = n - (depth[best] or 0)\n"
    "redis.call('LSET', 'loads', best, loads[best + 1] + weight)\n"
    "redis.call('SET', ARGV[1], best .. ' ' .. weight, 'PX', 300000)\n"
    "return {best, depth[best] or 0}\n";

static const char release[] =
    "local r = redis.call('GETDEL', KEYS[1])\n"
    "if not r then return 0 end\n"
    "local w, weight = string.match(r, '(%d+) (%d+)')\n"
    "redis.call('LSET', 'loads', w, redis.call('LINDEX', 'loads', w) - weight)\n"
    "return 1\n";

static void load(struct caller *c, const char *script, char name[41]) {
    wire_begin(&c->wire, 3);
    wire_text(&c->wire, "SCRIPT");
    wire_text(&c->wire, "LOAD");
    wire_text(&c->wire, script);
    wire_send(&c->wire);
    struct token t;
    wire_token(&c->wire, &t);
    memcpy(name, t.bytes, 40);
    name[40] = 0;
}

void plain_load_scripts(struct caller *c) {
    load(c, choose, c->choose);
    load(c, release, c->release);
    wire_begin(&c->wire, 2);
    wire_text(&c->wire, "DEL");
    wire_text(&c->wire, "loads");
    wire_begin(&c->wire, 2 + c->held->workers);
    wire_text(&c->wire, "RPUSH");
    wire_text(&c->wire, "loads");
    for (size_t i = 0; i < c->held->workers; i++)
        wire_text(&c->wire, "0");
    wire_send(&c->wire);
    wire_skip(&c->wire);
    wire_skip(&c->wire);
}

// ---- Scoring in the client -----------------------------------------------------------------------

static void begin(struct caller *c) {
    memset(c->depth, 0, c->held->workers * sizeof *c->depth);
}

static void holds(struct caller *c, size_t worker, uint32_t block) {
    if (worker < c->held->workers && c->depth[worker] == block) c->depth[worker] = block + 1;
}

// The least loaded of those that spare most; the load is what this client alone has given out.
static void choose_here(struct caller *c, size_t blocks) {
    size_t best = 0;
    uint64_t least = UINT64_MAX;
    for (size_t w = 0; w < c->held->workers; w++) {
        uint64_t cost = c->load[w] + blocks - c->depth[w];
        if (cost < least) {
            least = cost;
            best = w;
        }
    }
    c->load[best]++;
}

// ---- (a) -----------------------------------------------------------------------------------------

void put_hkeys(struct caller *c, size_t length, uint64_t unit, size_t step) {
    (void)step;
    const uint64_t *hashes = held_prompt(c->held, length, unit);
    char key[KEY_BYTES];
    for (size_t i = 0; i < lengths[length]; i++) {
        block_key(key, 'h', hashes[i]);
        wire_begin(&c->wire, 2);
        wire_text(&c->wire, "HKEYS");
        wire_word(&c->wire, key, KEY_BYTES);
    }
}

void take_hkeys(struct caller *c, size_t length, uint64_t unit, size_t step) {
    (void)unit, (void)step;
    struct token list, name;
    begin(c);
    for (size_t i = 0; i < lengths[length]; i++) {
        wire_token(&c->wire, &list);
        for (int64_t k = 0; k < list.number; k++) {
            wire_token(&c->wire, &name);
            holds(c, worker_number(name.bytes, name.n), (uint32_t)i);
        }
    }
    choose_here(c, lengths[length]);
}

// ---- (b) -----------------------------------------------------------------------------------------

void put_mget(struct caller *c, size_t length, uint64_t unit, size_t step) {
    (void)step;
    const uint64_t *hashes = held_prompt(c->held, length, unit);
    char key[KEY_BYTES];
    wire_begin(&c->wire, 1 + lengths[length]);
    wire_text(&c->wire, "MGET");
    for (size_t i = 0; i < lengths[length]; i++) {
        block_key(key, 's', hashes[i]);
        wire_word(&c->wire, key, KEY_BYTES);
    }
}

void take_mget(struct caller *c, size_t length, uint64_t unit, size_t step) {
    (void)unit, (void)step;
    struct token list, value;
    begin(c);
    wire_token(&c->wire, &list);
    for (size_t i = 0; i < lengths[length]; i++) {
        wire_token(&c->wire, &value);
        for (size_t at = 0; value.number > 0 && at + 1 < value.n; at += 2)
            holds(c, (uint8_t)value.bytes[at] | (size_t)(uint8_t)value.bytes[at + 1] << 8,
                  (uint32_t)i);
    }
    choose_here(c, lengths[length]);
}

// ---- (c) -----------------------------------------------------------------------------------------

void put_script(struct caller *c, size_t length, uint64_t unit, size_t step) {
    char id[ID_ROOM], key[KEY_BYTES];
    size_t n = unit_id(c, unit, id);
    if (step) {
        wire_begin(&c->wire, 4);
        wire_text(&c->wire, "EVALSHA");
        wire_text(&c->wire, c->release);
        wire_text(&c->wire, "1");
        wire_word(&c->wire, id, n);
        return;
    }
    const uint64_t *hashes = held_prompt(c->held, length, unit);
    wire_begin(&c->wire, 5 + lengths[length]);
    wire_text(&c->wire, "EVALSHA");
    wire_text(&c->wire, c->choose);
    wire_number(&c->wire, lengths[length]);
    for (size_t i = 0; i < lengths[length]; i++) {
        block_key(key, 's', hashes[i]);
        wire_word(&c->wire, key, KEY_BYTES);
    }
    wire_word(&c->wire, id, n);
    wire_number(&c->wire, c->held->workers);
}
