// SPDX-License-Identifier: Apache-2.0
// Batches decoded by somebody else: python3-msgpack, see mock_decode.py.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "mock_process.h"
#include "mock_traffic.h"
#include "tests/support/support_needs.h"

static void decode(const char *options) {
    support_needs_python("zmq, msgpack", "python3-zmq and python3-msgpack");
    struct mock_process p = mock_process_start(options);
    char command[400], text[2000];
    mock_traffic_one(&p, 0, "x"); // 8 tokens: two blocks of 4
    mock_traffic_one(&p, 0, "y"); // of 3 blocks in all, one has to go
    snprintf(command, sizeof command, "/usr/bin/python3 %s %s 2>&1", KVROUTE_MOCK_DECODE,
             p.replay[0]);
    FILE *f = popen(command, "r");
    size_t len = fread(text, 1, sizeof text - 1, f);
    int status = pclose(f);
    text[len] = 0;
    mock_process_end(&p, SIGTERM);
    cr_assert(status == 0, "%s", text);
    cr_assert_str_eq(text, "BlockStored 2 8\nBlockRemoved 1 0\nBlockStored 2 8\n");
}

Test(python, decodes_arrays) {
    decode("--block-size=4 --blocks=3 --schema=0.22");
}

Test(python, decodes_maps) {
    decode("--block-size=4 --blocks=3 --schema=0.28");
}

Test(python, decodes_binary_hashes) {
    decode("--block-size=4 --blocks=3 --schema=0.28 --binary-hashes");
}
