# SPDX-License-Identifier: Apache-2.0
"""Real servers for tests: redis-server with the module, alone, under Sentinels or as a cluster. All on
127.0.0.1, on ports that were free, in temporary folders; they end with the test, or with its process."""

import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import redis

TOP = pathlib.Path(__file__).resolve().parents[3]
MODULE = os.environ.get("KVROUTE_MODULE", str(TOP / "build/module/kvroute.so"))
PROGRAM = os.environ.get("REDIS_SERVER") or shutil.which("redis-server")
PATIENCE = 60  # s until something is taken never to happen; slow machines are slow
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def need():
    if not PROGRAM:
        raise unittest.SkipTest("no redis-server")
    if not os.path.exists(MODULE):
        raise unittest.SkipTest(f"no module at {MODULE}: build the target kvroute first")


def eventually(what, *expected_errors):
    """Waits until what() is true, and returns that."""
    end = time.monotonic() + PATIENCE
    while True:
        error = None
        try:
            got = what()
            if got:
                return got
        except expected_errors as raised:
            error = raised
        if time.monotonic() > end:
            raise AssertionError(f"it never came to be: {what}") from error
        time.sleep(0.05)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, *options, sentinel=""):
        self.folder = tempfile.mkdtemp(prefix="kvroute-python-")
        self.options, self.sentinel = options, sentinel
        self.process = None
        for _ in range(5):  # another program may be faster to take the port
            self.port = free_port()
            if self.start():
                return
        log = pathlib.Path(self.folder, "log").read_text()
        self.stop()
        raise AssertionError(f"redis-server doesn't start:\n{log}")

    def start(self):
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder]
        arguments += ["--logfile", os.path.join(self.folder, "log"), "--save", ""]
        if self.sentinel:
            conf = pathlib.Path(self.folder, "sentinel.conf")
            conf.write_text(self.sentinel)
            command = [PROGRAM, str(conf), "--sentinel", *arguments[:-2]]
        else:
            command = [PROGRAM, *arguments, "--loadmodule", MODULE, *self.options]
        if "--cluster-enabled" in self.options:
            command += ["--cluster-port", str(free_port())]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
        )
        while self.process.poll() is None:
            try:
                # Whoever answers on the port may be somebody else's.
                return self.client().info("server")["process_id"] == self.process.pid
            except redis.ConnectionError:
                time.sleep(0.02)
            except redis.TimeoutError:
                pass
        return False

    def client(self):
        return redis.Redis(port=self.port, socket_timeout=5)

    def command(self, *words):
        with self.client() as client:
            return client.execute_command(*words)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, settings=""):
        return f"redis://127.0.0.1:{self.port}{settings}"


class Sentinels:
    """A primary, a replica, and three Sentinels that see the primary's end in half a second."""

    def __init__(self):
        self.servers = []
        try:
            primary = self.add(Server())
            replica = self.add(Server("--replicaof", "127.0.0.1", str(primary.port)))
            eventually(lambda: replica.client().info("replication")["master_link_status"] == "up")
            conf = (
                f"sentinel monitor main 127.0.0.1 {primary.port} 2\n"
                "sentinel down-after-milliseconds main 500\n"
                "sentinel failover-timeout main 3000\n"
            )
            self.sentinels = [self.add(Server(sentinel=conf)) for _ in range(3)]
            self.primary, self.replica = primary, replica
            for sentinel in self.sentinels:
                eventually(lambda: self._knows_all(sentinel), redis.RedisError)
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def _knows_all(sentinel):
        state = sentinel.command("SENTINEL", "MASTER", "main")
        if not isinstance(state, dict):
            state = dict(zip(state[::2], state[1::2]))
        told = {
            (k.decode() if isinstance(k, bytes) else k): int(v)
            for k, v in state.items()
            if k in (b"num-slaves", b"num-other-sentinels", "num-slaves", "num-other-sentinels")
        }
        return told == {"num-slaves": 1, "num-other-sentinels": 2}

    def add(self, server):
        self.servers.append(server)
        return server

    def url(self, settings=""):
        hosts = ",".join(f"127.0.0.1:{s.port}" for s in self.sentinels)
        return f"sentinel://{hosts}/main{settings}"

    def stop(self):
        for server in reversed(self.servers):
            server.stop()


class Cluster:
    """Three primaries, and a replica of the one that has `key`."""

    def __init__(self, key):
        self.servers = []
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
        try:
            for _ in range(4):
                self.servers.append(Server(*options))
            self._join()
            self.replica, self.owner = self.servers[3], self._owner(key)
            self._follow()
        except BaseException:
            self.stop()
            raise

    def _join(self):
        bounds = [0, 5461, 10923, 16384]
        for i, server in enumerate(self.servers[:3]):
            server.command("CLUSTER", "ADDSLOTSRANGE", bounds[i], bounds[i + 1] - 1)
            server.command("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        for server in self.servers[1:]:
            bus = server.command("CONFIG", "GET", "cluster-port")
            bus = int(list(bus.values())[0] if isinstance(bus, dict) else bus[1])
            self.servers[0].command("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        for server in self.servers:
            eventually(lambda: self._sees(server, 4))

    @staticmethod
    def _sees(server, n):
        got = server.command("CLUSTER", "INFO")
        if not isinstance(got, dict):
            got = dict(line.split(":") for line in got.decode().split())
        return got["cluster_state"] == "ok" and int(got["cluster_known_nodes"]) == n

    def _owner(self, key):
        slot = self.servers[0].command("CLUSTER", "KEYSLOT", key)
        return self.servers[min(2, slot // 5461)]

    def _follow(self):
        id = self.owner.command("CLUSTER", "MYID")
        eventually(lambda: self.replica.command("CLUSTER", "REPLICATE", id), redis.ResponseError)
        eventually(
            lambda: self.replica.client().info("replication").get("master_link_status") == "up"
        )

    def url(self, settings=""):
        hosts = ",".join(f"127.0.0.1:{s.port}" for s in self.servers[:3])
        return f"cluster://{hosts}{settings}"

    def stop(self):
        for server in reversed(self.servers):
            server.stop()


class Thief:
    """Stands before a server and can keep an answer to itself: the command arrives, and its caller loses
    the connection instead of hearing so."""

    def __init__(self, server):
        self.server, self.steal = server, None  # a word; the answer to a command that has it is kept
        self.stolen = 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, settings=""):
        return f"redis://127.0.0.1:{self.port}{settings}"

    def _accept(self):
        while True:
            try:
                ours, _ = self.listening.accept()
            except OSError:
                return
            theirs = socket.create_connection(("127.0.0.1", self.server.port))
            state = {"steal": False}
            for args in ((ours, theirs, True), (theirs, ours, False)):
                threading.Thread(target=self._pass, args=(*args, state), daemon=True).start()

    def _pass(self, source, to, asking, state):
        with source, to:
            while True:
                try:
                    data = source.recv(65536)
                    if not data:
                        break
                    if asking and self.steal and self.steal in data:
                        self.steal, state["steal"] = None, True
                    if not asking and state["steal"]:
                        self.stolen += 1
                        break
                    to.sendall(data)
                except OSError:
                    break
            for end in (source, to):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def stop(self):
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
