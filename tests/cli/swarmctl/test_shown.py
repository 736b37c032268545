import time

import pytest

from cli.swarmctl import shown

SPANS = {
    0.4: "Less than a second",
    1: "1 second",
    59: "59 seconds",
    60: "About a minute",
    150: "2 minutes",
    3600: "About an hour",
    47 * 3600: "47 hours",
    3 * 86400: "3 days",
    15 * 86400: "2 weeks",
    70 * 86400: "2 months",
    800 * 86400: "2 years",
}


@pytest.mark.parametrize(("seconds", "expected"), SPANS.items())
def test_spans(seconds: float, expected: str) -> None:
    assert shown.span(seconds) == expected


def test_ages_are_counted_from_any_moment() -> None:
    assert shown.ago("1970-01-01T00:00:10.5Z", 70.6) == "About a minute ago"
    assert shown.ago(100, 103) == "3 seconds ago"
    assert shown.ago(100, 90) == "Less than a second ago"  # a clock that is behind


DURATIONS = {
    0: "0s",
    7: "7ns",
    1_500: "1.5µs",
    250 * 10**6: "250ms",
    5 * 10**9: "5s",
    1_500 * 10**6: "1.5s",
    60 * 10**9: "1m0s",
    90 * 10**9: "1m30s",
    5_400 * 10**9: "1h30m0s",
}


@pytest.mark.parametrize(("nanoseconds", "expected"), DURATIONS.items())
def test_durations_as_go_prints_them(nanoseconds: int, expected: str) -> None:
    assert shown.go_duration(nanoseconds) == expected


SIZES = [
    (0, 4, "0B"), (999, 3, "999B"), (1_983_000, 4, "1.983MB"), (1_983_000, 3, "1.98MB"),
    (999_900, 3, "1MB"), (2.5e9, 3, "2.5GB"), (5e18, 3, "5e+03PB"),
]  # fmt: skip


@pytest.mark.parametrize(("count", "digits", "expected"), SIZES)
def test_sizes(count: float, digits: int, expected: str) -> None:
    assert shown.size(count, digits) == expected


def test_ports_of_services_and_containers() -> None:
    ports = [
        {"PublishedPort": 8080, "TargetPort": 80, "Protocol": "tcp", "PublishMode": "ingress"},
        {"PublishedPort": 53, "TargetPort": 53, "Protocol": "udp", "PublishMode": "host"},
    ]
    assert shown.ports(ports) == "*:8080->80/tcp"
    assert shown.ports(ports, mode="host") == "*:53->53/udp"
    published = {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}
    assert shown.container_ports([published, {"PrivatePort": 53, "Type": "udp"}]) == (
        "0.0.0.0:8080->80/tcp, 53/udp"
    )


def test_names_sort_by_their_numbers() -> None:
    names = ["web10", "web2", "api", "2", "10", ""]
    assert sorted(names, key=shown.natural) == ["", "2", "10", "api", "web2", "web10"]


def test_ids_and_long_texts_are_cut() -> None:
    assert shown.short("sha256:0123456789abcdef") == "0123456789ab"
    assert shown.short("0123456789abcdef", whole=True) == "0123456789abcdef"
    assert (shown.cut("abcdef", 4), shown.cut("abcd", 4)) == ("abc…", "abcd")
    assert shown.cut("abcdef", 4, whole=True) == "abcdef"


def test_moments_as_go_prints_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert shown.moment(0) == "1970-01-01 00:00:00 +0000 UTC"
