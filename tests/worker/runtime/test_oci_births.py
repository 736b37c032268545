from worker.runtime.oci_births import EARLY_ENDS_MAX, Births

MAKER, OTHER, CHILD = 10, 11, 20


def test_an_orphan_that_ends_before_it_is_named_is_known() -> None:
    births = Births()
    births.begin(MAKER)
    births.end(CHILD, 256, is_known=False)
    assert births.status(CHILD) == 256
    assert births.status(CHILD) is None


def test_one_that_lives_has_no_status() -> None:
    births = Births()
    births.begin(MAKER)
    assert births.status(CHILD) is None


def test_nothing_is_kept_while_nothing_is_made() -> None:
    births = Births()
    births.end(CHILD, 0, is_known=False)
    assert births.status(CHILD) is None


def test_all_is_forgotten_with_the_last_maker() -> None:
    births = Births()
    births.begin(MAKER)
    births.begin(OTHER)
    births.end(CHILD, 0, is_known=False)
    births.end(MAKER, 0, is_known=True)
    births.end(OTHER, 0, is_known=False)
    assert births.status(CHILD) is None


def test_what_is_kept_is_bounded() -> None:
    births = Births()
    births.begin(MAKER)
    for pid in range(100, 100 + EARLY_ENDS_MAX + 1):
        births.end(pid, 7, is_known=False)
    assert births.status(100) is None
    assert births.status(100 + EARLY_ENDS_MAX) == 7
