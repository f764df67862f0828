"""Aider, unmodified: its model is played and answers with what it was asked, so that the edit is in the question."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import started, starting, until
from mocked import Mocked, mocked
from outside import environment, interrupted, program, run

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 13), reason="Aider does not install on this Python")

EDIT = """\
As follows.

note.txt
```
edited
```
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mocked]:
    with mocked(tmp_path_factory.mktemp("mocked")) as host:
        yield host


def aider(host: Mocked, folder: Path, message: str, *options: str, model: str = "auto", key: str | None = None) -> dict:
    """How to start it on a file, `note.txt`: the command, its folder and its variables."""
    (folder / "note.txt").write_text("a note\n")
    env = environment(
        folder,
        OPENAI_API_BASE=host.gateway.clients,
        OPENAI_API_KEY=key or host.key,
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        # It breaks lines where a terminal would.
        COLUMNS="1000",
    )
    # The list of models that it would fetch.
    known = folder / "home" / ".aider" / "caches" / "model_prices_and_context_window.json"
    known.parent.mkdir(parents=True, exist_ok=True)
    known.write_text(json.dumps({f"openai/{model}": {"max_input_tokens": 32768}}))
    quiet = ["--no-git", "--yes-always", "--no-pretty", "--no-check-update", "--no-analytics", "--no-show-model-warnings"]
    command = [program("aider", "aider"), "--model", f"openai/{model}", *quiet, "--no-show-release-notes", *options]
    return {"command": [*command, "--message", message, "note.txt"], "folder": folder, "env": env}


@pytest.mark.parametrize(
    ("options", "streamed"),
    [
        pytest.param(["--no-stream"], False, id="whole", marks=pytest.mark.shows("Aider", "whole")),
        pytest.param([], True, id="streamed", marks=pytest.mark.shows("Aider", "streamed")),
    ],
)
def test_the_edit_of_an_answer_is_made(host: Mocked, tmp_path: Path, options: list[str], streamed: bool) -> None:
    before = len(host.outcomes())
    assert "Applied edit to note.txt" in run(**aider(host, tmp_path, EDIT, *options)).stdout
    assert (tmp_path / "note.txt").read_text() == "edited\n"
    assert host.outcomes()[before:] == ["completed"] and host.asked()[before:] == [("chat", streamed)]


@pytest.mark.shows("Aider", "error")
def test_an_error_is_told_in_the_gateways_words(host: Mocked, tmp_path: Path) -> None:
    """It ends as if all were well, which is its own way."""
    unknown = run(**aider(host, tmp_path, EDIT, model="nobody")).stdout
    assert "litellm.NotFoundError: OpenAIException - no model is called `nobody`" in unknown
    refused = run(**aider(host, tmp_path, EDIT, key="pm_wrong")).stdout
    assert "litellm.AuthenticationError" in refused and "the key is not a Pointsman key" in refused
    assert (tmp_path / "note.txt").read_text() == "a note\n"


@pytest.mark.shows("Aider", "cut short")
def test_a_stream_that_breaks_off_is_an_error_and_no_quiet_end(tmp_path: Path) -> None:
    """It asks again for a minute, which nobody waits for here."""
    with mocked(tmp_path, name="fault-cut-after-2") as host:
        how = aider(host, tmp_path, EDIT)
        options = {"cwd": tmp_path, "env": how["env"], "stdin": subprocess.DEVNULL}
        with started(how["command"], tmp_path / "errors.txt", **options) as client, starting(client) as printed:
            assert next((line for line in printed if "OpenAIException - the answer broke off" in line), None)
            assert "Retrying" in next(printed)


@pytest.mark.shows("Aider", "gone")
def test_an_interrupted_answer_is_recorded_as_gone(tmp_path: Path) -> None:
    with mocked(tmp_path, name="fault-endless-10") as host:
        interrupted(**aider(host, tmp_path, EDIT), after="on and on")
        assert until(host.outcomes, "an outcome") == ["cancelled"]
