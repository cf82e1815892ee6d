# SPDX-License-Identifier: Apache-2.0
"""Both flavours behind one face, so that each test is written once and runs with each."""

import asyncio
import contextlib
import inspect
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import redis  # noqa: E402

from kvroute import AsyncPool, Pool  # noqa: E402

# RESP3 came with redis-py 5.
PROTOCOLS = (2, 3) if int(redis.__version__.split(".")[0]) >= 5 else (0,)


class Blocking:
    name = "blocking"

    def open(self, url, key, **options):
        return Pool(url, key, **options)

    def stop(self):
        pass


class Asyncio:
    """An event loop in a thread; coroutines are run there, and their results waited for."""

    name = "asyncio"

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def open(self, url, key, **options):
        async def make():
            return AsyncPool(url, key, **options)

        return Outside(self, self.run(make()))

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Outside:
    """A pool, or a request of it, seen from outside its loop."""

    def __init__(self, flavour, inner):
        self._flavour, self._inner = flavour, inner

    def __getattr__(self, name):
        got = getattr(self._inner, name)
        if not callable(got) or name == "stats":
            return got

        def call(*args, **kwargs):
            if inspect.iscoroutinefunction(got):
                return self._flavour.run(got(*args, **kwargs))

            async def inside():
                return got(*args, **kwargs)

            return self._flavour.run(inside())

        return call

    def close(self):
        self._flavour.run(self._inner.aclose())

    @contextlib.contextmanager
    def request(self, *args, **kwargs):
        context = self._inner.request(*args, **kwargs)
        entered = Outside(self._flavour, self._flavour.run(context.__aenter__()))
        try:
            yield entered
        finally:
            self._flavour.run(context.__aexit__(None, None, None))


def both(case):
    """Makes of a TestCase two: `flavour` is set in each."""
    made = []
    for kind in (Blocking, Asyncio):
        name = case.__name__ + kind.name.capitalize()
        made.append(type(name, (case,), {"kind": kind, "__module__": case.__module__}))
    module = sys.modules[case.__module__]
    for one in made:
        setattr(module, one.__name__, one)
    return None


class PoolCase:
    """For TestCases under @both: self.pool(url, key, …) is closed with the test."""

    def setUp(self):
        super().setUp()
        self.flavour = self.kind()
        self.addCleanup(self.flavour.stop)

    def pool(self, url, key="p", **options):
        pool = self.flavour.open(url, key, **options)
        self.addCleanup(pool.close)
        return pool
