"""Plants bugs into the scripts of the product."""

from __future__ import annotations

from scheduling_srv.adapters.redis import scripts


def replace_in_scripts(real: str, planted: str, *, known: str, spared: str = "") -> None:
    """Replace Lua in all scripts but `spared`. The script `known` must have it."""
    source = getattr(scripts.source, "__wrapped__", scripts.source)  # or another bug's
    if real not in source(known):
        raise RuntimeError(f"the script {known} has no {real!r} any more")

    def altered(name: str, shards: int = 1) -> str:
        text: str = source(name, shards)
        return text if name == spared else text.replace(real, planted)

    scripts.source = altered  # type: ignore[assignment]
    scripts.digest.cache_clear()
