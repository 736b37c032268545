"""Pure: who was heard when, who has been silent for too long, and when to look again."""

import heapq


class Heartbeats:
    """A moment for each node until which it must be heard.

    Hearing a node costs one entry in a table; the heap is put right only when a moment has come.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._in_heap: dict[str, float] = {}

    def expect(self, node_id: str, until: float) -> None:
        """The node must be heard (or something about it be done) by then; replaces what was expected before."""
        self._until[node_id] = until
        if until < self._in_heap.get(node_id, float("inf")):
            self._push(node_id, until)

    def forget(self, node_id: str) -> None:
        """Nothing is expected of the node any more."""
        self._until.pop(node_id, None)

    def spare(self, until: float) -> int:
        """Gives every node that would be due before ``until`` time until then; how many they are."""
        spared = [node_id for node_id, at in self._until.items() if at < until]
        for node_id in spared:
            self._until[node_id] = until
        return len(spared)

    def overdue(self, now: float) -> list[str]:
        """Nodes whose moment has come; they are forgotten."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            at, node_id = heapq.heappop(self._heap)
            if self._in_heap.get(node_id) != at:
                continue  # an earlier moment was pushed since, and dealt with
            del self._in_heap[node_id]
            until = self._until.get(node_id)
            if until is not None and until > now:
                self._push(node_id, until)
            elif until is not None:
                del self._until[node_id]
                found.append(node_id)
        return found

    def next_at(self) -> float | None:
        """No node is overdue before this moment."""
        return self._heap[0][0] if self._heap else None

    def _push(self, node_id: str, until: float) -> None:
        self._in_heap[node_id] = until
        heapq.heappush(self._heap, (until, node_id))
