# SPDX-License-Identifier: Apache-2.0
# OpenAI's and Anthropic's own client libraries against routers before mock engines (`.ci/clients` starts them).
#   client_sdks.py vllm|sglang ROUTER_URL OTHER_ROUTER_URL ENGINE_URL…
# Engines answer with thoughts and calls, render (vLLM), and keep responses. What a library gives is checked as a program
# that uses it would find it; everything asked twice has to find the blocks of the first time.
import asyncio
import contextlib
import io
import json
import re
import sys
import time
import traceback
import urllib.request
import warnings

import anthropic
import openai

PATIENCE = 60  # seconds for blocks to be known; a slow machine may need them
TOOL = {"name": "lookup", "description": "looks up", "parameters": {"type": "object", "properties": {}}}
KIND, ROUTERS, ENGINES = sys.argv[1], sys.argv[2:4], sys.argv[4:]
ai = openai.OpenAI(base_url=ROUTERS[0] + "/v1", api_key="k", max_retries=0, timeout=PATIENCE)
claude = anthropic.Anthropic(base_url=ROUTERS[0], api_key="k", max_retries=0, timeout=PATIENCE)
checks = []


def check(f):
    checks.append(f)
    return f


def check_sglang(f):
    return check(f) if KIND == "sglang" else f


def check_vllm(f):
    """What SGLang doesn't tell: ids in a chat's stream, with which another engine goes on; whose blocks are an adapter's."""
    return check(f) if KIND == "vllm" else f


def text(name):
    """A prompt of some blocks, another one for each name."""
    return " ".join(f"{name}{i}" for i in range(100))


def overlap(raw):
    return int(raw.headers["x-kvroute-overlap"])


def until(holds, what):
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def found(ask):
    """The same again, until it finds what the engine said it has."""
    assert overlap(ask()) == 0
    until(lambda: overlap(ask()), "no overlap")


def refused(kind, ask):
    try:
        ask()
    except kind as e:
        return e
    raise AssertionError(f"no {kind.__name__}")


def fault(query):
    for url in ENGINES:
        urllib.request.urlopen(urllib.request.Request(f"{url}/mock/fault?{query}", method="POST"), timeout=PATIENCE)


@contextlib.contextmanager
def faulty(query):
    """Each engine fails its next request so: also the one that is asked next."""
    fault(query)
    try:
        yield
    finally:
        fault("kind=clear")


# ---- OpenAI: chats and completions ---------------------------------------------------------------

def chat(name, **more):
    return {"model": "mock", "messages": [{"role": "user", "content": text(name)}], **more}


