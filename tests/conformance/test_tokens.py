"""Tokens of a real OpenID provider instead of keys: what its client-credentials flow gives out lets the real `openai` package
in, unmodified, until the provider signs by other keys."""

import base64
import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest
from openai import OpenAI

from gateway import PATIENCE, Gateway, pointsman, serving, started, starting, until
from outside import environment, scripts

CONFIG = """\
discover: false
deployments: [{{id: demo, model: pointsman-demo, engine: auto}}]
contexts: {{office: {{use: internal, exposure: internal}}}}
teams: {{lab: {{contexts: [office]}}}}
tokens:
  - issuer: {issuer}
    audience: [pointsman]
    rules: [{{claim: groups, equals: engineering, team: lab, context: office}}]
"""


@dataclass(frozen=True)
class World:
    """A gateway that trusts an issuer."""

    gateway: Gateway
    issuer: str

    def token(self, client: str, audience: str = "pointsman") -> str:
        """A token from the client-credentials flow."""
        form = {"grant_type": "client_credentials", "resource": f"urn:{audience}", "scope": "chat"}
        ask = urllib.request.Request(f"{self.issuer}/token", urllib.parse.urlencode(form).encode())
        ask.add_header("authorization", "Basic " + base64.b64encode(f"{client}:secret".encode()).decode())
        with urllib.request.urlopen(ask, timeout=PATIENCE) as answer:
            return json.load(answer)["access_token"]

    def ask(self, token: str) -> str:
        """What the model says to the bearer of a token, by the package, which tries again what it is told to."""
        client = OpenAI(base_url=self.gateway.clients, api_key=token)
        question = [{"role": "user", "content": "Which licence has Llama 3.3 70B Instruct?"}]
        answer = client.chat.completions.create(model="auto", messages=question, temperature=0)
        return answer.choices[0].message.content

    def refused(self, token: str) -> str | None:
        """By which code the bearer of a token is refused, if it is."""
        try:
            self.ask(token)
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.InternalServerError) as error:
            return error.code
        return None


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("tokens")
    command = ["node", scripts(folder) / "issuer.mjs"]
    with started(command, folder / "issuer.txt", cwd=folder, env=environment(folder)) as process:
        with starting(process) as printed:
            issuer = next(line.split()[-1] for line in printed if line.startswith("issuer at "))
        config = folder / "pointsman.yaml"
        config.write_text(CONFIG.format(issuer=issuer))
        with serving(folder, config) as gateway:
            world = World(gateway, issuer)
            token = world.token("ES256")
            until(lambda: world.refused(token) is None, "the keys of the issuer are there")
            yield world


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_token_lets_its_bearer_in_and_its_subject_is_recorded_by_a_pseudonym(world: World, algorithm: str) -> None:
    token = world.token(algorithm)
    assert len(world.ask(token)) > 10
    records = pointsman("audit", "list", "--json", "--data-dir", world.gateway.folder / "data")
    decision = json.loads(records)[-1]["decision"]
    host, _, digest = decision["key"].partition("/")
    assert (decision["team"], decision["context"], host) == ("lab", "office", urllib.parse.urlsplit(world.issuer).netloc)
    assert len(digest) == 16 and algorithm not in decision["key"]
    log = (world.gateway.folder / "log.txt").read_text()
    for part in token.split("."):
        assert part not in records and part not in log


def test_a_bearer_without_a_team_another_audience_and_a_changed_token_are_refused(world: World) -> None:
    assert world.refused(world.token("EdDSA")) == "token_without_team"
    assert world.refused(world.token("RS256", "another")) == "token_audience"
    header, claims, signature = world.token("RS256").split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "=="))
    more = base64.urlsafe_b64encode(json.dumps({**told, "exp": told["exp"] + 3600}).encode()).decode().rstrip("=")
    assert world.refused(f"{header}.{more}.{signature}") == "bad_token_signature"
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    assert world.refused(f"{unsigned}.{claims}.") == "malformed_token"


def test_when_the_issuer_signs_by_other_keys_new_tokens_are_good_and_old_ones_are_not(world: World) -> None:
    before = world.token("ES256")
    assert world.refused(before) is None
    urllib.request.urlopen(f"{world.issuer}/rotate", b"", timeout=PATIENCE).close()
    after = world.token("ES256")
    until(lambda: world.refused(after) is None, "the new keys of the issuer are there")
    assert world.refused(before) == "unknown_token_key"
