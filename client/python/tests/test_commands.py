# SPDX-License-Identifier: Apache-2.0
"""Every command against a real server, in both flavours and under both protocols."""

import dataclasses
import inspect
import json
import re
import unittest
from unittest import mock

import flavours
import kvroute
import real_servers
from kvroute import (
    AsyncPool, Cleared, ExplainedCandidate, Explanation, Hashes, Pool, Removed, Stored, Tokens,
    call_words, prefix_hashes, reply_decode,
)  # fmt: skip


def setUpModule():
    global server
    real_servers.need()
    server = real_servers.Server()
    unittest.addModuleCleanup(server.stop)
    strict = mock.patch.object(reply_decode, "one", knows_every_field(reply_decode.one))
    unittest.addModuleCleanup(strict.stop)
    strict.start()


def knows_every_field(one):
    """Decoders pass over what they don't know; in these tests they don't."""

    def strict(kind):
        decode = one(kind)
        known = {item.metadata.get("name", item.name) for item in dataclasses.fields(kind)}

        def check(raw):
            unknown = set(reply_decode.fields(raw)) - known
            assert not unknown, f"{kind.__name__} lacks {unknown}"
            return decode(raw)

        return check

    return strict


class Complete(unittest.TestCase):
    """What the server's table of commands has, the package has."""

    METHODS = {"hash": "hashes_of"}
    KEYWORDS = {
        "CLASS": {"service_class"}, "WITH": {"with_labels"}, "WITHOUT": {"without_labels"},
        "FROM": {"start", "parent"},
    }  # fmt: skip
    NOT_FOR_CLIENTS = re.compile("for replication only|for a rewritten AOF only|^Lists the")

    def test_commands_and_options(self):
        commands = list(self.commands())
        self.assertGreater(len(commands), 30)
        for name, options in commands:
            method = self.METHODS.get(name, name.replace("|", "_"))
            for pool in Pool, AsyncPool:
                with self.subTest(command=name, pool=pool.__name__):
                    self.assertTrue(hasattr(pool, method), "no such method")
                    known = self.keywords(getattr(pool, method))
                    missing = [o for o in options if not self.KEYWORDS.get(o, {o.lower()}) & known]
                    self.assertEqual(missing, ["BLOCK"] if method == "select" else [])

    def commands(self):
        listed = server.command("COMMAND LIST", "FILTERBY", "MODULE", "kvroute")
        parents = {name.split("|")[0] for name in reply_decode.texts(listed)}
        return self.described(server.command("COMMAND DOCS", *sorted(parents)))

    def described(self, docs):
        for name, raw in reply_decode.fields(docs).items():
            doc = reply_decode.fields(raw)
            if "subcommands" in doc:
                yield from self.described(doc["subcommands"])
            elif not self.is_internal(doc):
                yield name[len("kvroute.") :], list(self.options(doc))

    def options(self, doc):
        for raw in doc.get("arguments", ()):
            argument = reply_decode.fields(raw)
            if "optional" in reply_decode.texts(argument.get("flags", ())):
                # Of a list the word is that of its count.
                first = reply_decode.fields(argument.get("arguments", (raw,))[0])
                if not self.is_internal(argument):
                    names = (argument.get("token"), first.get("token"), argument["name"])
                    yield reply_decode.text(next(filter(None, names)))

    def is_internal(self, doc):
        return self.NOT_FOR_CLIENTS.search(reply_decode.text(doc.get("summary", "")))

    @staticmethod
    def keywords(method):
        known = set()
        for parameter in inspect.signature(method).parameters.values():
            known.add(parameter.name)
            if parameter.kind is parameter.VAR_KEYWORD:
                options = re.fullmatch(r"Unpack\[(?:call_words\.)?(\w+)\]", parameter.annotation)
                known.update(getattr(call_words, options.group(1)).__annotations__)
        return known


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
            waits = server.command(
                "KVROUTE.SELECT", "p", "r2", "IDS", 1, 1, "WAIT", 600000, "CLASS", "c", "FLOW", "f"
            )
            # The class says what the first of these says.
            told = {"waiting", *(item.name for item in dataclasses.fields(kvroute.Waiting))}
            self.assertEqual(set(reply_decode.fields(waits)), told)
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

    def test_explain(self):
        for pool in self.each(stick=10):
            for name in "abcd":
                pool.worker_set(name, addr=f"at-{name}", capacity=10)
            pool.worker_set("d", state="draining")
            pool.claim("r", "a", 0, Tokens(range(8)), session="s")
            first, second, _ = prefix_hashes(range(12), 4)
            pool.event(
                "c", 0, 1, 1, Stored(Tokens(range(4))), Stored(Tokens(range(4, 8)), first, "host"),
                Stored(Tokens(range(8, 12)), second, "disk"),
            )  # fmt: skip
            terms = dict.fromkeys(("queue", "own", "decoding", "later", "evicted", "output", "requests"), 0)
            empty = ExplainedCandidate(
                worker="b", rank=0, place=0, reason="excluded", cost=48, chance=0, booked=0,
                terms={**terms, "own": 48}, sum=48, overlap=0, device=0, host=0, disk=0, expected=0,
                cached=0, credit=0, live=0, known=0, own=12, requests=0, prefill_tokens=0, queue=0,
                decode_blocks=0, pace=1, full=0, ttft=-1, tpot=-1,
            )  # fmt: skip
            best = dataclasses.replace(
                empty, worker="c", place=1, reason="", cost=16, chance=1, terms={**terms, "own": 16}, sum=16,
                overlap=3, device=1, host=1, disk=1, expected=3, cached=12, credit=2, known=8, own=4, full=0.1,
            )  # fmt: skip
            # The example of docs/choosing.md.
            busy = dataclasses.replace(
                empty, worker="a", place=2, reason="", cost=128, booked=1,
                terms={**terms, "queue": 32, "own": 16, "decoding": 1, "output": 80}, sum=129, expected=2,
                cached=8, live=2, known=8, own=4, requests=1, prefill_tokens=8, queue=8, decode_blocks=2,
            )  # fmt: skip
            want = Explanation(
                result="OK", by="cost", retry=0, worker="c", rank=0, addr="at-c", overlap=3, expected=3,
                cached=12, cost=16, ttft=-1, tpot=-1, policy="delay", overlap_weight=1, prefill_weight=1,
                requests_weight=0, temperature=0, isl=12, osl=320, first_weight=16, arrivals=0, reuse=0,
                session_worker="a", session_rank=0, session_allowance=40, instances=4, places=2,
                candidates=[best, busy, empty, dataclasses.replace(empty, worker="d", reason="draining")],
            )  # fmt: skip
            asked = dict(exclude=["b"], session="s")
            got = pool.explain(Tokens(range(12)), **asked)
            self.assertEqual(got, want)
            self.assertEqual(pool.info().requests, 1)
            choice = pool.select("q", Tokens(range(12)), **asked)
            for name in "worker rank addr overlap expected cached cost ttft tpot".split():
                self.assertEqual(getattr(choice, name), getattr(got, name), name)

    def test_explain_by_its_options(self):
        for pool in self.each(stick=1000):
            for name in "abc":
                pool.worker_set(name, labels=[f"name={name}"])
            pool.claim("r", "b", 0, Tokens(range(8)), session="s")
            asked = dict(
                isl=9, osl=7, policy="linear", overlap=2, prefill=3, requests=4, session="s",
                without_labels=["name=c"], service_class="default", flow="f",
            )  # fmt: skip
            got = pool.explain(Tokens(range(8)), top=2, **asked)
            self.assertEqual((got.policy, got.overlap_weight, got.prefill_weight), ("linear", 2, 3))
            self.assertEqual((got.requests_weight, got.isl, got.osl, got.first_weight), (4, 9, 7, 1))
            self.assertEqual((got.by, got.worker, got.session_allowance), ("session", "b", 750))
            self.assertEqual((got.instances, got.places), (3, 2))
            self.assertEqual([c.worker for c in got.candidates], ["b", "a"])
            self.assertEqual(list(got.candidates[0].terms), ["prefill", "decode", "requests"])
            got = pool.explain(Hashes([]), isl=100, temperature=2)
            self.assertEqual((got.by, got.temperature), ("draw", 2))
            self.assertAlmostEqual(sum(c.chance for c in got.candidates), 1)
            self.assertGreater(got.candidates[0].chance, got.candidates[2].chance)
            prompt = kvroute.Prefix(4)
            prompt.extend(range(6))
            self.assertEqual(pool.explain(prompt).isl, 6)

    def test_explain_pairs(self):
        for pool in self.each():
            pool.worker_set("p1", addr="pa", role="prefill", ranks=2)
            pool.worker_set("d1", addr="da", role="decode")
            pool.event("p1", 1, 1, 1, Stored(Tokens(range(8))))
            got = pool.explain(Tokens(range(64)), pair=True)
            self.assertEqual((got.result, got.worker, got.addr, got.places), ("OK", "d1", "da", 1))
            self.assertEqual((got.prefill_worker, got.prefill_rank), ("p1", 1))
            self.assertEqual((got.prefill_addr, got.prefill_overlap, got.transfer), ("pa", 2, 0.4))
            decoding, *prefilling = got.candidates
            self.assertEqual((decoding.prefill_worker, decoding.prefill_rank), ("p1", 1))
            self.assertEqual((decoding.prefill_cost, decoding.decode_cost), (224, 0))
            self.assertEqual((decoding.transfer_cost, decoding.cost), (25.6, 249.6))
            self.assertEqual((decoding.prompt_cost, decoding.prompt_reason), (-1, "role"))
            self.assertEqual([(c.rank, c.prompt_cost) for c in prefilling], [(1, 224), (0, 256)])
            for one in prefilling:
                self.assertEqual((one.reason, one.prompt_reason, one.prefill_worker), ("role", "", ""))
                self.assertEqual((one.prefill_rank, one.prefill_cost, one.decode_cost), (-1, -1, -1))
                self.assertEqual(one.transfer_cost, -1)
            alone = pool.explain(Tokens(range(64)))
            self.assertEqual((alone.prefill_worker, alone.prefill_rank, alone.transfer), ("", -1, 0))

    def test_explain_refusals(self):
        for pool in self.each(maxrequests=1):
            got = pool.explain(Hashes([]))
            self.assertEqual((got.result, got.by, got.retry), ("NOWORKER", "eligible", 0))
            self.assertEqual((got.worker, got.rank, got.addr, got.candidates), ("", -1, "", []))
            pool.worker_set("w")
            pool.flow_set("f", requests=1)
            pool.select("r", Hashes([]), flow="f")
            for options, why in ((dict(flow="f"), ("LIMITED", "flow")), ({}, ("NOROOM", "room"))):
                got = pool.explain(Hashes([]), **options)
                self.assertEqual((got.result, got.by, got.worker), (*why, ""))
                self.assertGreater(got.retry, 0)
                self.assertEqual(got.candidates[0].reason, "maxrequests")
            for wrong in dict(top=0), dict(top=1025), dict(service_class="nobody's"):
                with self.assertRaises(kvroute.BadCall):
                    pool.explain(Hashes([]), **wrong)
            with self.assertRaises(TypeError):
                pool.explain(Hashes([]), lease=5)
            with self.assertRaises(kvroute.NoPool):
                self.pool(server.url(), "nothing").explain(Hashes([]))

    def test_decisions(self):
        for pool in self.each():
            log = pool.decisions_info()
            self.assertEqual(log, kvroute.DecisionLog(False, 0, 0, 1, 1, 0, 0, 0, 0, False))
            self.assertFalse(pool.decisions_off())
            for call in pool.decisions_get, pool.decisions_clear:
                with self.assertRaises(kvroute.BadCall):
                    call()
            self.assertIsNone(pool.decisions_on(3, bytes=5000, blocks=True))
            pool.worker_set("w\xe9")
            pool.select("r", Tokens(range(8)), osl=7)
            with self.assertRaises(kvroute.NoWorker):
                pool.select("s", Hashes([]), among=[])
            pool.update("r", prefilled=True, output=5)
            pool.release("r")
            cursor, lines = pool.decisions_get()
            self.assertEqual((cursor, len(lines)), (4, 3))
            chosen, refused, end = map(json.loads, lines)
            self.assertEqual((chosen["serial"], chosen["event"], chosen["result"]), (1, "select", "OK"))
            self.assertEqual((chosen["osl"], chosen["candidates"][0]["worker"]), (7, "w\xc3\xa9"))
            hashes = "".join(f"{one:016x}" for one in prefix_hashes(range(8), 4))
            self.assertEqual(chosen["hashes"], hashes)
            self.assertEqual((refused["result"], refused["by"]), ("NOWORKER", "eligible"))
            self.assertEqual((end["event"], end["output"], end["request"]), ("end", 5, chosen["request"]))
            self.assertEqual(pool.decisions_get(2, 1), (3, lines[1:2]))
            self.assertEqual(pool.decisions_get(cursor), (4, []))
            log = pool.decisions_info()
            self.assertEqual((log.on, log.records, log.first, log.next), (True, 3, 1, 4))
            self.assertEqual((log.max_records, log.max_bytes, log.blocks), (3, 5000, True))
            self.assertTrue(0 < log.bytes < log.memory_bytes)
            pool.select("t", Hashes([]))
            log = pool.decisions_info()
            self.assertEqual((log.records, log.first, log.next, log.dropped), (3, 2, 5, 1))
            self.assertEqual(pool.decisions_clear(), 3)
            self.assertEqual(pool.decisions_get(count=1), (5, []))
            pool.decisions_on(1000)
            log = pool.decisions_info()
            self.assertEqual((log.max_records, log.max_bytes, log.blocks), (1000, 64 << 20, False))
            pool.select("u", Tokens(range(8)))
            (line,) = pool.decisions_get()[1]
            self.assertNotIn("hashes", json.loads(line))
            for n, options in ((0, {}), (5, dict(bytes=1))):
                with self.assertRaises(kvroute.BadCall):
                    pool.decisions_on(n, **options)
            with self.assertRaises(kvroute.BadCall):
                pool.decisions_get(count=10001)
            self.assertTrue(pool.decisions_off())
            self.assertFalse(pool.decisions_info().on)
            with self.assertRaises(kvroute.NoPool):
                self.pool(server.url(), "nothing").decisions_on(5)

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
