// SPDX-License-Identifier: Apache-2.0
// The rows of the queue: 10,000 who wait.
#ifndef BENCH_WORST_QUEUE_H
#define BENCH_WORST_QUEUE_H

void bench_worst_queue(void);

#endif
