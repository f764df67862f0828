"""The gateway that the clients talk to: nothing configured."""

from collections.abc import Iterator

import pytest
from openai import OpenAI

from gateway import serving


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "shows(client, *features): what README.md's table may say of a client; see `table`")


@pytest.fixture(scope="session")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The clients' address of a gateway."""
    with serving(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway.clients


@pytest.fixture
def client(base_url: str) -> OpenAI:
    """An unmodified client that does not retry, so that each test sees the first answer."""
    return OpenAI(base_url=base_url, api_key="unused", max_retries=0)
