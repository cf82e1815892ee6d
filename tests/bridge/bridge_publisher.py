#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An engine's event publisher, of pyzmq and msgpack alone: so that not only our own code speaks to the
bridge. It publishes, with batches dropped and repeated, restarts once, and prints what it holds in the
end as lines of token ids, one a held block's whole prefix. Then it serves replays until its input ends.

    publisher.py EVENTS-PORT REPLAY-PORT SEED
"""
import random
import select
import struct
import sys
import time

import msgpack
import zmq

BLOCK = 4
END = b"\xff" * 8


class Engine:
    def __init__(self, context, events, replay, rng, life):
        self.rng, self.life, self.buffer, self.held = rng, life, [], {}
        self.pub, self.router = context.socket(zmq.PUB), context.socket(zmq.ROUTER)
        for socket, port in ((self.pub, events), (self.router, replay)):
            socket.linger = 0
            for _ in range(500):
                try:
                    socket.bind(f"tcp://127.0.0.1:{port}")
                    break
                except zmq.ZMQError:
                    time.sleep(0.01)

    def close(self):
        self.pub.close()
        self.router.close()

    def serve(self, seconds):
        end = time.monotonic() + seconds
        while self.router.poll(max(0, int(1000 * (end - time.monotonic())))):
            peer, empty, start = self.router.recv_multipart()
            assert empty == b""
            topic = [b""] if self.life else []
            for seq in range(int.from_bytes(start, "big"), len(self.buffer)):
                head = [peer, b"", *topic, struct.pack(">Q", seq)]
                self.router.send_multipart(head + [self.buffer[seq]])
            self.router.send_multipart([peer, b"", *topic, END, b""])

    def name(self, tokens):
        digest = hash((self.life, tokens)) & 0xFFFFFFFFFFFFFFFF
        return digest.to_bytes(32, "big") if self.life else digest

    def stored(self, tokens):
        parent = self.name(tokens[:-BLOCK]) if len(tokens) > BLOCK else None
        fields = [[self.name(tokens)], parent, list(tokens[-BLOCK:]), BLOCK, None, "GPU"]
        names = ["block_hashes", "parent_block_hash", "token_ids", "block_size", "lora_id", "medium"]
        if self.life:
            return {"type": "BlockStored", **dict(zip(names, fields)), "kv_cache_spec_kind": "full_attention"}
        return ["BlockStored", *fields]

    def removed(self, tokens):
        if self.life:
            return {"type": "BlockRemoved", "block_hashes": [self.name(tokens)], "medium": "GPU", "new": [1]}
        return ["BlockRemoved", [self.name(tokens)], "GPU"]

    def step(self):
        events = []
        for _ in range(self.rng.randrange(1, 5)):
            leaves = [t for t in self.held if not any(t == o[:-BLOCK] for o in self.held)]
            if leaves and self.rng.random() < 0.35:
                tokens = self.rng.choice(leaves)
                del self.held[tokens]
                events.append(self.removed(tokens))
            else:
                base = self.rng.choice([(), *self.held])
                tokens = base + tuple(self.rng.randrange(1 << 17) for _ in range(BLOCK))
                self.held[tokens] = True
                events.append(self.stored(tokens))
        payload = msgpack.packb([time.time(), events, 0], use_bin_type=True)
        self.buffer.append(payload)
        message = [b"topic", struct.pack(">Q", len(self.buffer) - 1), payload]
        for _ in range(self.rng.choice([0, 1, 1, 1, 1, 1, 1, 2])):
            self.pub.send_multipart(message)


def main():
    events, replay, seed = map(int, sys.argv[1:4])
    rng, context = random.Random(seed), zmq.Context()
    for life in range(2):
        engine = Engine(context, events, replay, rng, life)
        for _ in range(150):
            engine.step()
            engine.serve(0.002)
        if life == 0:
            engine.close()
    for tokens in engine.held:
        print(*tokens)
    print("end", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        engine.serve(0.05)


main()
