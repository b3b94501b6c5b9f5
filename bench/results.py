"""What was measured, kept as JSON: workloads that are measured again replace what was there."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.build import describe_build
from bench.site import Sample

Entry = dict[str, Any]


@dataclass
class Results:
    """Medians by workload and contender."""

    machine: dict[str, Any] = field(default_factory=dict)
    workloads: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Results:
        """What a file holds; nothing if there is none."""
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def write(self, path: Path) -> None:
        """Keep it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps({"machine": self.machine, "workloads": self.workloads}, indent=1)
        )

    def add(
        self,
        workload: str,
        scale: float,
        samples: Mapping[str, Sequence[Sample]],
        faults: Mapping[str, str],
        load: float = 0.0,
    ) -> None:
        """The samples of all contenders, and why there are none of one.

        `load`: how busy the machine was with other things before.
        """
        self.workloads[workload] = {
            "scale": scale,
            "rounds": max((len(each) for each in samples.values()), default=0),
            "load": round(load, 2),
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "contenders": {name: summary(found) for name, found in samples.items()}
            | {name: {"missing": why} for name, why in faults.items()},
        }

    def contender(self, workload: str, contender: str) -> Entry:
        """What is known of one."""
        entry: Entry = self.workloads.get(workload, {}).get("contenders", {}).get(contender, {})
        return entry

    def figure(self, workload: str, contender: str, figure: str) -> float | None:
        """A median, if there is one."""
        value: float | None = self.contender(workload, contender).get("figures", {}).get(figure)
        return value


class Kept:
    """Samples of rounds in a file, a line for each: a run that was stopped goes on from there."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path and path.exists() else []
        self._lines: list[Entry] = [json.loads(line) for line in lines]

    def samples(self, workload: str, contender: str, scale: float) -> list[Sample]:
        """Of the rounds that were measured at this size."""
        wanted = {"workload": workload, "contender": contender, "scale": scale}
        return [Sample(**each["sample"]) for each in self._lines if wanted.items() <= each.items()]

    def add(self, workload: str, contender: str, scale: float, sample: Sample) -> None:
        """Of one more round."""
        if self._path:
            names = {"workload": workload, "contender": contender, "scale": scale}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.write(json.dumps({**names, "sample": asdict(sample)}) + "\n")


def summary(samples: Sequence[Sample]) -> Entry:
    """Medians, and the least and the most."""
    names = samples[0].figures
    columns = {name: [sample.figures[name] for sample in samples] for name in names}
    middle = sorted(samples, key=lambda sample: sample.late[-1:])[len(samples) // 2]
    return {
        "jobs": samples[0].jobs,
        "figures": {name: statistics.median(column) for name, column in columns.items()},
        "spread": {name: [min(column), max(column)] for name, column in columns.items()},
        "cpu": {
            part: statistics.median(sample.cpu[part] for sample in samples)
            for part in samples[0].cpu
        },
        "late": middle.late,
    }


def describe_machine(**versions: str) -> dict[str, Any]:
    """What the figures depend on; `versions` of the servers."""
    model, memory = platform.processor() or platform.machine(), 0.0
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except OSError:
        pass
    return {
        "cores": os.cpu_count(),
        "processor": model,
        "memory": round(memory),
        "python": platform.python_version(),
        "build": describe_build(),
        "system": f"{platform.system()} {platform.release()}",
        "versions": versions,
    }
