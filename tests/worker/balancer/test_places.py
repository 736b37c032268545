import asyncio

from worker.balancer.places import Places


async def test_who_waits_for_a_place_is_told_once_when_one_is_free() -> None:
    places, told = Places(2), list[str]()
    assert [places.take() for _ in range(3)] == [True, True, False]
    places.call_when_free(lambda: told.append("first"))
    places.call_when_free(lambda: told.append("second"))
    await asyncio.sleep(0)
    assert told == []
    places.give_back()
    await asyncio.sleep(0)
    assert told == ["first", "second"]
    assert places.take()
    places.give_back()
    await asyncio.sleep(0)
    assert told == ["first", "second"]
