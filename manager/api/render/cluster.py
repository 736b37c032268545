"""The cluster as ``GET /swarm`` and ``GET /info`` show it."""

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
        "TLSInfo": {},
        "RootRotationInProgress": cluster.root_rotation_in_progress,
        "DefaultAddrPool": list(cluster.default_addr_pool),
        "SubnetSize": cluster.subnet_size,
        "DataPathPort": cluster.data_path_port,
    }


def render_swarm(cluster: Cluster) -> Json:
    """Engine API ``Swarm``. Its join tokens are empty until there is a certificate authority to join by."""
    return {**render_cluster_info(cluster), "JoinTokens": {"Worker": "", "Manager": ""}}
