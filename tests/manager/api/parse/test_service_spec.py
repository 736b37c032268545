"""What a service's spec may say, and the words that refuse the rest."""

import json
from typing import Any

import pytest

from common.errors import InvalidInputError, NotFoundError, NotImplementedHereError, TooLargeError
from common.model.container_spec import ContainerSpec
from common.model.endpoint import EndpointMode, EndpointSpec, PortConfig, PublishMode
from common.model.policies import RestartCondition, RestartPolicy, UpdateConfig
from common.model.service import Global, Replicated, ServiceSpec
from common.model.task import TaskSpec
from manager.api.parse.service_spec import REPLICAS_MAX, SPEC_MAX_BYTES, parse_service_spec

Json = dict[str, Any]
TOO_MANY = REPLICAS_MAX + 1


def body(container: Json | None = None, template: Json | None = None, **spec: Any) -> Json:
    task_template = {"ContainerSpec": {"Image": "hello:1", **(container or {})}, **(template or {})}
    return {"Name": "web", "TaskTemplate": task_template, **spec}


def port(published: int, target: int = 80, **more: Any) -> Json:
    return {"PublishedPort": published, "TargetPort": target, **more}


def ports(*given: Json, **more: Any) -> Json:
    return body(EndpointSpec={"Ports": list(given), **more})


def mount(**given: Any) -> Json:
    return body({"Mounts": [{"Type": "volume", "Target": "/data", **given}]})


def test_reads_the_least_that_a_service_needs() -> None:
    assert parse_service_spec({"TaskTemplate": {"ContainerSpec": {"Image": "x"}}}) == ServiceSpec(
        task_template=TaskSpec(container_spec=ContainerSpec(image="x"))
    )


def test_reads_what_is_said() -> None:
    given = body(
        template={
            "RestartPolicy": {"Condition": "on-failure", "Delay": 2_500_000_000, "MaxAttempts": 3},
            "Runtime": "container",
        },
        Labels={"a": "b"},
        Mode={"Global": {}},
        UpdateConfig={"Parallelism": 2, "Order": ""},
        EndpointSpec={"Mode": "dnsrr", "Ports": [port(8080, PublishMode="host")]},
    )
    assert parse_service_spec(given) == ServiceSpec(
        name="web",
        labels={"a": "b"},
        task_template=TaskSpec(
            container_spec=ContainerSpec(image="hello:1"),
            restart_policy=RestartPolicy(
                condition=RestartCondition.ON_FAILURE, delay_seconds=2.5, max_attempts=3
            ),
        ),
        mode=Global(),
        update_config=UpdateConfig(parallelism=2),
        endpoint_spec=EndpointSpec(
            mode=EndpointMode.DNSRR,
            ports=(PortConfig(target_port=80, published_port=8080, publish_mode=PublishMode.HOST),),
        ),
    )


ZERO_VALUES = {
    "no mode is one replica": (body(), "mode", Replicated(replicas=1)),
    "an empty mode is one replica": (body(Mode={}), "mode", Replicated(replicas=1)),
    "a mode of nulls is one replica": (body(Mode={"Global": None}), "mode", Replicated(replicas=1)),
    "replicas without a number are one": (
        body(Mode={"Replicated": {}}), "mode", Replicated(replicas=1),
    ),
    "no replicas at all": (body(Mode={"Replicated": {"Replicas": 0}}), "mode", Replicated(replicas=0)),
    "an update config without parallelism is all at once": (
        body(UpdateConfig={"Delay": 0}), "update_config", UpdateConfig(parallelism=0),
    ),
    "no update config is none": (body(), "update_config", None),
    "keys in any case": (
        {"taskTemplate": {"containerSpec": {"image": "x"}}, "updateconfig": {"parallelism": 3}},
        "update_config", UpdateConfig(parallelism=3),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "field", "expected"), ZERO_VALUES.values(), ids=ZERO_VALUES)
def test_reads_zero_values_as_docker_does(given: Json, field: str, expected: object) -> None:
    assert getattr(parse_service_spec(given), field) == expected


