import json

import pytest

from cli.lab.links import Cuts, read_cuts

M1_ALONE = Cuts(mute=frozenset({"m1"}), deaf=frozenset({"m1"}))
M1_UNHEARD = Cuts(mute=frozenset({"m1"}))
FROM_EACH_OTHER = Cuts(apart=frozenset({("m1", "m2"), ("m2", "m1")}))
ONE_WAY = Cuts(apart=frozenset({("m1", "m2")}))

WORDS = {
    "nothing was cut": (Cuts(), "m1", []),
    "cut off from all": (M1_ALONE, "m1", ["cut off"]),
    "it hears, and is not heard": (M1_UNHEARD, "m1", ["not heard"]),
    "others do not care": (M1_ALONE, "m2", []),
    "two apart": (FROM_EACH_OTHER, "m1", ["cut from m2"]),
    "two apart, seen from the other": (FROM_EACH_OTHER, "m2", ["cut from m1"]),
    "one way": (ONE_WAY, "m1", ["not heard by m2"]),
    "one way, seen from the other": (ONE_WAY, "m2", ["does not hear m1"]),
}


@pytest.mark.parametrize(("cuts", "host", "expected"), WORDS.values(), ids=WORDS)
def test_says_what_was_cut(cuts: Cuts, host: str, expected: list[str]) -> None:
    assert list(cuts.of(host)) == expected


HEALING = {
    "nothing to heal": (Cuts(), "m1", []),
    "from all": (
        M1_ALONE,
        "m1",
        [
            "delete element bridge cuts mute { m1 }",
            "delete element bridge cuts deaf { m1 }",
        ],
    ),
    "another one's cut stays": (M1_ALONE, "m2", []),
    "both ways": (
        FROM_EACH_OTHER,
        "m2",
        [
            "delete element bridge cuts apart { m1 . m2 }",
            "delete element bridge cuts apart { m2 . m1 }",
        ],
    ),
}


@pytest.mark.parametrize(("cuts", "host", "expected"), HEALING.values(), ids=HEALING)
def test_heals_one_host(cuts: Cuts, host: str, expected: list[str]) -> None:
    assert list(cuts.removals(host)) == expected


def test_reads_what_nft_lists() -> None:
    listed = {
        "nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"table": {"family": "bridge", "name": "cuts"}},
            {"set": {"name": "mute", "elem": ["m1"]}},
            {"set": {"name": "deaf"}},
            {"set": {"name": "apart", "elem": [{"concat": ["m2", "w1"]}]}},
            {"chain": {"name": "from"}},
        ]
    }
    expected = Cuts(mute=frozenset({"m1"}), apart=frozenset({("m2", "w1")}))
    assert read_cuts(json.dumps(listed)) == expected
