"""Which backend gets the next connection, when it is swarmd that hands it on."""

from collections.abc import Collection, Sequence

from worker.balancer.table import Backend


class Turns:
    """Backends one after another; which they are may change at any time."""

    def __init__(self) -> None:
        self._backends: tuple[Backend, ...] = ()
        self._next = 0

    @property
    def backends(self) -> Sequence[Backend]:
        """All of them."""
        return self._backends

    @backends.setter
    def backends(self, backends: Sequence[Backend]) -> None:
        self._backends = tuple(backends)

    def next(self, but: Collection[Backend] = ()) -> Backend | None:
        """The backend whose turn it is, passing over those tried in vain; None when none is left."""
        count = len(self._backends)
        for step in range(count):
            backend = self._backends[(self._next + step) % count]
            if backend not in but:
                self._next = (self._next + step + 1) % count
                return backend
        return None
