"""README.md says of the clients what the tests show, and nothing else."""

import os

import pytest

from table import CLIENTS, README, rendered, shown, within


def test_the_table_of_the_readme_is_what_the_tests_show() -> None:
    before, written, after = within(README.read_text())
    made = rendered(shown())
    if os.environ.get("UPDATE_TABLE"):
        README.write_text(before + made + after)
        return
    assert written == made, "README.md: the table of clients is another one; UPDATE_TABLE=1 writes it"


def test_a_feature_that_nobody_shows_is_told_apart_from_one_that_is_not_there() -> None:
    row = next(line for line in rendered({("Codex CLI", "streamed"): ["a test"]}).splitlines() if "Codex" in line)
    assert row.split(" | ")[1:4] == ["-", "yes", "not tested"]


def test_a_feature_that_is_said_not_to_be_there_cannot_be_shown() -> None:
    client, lacks = next((client, lacks) for client, lacks in CLIENTS.items() if lacks)
    with pytest.raises(AssertionError, match="does not have"):
        rendered({(client, next(iter(lacks))): ["a test"]})
