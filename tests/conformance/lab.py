"""A real llama.cpp server and a gateway in front of it: for schemas that bind what is sampled, and for a server's own ways.

The server is llama.cpp's own, as the package `xllamacpp` carries it, with the demo model's file; its name, its key and
its window are its own. The gateway believes that the window is larger than it is, as one does who forgets that a server
splits it between its slots.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from openai import OpenAI

from gateway import PATIENCE, Gateway, get, pointsman, serving, started, starting, until

MODEL = Path(__file__).parents[2] / "config" / "models" / "pointsman-demo.gguf"
SERVER = Path(__file__).with_name("llama_cpp_server.py")
NAME, KEY = "weights-of-the-lab", "key-of-the-lab"

CONFIG = """\
catalog: [lab.yaml]
policies: [policy.yaml]
discover: false
deployments:
  - {{id: lab, model: lab-demo, server: llama.cpp, base_url: "{address}/v1", name: {name}, key_file: lab.key}}
  - {{id: local, model: pointsman-demo, engine: native}}
contexts: {{office: {{use: internal, exposure: internal}}}}
teams: {{lab: {{contexts: [office]}}}}
keys: keys.yaml
"""

CATALOG = """\
models:
  - {id: lab-demo, name: Lab demo, family: lab, developer: Lab, availability: downloadable, license: apache-2.0,
     tier: 1, context_tokens: 4096, languages: [en], capabilities: [json_schema], parents: [{of: pointsman-demo, by: fine-tune}]}
"""

POLICY = """\
version: 1
routes:
  - {name: lab-alone, match: {model: alone}, candidates: [lab]}
  - {name: lab-first, match: {model: assistant}, candidates: [lab, local]}
"""


@dataclass(frozen=True)
class Server:
    """A running llama.cpp server: its address, and what it says of itself."""

    address: str

    def get(self, path: str) -> str:
        return get(self.address + path, KEY)

    def busy(self) -> int:
        """How many of its slots work."""
        return sum(slot["is_processing"] for slot in json.loads(self.get("/slots")))


@dataclass(frozen=True)
class Lab:
    """The server, the gateway in front of it, and a client of each."""

    server: Server
    gateway: Gateway
    direct: OpenAI
    client: OpenAI
    key: str

    def requests(self) -> list[dict]:
        """What the ledger holds, oldest first."""
        return json.loads(pointsman("audit", "list", "--json", "--data-dir", self.gateway.folder / "data"))

    def outcome(self, request: str) -> dict:
        """How a request ended, once the ledger has it."""

        def ended() -> dict | None:
            return next((entry["outcome"] for entry in self.requests() if entry["decision"]["request"] == request), None)

        return until(ended, f"an outcome of {request}")

    def states(self) -> dict[str, str]:
        """What the gateway thinks of each deployment."""
        return json.loads(get(self.gateway.admin + "/ready"))["deployments"]


@contextmanager
def llama_cpp(folder: Path, port: int = 0) -> Iterator[Server]:
    """A server on this port, gone when the `with` is left."""
    log = folder / "llama-cpp.txt"
    command = [sys.executable, SERVER, MODEL, NAME, KEY, str(port)]
    with started(command, log, stdin=subprocess.PIPE) as process:
        with starting(process) as printed:
            address = next(printed, "").strip()
        assert address, f"llama.cpp did not start: {log.read_text()}"
        yield Server(address)


@contextmanager
def behind(server: Server, folder: Path) -> Iterator[Lab]:
    """A gateway in front of a server."""
    config = folder / "pointsman.yaml"
    config.write_text(CONFIG.format(address=server.address, name=NAME))
    (folder / "lab.key").write_text(KEY)
    (folder / "lab.yaml").write_text(CATALOG)
    (folder / "policy.yaml").write_text(POLICY)
    key = pointsman("keys", "new", "--team", "lab", "--context", "office", "--config", config).strip()
    client = {"max_retries": 0, "timeout": PATIENCE}
    with serving(folder, config) as gateway:
        direct = OpenAI(base_url=server.address + "/v1", api_key=KEY, **client)
        yield Lab(server, gateway, direct, OpenAI(base_url=gateway.clients, api_key=key, **client), key)
