# SPDX-License-Identifier: Apache-2.0
"""Failovers of real servers: Sentinels promote a replica, and so does a cluster, while requests live."""

import threading
import time
import unittest

import flavours
import kvroute
import real_servers
from kvroute import Hashes, Tokens
from real_servers import eventually


def setUpModule():
    real_servers.need()


class Story:
    """What happens in each deployment. Nobody who asks gets an error, and the pool has in the end what lives."""

    def fail_over(self, url, kill, promoted):
        pool = self.pool(url + "?deadline=60000&timeout=500", renew=1.0)
        pool.create(blocksize=4)
        for n in 1, 2:
            pool.worker_set(f"w{n}", addr=f"a{n}")
        errors, asked, stop = [], [], threading.Event()

        def ask():
            while not stop.is_set():
                try:
                    with pool.request(Tokens(range(8))) as request:
                        request.prefilled()
                        asked.append(request.worker)
                except Exception as error:  # noqa: BLE001: whatever it is, the test fails by it
                    errors.append(error)
                time.sleep(0.01)

        with pool.request(Tokens(range(8)), id="live") as live:
            live.progress(5)
            self.assertTrue(pool.flush())
            thread = threading.Thread(target=ask)
            thread.start()
            self.addCleanup(lambda: (stop.set(), thread.join()))
            eventually(lambda: len(asked) > 5)
            kill()
            eventually(promoted)
            # What the replica hadn't heard of, as if: it has lost the booking.
            pool.release("live")
            before = len(asked)
            eventually(lambda: len(asked) > before + 5)
            got = eventually(lambda: pool.request_get("live"))
            self.assertEqual((got.worker, got.output), (live.worker, 5))
            stop.set()
            thread.join()
        self.assertEqual(errors, [])
        self.assertGreaterEqual(pool.stats.losses, 1)
        self.assertTrue(pool.flush(real_servers.PATIENCE))
        self.assertEqual(pool.info().requests, 0)

    def wait_through(self, url, kill, promoted, direct):
        """One waits while the primary goes, and is admitted by the next."""
        pool = self.pool(url + "?deadline=60000&timeout=500", key="p")
        pool.create(maxrequests=1)
        pool.worker_set("w1")
        got = []
        with pool.request(Hashes([]), id="first"):
            thread = threading.Thread(
                target=lambda: got.append(pool.select("second", Hashes([]), wait=600000))
            )
            thread.start()
            eventually(lambda: pool.queue().waiting == 1)
            eventually(lambda: direct(b"KVROUTE.QUEUE"))
            kill()
            eventually(promoted)
            eventually(lambda: pool.queue().waiting == 1 and pool.request_get("first"))
        thread.join()
        self.assertEqual(got[0].worker, "w1")
        self.assertEqual(pool.release("second"), 1)


@flavours.both
class UnderSentinels(Story, flavours.PoolCase, unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.fleet = real_servers.Sentinels()
        self.addCleanup(self.fleet.stop)

    def promoted(self):
        return self.fleet.replica.client().info("replication")["role"] == "master"

    def test_failover(self):
        self.fail_over(self.fleet.url(), self.fleet.primary.kill, self.promoted)

    def test_waiting(self):
        def replicated(_):
            return self.fleet.replica.command("KVROUTE.INFO", "p") and self.fleet.replica.client()

        self.wait_through(self.fleet.url(), self.fleet.primary.kill, self.promoted, replicated)

    def test_primary_that_isnt_one_any_more(self):
        """It lives on as a replica: whoever holds a connection to it is refused, and finds the new one."""
        pool = self.pool(self.fleet.url("?deadline=60000"))
        pool.create()
        pool.worker_set("w1")
        with pool.request(Hashes([]), id="r"):
            pool.flush()
            eventually(
                lambda: self.fleet.sentinels[0].command("SENTINEL", "FAILOVER", "main"),
                kvroute.refusals.theirs.ResponseError,
            )
            # Until it is told so it takes what the new primary will never hear of.
            old = self.fleet.primary
            eventually(lambda: old.client().info("replication")["role"] == "slave")
            self.assertTrue(pool.select("r2", Hashes([])))
            self.assertTrue(eventually(lambda: pool.request_get("r")))
            self.assertTrue(self.fleet.replica.command("KVROUTE.REQUEST", "GET", "p", "r2"))


@flavours.both
class InACluster(Story, flavours.PoolCase, unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.fleet = real_servers.Cluster("p")
        self.addCleanup(self.fleet.stop)

    def promoted(self):
        return self.fleet.replica.client().info("replication")["role"] == "master"

    def test_failover(self):
        self.fail_over(self.fleet.url(), self.fleet.owner.kill, self.promoted)

    def test_waiting(self):
        def replicated(_):
            link = self.fleet.owner.client().info("replication")
            return link["slave0"]["offset"] == link["master_repl_offset"]

        self.wait_through(self.fleet.url(), self.fleet.owner.kill, self.promoted, replicated)

    def test_every_kind_of_command(self):
        pool = self.pool(self.fleet.url())
        pool.create(blocksize=4)
        self.assertTrue(pool.worker_set("w1"))
        self.assertEqual(pool.event("w1", 0, 1, 1, kvroute.Stored(Tokens(range(8)))), 1)
        self.assertEqual(pool.select("r", Tokens(range(8)), session="s").overlap, 2)
        self.assertEqual(pool.session_get("s").worker, "w1")
        self.assertEqual(pool.request_list(0, 1000), (0, ["r"]))
        self.assertTrue(pool.class_set("c") and pool.flow_set("f"))
        self.assertEqual((len(pool.class_list()), len(pool.tree())), (2, 1))
        self.assertEqual(len(pool.hashes_of(4, Tokens(range(8)))), 2)
        self.assertTrue(pool.update("r", output=2))
        self.assertEqual(pool.release("r"), 1)


if __name__ == "__main__":
    unittest.main()
