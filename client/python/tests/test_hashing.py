# SPDX-License-Identifier: Apache-2.0
"""The hashes' vectors: what every publisher and every router has to come to (tests/unit/unit_test_hash.c)."""

import array
import unittest

import flavours  # noqa: F401: finds the package
import real_servers
from kvroute import Hashes, Pool, Prefix, Tokens, block_hashes, chain, prefix_hashes
from kvroute.hashing import pack_hashes, pack_tokens, salt


class Vectors(unittest.TestCase):
    def test_blocks(self):
        want = [9143094415614847814, 12124091508212882195]
        self.assertEqual(block_hashes(range(8), 4), want)

    def test_chain_of_block_hashes(self):
        want = [11, 750553365844651409, 3257565445809651757]
        self.assertEqual(chain([11, 22, 33]), want)

    def test_prefixes(self):
        self.assertEqual(prefix_hashes(range(8), 4), [9143094415614847814, 9510318385840434533])
        want = "d47a8f41c833328a bf15dffb16447f38 a4dda066f3c1e1a0 35f7c0d119848950"
        got = " ".join(f"{h:016x}" for h in prefix_hashes(range(64), 16))
        self.assertEqual(got, want)

    def test_salts(self):
        self.assertEqual(salt(), 1337)
        self.assertEqual(block_hashes(range(4), 4, lora="adapter-a"), [6665157333201000639])
        space = block_hashes(range(4), 4, lora="", namespace="tenant-a")
        self.assertEqual(space, [17009624042690211646])
        self.assertNotEqual(salt("x"), salt(None, "x"))

    def test_rest_has_no_hash(self):
        self.assertEqual(prefix_hashes(range(3), 4), [])
        self.assertEqual(len(prefix_hashes(range(101), 4)), 25)

    def test_steps(self):
        for salted in ({}, {"lora": "adapter-a", "namespace": "tenant-a"}):
            whole = prefix_hashes(range(101), 4, **salted)
            prefix, done = Prefix(4, **salted), 0
            for step in (0, 1, 2, 3, 4, 5, 30, 56):
                prefix.extend(range(done, done + step))
                done += step
            self.assertEqual((prefix.hashes, prefix.tokens), (whole, 101))

    def test_forms_of_tokens(self):
        want = block_hashes(range(8), 4)
        packed = pack_tokens(range(8))
        for form in (list(range(8)), packed, bytearray(packed), memoryview(packed)):
            self.assertEqual(block_hashes(form, 4), want)
        for code in "IQH":
            self.assertEqual(block_hashes(memoryview(array.array(code, range(8))), 4), want)

    def test_refused(self):
        for tokens in ([-1], [2**32], ["a"], [1.5], b"abc"):
            with self.assertRaises(ValueError):
                pack_tokens(tokens)
        for hashes in ([-1], [2**64], [None]):
            with self.assertRaises(ValueError):
                pack_hashes(hashes)
        for make in (lambda: Prefix(0), lambda: block_hashes([], 0)):
            with self.assertRaises(ValueError):
                make()


class AsTheModule(unittest.TestCase):
    def test_same_hashes(self):
        real_servers.need()
        server = real_servers.Server()
        self.addCleanup(server.stop)
        with Pool(server.url(), "p") as pool:
            for size in (1, 3, 16, 64):
                for salted in ({}, {"lora": "ä"}, {"namespace": "n"}, {"lora": "l", "namespace": "n"}):
                    tokens = [i * 2654435761 % 2**32 for i in range(200)]
                    ours = prefix_hashes(tokens, size, **salted)
                    self.assertEqual(pool.hashes_of(size, Tokens(tokens, **salted)), ours)
            blocks = block_hashes(range(16), 4)
            self.assertEqual(pool.hashes_of(4, Hashes(blocks[1:]), parent=blocks[0]), chain(blocks)[1:])


if __name__ == "__main__":
    unittest.main()