@check
def chats():
    whole = ai.chat.completions.create(**chat("chats"), max_tokens=40).choices[0]
    said, thought, usage = "", "", None
    for chunk in ai.chat.completions.create(**chat("chats"), max_tokens=40, stream=True,
                                            stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            said += choice.delta.content or ""
            thought += getattr(choice.delta, "reasoning", None) or ""
    assert said == (whole.message.content or "") and thought == whole.message.reasoning
    assert usage.completion_tokens == 40 or whole.finish_reason == "stop"
    until(lambda: ai.chat.completions.create(**chat("chats"), max_tokens=2).usage.prompt_tokens_details.cached_tokens,
          "nothing cached")


@check
def chats_find_blocks():
    found(lambda: ai.chat.completions.with_raw_response.create(**chat("found"), max_tokens=2))


@check
def chats_with_tools():
    asked = chat("tools", tools=[{"type": "function", "function": TOOL}], tool_choice="required")
    call = ai.chat.completions.create(**asked).choices[0].message.tool_calls[0]
    with ai.chat.completions.stream(**asked) as stream:
        final = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert call.function.name == "lookup" == final.function.name
    assert json.loads(call.function.arguments) == json.loads(final.function.arguments)


@check
def chats_in_parallel():
    async def all_of_them():
        async with openai.AsyncOpenAI(base_url=ROUTERS[1] + "/v1", api_key="k", max_retries=0,
                                      timeout=PATIENCE) as client:
            async def one(i):
                stream = await client.chat.completions.create(**chat(f"p{i % 4}"), max_tokens=30, stream=True)
                return "".join([c.choices[0].delta.model_dump_json() async for c in stream])
            return await asyncio.gather(*map(one, range(24)))

    got = asyncio.run(all_of_them())
    assert all(got[i] == got[i % 4] for i in range(24)) and len(set(got)) == 4


@check
def completions():
    asked = {"model": "mock", "prompt": text("completions"), "max_tokens": 20}
    whole = ai.completions.create(**asked).choices[0].text
    assert whole == "".join(c.choices[0].text for c in ai.completions.create(**asked, stream=True))
    ids = ai.completions.create(model="mock", prompt=list(range(300, 400)), max_tokens=3)
    assert ids.usage.prompt_tokens == 100


@check
def embeddings_and_models():
    data = ai.embeddings.create(model="mock", input=["one", "two"]).data
    assert [len(d.embedding) for d in data] == [8, 8] and data[0].embedding != data[1].embedding
    plain = ai.embeddings.create(model="mock", input="one", encoding_format="float").data[0].embedding
    assert all(abs(a - b) < 1e-6 for a, b in zip(plain, data[0].embedding, strict=True))
    assert [m.id for m in ai.models.list()] == ["mock", "adapter"] == [m.id for m in claude.models.list()]
    assert ai.models.retrieve("mock").id == "mock"
    refused(openai.NotFoundError, lambda: ai.models.retrieve("org/none"))


@check
def refusals():
    e = refused(openai.NotFoundError, lambda: ai.chat.completions.create(**{**chat("x"), "model": "none"}))
    assert e.body["message"] and e.body["code"], e.body
    e = refused(openai.BadRequestError, lambda: ai.chat.completions.create(**chat("x"), max_tokens=-1))
    assert "max_tokens" in e.body["message"]
    refused(openai.NotFoundError, lambda: ai.responses.create(model="none", input="x"))
    refused(openai.BadRequestError, lambda: ai.responses.create(model="mock", input=[{"type": "computer_call"}]))


@check
def only_with_a_token():
    stranger = openai.OpenAI(base_url=ROUTERS[0] + "/v1", api_key="wrong", max_retries=0, timeout=PATIENCE)
    refused(openai.AuthenticationError, lambda: stranger.chat.completions.create(**chat("x")))
    refused(openai.AuthenticationError, lambda: stranger.responses.create(model="mock", input="x"))
    other = anthropic.Anthropic(base_url=ROUTERS[0], api_key="wrong", max_retries=0, timeout=PATIENCE)
    e = refused(anthropic.AuthenticationError, lambda: other.messages.create(**message("x")))
    assert e.body["type"] == "error", e.body
    bearer = anthropic.Anthropic(base_url=ROUTERS[0], auth_token="k", api_key=None, max_retries=0, timeout=PATIENCE)
    assert bearer.messages.create(**message("x")).content


# ---- When engines fail ---------------------------------------------------------------------------

# What fails before anything has come is asked anew, as often as `tries` says.
@check
def retried():
    for f in (lambda: ai.chat.completions.create(**chat("again")),
              lambda: list(ai.responses.create(model="mock", input="x", stream=True)),
              lambda: claude.messages.create(**message("again"))):
        with faulty("kind=reset&n=1"):
            assert f()


@check_vllm
def chats_go_on():
    asked = chat("goes on", max_tokens=300, extra_body={"ignore_eos": True}, stream=True)
    whole = [c.choices[0].delta.model_dump_json() for c in ai.chat.completions.create(**asked)]
    with faulty("kind=cut&n=1&tokens=20"):
        cut = [c.choices[0].delta.model_dump_json() for c in ai.chat.completions.create(**asked)]
    assert cut == whole, (len(cut), len(whole))


# The others' streams end with an error that a program sees.
@check
def broken_streams_are_seen():
    with faulty("kind=cut&n=1&tokens=20"):
        kinds = [e.type for e in ai.responses.create(model="mock", input="x", stream=True,
                                                     extra_body={"ignore_eos": True})]
    assert kinds[-1] == "error" and "response.completed" not in kinds, kinds
    with faulty("kind=cut&n=1&tokens=20"):
        e = refused(anthropic.APIError, lambda: list(claude.messages.create(**message("cut"), stream=True,
                                                                            extra_body={"ignore_eos": True})))
    assert e.body["type"] == "error", e.body


def running():
    said = [urllib.request.urlopen(f"{url}/metrics", timeout=PATIENCE).read().decode() for url in ENGINES]
    return sum(float(n) for text in said for n in re.findall(r"^vllm:num_requests_running{.*} (.*)$", text, re.M))


# Who leaves in the middle, when engines have come to a standstill, leaves nothing running there.
@check
def those_who_leave():
    with faulty("kind=stall&n=9&after=3"):
        for i in range(3):
            for stream in (ai.chat.completions.create(**chat(f"leave{i}"), stream=True),
                           ai.responses.create(model="mock", input=text(f"leave{i}"), stream=True),
                           claude.messages.create(**message(f"leave{i}"), stream=True)):
                next(iter(stream))
                stream.close() if hasattr(stream, "close") else stream.response.close()
        until(lambda: not running(), "it runs on")


# ---- OpenAI: responses ---------------------------------------------------------------------------

@check
def responses():
    asked = {"model": "mock", "input": text("responses"), "instructions": "be brief", "store": False}
    whole = ai.responses.create(**asked)
    assert whole.status == "completed" and whole.output_text and whole.output[0].type == "reasoning"
    said, last = "", None
    for event in ai.responses.create(**asked, stream=True):
        said += event.delta if event.type == "response.output_text.delta" else ""
        last = event
    assert last.type == "response.completed" and last.response.output_text == said == whole.output_text
    until(lambda: ai.responses.create(**asked).usage.input_tokens_details.cached_tokens, "nothing cached")
    with ai.responses.stream(**asked) as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text == said
    cut = ai.responses.create(**asked, max_output_tokens=16)
    assert cut.status == "incomplete" and cut.incomplete_details.reason == "max_output_tokens"


@check
def responses_find_blocks():
    found(lambda: ai.responses.with_raw_response.create(model="mock", input=text("rfound"), max_output_tokens=16))


@check
def responses_with_tools():
    asked = {"model": "mock", "input": text("rtools"), "tools": [{"type": "function", **TOOL}],
             "tool_choice": "required", "store": False}
    call = ai.responses.create(**asked).output[-1]
    with ai.responses.stream(**asked) as stream:
        final = stream.get_final_response().output[-1]
    assert call.type == final.type == "function_call" and json.loads(call.arguments) == json.loads(final.arguments)
    again = ai.responses.create(**{**asked, "tool_choice": "none", "input": [
        {"role": "user", "content": text("rtools")}, call.model_dump(),
        {"type": "function_call_output", "call_id": call.call_id, "output": "found"}]})
    assert again.status == "completed"


@check
def responses_kept():
    other = openai.OpenAI(base_url=ROUTERS[1] + "/v1", api_key="k", max_retries=0, timeout=PATIENCE)
    for i in range(4):
        first = ai.responses.create(model="mock", input=text(f"kept{i}"), max_output_tokens=16)
        assert other.responses.retrieve(first.id).id == first.id
        next_one = other.responses.create(model="mock", input="go on", previous_response_id=first.id)
        assert next_one.usage.input_tokens > first.usage.input_tokens
        refused(openai.BadRequestError, lambda: ai.responses.cancel(first.id))
    refused(openai.NotFoundError, lambda: ai.responses.retrieve("resp_none"))
    refused(openai.NotFoundError, lambda: ai.responses.create(model="mock", input="x",
                                                              previous_response_id="resp_none"))


@check
def responses_in_the_background():
    other = openai.OpenAI(base_url=ROUTERS[1] + "/v1", api_key="k", max_retries=0, timeout=PATIENCE)
    begun = ai.responses.create(model="mock", input=text("background"), background=True)
    until(lambda: other.responses.retrieve(begun.id).status not in ("queued", "in_progress"), "it never ends")
    now = other.responses.retrieve(begun.id)
    assert now.status == "completed" and now.output_text
    assert other.responses.cancel(begun.id).status == "completed"


# An adapter's blocks are its own, by whatever API; SGLang's events in arrays say nothing of adapters.
@check_vllm
def adapters_find_blocks():
    adapted = {**message("adapted", max_tokens=2), "model": "adapter"}
    found(lambda: claude.messages.with_raw_response.create(**message("adapted", max_tokens=2)))
    found(lambda: claude.messages.with_raw_response.create(**adapted))
    found(lambda: ai.responses.with_raw_response.create(model="adapter", input=text("radapted"), max_output_tokens=16))


# ---- What no library has ----

@check_sglang
def generate_finds_blocks():
    class Answer:
        def __init__(self, prompt):
            body = json.dumps({**prompt, "sampling_params": {"max_new_tokens": 2}}).encode()
            headers = {"Content-Type": "application/json", "Authorization": "Bearer k"}
            request = urllib.request.Request(f"{ROUTERS[0]}/generate", body, headers)
            self.headers = {k.lower(): v for k, v in urllib.request.urlopen(request, timeout=PATIENCE).headers.items()}

    found(lambda: Answer({"text": text("generate")}))
    found(lambda: Answer({"input_ids": list(range(1000, 1100))}))


# ---- OpenAI: files -------------------------------------------------------------------------------

@check
def audio():
    def file():
        return ("a.wav", io.BytesIO(b"RIFF" + bytes(range(256)) * 400), "audio/wav")

    heard = ai.audio.transcriptions.create(model="mock", file=file())
    assert heard.text
    stream = ai.audio.transcriptions.create(model="mock", file=file(), stream=True)
    assert heard.text == "".join(c.choices[0]["delta"]["content"] for c in stream)
    if KIND == "vllm":
        assert ai.audio.translations.create(model="mock", file=file()).text == heard.text


# ---- Anthropic -----------------------------------------------------------------------------------

def message(name, **more):
    return {"model": "mock", "max_tokens": 600, "messages": [{"role": "user", "content": text(name)}], **more}


@check
def messages():
    asked = message("messages", system=[{"type": "text", "text": "be brief"}])
    whole = claude.messages.create(**asked)
    assert [b.type for b in whole.content][0] == "thinking" and whole.stop_reason == "end_turn"
    with claude.messages.stream(**asked) as stream:
        said = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert said == whole.content[-1].text == final.content[-1].text
    assert final.usage.output_tokens == whole.usage.output_tokens
    until(lambda: claude.messages.create(**asked).usage.cache_read_input_tokens, "nothing cached")
    kinds = [e.type for e in claude.messages.create(**asked, stream=True)]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    n = claude.messages.count_tokens(model="mock", system=asked["system"], messages=asked["messages"])
    assert n.input_tokens == whole.usage.input_tokens


@check
def messages_find_blocks():
    found(lambda: claude.messages.with_raw_response.create(**message("mfound", max_tokens=2)))


@check
def messages_with_tools():
    tools = [{"name": "lookup", "input_schema": {"type": "object"}}]
    asked = message("mtools", tools=tools, tool_choice={"type": "any"})
    call = claude.messages.create(**asked)
    with claude.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    assert call.stop_reason == final.stop_reason == "tool_use"
    assert call.content[-1].name == "lookup" and call.content[-1].input == final.content[-1].input
    asked["messages"] += [{"role": "assistant", "content": [b.model_dump() for b in call.content]},
                          {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.content[-1].id,
                                                        "content": "found"}]}]
    assert claude.messages.create(**{**asked, "tool_choice": {"type": "none"}}).stop_reason == "end_turn"


@check
def messages_refused():
    e = refused(anthropic.NotFoundError, lambda: claude.messages.create(**{**message("x"), "model": "none"}))
    assert e.body["type"] == "error" and e.body["error"]["message"], e.body
    e = refused(anthropic.BadRequestError, lambda: claude.messages.create(
        **message("x", messages=[{"role": "user", "content": [{"type": "image", "source": {
            "type": "url", "url": "http://127.0.0.1/x.png"}}]}])))
    assert e.body["type"] == "error", e.body


def main():
    failed = 0
    warnings.simplefilter("ignore", DeprecationWarning)
    for f in checks:
        try:
            f()
            print(f"{f.__name__}: well")
        except Exception:
            failed += 1
            print(f"{f.__name__}: FAILED\n{traceback.format_exc(limit=-3)}")
    print(f"{KIND}: openai {openai.__version__}, anthropic {anthropic.__version__}: {len(checks) - failed} of {len(checks)} well")
    sys.exit(failed != 0)


main()
