"""What the model learns: rows of the catalog as sentences.

Reads `catalog/data/**.yaml` and nothing else. Every sentence here is an answer that the model is trained to give, so
each states one fact plainly, uses the catalog's own name of a thing, and says so where the catalog does not know.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Row = dict[str, Any]

TIER_NAMES = {1: "free", 2: "conditional", 3: "research", 4: "non-commercial", 5: "closed"}
TIER_MEANINGS = {
    1: "commercial use is free as long as the notices are kept",
    2: "commercial use is allowed under the conditions of its licence",
    3: "research is free, and commercial use needs a separate licence",
    4: "commercial use is forbidden",
    5: "there are no open weights or no known licence, so only a contract with the provider allows its use",
}
LANGUAGES = {
    "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi",
    "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "ms": "Malay",
    "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai", "tl": "Tagalog", "tr": "Turkish",
    "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
MODALITIES = {"image": "images", "document": "documents"}
MONTHS = "January February March April May June July August September October November December".split()
MODEL_KINDS = (
    "licence", "tier", "commercial", "research", "developer", "context", "size", "languages", "modalities", "hosts",
    "download", "release", "about",
)  # fmt: skip
LICENCE_KINDS = ("licence-tier", "licence-commercial", "licence-about")
HOST_KINDS = ("host-key", "host-url", "host-about")


def listed(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def billions(value: float) -> str:
    """A parameter count given in billions, in words: `600 million`, `70 billion`."""
    scaled, unit = (value, "billion") if value >= 1 else (value * 1000, "million")
    return f"{scaled:.2f}".rstrip("0").rstrip(".") + f" {unit}"


def plain(name: str) -> str:
    """A name without the remark in brackets behind it."""
    return re.sub(r"\s*\([^)]*\)$", "", name)


@dataclass
class Catalog:
    """Every row of the catalog by id, and which hosts still list which model."""

    models: dict[str, Row] = field(default_factory=dict)
    licenses: dict[str, Row] = field(default_factory=dict)
    hosts: dict[str, Row] = field(default_factory=dict)
    offers: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Catalog:
        """Reads `models/`, `licenses.yaml`, `hosts.yaml` and `prices/` in this folder."""

        def rows(pattern: str, key: str) -> list[Row]:
            texts = (path.read_text(encoding="utf-8") for path in sorted(folder.glob(pattern)))
            return [row for text in texts for row in yaml.load(text, yaml.CSafeLoader)[key]]

        catalog = cls(
            models={row["id"]: row for row in rows("models/*.yaml", "models")},
            licenses={row["id"]: row for row in rows("licenses.yaml", "licenses")},
            hosts={row["id"]: row for row in rows("hosts.yaml", "hosts")},
        )
        prices = rows("prices/*.yaml", "prices")
        for row in prices:
            offered = catalog.offers.setdefault(row.get("model") or "", [])
            same = row["status"] == "listed" and row["relation"] in ("exact", "variant")
            if same and row["host"] not in offered:
                offered.append(row["host"])
        if not (catalog.models and catalog.licenses and catalog.hosts):
            raise ValueError(f"`{folder}` has no models, no licences or no hosts")
        catalog._index()
        return catalog

    def name(self, model: Row) -> str:
        """The name that answers use. Two rows never share one."""
        return plain(model["name"]) if self._plain_names.count(plain(model["name"])) == 1 else model["name"]

    def mentions(self, model: Row) -> list[str]:
        """The ways a user may name this model and no other: its name first, its id, aliases that are its alone."""
        own = [self.name(model), model["id"], *(model.get("aliases") or [])]
        if model.get("repo"):
            own += [model["repo"].split("/")[-1], model["repo"]]
        return [m for i, m in enumerate(own) if m not in own[:i] and self._owners[m.lower()] == {model["id"]}]

    def knows(self, mention: str) -> bool:
        """Whether some model goes by this name."""
        return mention.lower() in self._owners

    def shared_names(self) -> dict[str, list[str]]:
        """Names that stand for several models, with the names of those."""
        shared: dict[str, list[str]] = {}
        for model in self.models.values():
            for alias in model.get("aliases") or []:
                if len(self._owners[alias.lower()]) > 1:
                    shared.setdefault(alias, []).append(self.name(model))
        return {alias: names for alias, names in shared.items() if len(names) > 1}

    def _index(self) -> None:
        self._plain_names = [plain(m["name"]) for m in self.models.values()]
        self._owners: dict[str, set[str]] = {}
        for model in self.models.values():
            names = [model["id"], model["name"], plain(model["name"]), *(model.get("aliases") or [])]
            names += [(model.get("repo") or model["id"]).split("/")[-1], model.get("repo") or model["id"]]
            for name in names:
                self._owners.setdefault(name.lower(), set()).add(model["id"])

    def model_fact(self, kind: str, model: Row) -> str | None:
        """The answer to a question of `kind` about a model, or `None` where the catalog has nothing to say."""
        name = self.name(model)
        if model.get("availability") == "does-not-exist":
            replacement = self.models.get(model.get("replacement") or "")
            instead = f" Ask about {self.name(replacement)} instead." if replacement else ""
            return f"No model called {name} was ever released.{instead}"
        return getattr(self, f"_{kind}")(model, name)

    def _licences(self, model: Row) -> list[Row]:
        return [self.licenses[name] for name in (model["license"], *(model.get("also_licenses") or []))]

    def _licence_of(self, model: Row) -> str:
        return listed(["the " + row["name"] for row in self._licences(model)])

    def _licence(self, model: Row, name: str) -> str:
        if model["license"] == "closed-api":
            return f"{name} is a closed model: no weights are published, and the provider's contract governs its use."
        if model["license"] == "unknown":
            return f"The licence of {name} is not established, so Pointsman treats it as closed."
        return f"{name} is under {self._licence_of(model)}."

    def _tier(self, model: Row, name: str) -> str:
        tier = model["tier"]
        return f"{name} is tier {tier} ({TIER_NAMES[tier]}): {TIER_MEANINGS[tier]}."

    def _commercial(self, model: Row, name: str) -> str:
        match model["tier"]:
            case 1:
                return f"Yes. {name} is tier 1, so a company may use it commercially if it keeps the notices."
            case 2:
                text = self._licence_of(model)
                return f"Yes, with conditions. {name} is tier 2, and commercial use must follow {text}."
            case 3:
                return f"Not without an agreement. {name} is tier 3: commercial use needs a separate licence."
            case 4:
                return f"No. {name} is tier 4, and its licence forbids commercial use."
            case _ if model["license"] == "unknown":
                return f"No. The licence of {name} is not established, and unknown means no."
            case _:
                return f"Only under a contract with its provider. {name} is tier 5, a closed model."

    def _research(self, model: Row, name: str) -> str:
        if all("research" in row["allows"] for row in self._licences(model)):
            only = "" if model["tier"] <= 2 else " but commercial use is not"
            return f"Yes. {name} is tier {model['tier']}, so research is allowed{only}."
        if model["license"] == "unknown":
            return f"No. The licence of {name} is not established, and unknown means no."
        return f"Only under a contract with its provider. {name} is tier {model['tier']}."

    def _developer(self, model: Row, name: str) -> str:
        return f"{name} was developed by {model['developer']}."

    def _context(self, model: Row, name: str) -> str:
        if not model.get("context_tokens"):
            return f"The catalog does not state the context window of {name}."
        return f"The context window of {name} is {model['context_tokens']:,} tokens."

    def _size(self, model: Row, name: str) -> str:
        if not model.get("parameters_b"):
            return f"The catalog does not state the size of {name}."
        active = model.get("active_parameters_b")
        sparse = active and active != model["parameters_b"]
        part = f", and {billions(active)} of them are active for each token" if sparse else ""
        return f"{name} has {billions(model['parameters_b'])} parameters{part}."

    def _languages(self, model: Row, name: str) -> str:
        codes = model.get("languages") or model.get("strong_languages") or []
        names = [LANGUAGES[code] for code in codes if code in LANGUAGES]
        if "mul" in codes:
            strong = f", and is strongest in {names[0]}" if names else ""
            return f"{name} supports many languages{strong}."
        if not names:
            return f"The catalog does not state the languages of {name}."
        more = len(codes) - 6
        if more > 1:
            return f"{name} supports {', '.join(names[:6])} and {more} more languages."
        return f"{name} supports {listed(names)}."

    def _modalities(self, model: Row, name: str) -> str:
        modalities = model.get("modalities") or {}
        takes, gives = (
            listed([MODALITIES.get(m, m) for m in modalities.get(way) or ["text"]]) for way in ("input", "output")
        )
        return f"{name} reads {takes} and writes {gives}."

    def _hosts(self, model: Row, name: str) -> str:
        offered = [self.hosts[h]["name"] for h in self.offers.get(model["id"], []) if h in self.hosts]
        if not offered:
            return f"The catalog has no price for {name} at any host."
        return f"The catalog has a price for {name} at {listed(offered)}."

    def _download(self, model: Row, name: str) -> str:
        match model.get("availability"):
            case "downloadable":
                return f"Yes. The weights of {name} can be downloaded."
            case "api-only":
                return f"No. {name} is only offered as a service by its provider."
            case "retired-api":
                return f"No. {name} was only a service, and it has been retired."
            case "not-released":
                return f"No. {name} has been announced but not released."
            case "project":
                return f"No. {name} is a project and not a set of weights."
            case _:
                return f"The catalog does not know whether {name} can be downloaded."

    def _release(self, model: Row, name: str) -> str:
        date = str(model.get("release_date") or "")
        if not re.fullmatch(r"\d{4}-\d{2}(-\d{2})?", date):
            return f"The catalog does not state when {name} was released."
        year, month, *day = date.split("-")
        when = f"on {int(day[0])} {MONTHS[int(month) - 1]} {year}" if day else f"in {MONTHS[int(month) - 1]} {year}"
        return f"{name} was released {when}."

    def _about(self, model: Row, name: str) -> str:
        """Several facts in a row, so that a stream has something to stream."""
        its = [self._developer(model, name)]
        if model.get("parameters_b"):
            its.append(self._size(model, "It"))
        its.append(self._licence(model, name).replace(f"{name} is", "It is", 1))
        its.append(self._tier(model, "It"))
        if model.get("context_tokens"):
            its.append(f"Its context window is {model['context_tokens']:,} tokens.")
        its.append(self._modalities(model, "It"))
        return " ".join(its)

    def licence_fact(self, kind: str, row: Row) -> str:
        """The answer to a question about a licence."""
        name, tier = row["name"], row["tier"]
        placed = f"The {name} is tier {tier} ({TIER_NAMES[tier]})"
        match kind:
            case "licence-tier":
                return f"{placed}: {TIER_MEANINGS[tier]}."
            case "licence-commercial":
                verdict = {1: "Yes.", 2: "Yes, with conditions.", 3: "Not without an agreement.", 4: "No."}
                return f"{verdict.get(tier, 'Only under a contract.')} {placed}."
            case _:
                users = [self.name(m) for m in self.models.values() if m["license"] == row["id"]]
                used = f" It is used by {listed(users[:3])}." if users else ""
                return f"{placed}: {TIER_MEANINGS[tier]}.{used}"

    def host_fact(self, kind: str, row: Row) -> str | None:
        """The answer to a question about a host."""
        keys = row.get("key_env") or []
        key = keys if isinstance(keys, str) else next(iter(keys), None)
        match kind:
            case "host-key":
                if not key:
                    return None
                return f"Pointsman reads the key for {row['name']} from the environment variable {key}."
            case "host-url":
                return f"The base address of {row['name']} is {row['base_url']}." if row.get("base_url") else None
            case _:
                live = f" Pointsman can send requests to it once {key} is set." if key else ""
                return f"{row['name']} is a remote host that serves models over HTTP.{live}"
