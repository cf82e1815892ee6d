# SPDX-License-Identifier: Apache-2.0
"""An OpenAI frontend that sends each prompt to the engine that has most of it cached, and streams from there.

    pip install ./client/python fastapi uvicorn httpx
    KVROUTE_URL=redis://127.0.0.1:6379 uvicorn --app-dir client/python/examples fastapi_frontend:app

kvroute-bridge tells the pool (KVROUTE_POOL, kvroute) which engines there are and what they hold. /tokenize is
vLLM's."""

import os
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, StreamingResponse

from kvroute import AsyncPool, KvrouteError, Limited, NoRoom, Tokens

pool: AsyncPool
engines: httpx.AsyncClient


@asynccontextmanager
async def lifespan(_):
    global pool, engines
    url = os.environ.get("KVROUTE_URL", "redis://127.0.0.1:6379")
    key = os.environ.get("KVROUTE_POOL", "kvroute")
    async with AsyncPool(url, key) as pool, httpx.AsyncClient(timeout=None) as engines:
        yield


app = FastAPI(lifespan=lifespan)


@app.exception_handler(KvrouteError)
async def refused(_, error):
    later = isinstance(error, (NoRoom, Limited))
    message = {"error": {"message": str(error), "code": error.code}}
    return JSONResponse(message, 429 if later else 503, {"Retry-After": "1"} if later else None)


async def tokens_of(body):
    workers = await pool.worker_list()
    if not workers:
        raise HTTPException(503, "no engine is in the pool")
    answer = await engines.post(f"{workers[0].addr}/tokenize", json={"prompt": body["prompt"]})
    return answer.raise_for_status().json()["tokens"]


@app.post("/v1/completions")
async def completions(body: dict, http: Request):
    blocks = Tokens(await tokens_of(body))

    async def stream():
        output = 0
        async with pool.request(blocks, wait=30000, session=http.headers.get("x-session")) as request:
            yield (engine := request.addr)  # booked: before any byte is sent, an error still has its status
            async with engines.stream("POST", f"{engine}/v1/completions", json={**body, "stream": True}) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("data: {"):
                        request.prefilled()
                        request.progress(output := output + 1)
                    yield line + "\n"

    chunks = stream()
    engine = await anext(chunks)
    return StreamingResponse(chunks, media_type="text/event-stream", headers={"X-Engine": engine})
