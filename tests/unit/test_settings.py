"""Settings: the environment before files, and one sentence for whatever is wrong with them."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from scheduling_srv.domain.errors import StartError
from scheduling_srv.service import service as bootstrap
from scheduling_srv.settings.load import Setting, describe, load, origin
from scheduling_srv.settings.model import Settings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [setting.environment for setting in describe()]:
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(f"{variable}_FILE", raising=False)


def config(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def fault(path: Path | None = None) -> str:
    with pytest.raises(StartError) as wrong:
        load(path)
    sentence = str(wrong.value)
    assert sentence.endswith((".", "?"))
    assert "\n" not in sentence
    return sentence


def test_defaults_are_those_of_the_contract() -> None:
    rows = {row.environment.removeprefix("SCHEDULING_"): row.default for row in describe()}
    assert rows == {
        "GRPC_ADDRESS": "127.0.0.1:50054",
        "INSECURE": "false",
        "TLS_CERTIFICATE": "",
        "TLS_KEY": "",
        "TLS_CLIENT_CA": "",
        "CALLERS": "",
        "JWT_KEYS": "",
        "JWT_ISSUER": "",
        "JWT_AUDIENCE": "",
        "JWT_ROLE_CLAIM": "scheduling_role",
        "OPEN_HEALTH": "true",
        "PAGES_ADDRESS": "",
        "PAGES_LINK": "",
        "PAGES_USER_HEADER": "",
        "PAGES_PROXIES": "",
        "PAGES_DESCRIPTORS": "",
        "PAGES_MASK_PAYLOADS": "false",
        "REFLECTION": "true",
        "AUDIT_LOG": "",
        "QUOTA_CALLS": "0",
        "QUOTA_BYTES": "0",
        "QUOTA_JOBS": "0",
        "ADMIN_ADDRESS": "127.0.0.1:8080",
        "REDIS_URL": "redis://127.0.0.1:6379/0",
        "REDIS_PASSWORD": "",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
        "KAFKA_OPTIONS": "{}",
        "EMBEDDED_KAFKA_PORT": "",
        "NAMESPACE": "scheduling",
        "KAFKA_GROUP_ID": "{namespace}-srv",
        "KAFKA_CLIENT_ID": "{namespace}-srv",
        "SHARDS": "1",
        "TOPIC_JOBS": "io.restorecommerce.jobs",
        "SHARED_TOPIC": "false",
        "TOPIC_RESOURCES": "io.restorecommerce.jobs.resource",
        "TOPIC_COMMANDS": "io.restorecommerce.command",
        "TOPIC_DEAD_LETTER": "io.restorecommerce.jobs.dead-letter",
        "CREATE_TOPICS": "true",
        "REQUIRE_GUARANTEES": "false",
        "START_OFFSET": "latest",
        "OFFSET_INTERVAL": "1s",
        "RECURRING_SPELLING": "RECURR",
        "COMPLETION_TIMEOUT": "1h",
        "MAX_BACKOFF": "1d",
        "MIN_INTERVAL": "100ms",
        "CATCH_UP_WINDOW": "1m",
        "INPUT_TIMEOUT": "10s",
        "MISSED_RUNS": "latest",
        "STAGE_AHEAD": "10ms",
        "PRODUCE_AHEAD": "0s",
        "LEASE": "3s",
        "ACKNOWLEDGE": "announced",
        "DELIVERY": "exactly_once",
        "LOG_LEVEL": "info",
        "LOG_FORMAT": "json",
        "METRICS_TYPES": "",
        "MAX_ITEMS": "10000",
        "MAX_JOB_BYTES": "900000",
        "OUTBOX_LIMIT": "200000",
        "OUTBOX_BYTES": str(2**28),
        "WAITING_RETRIES": "10000",
        "HISTORY_RUNS": "100000",
        "HISTORY_FAILURES": "7d",
        "HISTORY_BYTES": "268435456",
        "CALL_MEMORY": "268435456",
        "SERVICES": "io-restorecommerce-scheduling-srv,io-restorecommerce-scheduling-cis,"
        "io-restorecommerce-scheduling-reflection",
    }


def test_every_setting_has_a_meaning() -> None:
    assert [row.environment for row in describe() if not row.meaning.endswith(".")] == []


def test_what_is_described_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load()
    for row in describe():
        monkeypatch.setenv(row.environment, row.default.replace("{namespace}", "scheduling"))
    assert load() == before


@pytest.mark.parametrize(
    ("variable", "value", "kept"),
    [
        ("LEASE", "1h 30m", None),
        ("LEASE", "500ms", 500),
        ("CATCH_UP_WINDOW", "0s", 0),
        ("ADMIN_ADDRESS", "off", "off"),
        ("GRPC_ADDRESS", "[::]:0", "[::]:0"),
        ("REDIS_URL", "rediss://user:p%20w@redis.example:6380/15", None),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:1, SSL://b:2", "a:1,SSL://b:2"),
        ("KAFKA_OPTIONS", '{"security.protocol": "SSL", "x": 1, "y": true}', None),
        ("SERVICES", "one, two", ("one", "two")),
        ("DELIVERY", "exactly_once", "exactly_once"),
        ("DELIVERY", "at_least_once", "at_least_once"),
        ("LOG_FORMAT", "console", "console"),
    ],
)
def test_values_that_are_accepted(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, kept: object
) -> None:
    monkeypatch.setenv(f"SCHEDULING_{variable}", value)
    if (variable, value) == ("LEASE", "1h 30m"):
        assert fault() == "SCHEDULING_LEASE: '1h 30m' is not between 100ms and 5m."
        return
    found = getattr(load(), variable.lower())
    assert kept is None or found == kept


KAFKA_LIST = "'{}' is not one or more addresses of Kafka such as 'kafka-1:9092,kafka-2:9092'"
NESTED = ": settings are not nested, so write "
TWICE = "'{}' stands twice in {{}}, in the line{}: keep one of them."


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("LEASE", "soon", "'soon' is not a duration such as '500ms', '3s' or '1h 30m'"),
        ("LEASE", "1ms", "'1ms' is not between 100ms and 5m"),
        ("START_OFFSET", "newest", "'newest' is not 'latest' or 'earliest'"),
        ("MAX_ITEMS", "many", "'many' is not a whole number."),
        ("MAX_ITEMS", "1.5", "'1.5' is not a whole number."),
        ("MAX_ITEMS", "0", "'0' is not between 1 and 1000000."),
        ("INSECURE", "maybe", "'maybe' is not 'true' or 'false'."),
        ("GRPC_ADDRESS", "50054", "'50054' is not an address such as '127.0.0.1:50054'"),
        ("GRPC_ADDRESS", "::1:5", "'::1:5' is not an address"),
        ("GRPC_ADDRESS", "a:65536", "'a:65536' is not an address"),
        ("GRPC_ADDRESS", "off", "'off' is not an address"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:1,,b:2", KAFKA_LIST.format("a:1,,b:2") + ": '' is no"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka", KAFKA_LIST.format("kafka") + "."),
        ("ADMIN_ADDRESS", "x", "'x' is not an address such as '127.0.0.1:8080', nor 'off'."),
        ("REDIS_URL", "http://x", "the value is not a URL such as 'redis://127.0.0.1:6379/0'"),
        ("REDIS_URL", "redis://x:y", "the value is not a URL"),
        ("REDIS_URL", "redis://x/y", "the value is not a URL"),
        ("KAFKA_OPTIONS", "secret", "the value is not a JSON object of texts, numbers and boo"),
        ("KAFKA_OPTIONS", '{"a": {}}', "the value is not a JSON object"),
        ("KAFKA_OPTIONS", '{"a": 1, "b": 2, "a": 1}', "the value has 'a' twice: keep one of them."),
        ("KAFKA_OPTIONS", '{"acks": 1}', "the value may not hold acks: this service decides"),
        ("NAMESPACE", "a{b}", "'a{b}' is not a name of at most 200 letters"),
        ("TOPIC_JOBS", "..", "'..' is not a name"),
        ("SERVICES", "a,,b", "'a,,b' is not a list of names"),
        ("SHARDS", "65", "'65' is not between 1 and 64."),
        ("DELIVERY", "maybe", "'maybe' is not 'exactly_once' or 'at_least_once'"),
    ],
)
def test_values_that_are_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(f"SCHEDULING_{variable}", value)
    assert fault().startswith(f"SCHEDULING_{variable}: {sentence}")


def test_all_faults_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One at a time, each cost a start."""
    path = config(tmp_path, "a.toml", "leas = 1\nshards = 0\nmax_items = 'x'\nmax_job_bytes = 1000")
    monkeypatch.setenv("SCHEDULING_LEASE", "soon")
    monkeypatch.setenv("SCHEDULING_SHARD", "2")
    assert fault(path) == (
        "SCHEDULING_SHARD is not a setting: did you mean SCHEDULING_SHARDS?"
        f" leas in {path} is not a setting: did you mean lease?"
        f" shards in {path}: '0' is not between 1 and 64."
        " SCHEDULING_LEASE: 'soon' is not a duration such as '500ms', '3s' or '1h 30m'."
        f" max_items in {path}: 'x' is not a whole number."
    )


