"""The two leading coding agents, unmodified, each through a turn with a tool: Codex CLI by the Responses API, and Claude Code by
the Messages API. Their prompts are large and their model is played, so what is tested is every byte between."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mocked import Mocked, mocked
from outside import environment, program, run

CODEX = """\
model = "auto"
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


def codex(host: Mocked, folder: Path, *arguments: str) -> list[dict]:
    """The events of a turn of Codex."""
    settings = folder / "codex"
    settings.mkdir()
    (settings / "config.toml").write_text(CODEX.format(base_url=host.gateway.clients))
    command = [program("npm", "codex"), "exec", "--json", "--skip-git-repo-check", "--sandbox", "read-only", *arguments]
    env = environment(folder, CODEX_HOME=str(settings), POINTSMAN_KEY=host.key)
    printed = run(command, folder, env).stdout
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


def claude(host: Mocked, folder: Path, *arguments: str) -> dict:
    """The result of a turn of Claude Code."""
    env = environment(
        folder,
        ANTHROPIC_BASE_URL=host.origin,
        ANTHROPIC_AUTH_TOKEN=host.key,
        ANTHROPIC_DEFAULT_HAIKU_MODEL="auto",
        CLAUDE_CONFIG_DIR=str(folder / "claude"),
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_AUTOUPDATER="1",
    )
    command = [program("npm", "claude"), "-p", "--model", "auto", "--output-format", "json", *arguments]
    return json.loads(run(command, folder, env).stdout)


@pytest.mark.shows("Codex CLI", "streamed", "tool call")
def test_codex_ends_a_turn_in_which_a_tool_was_called(host: Mocked, tmp_path: Path) -> None:
    before = len(host.outcomes())
    events = codex(host, tmp_path, "Say where you are.")
    said = [event["item"]["text"] for event in events if event.get("item", {}).get("type") == "agent_message"]
    assert said and said[-1].startswith("scripted answer to:"), events
    completed = [event for event in events if event["type"] == "turn.completed"]
    assert completed and completed[0]["usage"]["input_tokens"] > 0, events
    outcomes = host.outcomes()[before:]
    assert len(outcomes) >= 2 and set(outcomes) == {"completed"}, "the tool, then the text"


@pytest.mark.shows("Claude Code", "streamed", "tool call")
def test_claude_code_ends_a_turn_in_which_a_tool_was_called(host: Mocked, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("a note")
    before = len(host.outcomes())
    result = claude(host, tmp_path, "--tools", "Read", "--", "Say what is here.")
    assert result["subtype"] == "success" and not result["is_error"], result
    assert "scripted answer to:" in result["result"], result
    assert result["num_turns"] >= 2 and result["usage"]["output_tokens"] > 0, result
    outcomes = host.outcomes()[before:]
    assert len(outcomes) >= 2 and set(outcomes) == {"completed"}, "the tool, then the text"


@pytest.mark.shows("Claude Code", "error")
def test_claude_code_says_that_its_key_is_refused(host: Mocked, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="401"):
        claude(Mocked(host.gateway, "pm_wrong"), tmp_path, "--tools", "", "--", "Say hello.")