INVALID: dict[str, tuple[Any, str]] = {
    # names and labels
    "no body": (None, "invalid JSON: got EOF while reading request body"),
    "a body that is no object": ([1], "invalid JSON: the request body must be an object"),
    "a name with a dot": (body(Name="a.b"), "name must be valid as a DNS name component"),
    "a name that ends in a dash": (body(Name="a-"), "name must be valid as a DNS name component"),
    "a name in other letters": (body(Name="wéb"), "name must be valid as a DNS name component"),
    "a long name": (body(Name="a" * 64), "name must be 63 characters or fewer"),
    "a label of ours that we do not know": (
        body(Labels={"swarmd.nonsense": "1"}), "unknown label swarmd.nonsense",
    ),
    # the container
    "no template": ({"Name": "web"}, "TaskSpec: missing runtime"),
    "no container": ({"TaskTemplate": {}}, "TaskSpec: missing runtime"),
    "no image": (body({"Image": ""}), "ContainerSpec: image reference must be provided"),
    "an image in capitals": (
        body({"Image": "Hello"}), 'ContainerSpec: "Hello" is not a valid repository/tag',
    ),
    "two mounts at one place": (
        body({"Mounts": [{"Target": "/data"}, {"Target": "/data/"}]}),
        "ContainerSpec: duplicate mount point: /data/",
    ),
    "a mount without a target": (mount(Target=""), "invalid mount config: field Target must not be empty"),
    "a relative target": (mount(Target="data"), "invalid mount target, must be an absolute path: data"),
    "a mount on the root": (mount(Target="/x/.."), "invalid specification: destination can't be '/'"),
    "a bind without a source": (
        mount(Type="bind"), 'invalid mount config for type "bind": field Source must not be empty',
    ),
    "a relative bind": (
        mount(Type="bind", Source="data"), "invalid bind mount source, must be an absolute path: data",
    ),
    "a volume that is a path": (
        mount(Source="/data"), "invalid volume mount source, must not be an absolute path: /data",
    ),
    "a volume with a slash": (mount(Source="a/b"), '"a/b" includes invalid characters for a local volume name'),
    "a volume called ..": (mount(Source=".."), '".." includes invalid characters for a local volume name'),
    "a tmpfs with a source": (mount(Type="tmpfs", Source="x"), "invalid tmpfs source, source must be empty"),
    "an unknown type of mount": (mount(Type="moon"), "invalid value for ServiceSpec.TaskTemplate.ContainerSpec"),
    "a health interval below a millisecond": (
        body({"Healthcheck": {"Interval": 999_999}}), "Interval in Healthcheck cannot be less than 1ms",
    ),
    "a negative health timeout": (
        body({"Healthcheck": {"Timeout": -1}}), "Timeout in Healthcheck cannot be less than 1ms",
    ),
    "negative health retries": (
        body({"Healthcheck": {"Retries": -1}}), "Retries in Healthcheck cannot be negative",
    ),
    "an unknown health test": (
        body({"Healthcheck": {"Test": ["RUN", "x"]}}), "unknown type 'RUN' in Healthcheck",
    ),
    "an unknown signal": (body({"StopSignal": "SIGNOTHING"}), "invalid signal: SIGNOTHING"),
    "a signal beyond the last": (body({"StopSignal": "65"}), "invalid signal: 65"),
    "a negative grace period": (
        body({"StopGracePeriod": -1}), "ContainerSpec: stop-grace-period cannot be negative",
    ),
    "a variable without a name": (body({"Env": ["=x"]}), "invalid environment variable: '=x'"),
    "a NUL byte in a command": (body({"Args": ["a\0b"]}), "ContainerSpec: a NUL byte"),
    "a secret": (body({"Secrets": [{"SecretID": "1"}]}), "malformed secret reference"),
    "a config": (body({"Configs": [{"ConfigName": "a"}]}), "malformed config reference"),
    # the task
    "too little processor": (
        body(template={"Resources": {"Limits": {"NanoCPUs": 999_999}}}),
        "invalid cpu value 0.000999999: Must be at least 0.001",
    ),
    "negative processor": (
        body(template={"Resources": {"Reservations": {"NanoCPUs": -1_000_000_000}}}),
        "invalid cpu value -1: Must be at least 0.001",
    ),
    "too little memory": (
        body(template={"Resources": {"Limits": {"MemoryBytes": 4_194_303}}}),
        "invalid memory value 4194303: Must be at least 4MiB",
    ),
    "a negative number of processes": (
        body(template={"Resources": {"Limits": {"Pids": -1}}}), "invalid pids value -1",
    ),
    "a negative restart delay": (
        body(template={"RestartPolicy": {"Delay": -1}}), "TaskSpec: restart-delay cannot be negative",
    ),
    "a negative restart window": (
        body(template={"RestartPolicy": {"Window": -1}}), "TaskSpec: restart-window cannot be negative",
    ),
    "negative restart attempts": (
        body(template={"RestartPolicy": {"MaxAttempts": -1}}),
        "TaskSpec: restart-max-attempts cannot be negative",
    ),
    "an unknown restart condition": (
        body(template={"RestartPolicy": {"Condition": "always"}}),
        "invalid value for ServiceSpec.TaskTemplate.RestartPolicy.Condition: 'always'",
    ),
    "a constraint without an operator": (
        body(template={"Placement": {"Constraints": ["node.id=x"]}}),
        "constraint expected one operator from ==, !=",
    ),
    "a preference that is none": (
        body(template={"Placement": {"Preferences": [{}]}}),
        "TaskSpec: a placement preference must be Spread",
    ),
    # the service
    "fewer than no replicas": (
        body(Mode={"Replicated": {"Replicas": -1}}), "Number of replicas must be non-negative",
    ),
    "more replicas than any cluster": (
        body(Mode={"Replicated": {"Replicas": TOO_MANY}}), "Number of replicas must be 100000 or fewer",
    ),
    "two modes": (
        body(Mode={"Replicated": {}, "Global": {}}), "invalid value for ServiceSpec.Mode: expected exactly one",
    ),
    "a negative update delay": (
        body(UpdateConfig={"Delay": -1}), "TaskSpec: update-delay cannot be negative",
    ),
    "a negative monitor of a rollback": (
        body(RollbackConfig={"Monitor": -1}), "TaskSpec: update-monitor cannot be negative",
    ),
    "negative parallelism": (
        body(UpdateConfig={"Parallelism": -1}), "TaskSpec: update-parallelism cannot be negative",
    ),
    "a failure ratio above one": (
        body(UpdateConfig={"MaxFailureRatio": 1.1}),
        "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1",
    ),
    "one port twice": (ports(port(80), port(80)), "EndpointSpec: duplicate published ports provided"),
    "an ingress port without a virtual address": (
        ports(port(80), Mode="dnsrr"),
        "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
    ),
    "no target port": (ports({"PublishedPort": 80}), "EndpointSpec: invalid target port 0"),
    "a port beyond the last": (ports(port(65_536)), "EndpointSpec: invalid published port 65536"),
    # types
    "a number for a text": (body({"Image": 1}), "invalid value for ServiceSpec.TaskTemplate.ContainerSpec.Image: "),
    "a text for a number": (
        body(Mode={"Replicated": {"Replicas": "2"}}),
        "invalid value for ServiceSpec.Mode.Replicated.Replicas: expected an integer, found str",
    ),
    "a number beyond 64 bits": (
        body(template={"ForceUpdate": 2**63}), "invalid value for ServiceSpec.TaskTemplate.ForceUpdate: ",
    ),
    "half a surrogate pair": (
        body(Labels={"a": "\ud800"}), "invalid value for ServiceSpec.Labels.a: not valid Unicode text",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), INVALID.values(), ids=INVALID)
