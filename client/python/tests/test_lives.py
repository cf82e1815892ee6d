# SPDX-License-Identifier: Apache-2.0
"""A request's life: it is renewed, told of, booked back after a loss, and released in the end."""

import threading
import unittest

import flavours
import kvroute
import real_servers
from kvroute import Hashes, Tokens
from real_servers import eventually


def setUpModule():
    real_servers.need()


@flavours.both
class Lives(flavours.PoolCase, unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.server = real_servers.Server()
        self.addCleanup(self.server.stop)

    def open(self, settings="", **options):
        pool = self.pool(self.server.url(settings), create={"blocksize": 4}, **options)
        pool.worker_set("w1", addr="a1")
        return pool

    def test_from_booking_to_release(self):
        pool = self.open()
        with pool.request(Tokens(range(10)), id="r", osl=7, session="s") as request:
            self.assertEqual((request.id, request.addr, request.worker, request.rank), ("r", "a1", "w1", 0))
            self.assertTrue(pool.request_get("r"))
            request.prefilled()
            eventually(lambda: pool.request_get("r").prefilled)
            request.progress(3)
            request.progress(2)  # a total never goes back
            self.assertTrue(pool.flush())
            self.assertEqual(pool.request_get("r").output, 3)
            request.progress(9)
        self.assertTrue(pool.flush())
        self.assertIsNone(pool.request_get("r"))
        # The pool has learnt from what was told, all of it before the release.
        self.assertGreater(pool.worker_get("w1").ranks[0].tpot, 0)

    def test_error_in_the_block_releases(self):
        pool = self.open()
        with self.assertRaises(ZeroDivisionError):
            with pool.request(Hashes([])) as request:
                id = request.id
                raise ZeroDivisionError
        self.assertTrue(pool.flush())
        self.assertIsNone(pool.request_get(id))

    def test_lease_is_renewed(self):
        pool = self.open()
        with pool.request(Hashes([]), id="r", lease=2000):
            first = pool.request_get("r")
            # By its age more than two leases have gone by.
            eventually(lambda: pool.request_get("r").age > 4500, AttributeError)
            self.assertLessEqual(first.lease_left, 2000)
        pool.flush()
        self.assertIsNone(pool.request_get("r"))

    def test_short_lease_of_the_pool(self):
        pool = self.open()
        pool.alter(lease=1000)
        with pool.request(Hashes([]), id="r"):
            pool.flush()
            eventually(lambda: pool.request_get("r").age > 2500, AttributeError)

    def test_lost_request_is_booked_back(self):
        pool = self.open(renew=0.2)
        pool.class_set("c")
        with pool.request(
            Tokens(range(9)), id="r", isl=9, osl=5, session="s", service_class="c", flow="f"
        ) as request:
            request.prefilled()
            request.progress(6)
            pool.flush()
            was = pool.request_get("r")
            pool.release("r")
            pool.class_del("c")  # it is booked without, then
            now = eventually(lambda: pool.request_get("r"))
        same = ("worker", "rank", "isl", "cached", "output", "prefilled", "osl", "session", "flow", "blocks")
        self.assertEqual([getattr(was, f) for f in same], [getattr(now, f) for f in same])
        self.assertEqual((was.service_class, now.service_class), ("c", "default"))
        self.assertGreaterEqual(pool.stats.repaired, 1)

    def test_pair_is_booked_back(self):
        pool = self.open(renew=0.2)
        pool.worker_set("p1", role="prefill")
        pool.worker_set("w1", role="decode")
        with pool.request(Tokens(range(64)), id="r", pair=True) as request:
            self.assertEqual(request.choice.prefill_worker, "p1")
            pool.release("r")
            self.assertEqual(eventually(lambda: pool.request_get("r")).prefill_worker, "p1")

    def test_server_that_comes_back_empty(self):
        pool = self.open(renew=3600)  # it is the other history that shows it
        with pool.request(Tokens(range(8)), id="ended"):
            pass
        with pool.request(Tokens(range(8)), id="live"):
            self.assertTrue(pool.flush())
            self.server.kill()
            self.assertTrue(self.server.start())
            # Its worker comes back later than it.
            eventually(lambda: pool.info().workers == 0)
            pool.worker_set("w1", addr="a1")
            self.assertEqual(eventually(lambda: pool.request_get("live")).worker, "w1")
            self.assertEqual(pool.info().block_size, 4)
            eventually(lambda: pool.stats.repaired == 1)
            self.assertEqual(pool.stats.losses, 1)
        self.assertTrue(pool.flush())
        self.assertEqual(pool.info().requests, 0)

    def test_stream_goes_on_without_redis(self):
        pool = self.open("?deadline=300")
        with pool.request(Hashes([]), id="r") as request:
            self.server.kill()
            for n in range(1000):  # nothing here asks the server
                request.prefilled()
                request.progress(n)
        with self.assertRaises(kvroute.Unavailable):
            pool.select("x", Hashes([]))
        self.assertFalse(pool.flush(0.1))
        self.assertTrue(self.server.start())
        self.assertTrue(pool.flush(real_servers.PATIENCE))
        self.assertEqual(pool.info().requests, 0)

    def test_many_at_once(self):
        pool = self.open(max_connections=4)

        def one(i):
            with pool.request(Tokens(range(i)), id=f"r{i}") as request:
                request.prefilled()
                request.progress(i)

        threads = [threading.Thread(target=one, args=(i,)) for i in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertTrue(pool.flush(real_servers.PATIENCE))
        info = pool.info()
        self.assertEqual((info.requests, info.selects, info.expired_requests), (0, 200, 0))


@flavours.both
class LostAnswers(flavours.PoolCase, unittest.TestCase):
    """The command arrives, its answer doesn't: it is asked again, and nothing is done twice."""

    def setUp(self):
        super().setUp()
        self.server = real_servers.Server()
        self.addCleanup(self.server.stop)
        self.thief = real_servers.Thief(self.server)
        self.addCleanup(self.thief.stop)
        self.direct = self.pool(self.server.url())
        self.direct.create(blocksize=4)
        for n in 1, 2:
            self.direct.worker_set(f"w{n}")

    def test_select(self):
        pool = self.pool(self.thief.url())
        pool.info()
        self.thief.steal = b"KVROUTE.SELECT"
        choice = pool.select("r", Hashes([]))
        self.assertEqual((self.thief.stolen, choice.repeat), (1, True))
        info = self.direct.info()
        self.assertEqual((info.requests, info.selects, info.repeats), (1, 1, 1))
        self.assertEqual(self.direct.request_get("r").worker, choice.worker)

    def test_event(self):
        pool = self.pool(self.thief.url())
        pool.info()
        self.thief.steal = b"KVROUTE.EVENT"
        self.assertEqual(pool.event("w1", 0, 1, 1, kvroute.Stored(Hashes([1, 2]))), 1)
        self.assertEqual((self.thief.stolen, self.direct.info().events), (1, 1))

    def test_release(self):
        pool = self.pool(self.thief.url())
        self.thief.steal = b"KVROUTE.RELEASE"
        with pool.request(Hashes([])) as request:
            request.progress(3)
        self.assertTrue(pool.flush())
        self.assertEqual((self.thief.stolen, self.direct.info().requests), (1, 0))

    def test_given_up_select_is_released(self):
        pool = self.pool(self.thief.url("?deadline=100"))
        pool.info()
        self.thief.steal = b"KVROUTE.SELECT"
        stopped = threading.Event()

        def steal_all():
            while not stopped.is_set():
                self.thief.steal = b"KVROUTE.SELECT"

        thread = threading.Thread(target=steal_all)
        thread.start()
        try:
            with self.assertRaises(kvroute.Unavailable):
                pool.select("r", Hashes([]))
        finally:
            stopped.set()
            thread.join()
            self.thief.steal = None
        eventually(lambda: self.direct.info().requests == 0)
        self.assertEqual(self.direct.info().selects, 1)


if __name__ == "__main__":
    unittest.main()
