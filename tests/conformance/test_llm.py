"""`llm`, the command line of the package of that name, unmodified, by the chat API and by the Responses API."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway import until
from lab import Lab, behind, llama_cpp
from mocked import Mocked, mocked
from outside import environment, interrupted, program, run

QUESTION = "Which licence has Llama 3.3 70B Instruct?"
ANSWER = f"scripted answer to: {QUESTION}\n"
LOOK_UP = '''\
def look_up(text: str) -> str:
    "Looks a licence up."
    return "Llama 3.3 licence"
'''
DIGIT = {
    "type": "object",
    "properties": {"digit": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["digit"],
    "additionalProperties": False,
}

CHAT, RESPONSES = "`llm`, chat", "`llm`, responses"


def each(*features: str, but: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """The test is run for each API, and shows this of it."""
    rows = [name for name in (CHAT, RESPONSES) if name not in but]
    shows = [pytest.param(name == RESPONSES, id=name.split()[-1], marks=pytest.mark.shows(name, *features)) for name in rows]
    return pytest.mark.parametrize("responses", shows)


@dataclass(frozen=True)
class Llm:
    """Where it is at home, with a model `there` and one `nowhere` in its list."""

    folder: Path
    env: dict[str, str]

    def command(self, *arguments: str) -> list[object]:
        return [program("llm", "llm"), *arguments]

    def __call__(self, *arguments: str, succeeds: bool = True) -> tuple[str, str]:
        """What it prints, and what it says of errors."""
        done = run(self.command(*arguments), self.folder, self.env, succeeds)
        return done.stdout, done.stderr


def at_home(folder: Path, host: Mocked | Lab, responses: bool, asked: str = "auto") -> Llm:
    user = folder / "user"
    user.mkdir()
    where = {"api_base": host.gateway.clients, "api_key_name": "pointsman", "supports_tools": True, "supports_schema": True}
    models = [{"model_id": "there", "model_name": asked}, {"model_id": "nowhere", "model_name": "nobody"}]
    # JSON is YAML.
    (user / "extra-openai-models.yaml").write_text(json.dumps([{**model, **where, "responses": responses} for model in models]))
    (user / "keys.json").write_text(json.dumps({"pointsman": host.key}))
    return Llm(folder, environment(folder, LLM_USER_PATH=str(user)))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mocked]:
    with mocked(tmp_path_factory.mktemp("mocked")) as host:
        yield host


def api(responses: bool) -> str:
    return "responses" if responses else "chat"


@each("whole", "streamed")
def test_an_answer_is_printed_with_its_counts(host: Mocked, tmp_path: Path, responses: bool) -> None:
    llm = at_home(tmp_path, host, responses)
    for options, streamed in ((["--no-stream"], False), ([], True)):
        printed, said = llm("-m", "there", "--usage", *options, QUESTION)
        assert printed == ANSWER and "Token usage: 7 input, 4 output" in said
        assert host.asked()[-1] == (api(responses), streamed)


@each("tool call")
@pytest.mark.parametrize("options", [["--no-stream"], []], ids=["whole", "streamed"])
def test_a_tool_is_called_and_its_result_answered(host: Mocked, tmp_path: Path, responses: bool, options: list[str]) -> None:
    llm = at_home(tmp_path, host, responses)
    before = len(host.outcomes())
    printed, said = llm("-m", "there", "--functions", LOOK_UP, "--tools-debug", *options, QUESTION)
    assert f"Tool call: look_up({{'text': '{QUESTION}'}})" in said and "Llama 3.3 licence" in said
    assert printed.endswith(ANSWER)
    assert host.outcomes()[before:] == ["completed"] * 2 and host.asked()[before:] == [(api(responses), not options)] * 2


@each("schema")
def test_a_schema_binds_the_answer(tmp_path: Path, responses: bool) -> None:
    with llama_cpp(tmp_path) as server, behind(server, tmp_path) as lab:
        llm = at_home(tmp_path, lab, responses, asked="alone")
        printed, _ = llm("-m", "there", "--schema", json.dumps(DIGIT), QUESTION)
    content = json.loads(printed)
    assert content.keys() == {"digit"} and content["digit"] in range(10)


@each("error")
def test_an_error_is_told_in_the_gateways_words(host: Mocked, tmp_path: Path, responses: bool) -> None:
    llm = at_home(tmp_path, host, responses)
    assert "404 - no model is called `nobody`" in llm("-m", "nowhere", QUESTION, succeeds=False)[1]
    assert "401 - the key is not a Pointsman key" in llm("-m", "there", "--key", "pm_wrong", QUESTION, succeeds=False)[1]


@each("cut short", but=(RESPONSES,))
def test_a_stream_that_breaks_off_is_an_error_and_no_quiet_end(tmp_path: Path, responses: bool) -> None:
    with mocked(tmp_path, name="fault-cut-after-2") as host:
        printed, said = at_home(tmp_path, host, responses)("-m", "there", QUESTION, succeeds=False)
    assert printed == "scripted answer" and "Error: the answer broke off" in said


@each("gone")
def test_an_interrupted_answer_is_recorded_as_gone(tmp_path: Path, responses: bool) -> None:
    with mocked(tmp_path, name="fault-endless-10") as host:
        llm = at_home(tmp_path, host, responses)
        interrupted(llm.command("-m", "there", QUESTION), tmp_path, llm.env, after="on and on")
        assert until(host.outcomes, "an outcome") == ["cancelled"]