def test_refuses_what_is_invalid(given: Any, expected: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_service_spec(given)
    assert str(caught.value).startswith(expected)


VALID = {
    "a label of somebody else": body(Labels={"com.swarmd.x": "1"}),
    "two ports of two protocols": ports(port(53), port(53, Protocol="udp")),
    "two ports left to the allocator": ports(port(0), port(0)),
    "a volume without a name": mount(),
    "a bind of a place that the node fills in": mount(Type="bind", Source="{{.Node.Hostname}}"),
    "a signal by number": body({"StopSignal": "9"}),
    "a signal without SIG": body({"StopSignal": "term"}),
    "a real-time signal": body({"StopSignal": "SIGRTMIN+3"}),
    "a variable to take away": body({"Env": ["PATH"]}),
    "health durations of zero": body({"Healthcheck": {"Interval": 0, "Timeout": 0}}),
    "an unknown key": body({"FutureField": {"x": 1}}),
}


@pytest.mark.parametrize("given", VALID.values(), ids=VALID)
def test_takes_what_is_valid(given: Json) -> None:
    assert parse_service_spec(given).name == "web"


ABSENT = {
    "a plugin": (body(template={"PluginSpec": {}}), "RuntimeSpec: unimplemented runtime in service spec"),
    "another runtime": (body(template={"Runtime": "plugin"}), "RuntimeSpec: unimplemented runtime"),
    "a job": (body(Mode={"ReplicatedJob": {}}), "services in job mode are not implemented"),
    "a named pipe": (mount(Type="npipe"), "mounts of type npipe are not implemented"),
    "SELinux": (
        body({"Privileges": {"SELinuxContext": {"Disable": True}}}),
        "ContainerSpec: SELinuxContext is not implemented",
    ),
    "the host's network": (
        body(template={"Networks": [{"Target": "host"}]}),
        "services on the network host are not implemented",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), ABSENT.values(), ids=ABSENT)
def test_says_what_is_not_there_yet(given: Json, expected: str) -> None:
    with pytest.raises(NotImplementedHereError) as caught:
        parse_service_spec(given)
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize(
    "given", [body(Networks=[{"Target": "n"}]), body(template={"Networks": [{"Target": "n"}]})]
)
def test_finds_no_network(given: Json) -> None:
    with pytest.raises(NotFoundError) as caught:
        parse_service_spec(given)
    assert str(caught.value) == "network n not found"


def test_refuses_a_spec_too_large_for_the_log() -> None:
    given = body({"Env": ["A=" + "x" * SPEC_MAX_BYTES]})
    assert len(json.dumps(given)) < 2 * SPEC_MAX_BYTES
    with pytest.raises(TooLargeError):
        parse_service_spec(given)
