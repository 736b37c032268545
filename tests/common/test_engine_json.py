import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.engine_json import ZERO_TIME, from_rfc3339, parse, render, rfc3339
from common.errors import InvalidInputError
from common.model.cluster import DEFAULT_CERT_EXPIRY_SECONDS, Cluster, ClusterSpec, RootCa
from common.model.container_spec import ContainerSpec, FileTarget, HealthConfig, SecretReference
from common.model.node import Node, NodeSpec, TlsInfo
from common.model.service import Global, Replicated, Service, ServiceSpec
from common.model.task import Task, TaskSpec, TaskState, TaskStatus
from tests.support.any_model import EARLIEST, LATEST, any_of

KINDS: dict[str, Any] = {
    "a cluster": Cluster,
    "a node": Node,
    "a service": Service,
    "a task": Task,
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_is_written_reads_as_what_it_was(kind: Any, data: st.DataObject) -> None:
    value = data.draw(any_of(kind))
    if isinstance(value, Cluster):
        value = replace(
            value,
            root_ca=RootCa(),
            removed_nodes={},
            unlock_key="",
            longest_cert_seconds=DEFAULT_CERT_EXPIRY_SECONDS,
        )
    assert parse(kind, json.loads(json.dumps(render(value)))) == value


def test_what_is_kept_back_is_neither_written_nor_read() -> None:
    cluster = Cluster(id="c", root_ca=RootCa(certificate=b"c", key=b"secret-key"))
    assert [key for key in render(cluster) if "root" in key.lower()] == []
    read = parse(Cluster, {"ID": "c", "RootCa": {"Key": "eA=="}, "None": {"Key": "eA=="}})
    assert read.root_ca == RootCa()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Name", "Labels", "TaskTemplate", "ContainerSpec", "Mode", "Mounts"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_any_json_is_a_spec_or_an_error_that_says_where(raw: Any) -> None:
    message = "ServiceSpec"
    try:
        parse(ServiceSpec, raw)
    except InvalidInputError as error:
        message = error.message
    assert "ServiceSpec" in message


@settings(deadline=None)
@given(st.floats(EARLIEST, LATEST))
def test_a_moment_reads_as_what_it_was(moment: float) -> None:
    assert from_rfc3339(rfc3339(moment)) == moment


MOMENTS = {
    "never": (0.0, ZERO_TIME),
    "with nanoseconds": (1.5, "1970-01-01T00:00:01.500000000Z"),
    "rounded up to a second": (1.9999999999, "1970-01-01T00:00:02.000000000Z"),
    "before the epoch": (-0.25, "1969-12-31T23:59:59.750000000Z"),
}


@pytest.mark.parametrize(("moment", "text"), MOMENTS.values(), ids=MOMENTS)
def test_writes_moments(moment: float, text: str) -> None:
    assert rfc3339(moment) == text


READ = {
    "nothing is never": ("", 0.0),
    "Go's zero time": (ZERO_TIME, 0.0),
    "without a fraction": ("1970-01-01T00:00:02Z", 2.0),
    "a short fraction": ("1970-01-01T00:00:02.5Z", 2.5),
    "another time zone": ("1970-01-01T01:00:02.5+01:00", 2.5),
}


@pytest.mark.parametrize(("text", "moment"), READ.values(), ids=READ)
def test_reads_moments(text: str, moment: float) -> None:
    assert from_rfc3339(text) == moment


@pytest.mark.parametrize("text", ["yesterday", "2020-01-01T00:00:00", "2020-01-01T00:00:00.5"])
def test_refuses_moments(text: str) -> None:
    with pytest.raises(ValueError, match=r"Invalid isoformat|no time zone"):
        from_rfc3339(text)


WRITTEN: dict[str, tuple[Any, Any]] = {
    "names are Docker's": (
        NodeSpec(name="n"),
        {"Name": "n", "Labels": {}, "Role": "worker", "Availability": "active"},
    ),
    "durations are nanoseconds": (
        HealthConfig(interval_seconds=1.5),
        {
            "Interval": 1_500_000_000,
            "Timeout": 0,
            "Retries": 0,
            "StartPeriod": 0,
            "StartInterval": 0,
        },
    ),
    "what is empty is left out where that is the default": (
        FileTarget(name="", uid="", gid="0"),
        {"UID": "", "GID": "0", "Mode": 0o444},
    ),
    "bytes are base64": (
        TlsInfo(cert_issuer_subject=b"\x00\xff"),
        {"CertIssuerSubject": "AP8="},
    ),
    "states are words": (
        TaskStatus(state=TaskState.RUNNING),
        {"Timestamp": ZERO_TIME, "State": "running", "AppliedAt": ZERO_TIME},
    ),
    "False stands where None is the default": (
        {"Init": render(ContainerSpec(init=False))["Init"]},
        {"Init": False},
    ),
    "lists": (ContainerSpec(args=("a", "b"), labels={"x": "y"}), None),
    "a set": (frozenset({"a"}), ["a"]),
}


@pytest.mark.parametrize(("value", "expected"), WRITTEN.values(), ids=WRITTEN)
def test_writes(value: Any, expected: Any) -> None:
    found = render(value)
    if expected is None:
        assert (found["Args"], found["Labels"]) == (["a", "b"], {"x": "y"})
    else:
        assert found == expected


def test_a_mode_is_an_object_with_one_key() -> None:
    assert render(ServiceSpec(mode=Replicated(replicas=3)))["Mode"] == {
        "Replicated": {"Replicas": 3}
    }
    assert parse(ServiceSpec, {"Mode": {"Global": {}}}).mode == Global()
    assert parse(ServiceSpec, {"Mode": {"Global": {}, "Replicated": None}}).mode == Global()


ACCEPTED: dict[str, tuple[Any, Any, Any]] = {
    "unknown keys": (NodeSpec, {"Later": 1}, NodeSpec()),
    "keys in another case": (NodeSpec, {"name": "n"}, NodeSpec(name="n")),
    "a mode in another case": (
        ServiceSpec,
        {"Mode": {"replicated": {"Replicas": 2}}},
        ServiceSpec(mode=Replicated(replicas=2)),
    ),
    "null is the default": (NodeSpec, {"Name": None, "Labels": None}, NodeSpec()),
    "an empty word is the default": (NodeSpec, {"Role": ""}, NodeSpec()),
    "a float that is whole": (
        Replicated,
        {"Replicas": 3.0},
        Replicated(replicas=3),
    ),
    "a version as a number or as an object": (
        Node,
        {"ID": "n", "Version": {"Index": 3}},
        Node(id="n", version=3),
    ),
    "a plain version": (Node, {"ID": "n", "Version": 3}, Node(id="n", version=3)),
    "an optional object": (
        SecretReference,
        {"File": {"Name": "f"}, "SecretID": "s"},
        SecretReference(file=FileTarget(name="f"), secret_id="s"),
    ),
}


@pytest.mark.parametrize(("kind", "raw", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_reads(kind: Any, raw: Any, expected: Any) -> None:
    assert parse(kind, raw) == expected


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "a list for an object": (NodeSpec, [], "invalid value for NodeSpec: expected an object"),
    "a number for a string": (
        NodeSpec,
        {"Name": 1},
        "invalid value for NodeSpec.Name: expected a string, found int",
    ),
    "a deep path": (
        ServiceSpec,
        {"TaskTemplate": {"ContainerSpec": {"Args": ["a", 1]}}},
        r"ServiceSpec.TaskTemplate.ContainerSpec.Args\[1\]: expected a string, found int",
    ),
    "a string for a list": (ContainerSpec, {"Args": "a"}, "Args: expected a list, found str"),
    "a list for a map": (NodeSpec, {"Labels": []}, "Labels: expected an object, found list"),
    "null in a list": (ContainerSpec, {"Args": [None]}, "expected a string, found null"),
    "an unknown word": (NodeSpec, {"Role": "boss"}, "'boss'"),
    "a number for a word": (NodeSpec, {"Role": 1}, "Role: expected a string"),
    "no mode": (ServiceSpec, {"Mode": {}}, "expected exactly one of Replicated, Global"),
    "two modes": (
        ServiceSpec,
        {"Mode": {"Global": {}, "Replicated": {}}},
        "expected exactly one of",
    ),
    "an unknown mode": (ServiceSpec, {"Mode": {"Cron": {}}}, "expected exactly one of"),
    "a mode that is no object": (ServiceSpec, {"Mode": 1}, "expected exactly one of"),
    "a number that is too large": (Replicated, {"Replicas": 2**63}, "out of range"),
    "a fraction": (Replicated, {"Replicas": 1.5}, "expected an integer, found float"),
    "true for a number": (Replicated, {"Replicas": True}, "expected an integer, found bool"),
    "half a surrogate pair": (NodeSpec, {"Name": "\ud800"}, "not valid Unicode"),
    "a moment that is none": (TaskStatus, {"Timestamp": "soon"}, "'soon' is not an RFC 3339"),
    "bytes that are none": (TlsInfo, {"CertIssuerSubject": "?"}, "not base64"),
    "an object without its id": (Node, {}, "incomplete value for Node"),
}


@pytest.mark.parametrize(("kind", "raw", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses(kind: Any, raw: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        parse(kind, raw)


def test_a_task_template_is_one_schema_in_both_directions() -> None:
    read: Callable[[Any], TaskSpec] = lambda raw: parse(TaskSpec, raw)  # noqa: E731
    spec = read({"ContainerSpec": {"Image": "a", "StopGracePeriod": 3_000_000_000}})
    assert spec.container_spec == ContainerSpec(image="a", stop_grace_period_seconds=3.0)
    assert read(render(spec)) == spec


def test_the_cluster_spec_has_dockers_defaults() -> None:
    spec = parse(ClusterSpec, {})
    assert render(spec)["Dispatcher"] == {"HeartbeatPeriod": 5_000_000_000}
    assert render(spec)["CAConfig"] == {
        "NodeCertExpiry": 7_776_000_000_000_000,
        "ForceRotate": 0,
    }
