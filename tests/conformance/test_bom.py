"""`pointsman catalog bom` against the published models of both standards, as their own packages carry them.

CycloneDX: the JSON schema that is part of `cyclonedx-python-lib`. SPDX 3.0.1: `spdx-python-model`, the bindings that the
SPDX project generates from the published model; they know every class, property, type, value and number of values.
"""

import copy
import io
import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import spdx_python_model
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

SHIPPED = Path(__file__).parents[2] / "config" / "pointsman.yaml"

OWN_CONFIG = """\
catalog: [acme.yaml]
deployments:
  - {id: demo, model: pointsman-demo, engine: auto}
  - {id: acme-chat, model: acme-chat, server: vllm, base_url: "http://127.0.0.1:9000/v1", region: eu}
  - {id: acme-lab, model: acme-lab, server: sglang, base_url: "http://[::1]:9001/v1", quantization_bits: 4.5}
contexts: {office: {use: internal, exposure: internal}}
teams: {everyone: {contexts: [office]}}
keys: keys.yaml
"""

OWN_ROWS = """\
licenses:
  - {id: acme_terms, name: Acme Terms, tier: 2, allows: [revenue, internal], text: full, url: "no address at all"}
models:
  - {id: acme-chat, name: "Acme «Chat» {1}", family: acme, developer: Acme & Söhne, availability: downloadable,
     license: acme_terms, also_licenses: [llama-3.3-community], tier: 2, base: Llama 3.3 70B Instruct,
     repo: acme/chat one, release_date: '2026-02-31'}
  - {id: acme-lab, name: Acme Lab, family: acme, developer: Acme & Söhne, availability: downloadable,
     license: apache-2.0, also_licenses: [unknown], tier: 5, base: something that is only named here}
"""

SETS = {
    "nothing configured": ({}, None),
    "nothing configured but keys of hosts": ({"GROQ_API_KEY": "k", "DEEPINFRA_API_KEY": "k", "TOGETHER_API_KEY": "k"}, None),
    "the shipped configuration": ({}, SHIPPED),
    "models of a company": ({}, "own"),
}


