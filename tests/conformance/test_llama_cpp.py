"""A real llama.cpp server behind the gateway, end to end, with the real `openai` package on both: see `lab`."""

import asyncio
import json
import time
import urllib.error
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import openai
import pytest
from anthropic import Anthropic
from openai import AsyncOpenAI

from gateway import PATIENCE, get, pointsman, until
from lab import NAME, Lab, behind, llama_cpp

QUESTION = [{"role": "user", "content": "Which licence has Llama 3.3 70B Instruct?"}]
# Longer than a slot of the server, and not longer than the window of the engine in the gateway.
LONG = [{"role": "user", "content": "word " * 110}]
DIGIT = {
    "type": "object",
    "properties": {"digit": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["digit"],
    "additionalProperties": False,
}
# llama.cpp's own field: with it, and without a limit, the server goes on for ever.
ENDLESS = {"ignore_eos": True}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A server and its gateway that several tests share, as they leave both as they were."""
    folder = tmp_path_factory.mktemp("lab")
    with llama_cpp(folder) as server, behind(server, folder) as lab:
        yield lab


def told(usage: openai.types.CompletionUsage) -> tuple[int, int]:
    return usage.prompt_tokens, usage.completion_tokens


def test_what_the_catalog_says_of_the_server_is_so(lab: Lab) -> None:
    row = json.loads(pointsman("catalog", "servers", "llama.cpp", "--json"))
    assert json.loads(get(lab.server.address + row["health_path"])) == {"status": "ok"}, "without a key"
    assert [model["id"] for model in json.loads(lab.server.get(row["models_path"]))["data"]] == [NAME]
    metrics = lab.server.get(row["metrics_path"])
    names = [name for kind in row["metrics"].values() for name in kind]
    assert names and all(f"\n{name} " in metrics for name in names), metrics
    for guarded in (row["metrics_path"], row["models_path"], *row["control_paths"]):
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(lab.server.address + guarded)
        assert refused.value.code == 401, guarded


def test_a_whole_chat_is_the_servers_own_with_its_own_counts(lab: Lab) -> None:
    direct = lab.direct.chat.completions.create(model="any", messages=QUESTION, temperature=0)
    raw = lab.client.chat.completions.with_raw_response.create(model="alone", messages=QUESTION, temperature=0)
    answer = raw.parse()
    assert answer.choices[0].message.content == direct.choices[0].message.content and len(direct.choices[0].message.content) > 10
    assert (answer.choices[0].finish_reason, told(answer.usage)) == ("stop", told(direct.usage))
    assert raw.headers["x-pointsman-deployment"] == "lab" and raw.headers["x-pointsman-model"] == "lab-demo"
    assert raw.headers["x-pointsman-route"] == "lab-alone"
    outcome = lab.outcome(raw.headers["x-request-id"])
    assert (outcome["prompt_tokens"], outcome["completion_tokens"]) == told(direct.usage)


def test_a_streamed_chat_is_the_whole_one_and_has_usage_for_who_asked(lab: Lab) -> None:
    whole = lab.direct.chat.completions.create(model="any", messages=QUESTION, temperature=0)
    for include_usage in (True, False):
        options = {"stream_options": {"include_usage": True}} if include_usage else {}
        raw = lab.client.chat.completions.with_raw_response.create(model="alone", messages=QUESTION, temperature=0, stream=True, **options)
        chunks = list(raw.parse())
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == whole.choices[0].message.content
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason] == ["stop"]
        usages = [told(chunk.usage) for chunk in chunks if chunk.usage]
        assert usages == ([told(whole.usage)] if include_usage else [])
        outcome = lab.outcome(raw.headers["x-request-id"])
        assert (outcome["prompt_tokens"], outcome["completion_tokens"]) == told(whole.usage), "the ledger has it anyway"


def test_completions_are_the_servers_own_whole_and_streamed(lab: Lab) -> None:
    ask = {"prompt": "Pointsman is", "temperature": 0, "max_tokens": 8}
    direct = lab.direct.completions.create(model="any", **ask)
    answer = lab.client.completions.create(model="alone", **ask)
    assert answer.choices[0].text == direct.choices[0].text and told(answer.usage) == told(direct.usage)
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 8
    chunks = list(lab.client.completions.create(model="alone", stream=True, stream_options={"include_usage": True}, **ask))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == direct.choices[0].text
    assert [told(chunk.usage) for chunk in chunks if chunk.usage] == [told(direct.usage)]


def test_a_prompt_seen_before_comes_from_the_servers_cache_and_is_recorded_so(lab: Lab) -> None:
    messages = [{"role": "user", "content": "Is Kanana 1.5 8B free for business, and under which licence does it come?"}]
    cached = []
    for _ in range(2):
        raw = lab.client.chat.completions.with_raw_response.create(model="alone", messages=messages, temperature=0)
        usage = raw.parse().usage
        cached.append(usage.prompt_tokens_details.cached_tokens)
        assert lab.outcome(raw.headers["x-request-id"])["cached_tokens"] == cached[-1]
    # The server computes the last token of a prompt anew, as its logits are what is sampled from.
    assert cached[0] < cached[1] == usage.prompt_tokens - 1


def test_stop_sequences_and_limits_end_an_answer(lab: Lab) -> None:
    ask = {"model": "alone", "messages": QUESTION, "temperature": 0}
    whole = lab.client.chat.completions.create(**ask).choices[0].message.content
    word = whole.split()[3]
    stopped = lab.client.chat.completions.create(**ask, stop=[word]).choices[0]
    assert stopped.message.content == whole[: whole.index(word)] and stopped.finish_reason == "stop"
    for limit in ({"max_tokens": 2}, {"max_completion_tokens": 2}):
        short = lab.client.chat.completions.create(**ask, **limit)
        assert short.choices[0].finish_reason == "length" and short.usage.completion_tokens == 2


def test_logprobs_spell_the_answer_at_the_server_as_in_the_engine(lab: Lab) -> None:
    ask = {"messages": QUESTION, "temperature": 0, "logprobs": True, "top_logprobs": 2}
    for model, deployment in (("alone", "lab"), ("pointsman-demo", "local")):
        raw = lab.client.chat.completions.with_raw_response.create(model=model, **ask)
        assert raw.headers["x-pointsman-deployment"] == deployment
        answer = raw.parse().choices[0]
        tokens = answer.logprobs.content
        assert b"".join(bytes(token.bytes) for token in tokens).decode() == answer.message.content
        assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)


def test_several_choices_come_whole_and_streamed(lab: Lab) -> None:
    ask = {"model": "alone", "messages": QUESTION, "temperature": 0, "n": 2, "max_tokens": 4}
    texts = [choice.message.content for choice in lab.client.chat.completions.create(**ask).choices]
    assert len(texts) == 2 and texts[0] == texts[1]
    streamed = ["", ""]
    for chunk in lab.client.chat.completions.create(**ask, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == texts


def is_a_digit(text: str) -> bool:
    """Whether a text is as DIGIT has it."""
    content = json.loads(text)
    return content.keys() == {"digit"} and content["digit"] in range(10)


@pytest.mark.shows("`openai` for Python, chat", "schema")
def test_a_schema_binds_the_answer(lab: Lab) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "digit", "schema": DIGIT, "strict": True}}
    answer = lab.client.chat.completions.create(model="alone", messages=QUESTION, temperature=0, max_tokens=60, response_format=form)
    assert is_a_digit(answer.choices[0].message.content)


@pytest.mark.shows("`openai` for Python, responses", "schema")
def test_a_schema_binds_a_response(lab: Lab) -> None:
    form = {"format": {"type": "json_schema", "name": "digit", "schema": DIGIT, "strict": True}}
    answer = lab.client.responses.create(model="alone", input=QUESTION, temperature=0, max_output_tokens=60, text=form)
    assert is_a_digit(answer.output_text)


@pytest.mark.shows("`anthropic` for Python", "schema")
def test_a_schema_binds_a_message(lab: Lab) -> None:
    client = Anthropic(base_url=lab.gateway.clients.removesuffix("/v1"), api_key=lab.key, max_retries=0, timeout=PATIENCE)
    form = {"format": {"type": "json_schema", "schema": DIGIT}}
    greedy = {"temperature": 0}
    answer = client.messages.create(model="alone", messages=QUESTION, max_tokens=60, output_config=form, extra_body=greedy)
    assert is_a_digit(answer.content[0].text)


def test_fields_that_the_gateway_does_not_know_reach_the_server(lab: Lab) -> None:
    ask = {"model": "alone", "messages": QUESTION, "temperature": 0, "max_tokens": 3}
    plain = lab.client.chat.completions.create(**ask).choices[0].message.content
    for unknown in ({"grammar": 'root ::= "as the grammar has it"'}, {"no_such_field": [1]}):
        answer = lab.client.chat.completions.create(**{**ask, "max_tokens": 40, "extra_body": unknown}).choices[0].message.content
        assert answer == "as the grammar has it" if "grammar" in unknown else answer.startswith(plain)
    with pytest.raises(openai.BadRequestError) as refused:
        lab.client.chat.completions.create(**ask, extra_body={"grammar": "root ::= (("})
    assert "failed to parse grammar" in refused.value.message, "the server's own words"
    assert lab.states() == {"lab": "ready", "local": "ready"}, "whose fault it was"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_prompt_too_long_for_a_slot_is_told_with_its_numbers_or_served_elsewhere(lab: Lab, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as long:
        lab.client.chat.completions.create(model="alone", messages=LONG, stream=stream)
    assert (long.value.code, long.value.param) == ("context_length_exceeded", "messages")
    assert "the context window holds 256" in long.value.message
    ended = lab.outcome(long.value.request_id)
    assert (ended["status"], ended["error"]) == ("failed", "context_length_exceeded")
    raw = lab.client.chat.completions.with_raw_response.create(model="assistant", messages=LONG, max_tokens=3, stream=stream)
    assert raw.headers["x-pointsman-deployment"] == "local"
    if stream:
        list(raw.parse())
    tried = lab.outcome(raw.headers["x-request-id"])["tried"]
    assert [(attempt["deployment"], attempt.get("error")) for attempt in tried] == [("lab", "context_length_exceeded"), ("local", None)]


def test_a_prompt_that_just_fills_a_slot_is_too_long_for_an_answer(lab: Lab) -> None:
    full = lab.client.completions.create(model="alone", prompt=[7] * 255, max_tokens=1)
    assert full.usage.prompt_tokens == 255
    with pytest.raises(openai.BadRequestError) as long:
        lab.client.completions.create(model="alone", prompt=[7] * 256, max_tokens=1)
    assert long.value.code == "context_length_exceeded"


@pytest.mark.parametrize("field", [{"echo": True}, {"suffix": "."}, {"best_of": 2}], ids=lambda field: next(iter(field)))
def test_what_the_server_passes_over_in_silence_is_refused(lab: Lab, field: dict) -> None:
    ask = {"prompt": "Pointsman is", "temperature": 0, "max_tokens": 3}
    plain = lab.direct.completions.create(model="any", **ask).choices
    assert [choice.text for choice in lab.direct.completions.create(model="any", **ask, **field).choices] == [plain[0].text]
    with pytest.raises(openai.BadRequestError) as refused:
        lab.client.completions.create(model="alone", **ask, **field)
    assert refused.value.param == next(iter(field))


@pytest.mark.shows("`openai` for Python, chat", "gone")
def test_a_closed_stream_frees_the_slot(lab: Lab) -> None:
    until(lambda: lab.server.busy() == 0, "all slots free")
    for create, ask in (
        (lab.client.chat.completions.with_raw_response.create, {"messages": QUESTION}),
        (lab.client.completions.with_raw_response.create, {"prompt": "Pointsman is"}),
    ):
        raw = create(model="alone", stream=True, extra_body=ENDLESS, **ask)
        stream = raw.parse()
        seen = [next(stream) for _ in range(5)]
        assert len(seen) == 5 and lab.server.busy() == 1
        stream.close()
        begun = time.perf_counter()
        until(lambda: lab.server.busy() == 0, "the slot free again")
        print(f"free {(time.perf_counter() - begun) * 1e3:.0f} ms after the close")
        outcome = lab.outcome(raw.headers["x-request-id"])
        assert (outcome["status"], outcome["deployment"]) == ("cancelled", "lab")


def test_a_whole_answer_that_nobody_waits_for_any_more_is_recorded_as_cancelled(lab: Lab) -> None:
    """The slot is not free at once: this server looks after the connection of a stream only, and works to the end."""
    until(lambda: lab.server.busy() == 0, "all slots free")

    async def give_up() -> None:
        async with AsyncOpenAI(base_url=lab.gateway.clients, api_key=lab.key, max_retries=0, timeout=PATIENCE) as client:
            long = {"max_tokens": 2000, "extra_body": ENDLESS}
            asking = asyncio.create_task(client.chat.completions.create(model="alone", messages=QUESTION, **long))
            await asyncio.to_thread(until, lambda: lab.server.busy() == 1, "a slot at work")
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    asyncio.run(give_up())
    outcome = until(lambda: lab.requests()[-1]["outcome"], "an outcome")
    assert (outcome["status"], outcome["prompt_tokens"]) == ("cancelled", None)
    until(lambda: lab.server.busy() == 0, "all slots free again")


def test_more_requests_than_slots_wait_their_turn(lab: Lab) -> None:
    async def ask() -> list[tuple[str, str]]:
        async with AsyncOpenAI(base_url=lab.gateway.clients, api_key=lab.key, max_retries=0, timeout=PATIENCE) as client:
            one = lambda: client.chat.completions.with_raw_response.create(model="alone", messages=QUESTION, temperature=0)
            answers = await asyncio.gather(*(one() for _ in range(24)))
            return [(answer.headers["x-pointsman-deployment"], answer.parse().choices[0].finish_reason) for answer in answers]

    begun = time.perf_counter()
    assert asyncio.run(ask()) == [("lab", "stop")] * 24
    print(f"24 at once for two slots: {time.perf_counter() - begun:.2f} s")


def test_the_report_of_the_ledger_counts_what_the_server_counted(tmp_path: Path) -> None:
    with llama_cpp(tmp_path) as server, behind(server, tmp_path) as lab:
        counts = [told(lab.client.chat.completions.create(model="alone", messages=QUESTION, temperature=0).usage)]
        options = {"stream": True, "stream_options": {"include_usage": True}}
        for chunk in lab.client.chat.completions.create(model="alone", messages=QUESTION, temperature=0, **options):
            counts += [told(chunk.usage)] if chunk.usage else []
        counts += [told(lab.client.completions.create(model="alone", prompt="Pointsman is", max_tokens=8).usage)]
        metrics = server.get("/metrics")
    # The gateway has ended: its ledger is whole.
    report = json.loads(pointsman("audit", "report", "--json", "--data-dir", tmp_path / "data"))
    prompt, completion = (sum(count) for count in zip(*counts))
    row = report["by"]["deployment"]["lab"]
    assert (row["requests"], row["prompt_tokens"], row["completion_tokens"]) == (3, prompt, completion)
    assert report["by"]["model"].keys() == {"lab-demo"} and report["by"]["outcome"]["completed"]["requests"] == 3
    assert f"\nllamacpp:tokens_predicted_total {completion}\n" in metrics, "the server's own sum"


@pytest.mark.shows("`openai` for Python, chat", "cut short")
def test_a_server_that_dies_breaks_its_stream_and_is_out_until_it_answers_again(tmp_path: Path) -> None:
    with ExitStack() as stack:
        mortal = stack.enter_context(ExitStack())
        server = mortal.enter_context(llama_cpp(tmp_path))
        lab = stack.enter_context(behind(server, tmp_path))
        create = lab.client.chat.completions.with_raw_response.create
        assert create(model="assistant", messages=QUESTION).headers["x-pointsman-deployment"] == "lab"
        raw = create(model="assistant", messages=QUESTION, stream=True, extra_body=ENDLESS)
        stream = raw.parse()
        next(stream)
        mortal.close()
        with pytest.raises(openai.APIError) as broken:
            assert not any(chunk.choices and chunk.choices[0].finish_reason for chunk in stream)
        assert broken.value.code == "backend.broken_stream"
        assert lab.outcome(raw.headers["x-request-id"])["status"] == "broken"

        # Two failures: one fewer than the breaker waits for, so that what takes the server out is the health probe.
        raw = create(model="assistant", messages=QUESTION)
        assert raw.headers["x-pointsman-deployment"] == "local"
        tried = lab.outcome(raw.headers["x-request-id"])["tried"]
        assert [(attempt["deployment"], attempt.get("error")) for attempt in tried] == [("lab", "backend.connect"), ("local", None)]
        begun = time.perf_counter()
        until(lambda: lab.states() == {"lab": "resting", "local": "ready"}, "the deployment out")
        print(f"out {time.perf_counter() - begun:.1f} s after the first refused connection")
        assert "does not answer its health probe" in (tmp_path / "log.txt").read_text()
        with pytest.raises(openai.InternalServerError) as nobody:
            create(model="alone", messages=QUESTION)
        assert (nobody.value.status_code, nobody.value.code) == (503, "no_healthy_backend")
        raw = create(model="assistant", messages=QUESTION)
        assert [attempt["deployment"] for attempt in lab.outcome(raw.headers["x-request-id"])["tried"]] == ["local"]

        # The system gave this port to the first server, and hands out others before it comes to it again.
        stack.enter_context(llama_cpp(tmp_path, int(server.address.rsplit(":", 1)[1])))
        until(lambda: lab.states() == {"lab": "ready", "local": "ready"}, "the deployment back")
        assert create(model="assistant", messages=QUESTION).headers["x-pointsman-deployment"] == "lab"
