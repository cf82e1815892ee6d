// SPDX-License-Identifier: Apache-2.0
// The saved form of a pool, version 4. All numbers little-endian.
//
//   saved pool  chunk … chunk
//   chunk       record … record, then u64 check = XXH3-64(the records, seed = the check before, 0 at
//               first). So every byte is checked before it is looked at, and chunks can't be
//               left out, repeated or swapped.
//   record      u8 kind, then by kind (bytes = u32 length, then so many):
//
//   POOL        u32 format, u64 version, u64 bookings, the options, the counters      first, once
//   LEARNT      the pool's learnt numbers (learn.h), then its room's, f64 each            once
//   CLASS       bytes name, i64 priority, f64 weight, u64 waiting and room (its limits), admitted,
//               refused                                                             in name order
//   FLOW        bytes name, f64 weight, u64 requests (its limit), i64 rate, burst, left, at     those registered
//   WORKER      bytes name, bytes addr, u64 capacity, u8 state, i64 ttl, i64 seen,
//               u64 failures, i64 open_until, f64 speed, u32 labels, for each bytes (in bytewise
//               order), u64 limit of requests, u8 role, i64 drain_until, u32 ranks, for each u64 epoch, u64 seq, u64 booked,
//               the instance's learnt numbers, i64 busy_since                               in name order
//   RUN         u32 parent (RUNs are numbered from 1; 0: none), u16 blocks, their hashes,
//               u32 holders, for each u32 instance (counted through workers and ranks from 0),
//               u8 tier, u16 depth                                                    parents first
//   SESSION     bytes name, u32 instance, i64 booked, u64 number (of that booking)
//   REQUEST     bytes id, u32 instance, u8 prefilled, i64 isl, osl, cached, output, lease, created,
//               renewed, u32 overlap, f64 cost, bytes session, u32 expected, i64 ahead, u64 number,
//               i64 prefilled_at, f64 ttft, f64 tpot, f64 requests, wait and waiting of its
//               forecast_case (forecast.h), bytes class, bytes flow, u8 uncalled, i64 its own lease, i64
//               waited, bytes prefilling worker (and if there is one: u8 at work, u32 rank, u32 overlap, i64
//               tokens), u32 blocks, their hashes                                      in order of number
//   PREDICTION  bytes id of its request (empty: it has ended), u8 of a pair's prompt, u32 instance, i64 until,
//               u64 number (of its booking), u32 blocks, their hashes                 oldest first
//   WAITING     bytes id, u64 number, i64 since, wait, lease, isl, osl, bytes policy, f64 overlap, prefill,
//               requests, temperature, u8 has_among, u8 pair, four lists (among, exclude, with, without: u32 names,
//               for each bytes), bytes session, class, flow, notify, u32 blocks, their hashes  in order of number
//   LINE        bytes class, u8 has a flow, bytes flow, f64 tag, u64 number
//   TAGS        bytes class, f64 tag, v, and the v of its level
//   END         u64 records before it                                                 last, once
//
// Older versions can still be read. Version 3 knew no limits, classes and flows, and nobody who waits. Version 2
// knew nothing learnt, no sessions, labels and speeds: it has neither LEARNT nor SESSION, and of the options,
// WORKER, REQUEST and PREDICTION nothing that these brought. Version 1 knew no circuits either: without failures and open_time at the end of the
// options, failures and open_until of a worker.
#ifndef CORE_SNAPSHOT_FORMAT_H
#define CORE_SNAPSHOT_FORMAT_H

enum {
    CORE_FORMAT_VERSION = 4,
    CORE_CHUNK_BYTES = 64 * 1024,
    CORE_CHECK_BYTES = 8,
    CORE_HOLDER_BYTES = 7
};

enum core_record {
    CORE_RECORD_POOL = 'P',
    CORE_RECORD_LEARNT = 'L',
    CORE_RECORD_CLASS = 'C',
    CORE_RECORD_FLOW = 'G',
    CORE_RECORD_WORKER = 'W',
    CORE_RECORD_RUN = 'R',
    CORE_RECORD_SESSION = 'S',
    CORE_RECORD_REQUEST = 'Q',
    CORE_RECORD_PREDICTION = 'F',
    CORE_RECORD_WAITING = 'A',
    CORE_RECORD_LINE = 'N',
    CORE_RECORD_TAGS = 'T',
    CORE_RECORD_END = 'E',
};

#endif
