# SPDX-License-Identifier: Apache-2.0
"""What needs no server: words, URLs, refusals, and that both flavours have the same commands."""

import inspect
import re
import unittest

import flavours  # noqa: F401: finds the package
import redis
from kvroute import (
    AsyncPool, BadCall, Denied, Gap, Hashes, Limited, NoRoom, Pool, Prefix, Refused, Stale, Stored,
    Tokens, call_words, refusals, replies, reply_decode, server_url,
)  # fmt: skip
from real_servers import TOP


class Words(unittest.TestCase):
    def test_select(self):
        call = call_words.select(
            "p", "r", Hashes([1]), osl=7, among=["a", "b"], exclude=[], pair=True, service_class="c",
            temperature=0.5, session=None, with_labels=("x=y",),
        )  # fmt: skip
        self.assertEqual(
            call.words,
            (b"KVROUTE.SELECT", b"p", b"r", b"HASHES", b"\1" + bytes(7), b"OSL", b"7", b"AMONG", b"2",
             b"a", b"b", b"EXCLUDE", b"0", b"PAIR", b"CLASS", b"c", b"TEMPERATURE", b"0.5", b"WITH",
             b"1", b"x=y"),
        )  # fmt: skip

    def test_prefix_tells_its_length(self):
        prefix = Prefix(4)
        prefix.extend(range(6))
        self.assertEqual(call_words.score("p", prefix).words[-2:], (b"ISL", b"6"))
        self.assertEqual(call_words.score("p", prefix, isl=9).words[-2:], (b"ISL", b"9"))

    def test_event(self):
        said = call_words.event("p", "w", 0, 1, 2, Stored(Tokens([1], "l"), 5, "host")).words
        want = (b"TIER", b"host", b"STORED", b"\5" + bytes(7), b"TOKENS", b"\1\0\0\0", b"LORA", b"l")
        self.assertEqual(said[6:], want)

    def test_names_survive(self):
        raw = b"caf\xc3\xa9 \xff"
        self.assertEqual(call_words.word(reply_decode.text(raw)), raw)

    def test_refused(self):
        for make in (
            lambda: call_words.select("p", "r", [1, 2]),
            lambda: call_words.select("p", "r", Hashes([]), among="w1"),
            lambda: call_words.select("p", "r", Hashes([]), sesion="s"),
            lambda: call_words.create("p", nothing=1),
            lambda: call_words.select("p", None, Hashes([])),
        ):
            with self.assertRaises(TypeError):
                make()

    def test_replies_of_both_protocols(self):
        flat = [b"session", b"s", b"worker", b"w", b"rank", 1, b"requests", 2, b"ttl_left", 3, b"new", 4]
        want = replies.Session("s", "w", 1, 2, 3)
        decode = reply_decode.one(replies.Session)
        self.assertEqual(decode(flat), want)
        self.assertEqual(decode(dict(zip(flat[::2], flat[1::2]))), want)


class Flavours(unittest.TestCase):
    def test_same_methods(self):
        def methods(kind):
            return {
                name: inspect.signature(method)
                for name, method in vars(kind).items()
                if not name.startswith("_") and callable(method)
            }

        ours, theirs = (methods(kind.__mro__[1]) for kind in (Pool, AsyncPool))
        self.assertEqual(ours, theirs)
        self.assertGreater(len(ours), 25)
        for name in ("select", "request", "flush", "__init__"):
            of = [list(inspect.signature(getattr(k, name)).parameters) for k in (Pool, AsyncPool)]
            self.assertEqual(*of)


class Version(unittest.TestCase):
    def test_is_the_project_s(self):
        package = (TOP / "client/python/pyproject.toml").read_text()
        project = (TOP / "CMakeLists.txt").read_text()
        want = re.search(r"project\(kvroute VERSION ([0-9.]+)", project).group(1)
        self.assertIn(f'version = "{want}"', package)


class Urls(unittest.TestCase):
    def test_forms(self):
        for url, kind, hosts in (
            ("redis://h", "server", [("h", 6379)]),
            ("redis://u:p%40@h:1/2", "server", [("h", 1)]),
            ("unix:///run/r.sock", "socket", []),
            ("sentinel://s1,s2:7,[::1]:8/main/3", "sentinel", [("s1", 26379), ("s2", 7), ("::1", 8)]),
            ("clusters://n1,[fe80::2]", "cluster", [("n1", 6379), ("fe80::2", 6379)]),
        ):
            got = server_url.parse(url)
            self.assertEqual((got.kind, got.hosts), (kind, hosts), url)
        got = server_url.parse("redis://u:p%40@h:1/2?deadline=5&name=x&protocol=3")
        self.assertEqual((got.user, got.password, got.db), ("u", "p@", 2))
        self.assertEqual((got.deadline, got.name, got.protocol), (5, "x", 3))
        self.assertNotIn("p@", repr(got))
        got = server_url.parse("sentinel://s/main/3?sentinel_password=q")
        self.assertEqual((got.master, got.db, got.sentinel_password), ("main", 3, "q"))

    def test_refused(self):
        for url in (
            "h:1", "http://h", "redis://", "redis://h:x", "redis://h:99999", "redis://h/a", "sentinel://s",
            "cluster://n?db=1", "redis://h?deadline=x", "redis://h?nothing=1", "redis://h?protocol=4",
            "redis://h?role=replica", "redis://h?timeout=0", "redis://[::1", "sentinel://s/m/1/2",
        ):  # fmt: skip
            with self.assertRaises(ValueError, msg=url):
                server_url.parse(url)


class Refusals(unittest.TestCase):
    def test_numbers(self):
        for text, kind, field, number in (
            ("NOROOM 250 no instance has room", NoRoom, "retry_after_ms", 250),
            ("LIMITED 1200 the flow has used up what it may", Limited, "retry_after_ms", 1200),
            ("GAP expected 7", Gap, "expected", 7),
            ("STALE current 9", Stale, "current", 9),
        ):
            got = refusals.refusal(redis.ResponseError(text))
            self.assertIs(type(got), kind)
            self.assertEqual((getattr(got, field), str(got)), (number, text))

    def test_codes_that_were_taken_off(self):
        for text in ("ERR unknown command 'KVROUTE.INFO'", "unknown command `KVROUTE.INFO`"):
            self.assertIn("the server has no kvroute module", str(refusals.refusal(redis.ResponseError(text))))
        got = refusals.refusal(redis.ResponseError("DRAIN needs a number"))
        self.assertEqual((type(got), got.code), (BadCall, "ERR"))
        got = refusals.refusal(redis.exceptions.NoPermissionError("this user may not"))
        self.assertEqual((type(got), got.code), (Denied, "NOPERM"))
        got = refusals.refusal(redis.exceptions.MovedError("1 h:2"))
        self.assertEqual((type(got), got.code), (Refused, "MOVED"))

    def test_no_answer(self):
        self.assertIsNone(refusals.refusal(redis.ConnectionError("gone")))
        self.assertIsNone(refusals.refusal(redis.TimeoutError("late")))


if __name__ == "__main__":
    unittest.main()
