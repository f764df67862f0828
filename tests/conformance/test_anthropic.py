"""The real `anthropic` package, unmodified: against the demo model, and against a host that speaks another API."""

from collections.abc import Iterator

import anthropic
import pytest
from anthropic import Anthropic

from gateway import serving, until
from mocked import Mocked, mocked

QUESTION = [{"role": "user", "content": "Which licence has Llama 3.3 70B Instruct?"}]
# The package has no parameter for it any more; the API has.
GREEDY = {"extra_body": {"temperature": 0}}
TOOL = {
    "name": "look_up",
    "description": "Looks a licence up.",
    "input_schema": {"type": "object", "properties": {"model": {"type": "string"}}, "required": ["model"]},
}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anthropic]:
    with serving(tmp_path_factory.mktemp("gateway")) as gateway:
        yield Anthropic(base_url=gateway.clients.removesuffix("/v1"), api_key="unused", max_retries=0)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mocked]:
    with mocked(tmp_path_factory.mktemp("mocked")) as host:
        yield host


@pytest.fixture
def client(host: Mocked) -> Anthropic:
    return Anthropic(base_url=host.origin, api_key=host.key, max_retries=0)


@pytest.mark.shows("`anthropic` for Python", "whole")
def test_a_whole_answer_of_the_engine_is_a_message_with_usage(local: Anthropic) -> None:
    message = local.messages.create(model="auto", max_tokens=100, messages=QUESTION, **GREEDY)
    assert message.content[0].type == "text" and len(message.content[0].text) > 10
    assert message.stop_reason == "end_turn" and message.usage.input_tokens > 0 and message.usage.output_tokens > 0


@pytest.mark.shows("`anthropic` for Python", "streamed")
def test_a_stream_of_the_engine_is_the_whole_answer_in_pieces(local: Anthropic) -> None:
    whole = local.messages.create(model="auto", max_tokens=100, messages=QUESTION, **GREEDY)
    with local.messages.stream(model="auto", max_tokens=100, messages=QUESTION, **GREEDY) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text == final.content[0].text
    assert final.usage.output_tokens == whole.usage.output_tokens and final.stop_reason == whole.stop_reason


def test_an_answer_that_is_cut_short_says_so(local: Anthropic) -> None:
    assert local.messages.create(model="auto", max_tokens=3, messages=QUESTION).stop_reason == "max_tokens"


@pytest.mark.shows("`anthropic` for Python", "tool call")
@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_its_result_answered(client: Anthropic, streamed: bool) -> None:
    def ask(messages: list[dict]) -> anthropic.types.Message:
        options = {"model": "auto", "max_tokens": 100, "messages": messages, "tools": [TOOL]}
        if not streamed:
            return client.messages.create(**options)
        with client.messages.stream(**options) as stream:
            return stream.get_final_message()

    first = ask(QUESTION)
    assert first.stop_reason == "tool_use"
    call = first.content[-1]
    assert (call.type, call.name, call.input) == ("tool_use", "look_up", {"text": QUESTION[0]["content"]})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "Llama 3.3 licence"}]}
    messages = [*QUESTION, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = ask(messages)
    assert second.stop_reason == "end_turn" and second.content[0].text.startswith("scripted answer to:")


@pytest.mark.shows("`anthropic` for Python", "error")
def test_errors_are_of_the_classes_that_the_package_has(client: Anthropic, host: Mocked) -> None:
    with pytest.raises(anthropic.NotFoundError) as unknown:
        client.messages.create(model="nobody", max_tokens=1, messages=QUESTION)
    assert unknown.value.request_id and unknown.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError) as wrong:
        client.messages.create(model="auto", max_tokens=0, messages=QUESTION)
    assert wrong.value.body["error"]["param"] == "max_tokens"
    with pytest.raises(anthropic.AuthenticationError):
        Anthropic(base_url=host.origin, api_key="wrong", max_retries=0).messages.create(
            model="auto", max_tokens=1, messages=QUESTION
        )


def test_models_are_listed_and_tokens_counted(client: Anthropic) -> None:
    models = [model.id for model in client.models.list()]
    assert "auto" in models and client.models.retrieve("qwen3-32b").type == "model"
    few = client.messages.count_tokens(model="auto", messages=QUESTION).input_tokens
    many = client.messages.count_tokens(model="auto", messages=QUESTION * 10, system="Be short.").input_tokens
    assert 5 < few < 50 and many > 5 * few


@pytest.mark.shows("`anthropic` for Python", "gone")
def test_a_caller_that_leaves_a_stream_is_recorded_as_gone(tmp_path) -> None:
    with mocked(tmp_path, name="fault-endless-10") as host:
        client = Anthropic(base_url=host.origin, api_key=host.key, max_retries=0)
        with client.messages.stream(model="auto", max_tokens=100, messages=QUESTION) as stream:
            next(iter(stream.text_stream))
        assert until(host.outcomes, "an outcome") == ["cancelled"]


@pytest.mark.shows("`anthropic` for Python", "cut short")
def test_a_stream_that_breaks_off_is_an_error_and_no_quiet_end(tmp_path) -> None:
    with mocked(tmp_path, name="fault-cut-after-2") as host:
        client = Anthropic(base_url=host.origin, api_key=host.key, max_retries=0)
        with client.messages.stream(model="auto", max_tokens=100, messages=QUESTION) as stream:
            pieces = []
            with pytest.raises(anthropic.APIError, match="broke off"):
                for text in stream.text_stream:
                    pieces.append(text)
    assert pieces == ["scripted answer"]
