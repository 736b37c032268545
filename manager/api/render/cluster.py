"""The cluster as ``GET /swarm`` and ``GET /info`` show it."""

from functools import lru_cache
from typing import Any

from common.engine_json import render
from common.model.cluster import Cluster
from manager.api.render.head import head

Json = dict[str, Any]


def render_cluster_info(cluster: Cluster) -> Json:
    """Engine API ``ClusterInfo``."""
    spec: Json = render(cluster.spec)
    spec["EncryptionConfig"] = {
        "AutoLockManagers": cluster.spec.encryption_config.auto_lock_managers
    }
    return {
        **head(cluster),
        "Spec": spec,
        "TLSInfo": _trust_in(cluster.root_ca.certificate),
        "RootRotationInProgress": cluster.root_rotation_in_progress,
        "DefaultAddrPool": list(cluster.default_addr_pool),
        "SubnetSize": cluster.subnet_size,
        "DataPathPort": cluster.data_path_port,
    }


def render_swarm(cluster: Cluster) -> Json:
    """Engine API ``Swarm``: the one answer that bears the join tokens."""
    tokens = {"Worker": cluster.root_ca.worker_token, "Manager": cluster.root_ca.manager_token}
    return {**render_cluster_info(cluster), "JoinTokens": tokens}


@lru_cache(maxsize=4)
def _trust_in(root_certificate: bytes) -> Json:
    if not root_certificate:
        return {}
    from common.pki.authority import trust_in  # noqa: PLC0415 - slow to load

    found: Json = render(trust_in(root_certificate))
    return found