def bom(standard: str, environment: dict[str, str], config: Path | None) -> str:
    command = [os.environ["POINTSMAN_BIN"], "catalog", "bom", "--format", standard]
    command += ["--config", str(config)] if config else []
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(params=SETS.values(), ids=SETS.keys())
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Writes the bill of one set of deployments in a standard."""
    environment, config = request.param
    if config == "own":
        config = tmp_path / "pointsman.yaml"
        config.write_text(OWN_CONFIG)
        (tmp_path / "acme.yaml").write_text(OWN_ROWS)
    return lambda standard: bom(standard, environment, config)


def cyclonedx_problem(text: str) -> str | None:
    """What the schema of the standard says against a document."""
    problem = JsonStrictValidator(SchemaVersion.V1_7).validate_str(text)
    return problem and repr(problem)


def spdx_problem(document: dict) -> str | None:
    """What the model of the standard says against a document."""
    try:
        model, objects = spdx_python_model.load_data(document)
        missing = {name for name in objects.link() if not name.endswith("/NoAssertionLicense")}
        if missing:
            return f"nothing stands at {sorted(missing)}"
        # How often a property must be there is looked at when it is written.
        model.JSONLDSerializer().write(objects, io.BytesIO())
    except (KeyError, TypeError, ValueError) as error:
        return repr(error)
    return None


def test_cyclonedx_is_valid_and_its_package_urls_are_in_normal_form(written: Callable[[str], str]) -> None:
    text = written("cyclonedx")
    assert cyclonedx_problem(text) is None
    document = json.loads(text)
    models = document["components"]
    assert models and all(model["type"] == "machine-learning-model" for model in models)
    for purl in (model["purl"] for model in models if "purl" in model):
        assert PackageURL.from_string(purl).to_string() == purl
    references = Counter(part["bom-ref"] for part in models + document.get("services", []))
    assert max(references.values()) == 1
    ends = [end for edge in document["dependencies"] for end in [edge["ref"], *edge.get("dependsOn", [])]]
    assert set(ends) == {*references, document["metadata"]["component"]["bom-ref"]}


def test_spdx_is_valid_and_every_model_has_one_declared_and_one_concluded_licence(written: Callable[[str], str]) -> None:
    document = json.loads(written("spdx"))
    assert spdx_problem(document) is None
    graph = document["@graph"]
    models = [element["spdxId"] for element in graph if element["type"] == "ai_AIPackage"]
    edges = Counter((edge["from"], edge["relationshipType"]) for edge in graph if edge["type"] == "Relationship")
    assert models
    for model in models:
        assert edges[model, "hasDeclaredLicense"] == edges[model, "hasConcludedLicense"] == 1


def test_both_standards_list_the_same_models(written: Callable[[str], str]) -> None:
    components = json.loads(written("cyclonedx"))["components"]
    graph = json.loads(written("spdx"))["@graph"]
    served = [element for element in graph if element["type"] == "ai_AIPackage" and "extension" in element]
    assert [model["name"] for model in components] == [package["name"] for package in served]
    for component, package in zip(components, served):
        pairs = package["extension"][0]["extension_cdxProperty"]
        names = [(pair["extension_cdxPropName"], pair["extension_cdxPropValue"]) for pair in pairs]
        assert names == [(pair["name"], pair["value"]) for pair in component["properties"]]


def test_a_damaged_cyclonedx_document_is_refused() -> None:
    sound = json.loads(bom("cyclonedx", {}, None))
    damages: list[Callable[[dict], object]] = [
        lambda document: document.pop("specVersion"),
        lambda document: document.update(serialNumber="42"),
        lambda document: document["components"][0].update(type="model"),
        lambda document: document["components"][0].update(licence="MIT"),
        lambda document: document["components"][0]["licenses"][0]["license"].update(id="Apache 2"),
        lambda document: document["components"][0]["licenses"][0]["license"].update(acknowledgement="guessed"),
        lambda document: document["components"][0]["externalReferences"][0].update(url="no address at all"),
    ]
    for number, damage in enumerate(damages):
        document = copy.deepcopy(sound)
        damage(document)
        assert cyclonedx_problem(json.dumps(document)), f"damage {number}"


def test_a_damaged_spdx_document_is_refused() -> None:
    sound = json.loads(bom("spdx", {}, None))

    def the(document: dict, kind: str) -> dict:
        return next(element for element in document["@graph"] if element["type"] == kind)

    damages: list[Callable[[dict], object]] = [
        lambda document: the(document, "CreationInfo").pop("created"),
        lambda document: the(document, "CreationInfo").update(created="yesterday"),
        lambda document: the(document, "ai_AIPackage").update(type="ai_Model"),
        lambda document: the(document, "ai_AIPackage").update(software_primaryPurpose="chat"),
        lambda document: the(document, "ai_AIPackage").update(ai_licence="MIT"),
        lambda document: the(document, "Relationship").update(to=[]),
        lambda document: the(document, "Relationship").update(to=["https://spdx.org/nothing-here"]),
        lambda document: the(document, "Relationship").update(relationshipType="hasLicence"),
        lambda document: the(document, "simplelicensing_LicenseExpression").pop("simplelicensing_licenseExpression"),
    ]
    for number, damage in enumerate(damages):
        document = copy.deepcopy(sound)
        damage(document)
        assert spdx_problem(document), f"damage {number}"


def test_a_licence_that_is_not_known_is_never_made_up(tmp_path: Path) -> None:
    (tmp_path / "pointsman.yaml").write_text(OWN_CONFIG)
    (tmp_path / "acme.yaml").write_text(OWN_ROWS)
    components = json.loads(bom("cyclonedx", {}, tmp_path / "pointsman.yaml"))["components"]
    lab = next(component for component in components if component["name"] == "Acme Lab")
    assert [choice["license"]["acknowledgement"] for choice in lab["licenses"]] == ["declared"]
    assert {"name": "pointsman:license:concluded", "value": "NOASSERTION"} in lab["properties"]
    graph = json.loads(bom("spdx", {}, tmp_path / "pointsman.yaml"))["@graph"]
    package = next(element["spdxId"] for element in graph if element.get("name") == "Acme Lab")
    concluded = [edge["to"] for edge in graph if edge.get("from") == package and edge["relationshipType"] == "hasConcludedLicense"]
    assert concluded == [["expandedlicensing_NoAssertionLicense"]]
