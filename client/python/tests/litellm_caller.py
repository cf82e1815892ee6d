# SPDX-License-Identifier: Apache-2.0
"""Asks twice through LiteLLM, and once where nobody answers: litellm_caller.py URL engine …"""

import asyncio
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(here, ".."), os.path.join(here, "../examples")]

import litellm  # noqa: E402
from litellm_strategy import use_kvroute  # noqa: E402

from kvroute import AsyncPool  # noqa: E402


async def main(url, *engines):
    router = litellm.Router(
        model_list=[
            {"model_name": name, "litellm_params": {"model": model, "api_base": f"{e}/v1", "api_key": "k"}}
            for e in engines
            for name, model in (("m", "openai/mock"), ("none", "openai/nobody"))
        ],
        num_retries=0,
    )
    async with AsyncPool(url, "pool") as pool:
        use_kvroute(router, pool)
        ask = [{"role": "user", "content": "one two three"}]
        answers = [await router.acompletion("m", ask, max_tokens=4)]
        chunks = [c async for c in await router.acompletion("m", ask, max_tokens=4, stream=True)]
        answers.append(chunks)
        try:
            await router.acompletion("none", ask)
        except Exception:  # noqa: BLE001: LiteLLM has many
            pass
        while (await pool.info()).requests:  # LiteLLM tells how it went a little later
            await asyncio.sleep(0.05)
        print(len(answers), "answers", flush=True)
    print("stopped", flush=True)


asyncio.run(main(*sys.argv[1:]))
os._exit(0)  # on its way out LiteLLM may take minutes
