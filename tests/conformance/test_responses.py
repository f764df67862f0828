"""The real `openai` package's Responses API, unmodified: against the demo model, and against a host that speaks chat."""

import json
from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI

from gateway import until
from mocked import Mocked, mocked

QUESTION = "Which licence has Llama 3.3 70B Instruct?"
TOOL = {
    "type": "function",
    "name": "look_up",
    "description": "Looks a licence up.",
    "parameters": {"type": "object", "properties": {"model": {"type": "string"}}, "required": ["model"]},
}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mocked]:
    with mocked(tmp_path_factory.mktemp("mocked")) as host:
        yield host


@pytest.fixture
def remote(host: Mocked) -> OpenAI:
    return OpenAI(base_url=host.gateway.clients, api_key=host.key, max_retries=0)


@pytest.mark.shows("`openai` for Python, responses", "whole")
def test_a_whole_answer_of_the_engine_is_a_response_with_usage(client: OpenAI) -> None:
    response = client.responses.create(model="auto", input=QUESTION, temperature=0)
    assert response.status == "completed" and len(response.output_text) > 10
    usage = response.usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens > 0


@pytest.mark.shows("`openai` for Python, responses", "streamed")
def test_a_stream_of_the_engine_is_the_whole_answer_in_pieces(client: OpenAI) -> None:
    whole = client.responses.create(model="auto", input=QUESTION, temperature=0)
    with client.responses.stream(model="auto", input=QUESTION, temperature=0) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == whole.output_text == final.output_text
    # How much of the prompt the engine still held is apart.
    counts = [(usage.input_tokens, usage.output_tokens) for usage in (final.usage, whole.usage)]
    assert counts[0] == counts[1]


def test_an_answer_that_is_cut_short_says_so(client: OpenAI) -> None:
    response = client.responses.create(model="auto", input=QUESTION, max_output_tokens=3)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")


@pytest.mark.shows("`openai` for Python, responses", "tool call")
@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_its_output_answered(remote: OpenAI, streamed: bool) -> None:
    def ask(items: list[object]) -> openai.types.responses.Response:
        options = {"model": "auto", "input": items, "tools": [TOOL]}
        if not streamed:
            return remote.responses.create(**options)
        with remote.responses.stream(**options) as stream:
            return stream.get_final_response()

    items: list[object] = [{"role": "user", "content": QUESTION}]
    first = ask(items)
    call = first.output[-1]
    assert (call.type, call.name) == ("function_call", "look_up")
    assert json.loads(call.arguments) == {"text": QUESTION}
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "Llama 3.3 licence"}
    second = ask([*items, *first.output, output])
    assert second.output_text.startswith("scripted answer to:")


@pytest.mark.shows("`openai` for Python, responses", "cut short")
def test_a_stream_that_breaks_off_ends_as_failed(tmp_path) -> None:
    with mocked(tmp_path, name="fault-cut-after-2") as host:
        client = OpenAI(base_url=host.gateway.clients, api_key=host.key, max_retries=0)
        events = list(client.responses.create(model="auto", input=QUESTION, stream=True))
    assert events[-1].type == "response.failed" and events[-1].response.status == "failed"
    assert [event.sequence_number for event in events] == list(range(len(events)))


@pytest.mark.shows("`openai` for Python, responses", "error")
def test_what_is_not_kept_is_refused_by_its_name(remote: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        remote.responses.create(model="auto", input="x", previous_response_id="resp_1")
    assert refused.value.param == "previous_response_id"


@pytest.mark.shows("`openai` for Python, responses", "gone")
def test_a_caller_that_leaves_a_stream_is_recorded_as_gone(tmp_path) -> None:
    with mocked(tmp_path, name="fault-endless-10") as host:
        client = OpenAI(base_url=host.gateway.clients, api_key=host.key, max_retries=0)
        with client.responses.create(model="auto", input=QUESTION, stream=True) as stream:
            next(event for event in stream if event.type == "response.output_text.delta")
        assert until(host.outcomes, "an outcome") == ["cancelled"]
