# SPDX-License-Identifier: Apache-2.0
"""The examples, run as they are: mock engines behind a real server. Skipped where what they need isn't there."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import unittest
import urllib.request

import flavours  # noqa: F401: finds the package
import real_servers
from kvroute import Pool
from real_servers import TOP, eventually

HERE = pathlib.Path(__file__).resolve().parent
MOCK = os.environ.get("KVROUTE_MOCK", str(TOP / "build/tests/kvroute-mock-engine"))


class Examples(unittest.TestCase):
    def setUp(self):
        real_servers.need()
        if not os.path.exists(MOCK):
            self.skipTest(f"no mock engine at {MOCK}")
        self.server = real_servers.Server()
        self.addCleanup(self.server.stop)
        self.pool = Pool(self.server.url(), "pool", create={"blocksize": 16})
        self.addCleanup(self.pool.close)
        self.engines = {}
        for name in "w1", "w2":
            engine = self.run_program([MOCK, "--time-scale", "0"], stdout=subprocess.PIPE)
            self.addCleanup(engine.stdout.close)
            self.engines[name] = json.loads(engine.stdout.readline())["http"]
            self.pool.worker_set(name, addr=self.engines[name])

    def run_program(self, command, **options):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)

        def end():
            process.terminate()
            process.wait()

        self.addCleanup(end)
        return process

    def needs(self, *modules):
        for module in modules:
            if importlib.util.find_spec(module) is None:
                self.skipTest(f"no {module}")

    def test_fastapi_frontend(self):
        self.needs("fastapi", "httpx", "uvicorn")
        port = real_servers.free_port()
        python = os.pathsep.join([str(HERE.parent), str(HERE.parent / "examples")])
        self.run_program(
            [sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "warning",
             "fastapi_frontend:app"],
            env={**os.environ, "PYTHONPATH": python, "KVROUTE_URL": self.server.url(),
                 "KVROUTE_POOL": "pool"},
        )  # fmt: skip
        body = json.dumps({"model": "mock", "prompt": "one two " * 40, "max_tokens": 5}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/completions", body, {"Content-Type": "application/json"}
        )
        answer = eventually(lambda: urllib.request.urlopen(request, timeout=30), OSError)
        with answer:
            self.assertIn(answer.headers["X-Engine"], self.engines.values())
            lines = [line for line in answer.read().decode().splitlines() if line]
        self.assertEqual(lines[-1], "data: [DONE]")
        self.assertGreaterEqual(len(lines), 6)
        eventually(lambda: self.pool.info().requests == 0)
        info = self.pool.info()
        self.assertEqual((info.selects, info.select_blocks), (1, 5))

    def test_litellm_strategy(self):
        self.needs("litellm", "httpx")
        told = subprocess.run(
            [sys.executable, "-W", "ignore", str(HERE / "litellm_caller.py"), self.server.url(), *self.engines.values()],
            env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True,
        ).stdout  # fmt: skip
        self.assertEqual(told.split()[-3:], ["2", "answers", "stopped"])
        info = self.pool.info()
        self.assertEqual((info.selects, info.requests), (3, 0))


if __name__ == "__main__":
    unittest.main()
