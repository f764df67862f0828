"""A gateway in front of a scripted host, whose answers are known: for clients whose prompts the demo model has no room for,
and for tool calls.

The host answers with the text that it was asked with, and calls the first tool that it is offered until a result of it
comes back.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway import Gateway, pointsman, serving, started, starting

CONFIG = """\
discover: false
policies: [policy.yaml]
deployments: [{{id: mock, model: qwen3-32b, server: vllm, base_url: "{address}", name: {name}}}]
contexts: {{office: {{use: internal, exposure: internal}}}}
teams: {{lab: {{contexts: [office]}}}}
keys: keys.yaml
"""
POLICY = """\
version: 1
routes: [{name: all, match: {model: auto}, candidates: [mock], attempts: {max: 1}}]
"""


@dataclass(frozen=True)
class Mocked:
    """The gateway, a key of it, and its origin."""

    gateway: Gateway
    key: str

    @property
    def origin(self) -> str:
        return self.gateway.clients.removesuffix("/v1")

    def requests(self) -> list[dict]:
        """What the ledger has of each request so far, oldest first: its decision and, once it has ended, its outcome."""
        return json.loads(pointsman("audit", "list", "--json", "--data-dir", self.gateway.folder / "data"))

    def outcomes(self) -> list[str]:
        """How the requests so far have ended."""
        return [record["outcome"]["status"] for record in self.requests() if record.get("outcome")]

    def asked(self) -> list[tuple[str, bool]]:
        """By which API the requests so far came, and whether they asked for a stream."""
        return [(record["decision"]["api"], record["decision"]["asked"]["stream"]) for record in self.requests()]


@contextmanager
def mocked(folder: Path, name: str = "scripted") -> Iterator[Mocked]:
    """A gateway whose only host is a scripted one that is asked for the model `name`."""
    command = [os.environ["POINTSMAN_BIN"], "mock", "--listen", "127.0.0.1:0"]
    with started(command, folder / "mock.txt", env={}) as process:
        with starting(process) as printed:
            address = next(line.split()[-1] for line in printed if "mock host at" in line)
        config = folder / "pointsman.yaml"
        config.write_text(CONFIG.format(address=address, name=name))
        (folder / "policy.yaml").write_text(POLICY)
        printed = pointsman("keys", "new", "--team", "lab", "--context", "office", "--config", config)
        key = next(word for word in printed.split() if word.startswith("pm_"))
        with serving(folder, config) as gateway:
            yield Mocked(gateway, key)
