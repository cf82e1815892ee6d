# SPDX-License-Identifier: Apache-2.0
# Decodes an engine's batches with python3-msgpack: what our own packing and unpacking agree on might
# still be nobody else's MessagePack. Usage: decode.py REPLAY-ENDPOINT; prints the events, one a line.
import sys

import msgpack
import zmq


def main():
    dealer = zmq.Context().socket(zmq.DEALER)
    dealer.linger = 0
    dealer.rcvtimeo = 30000
    dealer.connect(sys.argv[1])
    dealer.send_multipart([b"", bytes(8)])
    while True:
        *_, seq, payload = dealer.recv_multipart()
        if seq == b"\xff" * 8 and not payload:
            return
        ts, events, rank = msgpack.unpackb(payload)
        assert isinstance(ts, float) and rank == 0, (ts, rank)
        for event in events:
            if isinstance(event, dict):
                assert next(iter(event)) == "type", event
                print(event["type"], len(event["block_hashes"]), len(event.get("token_ids", [])))
            else:
                print(event[0], len(event[1]), len(event[3]) if event[0] == "BlockStored" else 0)


main()
