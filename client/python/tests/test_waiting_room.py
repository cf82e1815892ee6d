# SPDX-License-Identifier: Apache-2.0
"""Waiting for room in the pool's queue."""

import asyncio
import threading
import unittest

import flavours
import kvroute
import real_servers
from kvroute import AsyncPool, Hashes
from real_servers import eventually


def setUpModule():
    global server
    real_servers.need()
    server = real_servers.Server()


def tearDownModule():
    server.stop()


LONG = 600000  # ms


@flavours.both
class WaitingRoom(flavours.PoolCase, unittest.TestCase):
    def setUp(self):
        super().setUp()
        server.command("FLUSHALL")
        self.direct = self.pool(server.url())
        self.direct.create(maxrequests=1)
        self.direct.worker_set("w1")
        self.direct.select("first", Hashes([]))

    def in_thread(self, call):
        got = []

        def run():
            try:
                got.append(call())
            except kvroute.KvrouteError as error:
                got.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        return lambda: (thread.join(), got[0])[1]

    def waiting(self, n):
        eventually(lambda: self.direct.queue().waiting == n)

    def test_is_admitted(self):
        pool = self.pool(server.url())
        results = []
        for n in range(3):
            ask = lambda n=n: pool.select(f"r{n}", Hashes([]), wait=LONG)  # noqa: E731
            results.append(self.in_thread(ask))
            self.waiting(n + 1)
        self.direct.release("first")
        for n, result in enumerate(results):  # in the order in which they came
            choice = result()
            self.assertEqual(choice.worker, "w1")
            self.assertEqual(self.direct.request_list(0, 1000)[1], [f"r{n}"])
            self.direct.release(f"r{n}")
        self.assertEqual(self.direct.info().admitted, 3)

    def test_wait_is_over(self):
        pool = self.pool(server.url())
        with self.assertRaises(kvroute.NoRoom) as error:
            pool.select("r", Hashes([]), wait=50)
        self.assertGreater(error.exception.retry_after_ms, 0)
        self.waiting(0)
        self.assertEqual(self.direct.info().requests, 1)

    def test_queue_is_lost(self):
        pool = self.pool(server.url())
        result = self.in_thread(lambda: pool.select("r", Hashes([]), wait=LONG))
        self.waiting(1)
        self.direct.release("r")  # as a failover may
        self.waiting(1)
        self.direct.release("first")
        self.assertEqual(result().worker, "w1")

    def test_without_the_right_to_publish(self):
        server.command(
            "ACL", "SETUSER", "mute", "on", ">x", "~*", "+@all", "resetchannels"
        )
        pool = self.pool(server.url().replace("//", "//mute:x@"))
        result = self.in_thread(lambda: pool.select("r", Hashes([]), wait=LONG))
        self.waiting(1)
        self.direct.release("first")
        self.assertEqual(result().worker, "w1")

    def test_in_a_request(self):
        pool = self.pool(server.url())
        with self.assertRaises(kvroute.NoRoom):
            with pool.request(Hashes([])):
                pass
        self.direct.release("first")
        with pool.request(Hashes([]), wait=LONG, service_class="default") as request:
            self.assertEqual(request.worker, "w1")

    def test_closing_ends_it(self):
        pool = self.pool(server.url())
        result = self.in_thread(lambda: pool.select("r", Hashes([]), wait=LONG))
        self.waiting(1)
        self.direct.release("r")
        pool.close()
        self.assertIsInstance(result(), kvroute.Closed)


class DeafSubscription:
    """Swallows a cancellation, as redis-py before 5 does with one that comes with the end of a wait."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        return getattr(self._inner, name)

    async def get_message(self, timeout):
        try:
            return await self._inner.get_message(timeout=timeout)
        except asyncio.CancelledError:
            return None


class DeafPool(AsyncPool):
    async def subscription(self):
        return DeafSubscription(await super().subscription())


class Cancelled(unittest.TestCase):
    def test_closing_ends_a_deaf_listener(self):
        server.command("FLUSHALL")

        async def story():
            pool = DeafPool(server.url(), "p", create={"maxrequests": 1})
            await pool.worker_set("w1")
            await pool.select("first", Hashes([]))
            waits = asyncio.ensure_future(pool.select("r", Hashes([]), wait=LONG))
            while (await pool.queue()).waiting < 1:
                await asyncio.sleep(0.01)
            await asyncio.wait_for(pool.aclose(), 30)
            with self.assertRaises(kvroute.Closed):
                await waits

        asyncio.run(story())

    def test_leaves_nobody_waiting(self):
        server.command("FLUSHALL")

        async def story():
            async with AsyncPool(server.url(), "p", create={"maxrequests": 1}) as pool:
                await pool.worker_set("w1")
                async with pool.request(Hashes([])):
                    tasks = [
                        asyncio.ensure_future(pool.select(f"r{n}", Hashes([]), wait=LONG))
                        for n in range(20)
                    ]
                    while (await pool.queue()).waiting < 20:
                        await asyncio.sleep(0.01)
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
                    self.assertTrue(await pool.flush())
                    self.assertEqual((await pool.queue()).waiting, 0)
                self.assertTrue(await pool.flush())
                self.assertEqual((await pool.info()).requests, 0)

        asyncio.run(story())


if __name__ == "__main__":
    unittest.main()
