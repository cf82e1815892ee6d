# SPDX-License-Identifier: Apache-2.0
# Requests in the shapes in which well-known programs write them, and answers read as these read them: a router must
# give what the engine gives.
#   client_shapes.py vllm|guidellm|curl|apis|sglang ROUTER_URL ENGINE_URL
# vllm: `vllm bench serve`, on aiohttp; guidellm: on httpx; apis: every path of vLLM, sglang: those that SGLang has in
# its own way, with Python's own http.client.
import asyncio
import http.client
import json
import re
import subprocess
import sys
import urllib.parse

N = 16
FIELD = b'--xx\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
FILE = (b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
        + bytes(range(256)) * 300 + b"\r\n")


def text(i):
    return " ".join(f"word{i}x{k}" for k in range(60))


def masked(body):
    """How much was cached is another matter at each engine and each time."""
    return re.sub(rb'("(?:cached_tokens|cache_read_input_tokens)": ?)\d+', rb"\g<1>0", body)


# ---- vllm bench serve ----------------------------------------------------------------------------

def bench_body(kind, i):
    stream = {"stream": True, "stream_options": {"include_usage": True}, "ignore_eos": True, "temperature": 0.0}
    if kind == "chat/completions":
        return {"model": "mock", "messages": [{"role": "user", "content": [{"type": "text", "text": text(i)}]}],
                "max_completion_tokens": 10 + i, **stream}
    return {"model": "mock", "prompt": text(i), "repetition_penalty": 1.0, "max_tokens": 10 + i, "logprobs": None,
            **stream}


class Messages:
    """Takes white space off each piece that comes, and a whole JSON text for an event even without its end."""

    def __init__(self):
        self.rest = ""

    def add(self, piece):
        self.rest += piece.decode()
        *whole, self.rest = self.rest.split("\n\n")
        try:
            json.loads(self.rest.removeprefix("data: "))
            done = True
        except ValueError:
            done = self.rest == "data: [DONE]"
        if done:
            whole.append(self.rest)
            self.rest = ""
        return [m.strip().removeprefix("data: ") for m in whole if m.strip() and not m.startswith(":")]


async def bench_one(client, url, kind, i):
    said, usage, messages = [], None, Messages()
    headers = {"Authorization": "Bearer k", "x-request-id": f"bench-{i}"}
    async with client.post(f"{url}/v1/{kind}", json=bench_body(kind, i), headers=headers) as r:
        assert r.status == 200, r.status
        async for piece in r.content.iter_any():
            if not piece.strip():
                continue
            for message in messages.add(piece.strip()):
                data = {} if message == "[DONE]" else json.loads(message)
                if choices := data.get("choices"):
                    said.append(choices[0]["delta"].get("content") if "delta" in choices[0] else choices[0]["text"])
                elif "usage" in data:
                    usage = data["usage"]
    assert not messages.rest, messages.rest
    return "".join(s or "" for s in said), len(said), usage["prompt_tokens"], usage["completion_tokens"]


async def bench(url):
    import aiohttp
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60)) as client:
        return await asyncio.gather(*(bench_one(client, url, kind, i) for i in range(N)
                                      for kind in ("completions", "chat/completions")))


# ---- guidellm ------------------------------------------------------------------------------------

