"""The settings that are in effect, and where each comes from. Secrets are hidden."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from pydantic.fields import FieldInfo

from scheduling_client.schedules.durations import duration_text
from scheduling_srv.domain.system import Setting
from scheduling_srv.settings.load import FILE, NAMES
from scheduling_srv.settings.model import Settings
from scheduling_srv.settings.types import is_duration

DEFAULT, ENVIRONMENT = "default", "environment"


def effective(settings: Settings) -> Iterator[Setting]:
    """Every setting, in order."""
    environment = {name.upper(): value for name, value in os.environ.items() if value}
    for name, field in Settings.model_fields.items():
        secret = name in Settings.SECRETS
        value = "" if secret else _text(getattr(settings, name), field)
        variable = NAMES[name]
        if variable in environment:
            source = ENVIRONMENT
        elif of_file := environment.get(variable + FILE):
            source = of_file
        elif name in settings.model_fields_set and settings.config_file:
            source = str(settings.config_file)
        else:
            source = DEFAULT
        yield Setting(variable, value, source, secret)


def _text(value: object, field: FieldInfo) -> str:
    """As an operator writes it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and is_duration(field.metadata):
        return duration_text(value)
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return json.dumps(value) if isinstance(value, dict) else str(value)
