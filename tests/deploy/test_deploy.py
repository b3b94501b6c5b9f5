"""The files for deployments are valid, and name only metrics and settings that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from scheduling_srv.runtime import metrics
from scheduling_srv.settings.load import describe
from tests.docs.snippets import ROOT, anchors
from tools import dashboard
from tools.metrics_page import of_redis, of_replica

BIN = Path(sys.executable).parent
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
PACKAGES = {"client": "scheduling_client", "server": "scheduling_srv"}
NOT_OF_KUBERNETES = ("kustomization.yaml", "service-monitor.yaml")
SELECTOR = re.compile(r"(scheduling_\w+)(?:\{([^}]*)\})?")
SUFFIXES = ("_bucket", "_count", "_sum")


def run(*command: object) -> str:
    words = [str(word) for word in command]
    ended = subprocess.run(words, capture_output=True, check=False, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    run(BIN / "hadolint", "Dockerfile")


def test_the_image_runs_as_nobody_and_in_exec_form() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert 'ENTRYPOINT ["scheduling-srv"]' in text
    assert "SCHEDULING_GRPC_ADDRESS=0.0.0.0:50054" in text


def test_the_compose_file_fits_its_schema() -> None:
    check = (BIN / "check-jsonschema", "--builtin-schema")
    run(*check, "vendor.compose-spec", DEPLOY / "compose.yaml")


def test_the_workflows_fit_their_schema() -> None:
    files = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
    assert [path.stem for path in files] == ["ci", "release"]
    run(BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files)


def manifests() -> list[Path]:
    return sorted(KUBERNETES.glob("*.yaml"))


@pytest.mark.parametrize(
    "path", [p for p in manifests() if p.name not in NOT_OF_KUBERNETES], ids=lambda path: path.name
)
def test_manifests_fit_the_schemas_of_kubernetes(path: Path) -> None:
    run(BIN / "kubernetes-validate", "--strict", path)


def test_the_base_lists_every_manifest() -> None:
    base = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    assert sorted(base["resources"]) == [
        path.name for path in manifests() if path.name != "kustomization.yaml"
    ]


def test_a_pod_runs_under_the_restricted_standard_and_asks_for_its_probes() -> None:
    spec = yaml.safe_load((KUBERNETES / "deployment.yaml").read_text())["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    security = container["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert security["readOnlyRootFilesystem"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert not security["allowPrivilegeEscalation"]
    probes = {name: container[f"{name}Probe"]["httpGet"]["path"]
              for name in ("startup", "liveness", "readiness")}  # fmt: skip
    assert probes == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    assert container["resources"]["limits"].keys() == {"memory"}


def settings_in(text: str) -> set[str]:
    named = set(re.findall(r"\bSCHEDULING_[A-Z_]+[A-Z]\b", text))
    return {name.removesuffix("_FILE") for name in named}


def test_every_setting_that_the_files_name_exists() -> None:
    known = {setting.environment for setting in describe()}
    paths = [ROOT / "Dockerfile", *(path for path in DEPLOY.rglob("*") if path.is_file())]
    for path in paths:
        assert settings_in(path.read_text()) <= known, path


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
def test_the_unit_is_valid_and_hardened(tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / "scheduling-srv.service").read_text()
    unit = tmp_path / "scheduling-srv.service"
    unit.write_text(text.replace("/opt/scheduling-srv/bin/scheduling-srv", str(BIN / "python")))
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(unit)],
        capture_output=True,
        check=False,
        text=True,
    )
    assert said.returncode == 0, said.stdout + said.stderr


# --- alerts and the dashboard ---


def expressions() -> Iterator[tuple[str, str]]:
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in dashboard.PANELS:
        for query, _ in panel.queries:
            yield panel.title, query.replace("$__rate_interval", "1m")


@pytest.mark.parametrize(("name", "expression"), [*expressions()])
def test_an_expression_is_promql_about_metrics_that_exist(name: str, expression: str) -> None:
    promql_parser.parse(expression)
    rows = {row.name: row for row in (*of_replica(), *of_redis())}
    found = SELECTOR.findall(expression)
    assert found, name
    for metric, matchers in found:
        base = next((metric.removesuffix(end) for end in SUFFIXES if metric.endswith(end)), metric)
        row = rows.get(metric) or rows[base]
        for label, values in re.findall(r'(\w+)=~?"([^"]*)"', matchers):
            assert label in row.labels
            assert set(values.split("|")) <= values_of(metric, label), name


def values_of(metric: str, label: str) -> set[str]:
    """The values of a label on a page that was just scraped."""
    page = metrics.exposition().decode()
    found = re.findall(rf'^{metric}\{{.*?{label}="([^"]*)"', page, re.MULTILINE)
    return set(found)


def test_every_alert_has_a_runbook() -> None:
    for rule in RULES:
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert anchor in anchors(ROOT / page), rule["alert"]
        assert rule["annotations"]["summary"].endswith(".")


def test_the_dashboard_is_up_to_date() -> None:
    assert dashboard.PAGE.read_text() == dashboard.text(), 'run "make docs"'
    panels: list[dict[str, Any]] = json.loads(dashboard.PAGE.read_text())["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels)


# --- packages ---


@pytest.mark.parametrize("name", ["client", "server"])
def test_packages_are_as_an_index_wants_them(name: str, tmp_path: Path) -> None:
    build = (sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path))
    subprocess.run(build, cwd=ROOT / name, check=True, capture_output=True)
    built = sorted(tmp_path.iterdir())
    assert len(built) == 2
    run(BIN / "twine", "check", "--strict", *built)
    (wheel,) = (path for path in built if path.suffix == ".whl")
    run(BIN / "check-wheel-contents", "--toplevel", PACKAGES[name], wheel)


@pytest.mark.parametrize("python", ["3.11", "3.14"])
def test_every_package_of_the_lock_file_has_a_wheel(python: str, tmp_path: Path) -> None:
    """For the first and the last version of Python: an install then compiles nothing."""
    wanted = ("--python-version", python, "--python-platform", "x86_64-manylinux_2_28")
    only = ("--only-binary", ":all:", "--no-deps", "--dry-run", "--target", tmp_path)
    run(BIN / "uv", "pip", "install", *only, *wanted, "-r", "requirements.lock")
