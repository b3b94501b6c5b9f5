"""What the package page shows: the README with absolute links, and the project's URLs.

A package page has no files beside it, so relative links lead nowhere there.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

REPOSITORY = ""
"""Where the repository can be read in a browser, without a slash at the end.

Not known yet, so it is empty: the package names no URLs, and its page shows the texts of relative
links without the links. Set it here, and nowhere else, before the first release.
"""
BRANCH = "main"

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?!https?:|mailto:)(?P<path>[^)\s]+)\)")
_FENCE = re.compile(r"(^```.*?^```[^\n]*$)", re.DOTALL | re.MULTILINE)


def page(readme: str, repository: str) -> str:
    """The README for a package page; code blocks stay as they are."""

    def absolute(match: re.Match[str]) -> str:
        image, text, path = match["image"], match["text"], match["path"]
        if path.startswith("#"):
            return match[0]
        if not repository:
            return text
        return f"{image}[{text}]({repository}/{'raw' if image else 'blob'}/{BRANCH}/{path})"

    parts = _FENCE.split(readme)
    return "".join(part if part.startswith("```") else _LINK.sub(absolute, part) for part in parts)


def urls(repository: str) -> dict[str, str]:
    """The project's URLs."""
    if not repository:
        return {}
    return {
        "Source": repository,
        "Documentation": f"{repository}/tree/{BRANCH}/docs",
        "Changelog": f"{repository}/blob/{BRANCH}/CHANGELOG.md",
    }


class PackagePage(MetadataHookInterface):
    """Sets the fields that pyproject.toml calls dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the readme and the URLs."""
        root = Path(self.root)
        packed = root / "README.md"  # in an sdist
        readme = (packed if packed.exists() else root.parent / "README.md").read_text("utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": page(readme, REPOSITORY)}
        metadata["urls"] = urls(REPOSITORY)
