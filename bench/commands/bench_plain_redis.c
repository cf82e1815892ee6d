// SPDX-License-Identifier: Apache-2.0
// Choosing with plain Redis, three bench_ops:
//   (a) a hash a block with a field a worker; HKEYS of each block in one pipeline, the client scores
//   (b) a string a block with the workers' numbers; MGET of all blocks, the client scores
//   (c) the strings of (b); a script walks them, scores by load, and books the choice on the server
//
// (a) and (b) book nothing: two clients that ask at the same moment choose the same worker, and nobody
// knows of the other's requests. Only (c) does what SELECT does. All three walk from the first block
// on, and count for a worker the blocks it holds without a gap.
#include "bench_plain_redis.h"

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

static void load(struct bench_caller *c, const char *script, char name[41]) {
    bench_wire_begin(&c->wire, 3, "SCRIPT", "LOAD", script, NULL);
    bench_wire_send(&c->wire);
    struct bench_reply t;
    bench_wire_reply(&c->wire, &t);
    memcpy(name, t.bytes, 40);
    name[40] = 0;
}

void bench_load_scripts(struct bench_caller *c) {
    load(c, choose, c->choose);
    load(c, release, c->release);
    bench_wire_begin(&c->wire, 2, "DEL", "loads", NULL);
    bench_wire_begin(&c->wire, 2 + c->held->workers, "RPUSH", "loads", NULL);
    for (size_t i = 0; i < c->held->workers; i++)
        bench_wire_text(&c->wire, "0");
    bench_wire_send(&c->wire);
    bench_wire_skip(&c->wire);
    bench_wire_skip(&c->wire);
}

// ---- Scoring in the client -----------------------------------------------------------------------

static void begin(struct bench_caller *c) {
    memset(c->depth, 0, c->held->workers * sizeof *c->depth);
}

static void holds(struct bench_caller *c, size_t worker, uint32_t block) {
    if (worker < c->held->workers && c->depth[worker] == block) c->depth[worker] = block + 1;
}

// The least loaded of those that spare most; the load is what this client alone has given out.
static void choose_here(struct bench_caller *c, size_t blocks) {
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

void bench_put_hkeys(struct bench_caller *c, size_t length, uint64_t unit, size_t step) {
    (void)step;
    const uint64_t *hashes = bench_prompt(c->held, length, unit);
    char key[BENCH_KEY_BYTES];
    for (size_t i = 0; i < bench_lengths[length]; i++) {
        bench_block_key(key, 'h', hashes[i]);
        bench_wire_begin(&c->wire, 2, "HKEYS", NULL);
        bench_wire_word(&c->wire, key, BENCH_KEY_BYTES);
    }
}

void bench_take_hkeys(struct bench_caller *c, size_t length, uint64_t unit, size_t step) {
    (void)unit, (void)step;
    struct bench_reply list, name;
    begin(c);
    for (size_t i = 0; i < bench_lengths[length]; i++) {
        bench_wire_reply(&c->wire, &list);
        for (int64_t k = 0; k < list.number; k++) {
            bench_wire_reply(&c->wire, &name);
            holds(c, bench_worker_number(name.bytes, name.n), (uint32_t)i);
        }
    }
    choose_here(c, bench_lengths[length]);
}

// ---- (b) -----------------------------------------------------------------------------------------

void bench_put_mget(struct bench_caller *c, size_t length, uint64_t unit, size_t step) {
    (void)step;
    const uint64_t *hashes = bench_prompt(c->held, length, unit);
    char key[BENCH_KEY_BYTES];
    bench_wire_begin(&c->wire, 1 + bench_lengths[length], "MGET", NULL);
    for (size_t i = 0; i < bench_lengths[length]; i++) {
        bench_block_key(key, 's', hashes[i]);
        bench_wire_word(&c->wire, key, BENCH_KEY_BYTES);
    }
}

void bench_take_mget(struct bench_caller *c, size_t length, uint64_t unit, size_t step) {
    (void)unit, (void)step;
    struct bench_reply list, value;
    begin(c);
    bench_wire_reply(&c->wire, &list);
    for (size_t i = 0; i < bench_lengths[length]; i++) {
        bench_wire_reply(&c->wire, &value);
        for (size_t at = 0; value.number > 0 && at + 1 < value.n; at += 2)
            holds(c, (uint8_t)value.bytes[at] | (size_t)(uint8_t)value.bytes[at + 1] << 8,
                  (uint32_t)i);
    }
    choose_here(c, bench_lengths[length]);
}

// ---- (c) -----------------------------------------------------------------------------------------

void bench_put_script(struct bench_caller *c, size_t length, uint64_t unit, size_t step) {
    char id[BENCH_ID_ROOM], key[BENCH_KEY_BYTES];
    size_t n = bench_unit_id(c, unit, id);
    if (step) {
        bench_wire_begin(&c->wire, 4, "EVALSHA", c->release, "1", NULL);
        bench_wire_word(&c->wire, id, n);
        return;
    }
    const uint64_t *hashes = bench_prompt(c->held, length, unit);
    bench_wire_begin(&c->wire, 5 + bench_lengths[length], "EVALSHA", c->choose, NULL);
    bench_wire_number(&c->wire, bench_lengths[length]);
    for (size_t i = 0; i < bench_lengths[length]; i++) {
        bench_block_key(key, 's', hashes[i]);
        bench_wire_word(&c->wire, key, BENCH_KEY_BYTES);
    }
    bench_wire_word(&c->wire, id, n);
    bench_wire_number(&c->wire, c->held->workers);
}
