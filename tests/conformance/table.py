"""README.md's table of clients and what is tested of each, made of the tests that show it.

A test says what it shows with `@pytest.mark.shows(CLIENT, FEATURE, ...)`. What a client or the API that it speaks does not
have is written down here with its reason, and is a `-`; what nobody shows is `not tested`.
"""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
README = FOLDER.parents[1] / "README.md"
BEGIN = "<!-- Made of the tests: UPDATE_TABLE=1 tests/run conformance -->\n"
END = "<!-- The end of what is made -->\n"

FEATURES = ("whole", "streamed", "tool call", "schema", "error", "cut short", "gone")

# A row for each client, in this order: the features that it does not have, and why.
CLIENTS: dict[str, dict[str, str]] = {
    "`openai` for Python, chat": {},
    "`openai` for Python, responses": {},
    "`openai` for Node, chat": {},
    "`openai` for Node, responses": {},
    "`anthropic` for Python": {},
    "LangChain, chat": {},
    "LangChain, responses": {},
    "LlamaIndex": {},
    "Vercel AI SDK, chat": {},
    "Vercel AI SDK, responses": {},
    "`llm`, chat": {},
    "`llm`, responses": {"cut short": "it passes over `response.failed`, and ends as if all were said"},
    "lm-evaluation-harness": dict.fromkeys(("streamed", "tool call", "schema", "cut short", "gone"), "it asks for whole texts"),
    "Aider": dict.fromkeys(("tool call", "schema"), "it reads its edits from plain text"),
    "Codex CLI": {"whole": "it streams always"},
    "Claude Code": {"whole": "it streams, and asks for a whole answer only where a stream failed"},
}

Shown = dict[tuple[str, str], list[str]]


class Collected:
    """A plugin of pytest that keeps the tests that were found."""

    items: list[pytest.Item] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.items = list(items)


def shown() -> Shown:
    """Which tests of this folder show what, all of them, however many this run is about."""
    collected = Collected()
    quiet = ["--collect-only", "-p", "no:terminal", "-p", "no:cacheprovider"]
    assert pytest.main([*quiet, str(FOLDER)], plugins=[collected]) == 0, "the tests cannot be collected"
    found: Shown = {}
    for item in collected.items:
        # One that is skipped on some machines shows what it does on the others.
        if item.get_closest_marker("skip") or item.get_closest_marker("xfail"):
            continue
        for mark in item.iter_markers("shows"):
            client, *features = mark.args
            for feature in features:
                assert client in CLIENTS, f"{item.nodeid} shows a client that has no row: {client}"
                assert feature in FEATURES, f"{item.nodeid} shows a feature that has no column: {feature}"
                found.setdefault((client, feature), []).append(item.nodeid)
    return found


def rendered(shown: Shown) -> str:
    """The table, a line for each client."""
    lines = [["client", *FEATURES], ["---"] * (len(FEATURES) + 1)]
    for client, lacks in CLIENTS.items():
        assert lacks.keys() <= set(FEATURES), f"{client} lacks what has no column: {lacks}"
        cells = []
        for feature in FEATURES:
            tests = shown.get((client, feature), [])
            assert not (tests and feature in lacks), f"{client} does not have `{feature}`, and {tests} show it"
            cells.append("yes" if tests else "-" if feature in lacks else "not tested")
        lines.append([client, *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def within(readme: str) -> tuple[str, str, str]:
    """What stands before the table, the table, and what stands after it."""
    before, begin, rest = readme.partition(BEGIN)
    table, end, after = rest.partition(END)
    assert begin and end, f"README.md has lost the marks of the table:\n{BEGIN}{END}"
    return before + begin, table, end + after
