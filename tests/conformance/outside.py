"""Clients that run as processes of their own: where `tests/run` has installed them, and how they are started.

POINTSMAN_CLIENTS names the folder with an environment of Python for each list of packages in `clients`, and `npm`.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from gateway import started, starting

CLIENTS = Path(os.environ["POINTSMAN_CLIENTS"])
SCRIPTS = Path(__file__).with_name("clients")
# A client that takes longer is taken to hang: in seconds.
PATIENCE = 120


def program(environment: str, name: str) -> Path:
    """A program of an environment of Python, or of Node's packages, which are `npm`."""
    return CLIENTS / environment / ("node_modules/.bin" if environment == "npm" else "bin") / name


def scripts(folder: Path) -> Path:
    """The scripts, copied to where Node finds the packages beside them: it looks nowhere else for those that are imported."""
    copied = Path(shutil.copytree(SCRIPTS, folder / "clients"))
    (copied / "node_modules").symlink_to(CLIENTS / "npm" / "node_modules", target_is_directory=True)
    return copied


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """The variables of a client that sees nothing of this machine's own settings: its home is in `folder`."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", **variables}


def run(command: list[object], folder: Path, env: dict[str, str], succeeds: bool = True) -> subprocess.CompletedProcess[str]:
    """A client's run from its start to its end, which has to be a success or, for those that fail, has not to be."""
    done = subprocess.run(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode == 0) == succeeds, f"{done.returncode}: {done.stdout}\n{done.stderr}"
    return done


def interrupted(
    command: list[object], folder: Path, env: dict[str, str], after: str, wait: Callable[[], object] = lambda: None
) -> None:
    """A client that is interrupted, as from its keyboard, once it has printed `after` and `wait` has returned; it has to end."""
    options = {"cwd": folder, "env": env, "stdin": subprocess.DEVNULL}
    # A test command that was started in the background has interrupts ignored, and so would its clients.
    options["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    with started(command, folder / "errors.txt", **options) as client, starting(client) as printed:
        said = ""
        while after not in said:
            letter = printed.read(1)
            assert letter, f"it ended before `{after}`: {said}"
            said += letter
        wait()
        # Python loses an interrupt that comes while an object is being destroyed; a person would press the keys again.
        for _ in range(3):
            client.send_signal(signal.SIGINT)
            try:
                # Whatever else it prints, so that it does not wait for a reader.
                client.communicate(timeout=5)
                break
            except subprocess.TimeoutExpired:
                continue
        assert client.returncode != -signal.SIGKILL, f"it did not end: {said}"
