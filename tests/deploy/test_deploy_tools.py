"""The rules and manifests of deploy/, in the hands of promtool and kustomize.

`make deploy-tools` builds both; without them these tests are skipped.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduling_srv import __version__
from tests.deploy.test_deploy import ALERTS, DEPLOY, KUBERNETES, NOT_OF_KUBERNETES, RULES
from tests.docs.snippets import ROOT

TOOLS = ROOT / "build" / "deploy-tools"
Series = Mapping[str, str]
"""Name and labels of a series -> its values, one a minute, as promtool writes them."""
BUCKETS = "scheduling_lateness_seconds_bucket"
STEADY, GROWING = "0x40", "0+50x40"
FIRING: Mapping[str, tuple[Series, Mapping[str, str]]] = {
    "SchedulingNotServing": ({"scheduling_serving": STEADY}, {}),
    "SchedulingNoOwner": ({"scheduling_owner": STEADY}, {}),
    "SchedulingLate": ({"scheduling_oldest_due_seconds": "6x40"}, {}),
    "SchedulingLateness": (
        {
            f'{BUCKETS}{{le="1"}}': STEADY,
            f'{BUCKETS}{{le="5"}}': GROWING,
            f'{BUCKETS}{{le="+Inf"}}': GROWING,
        },
        {},
    ),
    "SchedulingOutboxGrows": ({"scheduling_outbox_entries": "10001x40"}, {}),
    "SchedulingConsumerLag": ({"scheduling_consumer_lag_records": "10001x40"}, {}),
    "SchedulingRunsExpire": ({"scheduling_runs_expired_total": GROWING}, {}),
    "SchedulingRunsFail": (
        {'scheduling_runs_ended_total{outcome="timed-out"}': GROWING},
        {"outcome": "timed-out"},
    ),
    "SchedulingDeadLetters": ({"scheduling_dead_letters_total": GROWING}, {}),
    "SchedulingRecordsRefused": ({"scheduling_records_refused_total": GROWING}, {}),
    "SchedulingOwnerChanges": ({"scheduling_recoveries_total": "0+1x40"}, {}),
    "SchedulingGuaranteeAtRisk": (
        {'scheduling_guarantee_at_risk{reason="disk"}': "1x40"},
        {"reason": "disk"},
    ),
    "SchedulingCallsRefused": (
        {'scheduling_calls_refused_total{reason="forbidden"}': GROWING},
        {"reason": "forbidden"},
    ),
    "SchedulingAuditLost": ({"scheduling_audit_lines_lost_total": "0+1x40"}, {}),
}
"""For each alert the series that fire it, and the labels that it then has besides its own."""
CALM: Series = {
    "scheduling_serving": "1x40",
    "scheduling_owner": "1x40",
    "scheduling_oldest_due_seconds": "0.1x40",
    f'{BUCKETS}{{le="1"}}': GROWING,
    f'{BUCKETS}{{le="+Inf"}}': GROWING,
    "scheduling_outbox_entries": "100x40",
    "scheduling_consumer_lag_records": "100x40",
    "scheduling_runs_expired_total": "7x40",
    'scheduling_runs_ended_total{outcome="done"}': GROWING,
    "scheduling_dead_letters_total": "7x40",
    "scheduling_records_refused_total": "7x40",
    "scheduling_recoveries_total": "0x20 1x20",
    'scheduling_guarantee_at_risk{reason="disk"}': STEADY,
    'scheduling_calls_refused_total{reason="forbidden"}': "0+1x40",
    "scheduling_audit_lines_lost_total": STEADY,
}
"""Series with which no alert fires."""
AT = "30m"


def run(tool: str, *arguments: object) -> str:
    path = TOOLS / tool
    if not path.exists():
        pytest.skip(f"{tool} is not built: make deploy-tools")
    words = [str(each) for each in (path, *arguments)]
    ended = subprocess.run(words, capture_output=True, check=False, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def case(name: str, series: Series, alerts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": each, "values": series[each]} for each in series],
        "alert_rule_test": alerts,
    }


def fired(rule: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    one = {"exp_labels": {**rule["labels"], **labels}, "exp_annotations": rule["annotations"]}
    return {"eval_time": AT, "alertname": rule["alert"], "exp_alerts": [one]}


def test_the_rules_and_the_configuration_are_valid() -> None:
    run("promtool", "check", "rules", DEPLOY / "prometheus" / "alerts.yaml")
    run("promtool", "check", "config", DEPLOY / "prometheus" / "prometheus.yaml")


def test_each_alert_fires_at_its_symptom_and_none_without(tmp_path: Path) -> None:
    assert [rule["alert"] for rule in RULES] == [*FIRING]
    assert ALERTS["groups"][0]["name"] == "scheduling"
    cases = [
        case(rule["alert"], FIRING[rule["alert"]][0], [fired(rule, FIRING[rule["alert"]][1])])
        for rule in RULES
    ]
    calm = [{"eval_time": AT, "alertname": name, "exp_alerts": []} for name in FIRING]
    cases.append(case("calm", CALM, calm))
    content = {
        "rule_files": [str(DEPLOY / "prometheus" / "alerts.yaml")],
        "evaluation_interval": "1m",
        "tests": cases,
    }
    file = tmp_path / "alerts_test.yaml"
    file.write_text(yaml.safe_dump(content))
    run("promtool", "test", "rules", file)


def test_kustomize_renders_all_manifests(tmp_path: Path) -> None:
    rendered = [*yaml.safe_load_all(run("kustomize", "build", KUBERNETES))]
    files = [*KUBERNETES.glob("*.yaml")]
    written = [each for path in files for each in yaml.safe_load_all(path.read_text())]
    assert sorted(each["kind"] for each in rendered) == sorted(
        each["kind"] for each in written if each["kind"] != "Kustomization"
    )
    for each in rendered:
        if each["kind"] != "Namespace":
            assert each["metadata"]["namespace"] == "scheduling"
        if each["kind"] == "Deployment":
            (container,) = each["spec"]["template"]["spec"]["containers"]
            assert container["image"].endswith(f"scheduling-srv:{__version__}")
        if each["kind"] != "ServiceMonitor":
            path = tmp_path / f"{each['kind']}.yaml"
            path.write_text(yaml.safe_dump(each))
            validate = Path(sys.executable).parent / "kubernetes-validate"
            subprocess.run([validate, "--strict", path], check=True, capture_output=True)
    assert NOT_OF_KUBERNETES[1] == "service-monitor.yaml"
