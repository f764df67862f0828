"""Starts the gateway that the clients talk to: the binary named by POINTSMAN_BIN, nothing configured."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI


@pytest.fixture(scope="session")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The clients' address of a gateway on a free port, with an empty environment."""
    binary = Path(os.environ["POINTSMAN_BIN"])
    folder = tmp_path_factory.mktemp("gateway")
    command = [binary, "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", folder / "data"]
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env={}, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            address = None
            for line in process.stdout:
                words = line.split()
                if words[:1] == ["clients"]:
                    address = words[1]
                if "-d '{" in line:  # The start-up block ends with a line to paste.
                    break
            assert address, f"the gateway did not start: {(folder / 'log.txt').read_text()}"
            yield address
        finally:
            process.terminate()
            process.wait(timeout=60)


@pytest.fixture
def client(base_url: str) -> OpenAI:
    """An unmodified client that does not retry, so that each test sees the first answer."""
    return OpenAI(base_url=base_url, api_key="unused", max_retries=0)