@pytest.mark.parametrize("value", ["true", "5", "1.5", "[]", "[1]", "2026-01-15", "'x y'", "{a=1}"])
def test_each_refusal_is_in_our_words(tmp_path: Path, value: str) -> None:
    names = [row.environment.removeprefix("SCHEDULING_").lower() for row in describe()]
    text = "".join(f"{name} = {value}\n" for name in names)
    assert "is not accepted" not in fault(config(tmp_path, "a.toml", text))


def test_two_topics_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDULING_TOPIC_JOBS", "scheduling.journal")
    assert fault() == (
        "Wrong settings: the topic scheduling.journal is used for two things: each needs its own."
    )


# --- Names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("SCHEDULING_LEAS", "is not a setting: did you mean SCHEDULING_LEASE?"),
        ("SCHEDULING_NAMSPACE", "is not a setting: did you mean SCHEDULING_NAMESPACE?"),
        ("SCHEDULING_FOO", "is not a setting; 'scheduling-srv settings' lists them all."),
    ],
)
def test_unknown_variables(monkeypatch: pytest.MonkeyPatch, name: str, sentence: str) -> None:
    monkeypatch.setenv(name, "x")
    assert fault() == f"{name} {sentence}"


@pytest.mark.parametrize(
    "name",
    [
        "SCHEDULING_SERVICE_HOST",
        "SCHEDULING_SRV_SERVICE_PORT_GRPC",
        "SCHEDULING_SRV_PORT",
        "SCHEDULING_SRV_PORT_50054_TCP_ADDR",
    ],
)
def test_variables_that_kubernetes_sets_are_none_of_ours(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "tcp://10.0.0.1:50054")
    load()


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDULING_LEASE", "")
    assert load().lease == 3000


