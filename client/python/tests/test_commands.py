# SPDX-License-Identifier: Apache-2.0
"""Every command against a real server, in both flavours and under both protocols."""

import unittest

import flavours
import kvroute
import real_servers
from kvroute import Cleared, Hashes, Removed, Stored, Tokens, prefix_hashes


def setUpModule():
    global server
    real_servers.need()
    server = real_servers.Server()


def tearDownModule():
    server.stop()


@flavours.both
class Commands(flavours.PoolCase, unittest.TestCase):
    def each(self, **options):
        """Under each protocol a fresh pool of blocks of 4 tokens."""
        for protocol in flavours.PROTOCOLS:
            with self.subTest(protocol=protocol):
                server.command("FLUSHALL")
                pool = self.pool(server.url(f"?protocol={protocol}" if protocol else ""))
                pool.create(blocksize=4, **options)
                yield pool

    def test_pools(self):
        for pool in self.each(lease=60000, stick=1.5):
            info = pool.info()
            self.assertEqual((info.block_size, info.lease, info.stick, info.policy), (4, 60000, 1.5, "delay"))
            with self.assertRaises(kvroute.Exists):
                pool.create()
            with self.assertRaises(kvroute.BadCall):
                pool.alter(blocksize=8)
            pool.alter(policy="linear", transfer=0.5)
            self.assertEqual((pool.info().policy, pool.info().transfer), ("linear", 0.5))
            self.assertEqual(info.hit_rate, 0)
            self.assertRegex(pool.digest(), "^[0-9a-f]{40}$")
            self.assertRegex(pool.digest(learnt=True), "^[0-9a-f]{40}$")

    def test_workers(self):
        for pool in self.each():
            said = dict(addr="http://a", ranks=2, capacity=9, role="decode", speed=0.5, labels=["x=y", "z"])
            self.assertTrue(pool.worker_set("w1", **said))
            self.assertFalse(pool.worker_set("w1", state="draining", drain=60000, ttl=90000))
            self.assertTrue(pool.worker_set("w2"))
            worker = pool.worker_get("w1")
            self.assertEqual((worker.addr, len(worker.ranks), worker.capacity), ("http://a", 2, 9))
            self.assertEqual((worker.role, worker.speed, worker.labels), ("decode", 0.5, ["x=y", "z"]))
            self.assertEqual((worker.state, worker.circuit, worker.ranks[1].rank), ("draining", "closed", 1))
            self.assertTrue(0 < worker.drain_left <= 60000 and 0 < worker.ttl_left <= 90000)
            self.assertEqual([w.worker for w in pool.worker_list()], ["w1", "w2"])
            self.assertEqual([pool.report("w2", False) for _ in range(3)], ["closed", "closed", "open"])
            self.assertEqual(pool.report("w2", True), "closed")
            self.assertTrue(pool.worker_del("w2"))
            self.assertFalse(pool.worker_del("w2"))
            self.assertIsNone(pool.worker_get("w2"))
            with self.assertRaises(kvroute.NoWorker):
                pool.report("w2", True)

    def test_events(self):
        for pool in self.each():
            pool.worker_set("w1")
            hashes = prefix_hashes(range(12), 4)
            self.assertEqual(pool.event("w1", 0, 1, 1, Stored(Tokens(range(8)))), 1)
            self.assertEqual(pool.event("w1", 0, 1, 1, Stored(Tokens(range(8)))), 1)
            tail = Stored(Hashes(hashes[2:]), hashes[1], "host")
            self.assertEqual(pool.event("w1", 0, 1, 2, tail, Removed(hashes[:1])), 2)
            rank = pool.worker_get("w1").ranks[0]
            self.assertEqual((rank.epoch, rank.seq, rank.device_blocks, rank.host_blocks), (1, 2, 1, 1))
            with self.assertRaises(kvroute.Gap) as gap:
                pool.event("w1", 0, 1, 9, Cleared())
            self.assertEqual(gap.exception.expected, 3)
            with self.assertRaises(kvroute.Stale) as stale:
                pool.event("w1", 0, 5, 1, Cleared())
                pool.event("w1", 0, 1, 4, Cleared())
            self.assertEqual(stale.exception.current, 5)
            with self.assertRaises(kvroute.NoParent):
                pool.event("w1", 0, 5, 2, Stored(Hashes([1]), 77))
            pool.event("w1", 0, 5, 2, Stored(Hashes([1, 2])))
            with self.assertRaises(kvroute.BadChain):
                pool.event("w1", 0, 5, 3, Stored(Hashes([2])))
            (run,) = pool.tree()
            self.assertEqual((run.first, run.blocks, run.holders), (f"{1:016x}", 2, ["w1:0 device 2"]))
            self.assertEqual((run.children, pool.tree(start=2, depth=1, count=1)[0].blocks), ([], 1))

    def test_requests(self):
        for pool in self.each():
            for n in 1, 2:
                pool.worker_set(f"w{n}", addr=f"a{n}", labels=[f"n={n}"])
            pool.event("w2", 0, 1, 1, Stored(Tokens(range(8))))
            choice = pool.select("r1", Tokens(range(10)), osl=20, session="s", flow="f", lease=50000)
            self.assertEqual((choice.worker, choice.addr, choice.overlap, choice.blocks), ("w2", "a2", 2, 2))
            self.assertEqual((choice.cached, choice.repeat, choice.prefill_worker), (8, False, ""))
            self.assertIsInstance(choice.cost, float)
            self.assertTrue(pool.select("r1", Tokens(range(10))).repeat)
            live = pool.request_get("r1")
            self.assertEqual((live.isl, live.osl, live.session, live.flow), (10, 20, "s", "f"))
            self.assertEqual((live.service_class, live.prefilled, live.output), ("default", False, 0))
            self.assertTrue(pool.update("r1", prefilled=True, output=5, lease=70000))
            live = pool.request_get("r1")
            self.assertEqual((live.prefilled, live.output), (True, 5))
            self.assertTrue(50000 < live.lease_left <= 70000)
            self.assertFalse(pool.update("nobody"))
            self.assertEqual(pool.request_list(count=1000), (0, ["r1"]))
            session = pool.session_get("s")
            self.assertEqual((session.worker, session.requests), ("w2", 1))
            self.assertEqual(pool.session_list(0, 1000), (0, ["s"]))
            self.assertEqual(pool.session_del("s", "t"), 1)
            self.assertIsNone(pool.session_get("s"))
            only = pool.select("r2", Hashes([]), exclude=["w2"], without_labels=["n=2"], isl=3)
            self.assertEqual(only.worker, "w1")
            with self.assertRaises(kvroute.NoWorker):
                pool.select("r3", Hashes([]), among=[])
            best, other = pool.score(Tokens(range(8)), with_labels=[])
            self.assertEqual((best.worker, best.device, best.room), ("w2", 2, True))
            self.assertLessEqual(best.cost, other.cost)
            self.assertEqual(pool.release("r1", "r2", "r3"), 2)
            self.assertIsNone(pool.request_get("r1"))
            claim = dict(isl=9, cached=4, output=3, prefilled=True, session="u")
            self.assertTrue(pool.claim("r4", "w1", 0, Tokens(range(8)), **claim))
            self.assertFalse(pool.claim("r4", "w1", 0, Tokens(range(8))))
            live = pool.request_get("r4")
            self.assertEqual((live.worker, live.isl, live.cached, live.output), ("w1", 9, 4, 3))

    def test_pairs(self):
        for pool in self.each():
            pool.worker_set("p1", addr="pa", role="prefill")
            pool.worker_set("d1", addr="da", role="decode")
            choice = pool.select("r", Tokens(range(64)), pair=True)
            self.assertEqual((choice.worker, choice.prefill_worker), ("d1", "p1"))
            self.assertEqual((choice.prefill_rank, choice.prefill_addr), (0, "pa"))
            live = pool.request_get("r")
            self.assertEqual((live.prefill_worker, live.prefill_rank), ("p1", 0))
            pool.release("r")
            self.assertTrue(pool.claim("r", "d1", 0, Tokens(range(64)), prefiller=("p1", 0)))
            self.assertEqual(pool.request_get("r").prefill_worker, "p1")

    def test_classes_flows_queue(self):
        for pool in self.each(maxrequests=1):
            pool.worker_set("w1")
            self.assertTrue(pool.class_set("c", priority=3, weight=2.5, waiting=7, room=80))
            self.assertFalse(pool.class_set("c", weight=2))
            kind = {c.name: c for c in pool.class_list()}["c"]
            self.assertEqual((kind.priority, kind.weight, kind.max_waiting, kind.room), (3, 2.0, 7, 80))
            self.assertTrue(pool.flow_set("f", weight=3, requests=4, rate=50, burst=60))
            cursor, flows = pool.flow_list(0, 1000)
            self.assertEqual((cursor, flows[0].flow, flows[0].max_requests, flows[0].left), (0, "f", 4, 60))
            pool.select("r1", Hashes([]))
            server.command(
                "KVROUTE.SELECT", "p", "r2", "IDS", 1, 1, "WAIT", 600000, "CLASS", "c", "FLOW", "f"
            )
            queue = pool.queue(count=1)
            self.assertEqual((queue.waiting, queue.tokens), (1, 1))
            (first,) = queue.first
            self.assertEqual((first.id, first.service_class, first.flow, first.position), ("r2", "c", "f", 0))
            with self.assertRaises(kvroute.BadCall):
                pool.class_del("c")
            self.assertEqual(pool.release("r2"), 1)
            self.assertTrue(pool.class_del("c") and pool.flow_del("f"))
            pool.flow_set("g", rate=1, burst=1)
            pool.alter(maxrequests=0)
            pool.select("r3", Hashes([]), isl=1, flow="g")
            with self.assertRaises(kvroute.Limited) as limited:
                pool.select("r4", Hashes([]), isl=1000, flow="g")
            self.assertGreater(limited.exception.retry_after_ms, 0)

    def test_errors(self):
        for pool in self.each():
            server.command("SET", "s", "x")
            for key, kind in (("nothing", kvroute.NoPool), ("s", kvroute.WrongType)):
                other = self.pool(server.url(), key)
                with self.assertRaises(kind):
                    other.info()
            with self.assertRaises(kvroute.BadCall):
                pool.select("r", Hashes([]), lease=-5)
            server.command("ACL", "SETUSER", "u", "on", ">x", "~*", "+kvroute.info")
            user = self.pool(server.url().replace("//", "//u:x@") + "?name=")
            self.assertEqual(user.info().workers, 0)
            with self.assertRaises(kvroute.Denied):
                user.worker_list()
            wrong = self.pool(server.url().replace("//", "//u:y@") + "?name=")
            with self.assertRaises(kvroute.Denied):
                wrong.info()


if __name__ == "__main__":
    unittest.main()
