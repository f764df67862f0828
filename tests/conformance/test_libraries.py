"""The libraries that applications are written with, unmodified, each in a process of its own: what they do is in `clients`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway import started, starting, until
from lab import Lab, behind, llama_cpp
from mocked import Mocked, mocked
from outside import environment, program, scripts

ANSWER = "scripted answer to: Which licence has Llama 3.3 70B Instruct?"


@dataclass(frozen=True)
class Library:
    """A row of the table, and how its script is run: by which program, for which API."""

    name: str
    program: object
    script: str
    api: str
    # What it raises for a model that nobody has, for a wrong key, and for a stream that breaks off.
    unknown: str
    refused: str
    broken: str

    def __str__(self) -> str:
        return self.name.replace("`", "").replace(",", "").replace(" ", "-")


LLAMA_INDEX = program("llama-index", "python")
OWN = ("NotFoundError", "AuthenticationError")
LANGCHAIN = ("OpenAIModelNotFoundError", "OpenAIAuthenticationError")
CALL = ("APICallError", "APICallError")
LIBRARIES = [
    Library("`openai` for Node, chat", "node", "openai_chat.mjs", "chat", *OWN, "APIError"),
    Library("`openai` for Node, responses", "node", "openai_responses.mjs", "responses", *OWN, "Error"),
    Library("LangChain, chat", sys.executable, "langchain_chat.py", "chat", *LANGCHAIN, "APIError"),
    Library("LangChain, responses", sys.executable, "langchain_chat.py", "responses", *LANGCHAIN, "ValueError"),
    Library("Vercel AI SDK, chat", "node", "ai_sdk.mjs", "chat", *CALL, "Error"),
    Library("Vercel AI SDK, responses", "node", "ai_sdk.mjs", "responses", *CALL, "Error"),
    Library("LlamaIndex", LLAMA_INDEX, "llama_index_like.py", "chat", *OWN, "APIError"),
]


def each(feature: str) -> pytest.MarkDecorator:
    """The test is run for each library, and shows this of it."""
    shows = [pytest.param(library, id=str(library), marks=pytest.mark.shows(library.name, feature)) for library in LIBRARIES]
    return pytest.mark.parametrize("library", shows)


class Asked:
    """The processes that the libraries run in, each of which is started once, as most of them take seconds to."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.scripts = scripts(folder)
        self.started: dict[Library, subprocess.Popen[str]] = {}

    def process(self, library: Library) -> subprocess.Popen[str]:
        if library not in self.started:
            options = {"cwd": self.folder, "env": environment(self.folder), "stdin": subprocess.PIPE}
            process = started([library.program, self.scripts / library.script], self.folder / "errors.txt", **options)
            self.started[library] = self.stack.enter_context(process)
        return self.started[library]

    def __call__(self, library: Library, host: Mocked | Lab, do: str, model: str = "auto", key: str | None = None) -> dict:
        """What the client tells of what it was asked to do."""
        ask = {"do": do, "api": library.api, "url": host.gateway.clients, "key": key or host.key, "model": model}
        process = self.process(library)
        print(json.dumps(ask), file=process.stdin, flush=True)
        with starting(process) as printed:
            told = next(printed, None)
        assert told, f"{library} ended: {(self.folder / 'errors.txt').read_text()}"
        return json.loads(told)


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with ExitStack() as stack:
        yield Asked(tmp_path_factory.mktemp("libraries"), stack)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mocked]:
    with mocked(tmp_path_factory.mktemp("mocked")) as host:
        yield host


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    with llama_cpp(folder) as server, behind(server, folder) as lab:
        yield lab


@each("whole")
def test_a_whole_answer_has_its_text_and_its_counts(ask: Asked, host: Mocked, library: Library) -> None:
    assert ask(library, host, "whole") == {"text": ANSWER, "tokens": [7, 4]}


@each("streamed")
def test_a_stream_is_the_whole_answer_in_pieces_with_its_counts(ask: Asked, host: Mocked, library: Library) -> None:
    told = ask(library, host, "streamed")
    assert ("".join(told["pieces"]), len(told["pieces"]), told["tokens"]) == (ANSWER, 4, [7, 4])


@each("tool call")
@pytest.mark.parametrize("do", ["tool", "tool_streamed"], ids=["whole", "streamed"])
def test_a_tool_is_called_and_its_result_answered(ask: Asked, host: Mocked, library: Library, do: str) -> None:
    question = ANSWER.removeprefix("scripted answer to: ")
    before = len(host.outcomes())
    assert ask(library, host, do) == {"call": {"name": "look_up", "arguments": {"text": question}}, "text": ANSWER}
    assert host.outcomes()[before:] == ["completed"] * 2, "the call, then the text"


@each("schema")
def test_a_schema_binds_the_answer(ask: Asked, lab: Lab, library: Library) -> None:
    """What binds it is llama.cpp's grammar: a demo model would never come upon JSON of itself."""
    told = ask(library, lab, "schema", model="alone")
    assert told.keys() == {"object"}, told
    assert told["object"].keys() == {"digit"} and told["object"]["digit"] in range(10)


@each("error")
def test_an_error_is_of_the_class_that_the_library_has_for_it(ask: Asked, host: Mocked, library: Library) -> None:
    unknown = ask(library, host, "whole", model="nobody")["error"]
    assert (unknown["class"], unknown["status"]) == (library.unknown, 404)
    assert "no model is called `nobody`" in unknown["message"]
    refused = ask(library, host, "whole", key="pm_wrong")["error"]
    assert (refused["class"], refused["status"]) == (library.refused, 401)
    assert "the key is not a Pointsman key" in refused["message"]


@each("cut short")
def test_a_stream_that_breaks_off_is_an_error_and_no_quiet_end(ask: Asked, library: Library, tmp_path: Path) -> None:
    with mocked(tmp_path, name="fault-cut-after-2") as host:
        told = ask(library, host, "streamed")
    assert told["pieces"] == ["scripted answer"] and told["error"]["class"] == library.broken, told
    assert "the answer broke off" in told["error"]["message"]


@each("gone")
def test_a_caller_that_leaves_a_stream_is_recorded_as_gone(ask: Asked, library: Library, tmp_path: Path) -> None:
    with mocked(tmp_path, name="fault-endless-10") as host:
        told = ask(library, host, "gone")
        assert "error" not in told and len(told["pieces"]) >= 3, told
        assert until(host.outcomes, "an outcome") == ["cancelled"]
        assert ask.process(library).poll() is None, "it left the stream, and did not just end"
