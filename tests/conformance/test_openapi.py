"""The description of the API, by the validator that other tools build on."""

import json
import urllib.request

from openapi_spec_validator import validate

from gateway import PATIENCE


def test_the_openapi_document_is_valid_and_every_reference_leads_somewhere(base_url: str) -> None:
    address = base_url.removesuffix("/v1") + "/openapi.json"
    with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
        document = json.load(answer)
    validate(document)
    assert document["openapi"].startswith("3.1") and len(document["paths"]) > 25
