"""The real `openai` package against the demo model, unmodified."""

import time

from pathlib import Path

import openai
import pytest
from openai import OpenAI

from mocked import mocked

QUESTION = [{"role": "user", "content": "Which licence has Llama 3.3 70B Instruct?"}]


@pytest.mark.shows("`openai` for Python, chat", "whole")
def test_a_whole_answer_is_a_sentence_with_usage(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="auto", messages=QUESTION, temperature=0)
    assert len(answer.choices[0].message.content) > 10
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.shows("`openai` for Python, chat", "streamed")
def test_a_stream_is_the_whole_answer_in_pieces_and_ends_with_usage(client: OpenAI) -> None:
    whole = client.chat.completions.create(model="auto", messages=QUESTION, temperature=0)
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="auto", messages=QUESTION, temperature=0, stream=True, stream_options=options))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices == []
    usage = chunks[-1].usage
    # How much of the prompt the engine still held is apart.
    assert (usage.prompt_tokens, usage.completion_tokens) == (whole.usage.prompt_tokens, whole.usage.completion_tokens)
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason] == ["stop"]


def test_the_streaming_helper_of_the_package_reads_our_events(client: OpenAI) -> None:
    with client.chat.completions.stream(model="auto", messages=QUESTION, temperature=0) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content


def test_logprobs_spell_the_answer(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="auto", messages=QUESTION, temperature=0, logprobs=True, top_logprobs=2)
    tokens = answer.choices[0].logprobs.content
    assert b"".join(bytes(token.bytes) for token in tokens).decode() == answer.choices[0].message.content
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)


def test_the_same_seed_gives_the_same_answer_and_n_gives_several(client: OpenAI) -> None:
    ask = lambda: client.chat.completions.create(model="auto", messages=QUESTION, temperature=1.5, seed=7, n=3, max_tokens=20)
    first, second = ask(), ask()
    texts = [choice.message.content for choice in first.choices]
    assert len(texts) == 3 and texts == [choice.message.content for choice in second.choices]
    assert len(set(texts)) > 1, "choices of one request differ"


def test_stop_sequences_and_limits_end_an_answer(client: OpenAI) -> None:
    whole = client.chat.completions.create(model="auto", messages=QUESTION, temperature=0).choices[0].message.content
    word = whole.split()[3]
    stopped = client.chat.completions.create(model="auto", messages=QUESTION, temperature=0, stop=[word]).choices[0]
    assert stopped.message.content == whole[: whole.index(word)] and stopped.finish_reason == "stop"
    short = client.chat.completions.create(model="auto", messages=QUESTION, temperature=0, max_tokens=2)
    assert short.choices[0].finish_reason == "length" and short.usage.completion_tokens == 2


def test_a_cancelled_stream_frees_the_engine(client: OpenAI) -> None:
    for _ in range(20):
        stream = client.chat.completions.create(model="auto", messages=QUESTION, temperature=0, stream=True)
        next(iter(stream))
        stream.close()
    answer = client.chat.completions.create(model="auto", messages=QUESTION, temperature=0)
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.shows("`openai` for Python, chat", "error")
def test_errors_are_the_packages_own_exceptions(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="pointsman-dmo", messages=QUESTION)
    assert unknown.value.code == "model_not_found" and unknown.value.param == "model"
    assert unknown.value.request_id.startswith("req_")
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="auto", messages=[])
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(model="pointsman-demo", messages=[{"role": "user", "content": "word " * 5000}])
    assert long.value.code == "context_length_exceeded"


def test_completions_and_models(client: OpenAI) -> None:
    answer = client.completions.create(model="pointsman-demo", prompt="Pointsman is", max_tokens=5, temperature=0, echo=True, logprobs=1)
    assert answer.choices[0].text.startswith("Pointsman is")
    assert len(answer.choices[0].logprobs.tokens) == len(answer.choices[0].logprobs.token_logprobs)
    ids = [model.id for model in client.models.list()]
    assert {"auto", "fast", "pointsman-demo"} <= set(ids)
    assert client.models.retrieve("pointsman-demo").owned_by


def test_the_first_token_comes_soon(client: OpenAI) -> None:
    """Prints the time to the first content; what is asserted is only that one comes."""
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        stream = client.chat.completions.create(model="auto", messages=QUESTION, temperature=0, stream=True)
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                times.append(time.perf_counter() - begun)
                break
        stream.close()
    assert len(times) == 20
    print(f"first content after {sorted(times)[10] * 1e3:.1f} ms (median of 20), {max(times) * 1e3:.1f} ms at most")


@pytest.mark.shows("`openai` for Python, chat", "tool call")
@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_its_result_answered(tmp_path: Path, streamed: bool) -> None:
    parameters = {"type": "object", "properties": {"text": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": parameters}}]

    def ask(messages: list[object]) -> openai.types.chat.ChatCompletionMessage:
        options = {"model": "auto", "messages": messages, "tools": tools}
        if not streamed:
            return client.chat.completions.create(**options).choices[0].message
        with client.chat.completions.stream(**options) as stream:
            return stream.get_final_completion().choices[0].message

    with mocked(tmp_path) as host:
        client = OpenAI(base_url=host.gateway.clients, api_key=host.key, max_retries=0)
        first = ask(QUESTION)
        call = first.tool_calls[0]
        assert call.function.name == "look_up" and QUESTION[0]["content"] in call.function.arguments
        said = {"role": "assistant", "content": None, "tool_calls": [{"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": call.function.arguments}}]}
        result = {"role": "tool", "tool_call_id": call.id, "content": "Llama 3.3 licence"}
        assert ask([*QUESTION, said, result]).content.startswith("scripted answer to:")
