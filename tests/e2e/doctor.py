"""`scheduling-srv doctor`, with the settings of a replica."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.harness.service import Service


def doctor(replica: Service, *options: str, **settings: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and check -> its worst finding; `all` has all of that check."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("SCHEDULING_")
    }
    more = {f"SCHEDULING_{name.upper()}": value for name, value in settings.items()}
    ended = subprocess.run(
        [sys.executable, "-m", "scheduling_srv", "doctor", "--json", *options],
        capture_output=True,
        check=False,
        text=True,
        env={**inherited, **replica.settings, **more},
    )
    assert ended.stdout, ended.stderr
    found = json.loads(ended.stdout)
    return ended.returncode, {
        each["check"]: {**each, "all": [one for one in found if one["check"] == each["check"]]}
        for each in reversed(found)
    }