async def guide_one(client, kind, i):
    body = {"model": "mock", "stream": True, "ignore_eos": True, "stop": None, "max_tokens": 10 + i,
            "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
    if kind == "completions":
        body["prompt"] = text(i)
    else:
        body["messages"] = [{"role": "user", "content": [{"type": "text", "text": text(i)}]}]
        body["max_completion_tokens"] = body["max_tokens"]
    said, n = "", 0
    async with client.stream("POST", f"/v1/{kind}", json=body, headers={"Authorization": "Bearer k"}) as r:
        r.raise_for_status()
        async for line in r.aiter_lines():
            line = line.strip()  # older releases of httpx leave its end
            if not line.startswith("data:") or line == "data: [DONE]":
                continue
            data = json.loads(line.removeprefix("data:"))
            for choice in data["choices"]:
                said += (choice["text"] if kind == "completions" else choice["delta"].get("content")) or ""
            n = (data.get("usage") or {}).get("completion_tokens") or n
    assert n == 10 + i, n
    return said, n


async def guide(url):
    import httpx
    async with httpx.AsyncClient(base_url=url, timeout=60, follow_redirects=True) as client:
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/v1/models")).json()["data"][0]["id"] == "mock"
        return await asyncio.gather(*(guide_one(client, kind, i) for i in range(N)
                                      for kind in ("completions", "chat/completions")))


# ---- curl ----------------------------------------------------------------------------------------

def curl(*words):
    return subprocess.run(["curl", "-sS", "--noproxy", "*", "--max-time", "60", *words], check=True,
                          capture_output=True).stdout


async def curls(url):
    body = json.dumps(bench_body("chat/completions", 1))
    chat, json_type = f"{url}/v1/chat/completions", "Content-Type: application/json"
    ways = [[], ["-N"], ["--http1.0"], ["-H", "Expect: 100-continue"], ["--compressed"],
            ["-H", "Transfer-Encoding: chunked"], ["-H", "Connection: close"]]
    answers = [masked(curl(*way, chat, "-H", json_type, "-d", body)) for way in ways]
    assert len(set(answers)) == 1, answers
    # The second goes over the connection of the first.
    once = [chat, "-H", json_type, "-d", body]
    twice = curl(*once, "--next", "-sS", "--noproxy", "*", *once)
    assert masked(twice) == answers[0] * 2
    head = curl("-I", f"{url}/v1/models")
    assert head.startswith(b"HTTP/1.1 200"), head
    return answers


# ---- Every path ----------------------------------------------------------------------------------

TALK = [{"role": "user", "content": text(0)}]
DOCUMENTS = [text(i) for i in range(5)]
PATHS = [
    ("/v1/chat/completions", {"model": "mock", "messages": TALK, "max_tokens": 30}, True),
    ("/v1/completions", {"model": "mock", "prompt": text(1), "max_tokens": 30}, True),
    ("/v1/responses", {"model": "mock", "input": text(2), "max_output_tokens": 30}, True),
    ("/v1/messages", {"model": "mock", "max_tokens": 30, "system": "be brief", "messages": TALK}, True),
    ("/v1/messages/count_tokens", {"model": "mock", "messages": TALK}, False),
    ("/v1/embeddings", {"model": "mock", "input": DOCUMENTS}, False),
    ("/v2/embed", {"model": "mock", "texts": DOCUMENTS, "input_type": "search_query"}, False),
    ("/pooling", {"model": "mock", "input": DOCUMENTS}, False),
    ("/classify", {"model": "mock", "input": DOCUMENTS}, False),
    ("/score", {"model": "mock", "text_1": "question", "text_2": DOCUMENTS}, False),
    ("/v1/score", {"model": "mock", "queries": "question", "documents": DOCUMENTS}, False),
    ("/rerank", {"model": "mock", "query": "question", "documents": DOCUMENTS}, False),
    ("/v1/rerank", {"model": "mock", "query": "question", "documents": DOCUMENTS, "top_n": 2}, False),
    ("/v2/rerank", {"model": "mock", "query": "question", "documents": DOCUMENTS}, False),
    ("/tokenize", {"model": "mock", "prompt": text(3)}, False),
    ("/detokenize", {"model": "mock", "tokens": list(range(300, 340))}, False),
    ("/v1/audio/transcriptions", None, True),
    ("/v1/audio/translations", None, True),
]


SGLANG_PATHS = [
    ("/generate", {"text": text(4), "sampling_params": {"max_new_tokens": 30}}, True),
    ("/generate", {"input_ids": list(range(300, 400)), "sampling_params": {"max_new_tokens": 30}}, True),
    ("/v1/responses", {"model": "mock", "input": text(2), "max_output_tokens": 30}, True),
    ("/v1/messages", {"model": "mock", "max_tokens": 30, "messages": TALK}, True),
    ("/v1/score", {"model": "mock", "query": "question", "items": DOCUMENTS, "label_token_ids": [300, 301]}, False),
    ("/v1/rerank", {"model": "mock", "query": "question", "documents": DOCUMENTS}, False),
    ("/tokenize", {"model": "mock", "prompt": text(3)}, False),
    ("/detokenize", {"model": "mock", "tokens": list(range(300, 340))}, False),
    ("/v1/audio/transcriptions", None, True),
]


def one_path(connection, path, body, stream):
    kind = "application/json"
    if body is None:
        kind, data = "multipart/form-data; boundary=xx", FILE + FIELD % (b"model", b"mock")
        data += (FIELD % (b"stream", b"true") if stream else b"") + b"--xx--\r\n"
    else:
        data = json.dumps({**body, "stream": True} if stream else body).encode()
    connection.request("POST", path, data, {"Content-Type": kind, "Authorization": "Bearer k"})
    r = connection.getresponse()
    answer = r.read()
    assert r.status == 200, (path, r.status, answer)
    return path, stream, r.getheader("Content-Type"), masked(answer)


async def apis(url, paths=PATHS):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)
    return [one_path(connection, path, body, stream) for path, body, streams in paths
            for stream in ((False, True) if streams else (False,))]


async def sglang(url):
    return await apis(url, SGLANG_PATHS)


def main(shape, router, engine):
    ask = {"vllm": bench, "guidellm": guide, "curl": curls, "apis": apis, "sglang": sglang}[shape]
    got, want = asyncio.run(ask(router)), asyncio.run(ask(engine))
    for one, other in zip(got, want, strict=True):
        assert one == other, f"\nrouter: {one}\nengine: {other}"


main(*sys.argv[1:])
