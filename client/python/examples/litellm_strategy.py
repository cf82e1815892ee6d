# SPDX-License-Identifier: Apache-2.0
"""LiteLLM's Router, choosing among its deployments by what their engines have cached.

    router = litellm.Router(model_list=[…])  # api_base of each: a worker's address and /v1
    use_kvroute(router, AsyncPool("redis://127.0.0.1:6379", "pool"))

LiteLLM doesn't tell when a first token comes, so a prompt counts as queued until its answer is complete."""

import httpx
import litellm
from litellm.integrations.custom_logger import CustomLogger
from litellm.types.router import CustomRoutingStrategyBase

from kvroute import Tokens


class KvrouteStrategy(CustomRoutingStrategyBase, CustomLogger):
    def __init__(self, router, pool):
        super().__init__()
        self.router, self.pool, self.live = router, pool, {}

    async def async_get_available_deployment(
        self, model, messages=None, input=None, specific_deployment=False, request_kwargs=None
    ):
        found = self.router.get_model_list(model_name=model)
        deployments = {d["litellm_params"]["api_base"]: d for d in found}
        workers = [w for w in await self.pool.worker_list() if f"{w.addr}/v1" in deployments]
        blocks = Tokens(await self.tokens(workers[0].addr, messages, input))
        context = self.pool.request(blocks, among=[w.worker for w in workers])
        request = await context.__aenter__()
        metadata = request_kwargs.setdefault("metadata", {})
        await self.end(metadata.get("kvroute"))  # of an attempt that failed
        metadata["kvroute"] = request.id
        self.live[request.id] = context, request
        return deployments[f"{request.addr}/v1"]

    async def tokens(self, engine, messages, input):
        prompt = {"messages": messages} if messages else {"prompt": input}
        async with httpx.AsyncClient() as client:
            return (await client.post(f"{engine}/tokenize", json=prompt)).json()["tokens"]

    async def end(self, id, output=0):
        context, request = self.live.pop(id, (None, None))
        if context:
            request.progress(output)
            await context.__aexit__(None, None, None)

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        usage = getattr(response_obj, "usage", None)
        id = (kwargs["litellm_params"].get("metadata") or {}).get("kvroute")
        await self.end(id, usage.completion_tokens if usage else 0)

    async def async_log_failure_event(self, kwargs, response_obj, start_time, end_time):
        await self.end((kwargs["litellm_params"].get("metadata") or {}).get("kvroute"))


def use_kvroute(router, pool):
    strategy = KvrouteStrategy(router, pool)
    router.set_custom_routing_strategy(strategy)
    litellm.callbacks.append(strategy)
