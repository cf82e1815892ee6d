# SPDX-License-Identifier: Apache-2.0
# A client of another making: asks a router and an engine the same, and compares the bytes.
#   client.py httpx|aiohttp ROUTER_URL ENGINE_URL
import asyncio
import json
import sys

STREAMS = 20


def question(i, stream):
    return {"model": "mock", "stream": stream, "max_tokens": 20 + i,
            "messages": [{"role": "user", "content": f"question {i} of a client in Python"}]}


async def with_httpx(url, bodies):
    import httpx
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        async def one(body):
            parts = []
            async with client.stream("POST", "/v1/chat/completions", json=body) as r:
                assert r.status_code == 200, r.status_code
                async for part in r.aiter_bytes():
                    parts.append(part)
            return b"".join(parts)

        # Leaves in the middle; what comes next on other connections is none the worse.
        async with client.stream("POST", "/v1/chat/completions", json=question(900, True)) as r:
            async for _ in r.aiter_bytes():
                break
        models = (await client.get("/v1/models")).json()
        return models, await asyncio.gather(*map(one, bodies))


async def with_aiohttp(url, bodies):
    import aiohttp
    async with aiohttp.ClientSession(url) as client:
        async def one(body):
            async with client.post("/v1/chat/completions", json=body) as r:
                assert r.status == 200, r.status
                return await r.read()

        async with client.post("/v1/chat/completions", json=question(900, True)) as r:
            await r.content.readany()
        async with client.get("/v1/models") as r:
            models = await r.json()
        return models, await asyncio.gather(*map(one, bodies))


def main(library, router, engine):
    talk = {"httpx": with_httpx, "aiohttp": with_aiohttp}[library]
    bodies = [question(i, True) for i in range(STREAMS)]
    models, got = asyncio.run(talk(router, bodies))
    _, want = asyncio.run(talk(engine, bodies))
    assert [m["id"] for m in models["data"]] == ["mock"], models
    assert got == want, "not the same bytes"
    for text in got:
        events = [e for e in text.decode().split("\n\n") if e]
        assert events[-1] == "data: [DONE]"
        assert all(json.loads(e.removeprefix("data: "))["choices"] for e in events[:-1])


main(*sys.argv[1:])
