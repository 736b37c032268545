"""Log drivers and their options."""

from typing import Any

import pytest

from common.errors import InvalidInputError, NotImplementedHereError
from common.model.container_spec import Driver
from worker.containers.log_drivers import (
    DRIVERS,
    JOURNAL_SOCKET,
    LogFacts,
    log_file_name,
    log_options_of,
)
from worker.runtime.bundle import LogOptions

FACTS = LogFacts(
    placeholders={
        "ID": "0123456789ab", "FullID": "0123456789ab" + "c" * 52, "Name": "web.1.x",
        "ImageID": "feed", "ImageFullID": "sha256:feed", "ImageName": "web:1", "DaemonName": "swarmd",
    },
    labels={"zone": "a", "com.docker.swarm.service.name": "web"},
    env={"LANG": "C", "SECRET": "s"},
)  # fmt: skip
FIELDS = {
    "CONTAINER_ID": "0123456789ab",
    "CONTAINER_ID_FULL": "0123456789ab" + "c" * 52,
    "CONTAINER_NAME": "web.1.x",
    "CONTAINER_TAG": "0123456789ab",
    "IMAGE_NAME": "web:1",
    "SYSLOG_IDENTIFIER": "0123456789ab",
}


def of(name: str = "", **options: str) -> Driver:
    return Driver(name=name, options={key.replace("_", "-"): text for key, text in options.items()})


def json_file(**more: Any) -> LogOptions:
    return LogOptions(path="/log", **{"max_bytes": 10_000_000, "max_files": 3, **more})


CASES: dict[str, tuple[Driver | None, LogOptions]] = {
    "three files of ten megabytes": (None, json_file()),
    "as asked": (
        of("json-file", max_size="5k", max_file="2"),
        json_file(max_bytes=5000, max_files=2),
    ),
    "without an end when asked": (of(max_size="-1"), json_file(max_bytes=0)),
    "chosen labels and variables": (
        of("json-file", labels="zone,none", env="LANG"),
        json_file(attributes={"zone": "a", "LANG": "C"}),
    ),
    "labels by a pattern": (
        of("json-file", labels_regex="^com\\.docker\\.swarm"),
        json_file(attributes={"com.docker.swarm.service.name": "web"}),
    ),
    "a tag": (
        of("json-file", tag="{{.Name}}/{{ .ID }}"),
        json_file(attributes={"tag": "web.1.x/0123456789ab"}),
    ),
    "never in the way": (of(mode="non-blocking", max_buffer_size="4m"), json_file()),
    "not compressed": (of(compress="false"), json_file()),
    "local": (
        of("local", max_file="7"),
        LogOptions(path="/log", driver="local", max_bytes=20_000_000, max_files=7),
    ),
    "none": (of("none"), LogOptions(path="", driver="none")),
    "the journal": (
        of("journald"),
        LogOptions(path=JOURNAL_SOCKET, driver="journald", attributes=FIELDS),
    ),
    "the journal, with more": (
        of("journald", tag="t", labels_regex="service"),
        LogOptions(
            path=JOURNAL_SOCKET,
            driver="journald",
            attributes={
                **FIELDS,
                "CONTAINER_TAG": "t",
                "SYSLOG_IDENTIFIER": "t",
                "COM_DOCKER_SWARM_SERVICE_NAME": "web",
            },
        ),
    ),
}


@pytest.mark.parametrize(("driver", "expected"), CASES.values(), ids=CASES)
def test_output_goes(driver: Driver | None, expected: LogOptions) -> None:
    assert log_options_of(driver, path="/log", facts=FACTS) == expected


def test_no_label_takes_the_place_of_what_the_journal_is_searched_by() -> None:
    facts = LogFacts(placeholders=FACTS.placeholders, labels={"container.id.full": "forged"})
    options = log_options_of(of("journald", labels="container.id.full"), path="", facts=facts)
    assert options.attributes == FIELDS


REFUSED = {
    "a driver that there is not": (of("syslog"), "no log driver named 'syslog'"),
    "an option that there is not": (of("json-file", colour="red"), "unknown log opt 'colour'"),
    "an option of another driver": (of("journald", max_size="1m"), "unknown log opt 'max-size'"),
    "a size in words": (of(max_size="ten"), "invalid value for max-size: ten"),
    "no size": (of(max_size="0"), "invalid value for max-size: 0"),
    "no file": (of(max_file="0"), "invalid value for max-file: 0"),
    "a number that is none in ASCII": (of(max_file="²"), "invalid value for max-file"),
    "another mode": (of(mode="fast"), "logging mode not supported: fast"),
    "a buffer where nothing is buffered": (of(max_buffer_size="4m"), "only supported with"),
    "a tag with a placeholder that there is not": (of(tag="{{.Host}}"), "there is no .Host"),
    "a tag that calls a function": (of(tag='{{ env "X" }}'), "invalid log tag"),
    "a pattern that is none": (of(env_regex="("), "invalid value for env-regex"),
    "an endless pattern": (of(env_regex="a" * 257), "longer than 256"),
}


@pytest.mark.parametrize(("driver", "text"), REFUSED.values(), ids=REFUSED)
def test_refuses(driver: Driver, text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        log_options_of(driver, path="/log")


def test_compression_is_refused_by_name() -> None:
    with pytest.raises(NotImplementedHereError, match="compress=true"):
        log_options_of(of(compress="true"), path="/log")


def test_dockers_file_has_dockers_name() -> None:
    assert log_file_name(None, "abc") == "abc-json.log"
    assert log_file_name(of("local"), "abc") == "container.log"
    assert DRIVERS == ("journald", "json-file", "local", "none")
