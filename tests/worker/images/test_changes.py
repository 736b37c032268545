"""Instructions that may be given to an import."""

from typing import Any

import pytest

from common.errors import InvalidInputError
from worker.images.changes import settings_of

SECOND = 10**9
GOOD: dict[str, tuple[list[str], dict[str, Any]]] = {
    "nothing": ([], {}),
    "a command as a list": (['CMD ["a", "b c"]'], {"Cmd": ["a", "b c"]}),
    "a command as a shell line": (["CMD a b"], {"Cmd": ["/bin/sh", "-c", "a b"]}),
    "an entrypoint, in any case": (['entrypoint ["/e"]'], {"Entrypoint": ["/e"]}),
    "variables, quoted or not": (['ENV A=1 B="2 3"', "ENV A=4"], {"Env": ["A=4", "B=2 3"]}),
    "a variable in the old form": (["ENV A 1 2"], {"Env": ["A=1 2"]}),
    "labels": (["LABEL a.b=1", "LABEL c=2"], {"Labels": {"a.b": "1", "c": "2"}}),
    "ports": (
        ["EXPOSE 80 53/udp 90-91"],
        {"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "90/tcp": {}, "91/tcp": {}}},
    ),
    "directories, each below the former": (
        ["WORKDIR /a", "WORKDIR b/../c"],
        {"WorkingDir": "/a/c"},
    ),
    "a user": (["USER web:web"], {"User": "web:web"}),
    "volumes": (['VOLUME ["/a b"]', "VOLUME /c /d"], {"Volumes": {"/a b": {}, "/c": {}, "/d": {}}}),
    "a stop signal": (["STOPSIGNAL SIGINT"], {"StopSignal": "SIGINT"}),
    "a healthcheck": (
        ["HEALTHCHECK --interval=1m30s --timeout=500ms --retries=5 CMD wget -q x"],
        {
            "Healthcheck": {
                "Interval": 90 * SECOND,
                "Timeout": SECOND // 2,
                "Retries": 5,
                "Test": ["CMD-SHELL", "wget -q x"],
            }
        },
    ),
    "a healthcheck without a shell": (
        ['HEALTHCHECK CMD ["x"]'],
        {"Healthcheck": {"Test": ["CMD", "x"]}},
    ),
    "no healthcheck": (["HEALTHCHECK NONE"], {"Healthcheck": {"Test": ["NONE"]}}),
}


@pytest.mark.parametrize("name", GOOD)
def test_sets(name: str) -> None:
    changes, expected = GOOD[name]

    assert settings_of(changes) == expected


BAD = {
    "RUN make": "run is not a valid change command",
    "CMD": "CMD requires at least one argument",
    "ENV A": "ENV must have two arguments",
    "ENV A='": "No closing quotation",
    "EXPOSE 0": "invalid containerPort: 0",
    "EXPOSE 70000": "invalid containerPort",
    "EXPOSE web": "invalid containerPort",
    "HEALTHCHECK --often=1s CMD x": "unknown flag --often",
    "HEALTHCHECK --interval=soon CMD x": "invalid duration",
    "HEALTHCHECK PING x": "unknown type",
}


@pytest.mark.parametrize("change", BAD)
def test_refuses(change: str) -> None:
    with pytest.raises(InvalidInputError, match=BAD[change]):
        settings_of([change])
