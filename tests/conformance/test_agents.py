"""The two leading coding agents, unmodified, each through a turn with a tool: Codex CLI by the Responses API, and Claude Code by
the Messages API. Their prompts are large and their model is played, so what is tested is every byte between."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import until
from mocked import Mocked, mocked
from outside import environment, interrupted, program, run

CODEX = """\
model = "{model}"
model_provider = "pointsman"
[model_providers.pointsman]
name = "Pointsman"
base_url = "{base_url}"
env_key = "POINTSMAN_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mocked]:
    with mocked(tmp_path_factory.mktemp("mocked")) as host:
        yield host


def codex(host: Mocked, folder: Path, *arguments: str, model: str = "auto") -> dict:
    """How to start a turn of Codex, which prints its events: the command, its folder and its variables."""
    settings = folder / "codex"
    settings.mkdir(exist_ok=True)
    (settings / "config.toml").write_text(CODEX.format(base_url=host.gateway.clients, model=model))
    command = [program("npm", "codex"), "exec", "--json", "--skip-git-repo-check", "--sandbox", "read-only", *arguments]
    return {"command": command, "folder": folder, "env": environment(folder, CODEX_HOME=str(settings), POINTSMAN_KEY=host.key)}


def events(printed: str) -> list[dict]:
    """The events of a turn of Codex."""
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


def claude(host: Mocked, folder: Path, *arguments: str, model: str = "auto", form: str = "json") -> dict:
    """How to start a turn of Claude Code, which prints its result: the command, its folder and its variables."""
    env = environment(
        folder,
        ANTHROPIC_BASE_URL=host.origin,
        ANTHROPIC_AUTH_TOKEN=host.key,
        ANTHROPIC_DEFAULT_HAIKU_MODEL="auto",
        CLAUDE_CONFIG_DIR=str(folder / "claude"),
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        CLAUDE_CODE_MAX_RETRIES="0",
        DISABLE_AUTOUPDATER="1",
    )
    command = [program("npm", "claude"), "-p", "--model", model, "--output-format", form, *arguments]
    return {"command": command, "folder": folder, "env": env}


@pytest.mark.shows("Codex CLI", "streamed", "tool call")
def test_codex_ends_a_turn_in_which_a_tool_was_called(host: Mocked, tmp_path: Path) -> None:
    before = len(host.outcomes())
    seen = events(run(**codex(host, tmp_path, "Say where you are.")).stdout)
    said = [event["item"]["text"] for event in seen if event.get("item", {}).get("type") == "agent_message"]
    assert said and said[-1].startswith("scripted answer to:"), seen
    completed = [event for event in seen if event["type"] == "turn.completed"]
    assert completed and completed[0]["usage"]["input_tokens"] > 0, seen
    outcomes = host.outcomes()[before:]
    assert len(outcomes) >= 2 and set(outcomes) == {"completed"}, "the tool, then the text"


@pytest.mark.shows("Claude Code", "streamed", "tool call")
def test_claude_code_ends_a_turn_in_which_a_tool_was_called(host: Mocked, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("a note")
    before = len(host.outcomes())
    result = json.loads(run(**claude(host, tmp_path, "--tools", "Read", "--", "Say what is here.")).stdout)
    assert result["subtype"] == "success" and not result["is_error"], result
    assert "scripted answer to:" in result["result"], result
    assert result["num_turns"] >= 2 and result["usage"]["output_tokens"] > 0, result
    outcomes = host.outcomes()[before:]
    assert len(outcomes) >= 2 and set(outcomes) == {"completed"}, "the tool, then the text"


def failed(how: dict) -> str:
    """What the last event of a turn of Codex, or the result of one of Claude Code, says that went wrong."""
    last = events(run(**how, succeeds=False).stdout)[-1]
    assert last["type"] == "turn.failed" or last["is_error"], last
    return last["error"]["message"] if "error" in last else last["result"]


@pytest.mark.shows("Codex CLI", "error")
def test_codex_says_that_a_model_is_unknown_or_its_key_refused(host: Mocked, tmp_path: Path) -> None:
    assert failed(codex(host, tmp_path, "Say hello.", model="nobody")) == "no model is called `nobody`"
    assert "401" in failed(codex(Mocked(host.gateway, "pm_wrong"), tmp_path, "Say hello."))


@pytest.mark.shows("Claude Code", "error")
def test_claude_code_says_that_a_model_is_unknown_or_its_key_refused(host: Mocked, tmp_path: Path) -> None:
    said = failed(claude(host, tmp_path, "--tools", "", "--", "Say hello.", model="nobody"))
    assert "an issue with the selected model (nobody)" in said
    assert "401" in failed(claude(Mocked(host.gateway, "pm_wrong"), tmp_path, "--tools", "", "--", "Say hello."))


@pytest.mark.shows("Codex CLI", "cut short")
def test_codex_says_that_a_stream_broke_off(tmp_path: Path) -> None:
    with mocked(tmp_path, name="fault-cut-after-2") as host:
        assert "the answer broke off" in failed(codex(host, tmp_path, "Say hello."))


@pytest.mark.shows("Claude Code", "cut short")
def test_claude_code_says_that_a_stream_broke_off(tmp_path: Path) -> None:
    """It asks for the whole answer before it says so, and that breaks off too."""
    with mocked(tmp_path, name="fault-cut-after-2") as host:
        said = failed(claude(host, tmp_path, "--tools", "", "--", "Say hello."))
        assert "API Error: 502" in said and "the connection broke before the answer was whole" in said
        assert (host.outcomes(), host.asked()) == (["broken", "failed"], [("messages", True), ("messages", False)])


@pytest.mark.shows("Codex CLI", "gone")
def test_codex_that_is_interrupted_is_recorded_as_gone(tmp_path: Path) -> None:
    with mocked(tmp_path, name="fault-endless-10") as host:
        # It prints nothing of an answer before that is whole.
        interrupted(**codex(host, tmp_path, "Say hello."), after="turn.started", wait=lambda: until(host.requests, "a request"))
        assert until(host.outcomes, "an outcome") == ["cancelled"]


@pytest.mark.shows("Claude Code", "gone")
def test_claude_code_that_is_interrupted_is_recorded_as_gone(tmp_path: Path) -> None:
    with mocked(tmp_path, name="fault-endless-10") as host:
        streamed = ["--verbose", "--include-partial-messages", "--tools", "", "--", "Say hello."]
        interrupted(**claude(host, tmp_path, *streamed, form="stream-json"), after="on and on")
        assert until(host.outcomes, "an outcome") == ["cancelled"]
