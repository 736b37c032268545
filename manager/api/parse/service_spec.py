"""A ``ServiceSpec`` out of a request's body."""

from dataclasses import replace
from typing import Any

from common.codec import encode
from common.disconnect import check_stop_after
from common.engine_json import parse
from common.errors import InvalidInputError, NotImplementedHereError, TooLargeError
from common.model.policies import UpdateConfig
from common.model.service import Global, GlobalJob, Mode, Replicated, ReplicatedJob, ServiceSpec
from manager.api.parse.annotations import check_labels, check_name
from manager.api.parse.endpoint_spec import check_endpoint_spec
from manager.api.parse.raw import body_object, member, with_member
from manager.api.parse.task_template import check_networks, check_task_template

REPLICAS_MAX = 100_000
"""Of one service: what the whole cluster is built for."""
SPEC_MAX_BYTES = 1024 * 1024
"""A spec as the raft log holds it."""
CONTAINER_RUNTIME = "container"


def parse_service_spec(raw: Any) -> ServiceSpec:  # noqa: ANN401
    """Reads and checks a spec. Its name may be empty: the one who creates the service gives it one.

    Raises:
        InvalidInputError: with the place of the first fault, in Docker's words where Docker checks it.
        NotFoundError: it names a network that does not exist.
        NotImplementedHereError: something of Docker's that we do not have.
        TooLargeError: more than ``SPEC_MAX_BYTES``.
    """
    body = body_object(raw)
    _refuse_other_runtimes(body)
    spec = parse(ServiceSpec, _with_go_defaults(body), "ServiceSpec")
    if spec.task_template.runtime:
        spec = replace(spec, task_template=replace(spec.task_template, runtime=""))
    _check(spec)
    if len(encode(spec)) > SPEC_MAX_BYTES:
        raise TooLargeError(f"service spec too large: over {SPEC_MAX_BYTES} bytes")
    return spec


def _with_go_defaults(body: dict[str, Any]) -> dict[str, Any]:
    """Says in full what Go's zero values mean where the model's defaults differ."""
    mode = member(body, "Mode")
    if isinstance(mode, dict) and all(value is None for value in mode.values()):
        body = with_member(body, "Mode", None)
    for key in ("UpdateConfig", "RollbackConfig"):
        config = member(body, key)
        if isinstance(config, dict) and member(config, "Parallelism") is None:
            body = with_member(body, key, with_member(config, "Parallelism", 0))
    return body


def _refuse_other_runtimes(body: dict[str, Any]) -> None:
    template = member(body, "TaskTemplate")
    runtime = member(template, "Runtime")
    others = [member(template, key) for key in ("PluginSpec", "NetworkAttachmentSpec")]
    if runtime not in (None, "", CONTAINER_RUNTIME) or any(other is not None for other in others):
        raise NotImplementedHereError("RuntimeSpec: unimplemented runtime in service spec")
    for key in ("CredentialSpec", "SELinuxContext"):
        if member(template, "ContainerSpec", "Privileges", key) is not None:
            raise NotImplementedHereError(f"ContainerSpec: {key} is not implemented")


def _check(spec: ServiceSpec) -> None:
    if spec.name:
        check_name(spec.name)
    check_labels(spec.labels)
    check_stop_after(spec.labels, spec.task_template.container_spec)
    check_task_template(spec.task_template)
    check_networks(spec.networks)
    _check_mode(spec.mode)
    for config in (spec.update_config, spec.rollback_config):
        if config is not None:
            _check_update(config)
    if spec.endpoint_spec is not None:
        check_endpoint_spec(spec.endpoint_spec)


def _check_mode(mode: Mode) -> None:
    match mode:
        case Replicated(replicas=replicas):
            if replicas < 0:
                raise InvalidInputError("Number of replicas must be non-negative")
            if replicas > REPLICAS_MAX:
                raise InvalidInputError(f"Number of replicas must be {REPLICAS_MAX} or fewer")
        case Global():
            pass
        case ReplicatedJob() | GlobalJob():
            raise NotImplementedHereError("services in job mode are not implemented")


def _check_update(config: UpdateConfig) -> None:
    if config.parallelism < 0:
        raise InvalidInputError("TaskSpec: update-parallelism cannot be negative")
    if config.delay_seconds < 0:
        raise InvalidInputError("TaskSpec: update-delay cannot be negative")
    if (config.monitor_seconds or 0) < 0:
        raise InvalidInputError("TaskSpec: update-monitor cannot be negative")
    if not 0 <= config.max_failure_ratio <= 1:
        raise InvalidInputError(
            "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1"
        )
