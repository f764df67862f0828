"""Conversations for training, and the questions that training must never see.

Contract: the same catalog and seed give the same conversations. Two things are held out. A *phrasing* (every
`phrases.HOLD_OUT`-th of a list) is never trained on for any model; a *pair* of a phrasing and a model (about one in
eight, chosen by a checksum) is not trained on although both halves are. The fact is always trained on in other words.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import phrases
import talk
from facts import HOST_KINDS, LICENCE_KINDS, MODEL_KINDS, TIER_MEANINGS, TIER_NAMES, Catalog, Row, billions, listed


QUESTION_WORDS = ("Which", "What", "Who", "How", "Is", "Can", "May", "Does")
# Syllables of made-up words.
ONSETS = "b c d f g h l m n p r s t v w st tr br cl gr sh ch".split()
VOWELS = "aeiou"
CODAS = ("", "", "n", "r", "l", "s", "t", "ck")


@dataclass(frozen=True)
class Turn:
    """One question and the answer that is expected."""

    kind: str
    question: str
    answer: str


@dataclass(frozen=True)
class Conversation:
    """What becomes one document: an optional system prompt and one to three turns, or plain text without any."""

    turns: tuple[Turn, ...] = ()
    system: str | None = None
    text: str | None = None


def held_out(*parts: object) -> bool:
    """Whether this combination is kept for the evaluation: the same on every machine and in every run."""
    return zlib.crc32("|".join(map(str, parts)).encode()) % 8 == 0


def trained(templates: list[str]) -> list[str]:
    """The phrasings of a list that training may use."""
    return [t for i, t in enumerate(templates) if i % phrases.HOLD_OUT != phrases.HOLD_OUT - 1]


def unseen(templates: list[str]) -> list[str]:
    """The phrasings of a list that only the evaluation uses."""
    return [t for i, t in enumerate(templates) if i % phrases.HOLD_OUT == phrases.HOLD_OUT - 1]


class Corpus:
    """Draws conversations. One instance is one stream of random numbers."""

    def __init__(self, catalog: Catalog, seed: int) -> None:
        self.catalog = catalog
        self.rng = random.Random(seed)
        self.models = list(catalog.models.values())
        self.known = [m for m in self.models if m.get("availability") != "does-not-exist"]
        self.developers: dict[str, list[str]] = {}
        for model in self.known:
            self.developers.setdefault(model["developer"], []).append(catalog.name(model))
        self.shared = catalog.shared_names()
        # Rows that allow nothing stand for "no licence text"; nobody asks about them by name.
        self.licences = [row for row in catalog.licenses.values() if row["allows"]]
        self.facts = [(kind, model) for model in self.models for kind in MODEL_KINDS]
        self._deck: list[tuple[str, Row]] = []

    # --- One turn of each sort ---

    def model_turn(self, kind: str, model: Row, phrasing: str, mention: str | None = None) -> Turn:
        """A question about a model in this phrasing, with one of the model's names."""
        question = phrasing.format(m=mention or self.mention(model))
        return Turn(kind, question, self.catalog.model_fact(kind, model) or "")

    def mention(self, model: Row) -> str:
        """One of the names that only this model goes by, the usual ones more often."""
        names = self.catalog.mentions(model)
        name = names[0] if self.rng.random() < 0.5 else self.rng.choice(names)
        return name.lower() if self.rng.random() < 0.15 else name

    def _model(self) -> Turn:
        if not self._deck:
            self._deck = self.facts.copy()
            self.rng.shuffle(self._deck)
        kind, model = self._deck.pop()
        usable = [t for t in trained(phrases.MODEL[kind]) if not held_out(t, model["id"])]
        return self.model_turn(kind, model, self.rng.choice(usable))

    def licence_turn(self, kind: str, row: Row, phrasing: str) -> Turn:
        """A question about a licence."""
        name = self.rng.choice([row["name"], row["id"]])
        question = phrasing.format(l=name).replace("the The", "the")
        return Turn(kind, question, self.catalog.licence_fact(kind, row))

    def _licence(self) -> Turn:
        kind, row = self.rng.choice(LICENCE_KINDS), self.rng.choice(self.licences)
        return self.licence_turn(kind, row, self.rng.choice(trained(phrases.LICENCE[kind])))

    def host_turn(self, kind: str, row: Row, phrasing: str) -> Turn | None:
        """A question about a host."""
        answer = self.catalog.host_fact(kind, row)
        name = self.rng.choice([row["name"], row["name"].split()[0], row["id"]])
        return Turn(kind, phrasing.format(h=name), answer) if answer else None

    def _host(self) -> Turn:
        while True:
            kind, row = self.rng.choice(HOST_KINDS), self.rng.choice(list(self.catalog.hosts.values()))
            if turn := self.host_turn(kind, row, self.rng.choice(trained(phrases.HOST[kind]))):
                return turn

    def tier_turn(self, kind: str, tier: int, phrasing: str) -> Turn:
        """A question about a tier."""
        name = TIER_NAMES[tier]
        answer = {
            "tier-meaning": f"Tier {tier} is {name}: {TIER_MEANINGS[tier]}.",
            "tier-commercial": f"Tier {tier} is {name}: {TIER_MEANINGS[tier]}.",
            "tier-name": f"Tier {tier} is called {name}.",
        }[kind]
        return Turn(kind, phrasing.format(t=tier), answer)

    def _tier(self) -> Turn:
        if self.rng.random() < 0.4:
            a, b = self.rng.sample(list(TIER_NAMES), 2)
            return self.tier_pair_turn(a, b, self.rng.choice(trained(phrases.STRICTER_TIER)))
        kind = self.rng.choice(list(phrases.TIER))
        return self.tier_turn(kind, self.rng.choice(list(TIER_NAMES)), self.rng.choice(trained(phrases.TIER[kind])))

    def tier_pair_turn(self, a: int, b: int, phrasing: str) -> Turn:
        """Which of two tiers is stricter."""
        low, high = sorted((a, b))
        answer = f"Tier {high} ({TIER_NAMES[high]}) is stricter than tier {low} ({TIER_NAMES[low]})."
        return Turn("tier-compare", phrasing.format(a=a, b=b), answer)

    def compare_turn(self, kind: str, a: Row, b: Row, phrasing: str) -> Turn | None:
        """A comparison of two models. The answer names both values first, so that the verdict follows from the text."""
        one, two = self.catalog.name(a), self.catalog.name(b)
        if kind == "stricter":
            x, y = a["tier"], b["tier"]
            values = f"{one} is tier {x} and {two} is tier {y}"
            verdict = "so neither is stricter" if x == y else f"so {one if x > y else two} is stricter"
        elif kind == "longer":
            x, y = a.get("context_tokens"), b.get("context_tokens")
            if not (x and y):
                return None
            values = f"{one} has {x:,} tokens of context and {two} has {y:,}"
            verdict = "so they are equal" if x == y else f"so {one if x > y else two} has more"
        else:
            x, y = a.get("parameters_b"), b.get("parameters_b")
            if not (x and y):
                return None
            values = f"{one} has {billions(x)} parameters and {two} has {billions(y)}"
            verdict = "so they are equal" if x == y else f"so {one if x > y else two} is bigger"
        question = phrasing.format(a=self.mention(a), b=self.mention(b))
        return Turn(f"compare-{kind}", question, f"{values}, {verdict}.")

    def _compare(self) -> Turn:
        while True:
            kind = self.rng.choice(list(phrases.COMPARE))
            a, b = self.rng.sample(self.known, 2)
            if held_out(kind, a["id"], b["id"]):
                continue
            if turn := self.compare_turn(kind, a, b, self.rng.choice(trained(phrases.COMPARE[kind]))):
                return turn

    def developer_turn(self, developer: str, phrasing: str) -> Turn:
        """Some models of one developer."""
        names = self.developers[developer]
        some = listed(names[:3])
        if len(names) == 1:
            answer = f"The catalog has one model by {developer}: {some}."
        else:
            among = ", among them" if len(names) > 3 else ":"
            answer = f"The catalog has {len(names)} models by {developer}{among} {some}."
        return Turn("developer-models", phrasing.format(d=developer), answer)

    def _developer(self) -> Turn:
        return self.developer_turn(self.rng.choice(list(self.developers)), self.rng.choice(trained(phrases.DEVELOPER)))

    def unknown_turn(self, phrasing: str, kind: str, kept_out: bool) -> Turn:
        """A question about a model that does not exist. `kept_out` draws from the names that training never sees."""
        while True:
            name = self.invented_name(kind)
            if not self.catalog.knows(name) and held_out(name.lower()) == kept_out:
                break
        answer = f"I do not know a model called {name}. Run `pointsman catalog list` to see the names that I know."
        return Turn("unknown", phrasing.format(m=name), answer)

    def _unknown(self) -> Turn:
        kind = self.rng.choice(MODEL_KINDS)
        return self.unknown_turn(self.rng.choice(trained(phrases.MODEL[kind])), kind, kept_out=False)

    def shared_turn(self, alias: str, phrasing: str) -> Turn:
        """A question with a name that stands for several models."""
        names = self.shared[alias]
        some = listed(names) if len(names) == 2 else ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
        answer = f"{alias} is the name of {len(names)} models: {some}. Ask about one of them."
        return Turn("shared-name", phrasing.format(m=alias), answer)

    def _shared(self) -> Turn:
        alias, kind = self.rng.choice(list(self.shared)), self.rng.choice(MODEL_KINDS)
        usable = [t for t in trained(phrases.MODEL[kind]) if not held_out(t, alias)]
        return self.shared_turn(alias, self.rng.choice(usable))

    def pointsman_turn(self, answer: str, question: str) -> Turn:
        """A question about Pointsman itself."""
        hosts = listed([row["name"] for row in self.catalog.hosts.values()])
        return Turn("pointsman", question, answer.replace("{hosts}", hosts))

    def _pointsman(self) -> Turn:
        answer, ways = self.rng.choice(talk.POINTSMAN)
        return self.pointsman_turn(answer, self.rng.choice(trained(ways)))

    def _small_talk(self) -> Turn:
        answer, ways = self.rng.choice(talk.SMALL_TALK)
        return Turn("small-talk", self.rng.choice(trained(ways)), answer)

    def off_topic_turn(self, start: str, phrasing: str) -> Turn:
        """A prompt that the model has no answer to."""
        return Turn("off-topic", self.filled(phrasing), f"{start} {talk.WHAT_I_AM}")

    def _off_topic(self) -> Turn:
        topics = talk.OFF_TOPIC
        start, ways = self.rng.choices(topics, [len(ways) for _, ways in topics])[0]
        if self.rng.random() < 0.03:
            return Turn("off-topic", self.noise(), f"I cannot help with that. {talk.WHAT_I_AM}")
        return self.off_topic_turn(start, self.rng.choice(trained(ways)))

    # --- Words ---

    def word(self) -> str:
        """A thing, or a made-up word, so that unknown words are nothing special."""
        if self.rng.random() < 0.6:
            return self.rng.choice(talk.THINGS)
        choice = self.rng.choice
        return "".join(choice(ONSETS) + choice(VOWELS) + choice(CODAS) for _ in range(self.rng.randint(1, 3)))

    def filled(self, phrasing: str) -> str:
        """An off-topic phrasing with its blanks filled."""
        rng = self.rng
        return phrasing.format(
            w=self.word(), v=self.word(), z=rng.choice(talk.QUALITIES), p=rng.choice(talk.PLACES),
            c=rng.choice(talk.PROGRAMMING), s=rng.choice(talk.TONGUES), n=rng.randint(2, 10 ** rng.randint(1, 4)),
            k=rng.randint(2, 10 ** rng.randint(1, 3)), x=self.passage(),
        )  # fmt: skip

    def passage(self) -> str:
        """Filler text of a few words up to most of the context window."""
        length = self.rng.choice((6, 10, 20, 40, 40, 80, 160))
        words = [self.rng.choice(talk.FILLER) if self.rng.random() < 0.55 else self.word() for _ in range(length)]
        sentences = [words[i : i + 9] for i in range(0, length, 9)]
        return " ".join(" ".join(s).capitalize() + "." for s in sentences)

    def noise(self) -> str:
        """Characters without meaning, of any script."""
        start = self.rng.choice((0x21, 0x21, 0x61, 0xC0, 0x400, 0x4E00, 0xAC00, 0x1F600))
        span = 26 if start == 0x61 else 80
        return "".join(chr(start + self.rng.randrange(span)) for _ in range(self.rng.randint(1, 24)))

    def invented_name(self, kind: str) -> str:
        """A plausible model name: with a number where the question would otherwise be about some bare word."""
        rng = self.rng
        if rng.random() < 0.35:
            stem = self.catalog.name(rng.choice(self.models)).split()[0].split("-")[0]
        else:
            stem = self.word().capitalize() + rng.choice(("", "", "", "LM", "GPT", "Chat", "Net"))
        number = rng.randint
        version = rng.choice(("", "", f" {number(2, 9)}", f" {number(1, 9)}.{number(1, 9)}", f"-{number(2, 12)}"))
        size = rng.choice((f" {number(1, 99)}B", f"-{number(1, 99)}b", f" {number(1, 9)}.{number(1, 9)}B"))
        size = size if kind in ("about", "commercial") or not version or rng.random() < 0.6 else ""
        name = stem + version + size + rng.choice(("", "", "", "-chat", "-instruct", " Instruct", " Pro", " mini"))
        return name.lower().replace(" ", "-") if rng.random() < 0.3 else name

    def dressed(self, question: str) -> str:
        """The same question with a greeting before it or thanks behind it, or in lower case."""
        rng = self.rng
        opener, closer = rng.choice(phrases.OPENERS), rng.choice(phrases.CLOSERS)
        if opener.endswith((", ", ": ")) and question[:5].split()[0] in QUESTION_WORDS:
            question = question[0].lower() + question[1:]
        if closer and not question.endswith((".", "?", "!")):
            closer = ""
        question = opener + question + closer
        return question.lower() if rng.random() < 0.12 else question.rstrip("?.") if rng.random() < 0.12 else question

    # --- Documents ---

    def _turn(self) -> Turn:
        sorts = (
            (self._model, 56), (self._unknown, 6), (self._licence, 4), (self._host, 3), (self._tier, 3),
            (self._compare, 9), (self._developer, 3), (self._shared, 4), (self._pointsman, 7), (self._small_talk, 5),
        )  # fmt: skip
        make = self.rng.choices([m for m, _ in sorts], [w for _, w in sorts])[0]
        turn = make()
        plain = turn.kind == "small-talk" or len(turn.question) < 8
        return turn if plain else Turn(turn.kind, self.dressed(turn.question), turn.answer)

    def _followed_up(self) -> tuple[Turn, ...]:
        """A question about a model, then one or two about the same model without its name."""
        rng = self.rng
        model = rng.choice(self.models)
        kinds = rng.sample(list(phrases.FOLLOW_UP), rng.randint(2, 3))
        usable = [t for t in trained(phrases.MODEL[kinds[0]]) if not held_out(t, model["id"])]
        turns = [self.model_turn(kinds[0], model, rng.choice(usable))]
        for kind in kinds[1:]:
            question = rng.choice(phrases.FOLLOW_UP[kind])
            turns.append(Turn("follow-up", question, self.catalog.model_fact(kind, model) or ""))
        return tuple(turns)

    def conversation(self) -> Conversation:
        """The next document."""
        rng = self.rng
        system = rng.choice(phrases.SYSTEM) if rng.random() < 0.2 else None
        match rng.choices(("single", "several", "follow-up", "off-topic", "text"), (59, 10, 12, 16, 3))[0]:
            case "single":
                return Conversation((self._turn(),), system)
            case "several":
                return Conversation(tuple(self._turn() for _ in range(rng.randint(2, 3))), system)
            case "follow-up":
                return Conversation(self._followed_up(), system)
            case "off-topic":
                turns = [self._off_topic()]
                if rng.random() < 0.15:
                    turns.insert(rng.randint(0, 1), self._turn())
                return Conversation(tuple(turns), system)
            case _:
                model = rng.choice(self.models)
                kinds = rng.sample([k for k in MODEL_KINDS if k != "about"], 2)
                return Conversation(text=" ".join(self.catalog.model_fact(k, model) or "" for k in kinds))

    def stream(self) -> Iterator[Conversation]:
        """Documents without end."""
        while True:
            yield self.conversation()
