"""Containers that an OCI runtime makes are those that our own makes; needs root, crun and runc."""

from integration.runtime_world import World, under


@under("", "crun", "runc")
async def test_hello(world: World) -> None:
    assert await world.say("a", "echo hello; id") == ["hello", "uid=0(root) gid=0(root)"]