# --- Files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", 'lease = "5s"\nservices = ["a"]\n[kafka_options]\n"security.protocol" = "SSL"'),
        ("a.yaml", "lease: 5s\nservices: [a]\nkafka_options: {security.protocol: SSL}"),
        (
            "a.yml",
            '{"lease": "5s", "services": "a", "kafka_options": {"security.protocol": "SSL"}}',
        ),
    ],
)
def test_a_file_lies_below_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    path = config(tmp_path, name, text)
    loaded = load(path)
    assert (loaded.lease, loaded.services) == (5000, ("a",))
    assert loaded.kafka_options == {"security.protocol": "SSL"}
    monkeypatch.setenv("SCHEDULING_LEASE", "4s")
    assert load(path).lease == 4000


@pytest.mark.parametrize("name", ["a.toml", "a.yaml"])
def test_an_empty_file_says_nothing(tmp_path: Path, name: str) -> None:
    assert load(config(tmp_path, name, "")) == load()


DOCUMENTED = {
    "admin_address": ["off"],
    "insecure": ["true", "yes", "on", "1"],
    "create_topics": ["false", "no", "off", "0"],
    "namespace": ["on", "1", "1.0", "2026-01-15", "0x10"],
    "redis_password": ["007", "true", "1e3"],
    "topic_jobs": ["no"],
    "start_offset": ["earliest"],
    "recurring_spelling": ["RECCUR"],
    "missed_runs": ["skip"],
    "acknowledge": ["stored"],
    "delivery": ["at_least_once"],
    "log_level": ["debug"],
    "log_format": ["console", "json"],
    "kafka_options": ['{"security.protocol": "SSL"}'],
    "embedded_kafka_port": ["0"],
    "services": ["off", "one, two"],
    "metrics_types": ["yes"],
}
"""Values that the table of settings names, and texts that YAML takes for something else."""


