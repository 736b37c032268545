"""What is left of an exec's output once its process has ended."""

import asyncio

from tests.support.fake_clock import settle
from tests.support.fake_machinery import FakeStreams
from worker.api.exec import Watched


async def test_a_reader_that_waits_for_the_process_has_no_news_after_a_while() -> None:
    streams = FakeStreams()
    watched = Watched(streams)
    reading = asyncio.ensure_future(watched.read())
    await settle()

    assert watched.has_news()  # nobody has asked before
    assert not watched.has_news()
    streams.output.put_nowait((1, b"late"))
    assert await reading == (1, b"late")
    assert watched.has_news()


async def test_what_is_on_its_way_to_a_client_that_pauses_is_news_for_as_long_as_it_takes() -> None:
    streams = FakeStreams()
    watched = Watched(streams)
    streams.output.put_nowait((1, b"piece"))
    await watched.read()

    assert [watched.has_news() for _ in range(5)] == [True] * 5
