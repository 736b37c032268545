"""What a spec means where it says nothing (``insertDefaults``)."""

from dataclasses import replace

from common.model.container_spec import ContainerSpec, DnsConfig
from common.model.placement import Placement
from common.model.policies import RestartPolicy, UpdateConfig
from common.model.resources import ResourceRequirements
from common.model.service import ServiceSpec
from common.model.task import TaskSpec

STOP_GRACE_PERIOD_SECONDS = 10.0
RESTART_DELAY_SECONDS = 5.0
UPDATE_MONITOR_SECONDS = 5.0


def with_defaults(spec: ServiceSpec) -> ServiceSpec:
    """The same spec, said in full."""
    return replace(
        spec,
        task_template=task_template_with_defaults(spec.task_template),
        update_config=_update_config(spec.update_config),
        rollback_config=_update_config(spec.rollback_config),
    )


def task_template_with_defaults(spec: TaskSpec) -> TaskSpec:
    """The same task template, said in full."""
    restart = spec.restart_policy or RestartPolicy()
    if restart.delay_seconds is None:
        restart = replace(restart, delay_seconds=RESTART_DELAY_SECONDS)
    if restart.max_attempts is None:
        restart = replace(restart, max_attempts=0)
    container = spec.container_spec
    return replace(
        spec,
        container_spec=None if container is None else _container_spec(container),
        resources=spec.resources or ResourceRequirements(),
        restart_policy=restart,
        placement=spec.placement or Placement(),
    )


def _container_spec(spec: ContainerSpec) -> ContainerSpec:
    grace = spec.stop_grace_period_seconds
    return replace(
        spec,
        stop_grace_period_seconds=STOP_GRACE_PERIOD_SECONDS if grace is None else grace,
        dns_config=spec.dns_config or DnsConfig(),
    )


def _update_config(config: UpdateConfig | None) -> UpdateConfig:
    given = config or UpdateConfig()
    if given.monitor_seconds is None:
        return replace(given, monitor_seconds=UPDATE_MONITOR_SECONDS)
    return given