@pytest.mark.parametrize("setting", [*describe()], ids=lambda row: row.environment)
def test_a_value_means_the_same_in_yaml_and_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: Setting
) -> None:
    """`admin_address: off` ended the start: YAML made it False."""
    name = setting.environment.removeprefix("SCHEDULING_").lower()
    default = setting.default.replace("{namespace}", "scheduling")
    for value in [default, *DOCUMENTED.get(name, ())]:
        found = load(config(tmp_path, "a.yaml", f"{name}: {value}\n"))
        with monkeypatch.context() as environment:
            environment.setenv(setting.environment, value)
            assert getattr(load(), name) == getattr(found, name), value


def test_what_yaml_leaves_open_is_not_set(tmp_path: Path) -> None:
    text = "lease:\nredis_password: null\nnamespace: ''\n"
    assert load(config(tmp_path, "a.yaml", text)) == load()


@pytest.mark.parametrize(
    "name", ["acks", "message.max.bytes", "group.protocol", "group.instance.id", "error_cb"]
)
def test_properties_that_the_service_depends_on_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("SCHEDULING_KAFKA_OPTIONS", json.dumps({name: "1"}))
    assert fault() == (
        f"SCHEDULING_KAFKA_OPTIONS: the value may not hold {name}: this service decides about it."
    )


@pytest.mark.parametrize(
    ("strategy", "accepted"),
    [("range", True), ("roundrobin,range", True), ("cooperative-sticky", False)],
)
def test_a_strategy_that_makes_the_consumer_deaf_is_refused(
    monkeypatch: pytest.MonkeyPatch, strategy: str, accepted: bool
) -> None:
    options = {"partition.assignment.strategy": strategy}
    monkeypatch.setenv("SCHEDULING_KAFKA_OPTIONS", json.dumps(options))
    if accepted:
        assert load().kafka_options == options
    else:
        assert "range or roundrobin is needed" in fault()


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.toml", "leas = '5s'", "leas in {} is not a setting: did you mean lease?"),
        ("a.yaml", "5: 6", "5 in {} is not a setting; 'scheduling-srv settings' lists them all."),
        ("a.yaml", "LEASE: 5s", "LEASE in {} is not a setting: did you mean lease?"),
        (
            "a.yaml",
            "SCHEDULING_LEASE: 5s",
            "SCHEDULING_LEASE in {} is not a setting: did you mean ",
        ),
        (
            "a.yaml",
            "grpcAdress: x",
            "grpcAdress in {} is not a setting: did you mean grpc_address?",
        ),
        ("a.toml", "max-items = 1", "max-items in {} is not a setting: did you mean max_items?"),
        ("a.yaml", "lease: 1s\nLease: 2s", "Lease in {} is not a setting: did you mean lease?"),
        (
            "a.yaml",
            "grpc: {address: x}",
            "grpc in {} is not a setting" + NESTED + "grpc_address at",
        ),
        (
            "a.toml",
            "[grpc]\naddress='x'",
            "grpc in {} is not a setting" + NESTED + "grpc_address at",
        ),
        (
            "a.yaml",
            "scheduling:\n  lease: 3s",
            "scheduling in {} is not a setting" + NESTED + "lea",
        ),
        ("a.yaml", "lease: 1s\n\nshards: 2\nlease: 1s", TWICE.format("lease", "s 1 and 4")),
        ("a.yaml", "{lease: 1s, lease: 2s}", "'lease' stands twice in {}, in line 1: keep one of "),
        ("a.yaml", "kafka_options:\n  a: b\n  c: d\n  'a': c", TWICE.format("a", "s 2 and 4")),
        ("a.yaml", "services:\n- {a: 1, a: 1}", "'a' stands twice in {}, in line 2: keep one of "),
        ("a.yaml", "&a [*a]", "{} does not hold settings such as 'lease: 3s'."),
        ("a.toml", "lease = '1s'\n\nlease = '2s'", TWICE.format("lease", "s 1 and 3")),
        ("a.toml", "lease = '1s'\nlease = '2s'\nshards = 1", TWICE.format("lease", "s 1 and 2")),
        ("a.toml", "[kafka_options]\na = 1\n'a' = 2\n", TWICE.format("a", "s 2 and 3")),
        (
            "a.toml",
            "[kafka_options]\na = 1\n[kafka_options]\nb = 1",
            TWICE.format("kafka_options", "s 1 and 3"),
        ),
        ("a.toml", "namespace = 5", "namespace in {}: '5' is not a text: put it between quot"),
        ("a.toml", "insecure = 'x'", "insecure in {}: 'x' is not 'true' or 'false'."),
        ("a.toml", "insecure = [1]", "insecure in {}: '[1]' is not 'true' or 'false'."),
        ("a.toml", "shards = 1.5", "shards in {}: '1.5' is not a whole number."),
        ("a.toml", "shards = []", "shards in {}: '[]' is not a whole number."),
        ("a.toml", "start_offset = 1", "start_offset in {}: '1' is not 'latest' or 'earliest'."),
        ("a.toml", "lease = 5", "lease in {}: '5' is not a duration such as '500ms', '3s' or "),
        ("a.toml", "lease = ", "{} is not TOML: "),
        ("a.yaml", "a: [", "{} is not YAML: "),
        ("a.yaml", "- lease", "{} does not hold settings such as 'lease: 3s'."),
        ("a.yaml", "kafka_options: x", "kafka_options in {}: the value is not a JSON object"),
        ("a.toml", "services = [1]", "services in {}: '[1]' is not a list of names."),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    path = config(tmp_path, name, text)
    assert fault(path).startswith(sentence.format(path))


