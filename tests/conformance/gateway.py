"""The gateway as a process, and the other commands of its binary, which POINTSMAN_BIN names.

Whatever is started here has a time to start in, and is gone when its `with` is left, however that comes.
"""

import os
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

# A process that takes longer to start or to end, or a state that takes longer to come, is a fault: in seconds.
PATIENCE = 60

T = TypeVar("T")


@dataclass(frozen=True)
class Gateway:
    """A running one: its folder, and the addresses of its two listeners."""

    folder: Path
    clients: str
    admin: str


@contextmanager
def started(command: list[object], log: Path, **options: object) -> Iterator[subprocess.Popen[str]]:
    """A process that is gone when the `with` is left; what it says of errors is added to `log`."""
    with log.open("a") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@contextmanager
def starting(process: subprocess.Popen[str]) -> Iterator[Iterator[str]]:
    """What it prints; if the `with` is not left in time it is killed, and with it ends what it prints."""
    watch = threading.Timer(PATIENCE, process.kill)
    watch.start()
    try:
        yield process.stdout
    finally:
        watch.cancel()


@contextmanager
def serving(folder: Path, config: Path | None = None) -> Iterator[Gateway]:
    """A gateway on free ports with an empty environment, its data in `folder`."""
    command = [os.environ["POINTSMAN_BIN"], "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    command += ["--data-dir", folder / "data", *(["--config", config] if config else [])]
    log = folder / "log.txt"
    with started(command, log, cwd=folder, env={}) as process:
        addresses = {}
        with starting(process) as printed:
            for line in printed:
                words = line.split()
                if words[:1] in (["clients"], ["admin"]):
                    addresses[words[0]] = words[1]
                if "-d '{" in line:  # The start-up block ends with a line to paste.
                    break
        assert len(addresses) == 2, f"the gateway did not start: {log.read_text()}"
        yield Gateway(folder, **addresses)


def pointsman(*arguments: object) -> str:
    """What a command prints; it has to succeed."""
    command = [os.environ["POINTSMAN_BIN"], *arguments]
    return subprocess.run(command, env={}, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout


def until(state: Callable[[], T], what: str) -> T:
    """Asks until there is something that is true, and returns it."""
    end = time.monotonic() + PATIENCE
    while not (found := state()):
        assert time.monotonic() < end, f"still not: {what}"
        time.sleep(0.01)
    return found


def get(address: str, key: str | None = None) -> str:
    """What is at an address; `urllib.error.HTTPError` where that is no success."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=PATIENCE) as answer:
        return answer.read().decode()
