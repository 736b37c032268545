import pytest

from common.generic_resources import GENERIC_RESOURCES_MAX, generic_resources
from common.model.resources import DiscreteResource, GenericResource, NamedResource


def named(kind: str, value: str) -> GenericResource:
    return GenericResource(named_resource_spec=NamedResource(kind=kind, value=value))


def counted(kind: str, value: int) -> GenericResource:
    return GenericResource(discrete_resource_spec=DiscreteResource(kind=kind, value=value))


GOOD = {
    "nothing": ((), ()),
    "a number": (("SSD=3",), (counted("SSD", 3),)),
    "names": (("GPU=a", "GPU=b"), (named("GPU", "a"), named("GPU", "b"))),
    "both, of different kinds": (("GPU=a", "SSD=3"), (named("GPU", "a"), counted("SSD", 3))),
    "a name that begins with a digit": (("GPU=0a",), (named("GPU", "0a"),)),
}
BAD = {
    "no value": (("GPU",), "not of the form"),
    "an empty value": (("GPU=",), "not of the form"),
    "no kind": (("=1",), "not of the form"),
    "a kind with a space": (("a b=1",), "not of the form"),
    "none of it": (("SSD=0",), "must be from 1"),
    "less than none": (("SSD=-1",), "must be from 1"),
    "more than can be": ((f"SSD={2**63}",), "must be from 1"),
    "a number twice": (("SSD=1", "SSD=2"), "given twice"),
    "a name twice": (("GPU=a", "GPU=a"), "given twice"),
    "a number and a name": (("GPU=a", "GPU=1"), "both as a number and by names"),
    "too many": (tuple(f"GPU=u{n}" for n in range(GENERIC_RESOURCES_MAX + 1)), "more than"),
}


@pytest.mark.parametrize(("texts", "expected"), GOOD.values(), ids=GOOD)
def test_reads(texts: tuple[str, ...], expected: tuple[GenericResource, ...]) -> None:
    assert generic_resources(texts) == expected


@pytest.mark.parametrize(("texts", "error"), BAD.values(), ids=BAD)
def test_refuses(texts: tuple[str, ...], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        generic_resources(texts)