def test_a_variable_in_two_spellings_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, the order of the environment decided which one counted."""
    monkeypatch.setenv("SCHEDULING_LEASE", "3s")
    monkeypatch.setenv("scheduling_lease", "4s")
    assert fault() == "SCHEDULING_LEASE and scheduling_lease are both set: give one of them."
    monkeypatch.delenv("SCHEDULING_LEASE")
    assert load().lease == 4_000


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "nope.toml"
    assert fault(path) == f"Cannot read {path} (--config): No such file or directory."


def test_a_secret_in_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDULING_REDIS_PASSWORD_FILE", str(config(tmp_path, "p", "s3cret\n")))
    password = load().redis_password
    assert password is not None
    assert password.get_secret_value() == "s3cret"


def test_any_setting_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = config(tmp_path, "o", '{"sasl.password": "s3cret"}')
    monkeypatch.setenv("SCHEDULING_KAFKA_OPTIONS_FILE", str(path))
    assert load().kafka_options == {"sasl.password": "s3cret"}
    monkeypatch.setenv("SCHEDULING_KAFKA_OPTIONS", "{}")
    assert fault() == (
        "SCHEDULING_KAFKA_OPTIONS and SCHEDULING_KAFKA_OPTIONS_FILE are both set: give one of them."
    )


def test_a_secret_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDULING_LEASE_FILE", "/nope")
    assert fault() == "Cannot read /nope (SCHEDULING_LEASE_FILE): No such file or directory."


def test_a_fault_in_a_secret_file_names_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHEDULING_LEASE_FILE", str(config(tmp_path, "l", "soon")))
    assert fault().startswith("SCHEDULING_LEASE_FILE: 'soon' is not a duration")


@pytest.mark.parametrize("setting", sorted(Settings.SECRETS))
def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    values = {
        "redis_url": "redis://:s3cret@localhost",
        "redis_password": "s3cret",
        "kafka_options": '{"sasl.password": "s3cret"}',
    }
    monkeypatch.setenv(f"SCHEDULING_{setting.upper()}", values[setting])
    assert "s3cret" not in repr(load())


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis://h/0?protocol=3", "may not have the parameter 'protocol'"),
        ("redis://h/0?decode_responses=true", "may not have the parameter 'decode_responses'"),
        ("redis://h/0?nonsense=1", "may not have the parameter 'nonsense'"),
        ("redis://h/0?max_connections=1", "may not have the parameter 'max_connections'"),
        ("redis://h/0?db=one", "a number as the parameter db"),
        ("redis://h/0?socket_timeout=soon", "0.1 to 60"),
        ("redis://h/0?socket_timeout=0.001", "0.1 to 60"),
        ("redis://h/0?ssl_ca_certs=x", "only a rediss:// URL may have"),
        ("redis://h/0?client_name=", "once and with a value"),
    ],
)
def test_a_parameter_of_the_redis_url_that_would_break_us_is_refused(
    monkeypatch: pytest.MonkeyPatch, url: str, problem: str
) -> None:
    monkeypatch.setenv("SCHEDULING_REDIS_URL", url)
    with pytest.raises(StartError, match=problem):
        load()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"PRODUCE_AHEAD": "5ms", "DELIVERY": "at_least_once"}, "DELIVERY=exactly_once"),
        ({"PRODUCE_AHEAD": "20ms"}, "longer than SCHEDULING_STAGE_AHEAD"),
    ],
)
def test_runs_go_to_kafka_early_only_where_nobody_reads_them(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], problem: str
) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"SCHEDULING_{name}", value)
    with pytest.raises(StartError, match=problem):
        load()


def test_sensible_parameters_of_the_redis_url_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "rediss://u:p@h:1?db=3&socket_timeout=2.5&client_name=me&ssl_ca_certs=ca.pem"
    monkeypatch.setenv("SCHEDULING_REDIS_URL", url)
    assert load().redis_url == url


def test_where_a_password_came_from_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert origin("redis_url", load()) == "SCHEDULING_REDIS_URL"
    loaded = load(config(tmp_path, "a.yaml", "redis_password: x"))
    assert origin("redis_password", loaded) == "redis_password in the configuration file"
    monkeypatch.setenv("SCHEDULING_REDIS_PASSWORD_FILE", str(config(tmp_path, "p", "s3cret")))
    assert origin("redis_password", load()) == "SCHEDULING_REDIS_PASSWORD_FILE"
    monkeypatch.delenv("SCHEDULING_REDIS_PASSWORD_FILE")
    monkeypatch.setenv("SCHEDULING_REDIS_PASSWORD", "s3cret")
    assert origin("redis_password", load()) == "SCHEDULING_REDIS_PASSWORD"


async def test_a_service_names_the_setting_of_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDULING_REDIS_PASSWORD", "s3cret")
    async with AsyncExitStack() as stack:
        service = bootstrap.Service(load(), stack, asyncio.Event())
        assert service.redis.supplied_by == "SCHEDULING_REDIS_PASSWORD"


def test_settings_that_nothing_uses_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service with --embedded and a Redis was taken for one that uses that Redis."""
    assert not [*load().ignored(embedded=True), *load().ignored(embedded=False)]
    monkeypatch.setenv("SCHEDULING_REDIS_URL", "redis://h:1/0")
    monkeypatch.setenv("SCHEDULING_REDIS_PASSWORD_FILE", str(config(tmp_path, "p", "s3cret")))
    monkeypatch.setenv("SCHEDULING_EMBEDDED_KAFKA_PORT", "0")
    loaded = load(config(tmp_path, "a.yaml", "kafka_bootstrap_servers: h:2"))
    assert [*loaded.ignored(embedded=False)] == [
        "SCHEDULING_EMBEDDED_KAFKA_PORT is ignored: without --embedded there is no broker."
    ]
    assert [*loaded.ignored(embedded=True)] == [
        f"SCHEDULING_{name} is ignored: --embedded brings servers of its own."
        for name in ("REDIS_URL", "REDIS_PASSWORD", "KAFKA_BOOTSTRAP_SERVERS")
    ]


