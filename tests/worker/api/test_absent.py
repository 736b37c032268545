"""What docker's client may ask for in vain is refused with the reason, and not as an unknown page."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.local_node import Node, local_node


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with local_node(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("method", "path", "what"),
    [
        ("GET", "/images/get?names=a", "saving images"),
        ("GET", "/images/library/a:1/get", "saving images"),
        ("POST", "/images/library/a/push", "pushing images"),
        ("GET", "/images/search?term=a", "searching registries"),
        ("POST", "/auth", "logging in to registries"),
        ("POST", "/build", "building images"),
    ],
)
async def test_it_is_refused_by_name(node: Node, method: str, path: str, what: str) -> None:
    async with node.client.request(method, path) as answer:
        assert answer.status == 501
        assert (await answer.json())["message"] == f"{what} is not available yet"
