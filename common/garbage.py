"""When the interpreter looks for cycles: rarely among what has lived long, since that walks all of it.

A store holds hundreds of thousands of immutable objects in no cycle, freed the moment nothing refers to them. Python's
own schedule walks all of them again each time their number has grown by a quarter, and holds the event loop for a
quarter of a second at 100,000 tasks. The young generations, where tasks and exceptions leave their cycles, are walked
as usual.
"""

import gc

YOUNG_THRESHOLD = 2_000
"""New objects, less those freed, before the youngest are walked; Python's own is 700."""
MIDDLE_THRESHOLD = 10
OLD_THRESHOLD = 100
"""Walks of the middle generation before everything is walked; Python's own is 10. Not never: connections that lived
long leave cycles too."""


def walk_old_objects_rarely() -> None:
    """For a process that keeps a store: what is there by now is never walked again, later objects rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_THRESHOLD, MIDDLE_THRESHOLD, OLD_THRESHOLD)