async def test_a_start_logs_settings_that_nothing_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        async def run(self) -> int:
            return 0

    monkeypatch.setenv("SCHEDULING_EMBEDDED_KAFKA_PORT", "0")
    monkeypatch.setattr(bootstrap, "Service", Ended)
    with capture_logs() as lines:
        await bootstrap._serve(load(), embedded=False, data_dir=None)
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("a setting is ignored", "warning")
    ]


def test_group_and_client_follow_the_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, two namespaces on one Kafka shared a consumer group and its events."""
    assert (load(None).kafka_group_id, load(None).kafka_client_id) == ("scheduling-srv",) * 2
    monkeypatch.setenv("SCHEDULING_NAMESPACE", "other")
    assert (load(None).kafka_group_id, load(None).kafka_client_id) == ("other-srv",) * 2
    monkeypatch.setenv("SCHEDULING_KAFKA_GROUP_ID", "mine")
    assert (load(None).kafka_group_id, load(None).kafka_client_id) == ("mine", "other-srv")


def test_types_with_a_label_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(None).metrics_types == ()
    monkeypatch.setenv("SCHEDULING_METRICS_TYPES", "mail, report,,mail")
    assert load(None).metrics_types == ("mail", "report")
    monkeypatch.setenv("SCHEDULING_METRICS_TYPES", ",".join(map(str, range(101))))
    assert "SCHEDULING_METRICS_TYPES" in fault()
    assert "more than 100 types" in fault()
