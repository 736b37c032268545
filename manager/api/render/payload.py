"""Secrets and configs as the API shows them."""

from typing import Any

from common.engine_json import render
from common.model.config import Config
from common.model.copy import changed
from common.model.secret import Secret
from manager.api.render.head import head

Json = dict[str, Any]


def render_secret(secret: Secret) -> Json:
    """Engine API ``Secret``: its data stays here."""
    return {**head(secret), "Spec": render(changed(secret.spec, data=b""))}


def render_config(config: Config) -> Json:
    """Engine API ``Config``."""
    return {**head(config), "Spec": render(config.spec)}
