"""The cluster as ``GET /swarm`` and ``GET /info`` show it."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

from common.engine_json import render
from common.model.cluster import Cluster, RootCa
from manager.api.render.head import head

Json = dict[str, Any]


def render_cluster_info(cluster: Cluster) -> Json:
    """Engine API ``ClusterInfo``."""
    spec: Json = render(cluster.spec)
    spec["CAConfig"] = _ca_config(cluster)
    spec["EncryptionConfig"] = {
        "AutoLockManagers": cluster.spec.encryption_config.auto_lock_managers
    }
    return {
        **head(cluster),
        "Spec": spec,
        "TLSInfo": _trust_in(cluster.root_ca),
        "RootRotationInProgress": cluster.root_ca.rotation is not None,
        "DefaultAddrPool": list(cluster.default_addr_pool),
        "SubnetSize": cluster.subnet_size,
        "DataPathPort": cluster.data_path_port,
    }


def render_swarm(cluster: Cluster) -> Json:
    """Engine API ``Swarm``: the one answer that bears the join tokens."""
    tokens = {"Worker": cluster.root_ca.worker_token, "Manager": cluster.root_ca.manager_token}
    return {**render_cluster_info(cluster), "JoinTokens": tokens}


def _ca_config(cluster: Cluster) -> Json:
    """Without what was given in order to be used once, and without what was never asked for, as in Docker."""
    shown: Json = render(replace(cluster.spec.ca_config, signing_ca_cert="", signing_ca_key=""))
    if not cluster.spec.ca_config.force_rotate:
        del shown["ForceRotate"]
    return shown


def _trust_in(root: RootCa) -> Json:
    """Whom nodes trust, and who is to have issued their certificates: the next root while roots change."""
    shown = _shown(root.certificate)
    if root.rotation is None:
        return shown
    return {**_shown(root.rotation.certificate), "TrustRoot": shown["TrustRoot"]}


@lru_cache(maxsize=4)
def _shown(root_certificate: bytes) -> Json:
    if not root_certificate:
        return {}
    from common.pki.authority import trust_in  # noqa: PLC0415 - slow to load

    found: Json = render(trust_in(root_certificate))
    return found
