"""Puts the protos beside the stubs that were made from them, so that `pip install` brings them."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Protos(BuildHookInterface):
    """The protos lie beside this distribution in a checkout, and inside it in an sdist."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folder to the wheel."""
        if version == "editable":
            return
        root = Path(self.root)
        packed = root / "proto"
        protos = packed if packed.exists() else root.parent / "proto"
        added = build_data["force_include"]
        added[str(protos / "scheduling_client")] = "scheduling_client"
        added[str(protos / "scheduling")] = "scheduling_client/protos/scheduling"
