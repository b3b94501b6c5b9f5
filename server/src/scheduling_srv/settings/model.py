"""Every setting: its meaning, its default and its values (docs/settings.md).

Durations are in milliseconds. `settings/load.py` reads the sources of values, `settings/types.py`
their syntax.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from scheduling_srv.app.shard_rules import DEFAULTS as SHARD
from scheduling_srv.domain.validation import DEFAULTS as JOBS
from scheduling_srv.settings.types import (
    Address,
    AdminAddress,
    Delivery,
    JwtKeys,
    KafkaOptions,
    Milliseconds,
    Name,
    Networks,
    RedisUrl,
    Servers,
    Services,
    Types,
    between,
)

PREFIX = "SCHEDULING_"
COMMAND_LINE = "SCHEDULING_CLIENT_"
"""Variables of the command `scheduling`: none is a setting of the service."""
OF_SERVERS = ("redis_url", "redis_password", "kafka_bootstrap_servers")
"""Settings that name servers. Embedded mode ignores them."""


def _of_namespace(given: dict[str, Any]) -> str:
    """Two namespaces on one Kafka must not share a consumer group."""
    return f"{given.get('namespace', '')}-srv"


def _log_format() -> Literal["json", "console"]:
    return "console" if sys.stderr.isatty() else "json"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where settings were read from. Settings of different origins may be equal."""

    config_file: Path | None = field(default=None, compare=False)


class Settings(BaseSettings):
    """The settings of one replica. The environment takes precedence over its arguments."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        validate_default=False,
    )
    SECRETS: ClassVar = frozenset({"redis_url", "redis_password", "kafka_options"})
    """Settings whose value is never shown."""

    grpc_address: Address = Field(
        "127.0.0.1:50054",
        description="Address of the gRPC port: `host:port`, an IPv6 host in brackets. Port 0 takes"
        " any free port. An address that other hosts reach needs TLS and credentials, or"
        " `SCHEDULING_INSECURE=true`.",
    )
    insecure: bool = Field(
        default=False,
        description="Let other hosts call without TLS or without credentials. Without credentials,"
        " any host that reaches the port can read and delete every job.",
    )
    tls_certificate: Path | None = Field(
        None,
        description="PEM file with the certificate of both ports and its chain. It is read again"
        " when it changes.",
    )
    tls_key: Path | None = Field(None, description="PEM file with the key of the certificate.")
    tls_client_ca: Path | None = Field(
        None,
        description="PEM file with the authorities of client certificates. gRPC then refuses"
        " clients without one.",
    )
    callers: Path | None = Field(
        None,
        description="TOML file of callers: names, roles, limits, hashes of tokens, names of"
        " certificates. It is read again when it changes.",
    )
    jwt_keys: JwtKeys | None = Field(
        None,
        description="Public keys that verify signed tokens (JWT): a JWKS file, or its https"
        " address. It needs the extra `jwt`.",
    )
    jwt_issuer: str | None = Field(None, description="The issuer (`iss`) that tokens must have.")
    jwt_audience: str | None = Field(
        None, description="The audience (`aud`) that tokens must have."
    )
    jwt_role_claim: str = Field(
        "scheduling_role",
        description="Claim of tokens with the role or roles, such as `realm_access.roles`.",
    )
    open_health: bool = Field(
        default=True,
        description="Answer `grpc.health.v1.Health`, `/livez` and `/readyz` without credentials.",
    )
    reflection: bool = Field(
        default=True,
        description="Offer gRPC reflection. With credentials, it needs the role reader.",
    )
    audit_log: str | None = Field(
        None,
        description="Where a line for each change and each refused call goes: a file, or `log` for"
        " the log of the service.",
    )
    quota_calls: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Most gRPC calls a second of one caller, in each replica; 0 does not limit.",
    )
    quota_bytes: int = Field(
        0,
        ge=0,
        le=2**40,
        description="Most bytes of gRPC requests a second of one caller, in each replica; 0 does"
        " not limit.",
    )
    quota_jobs: int = Field(
        0,
        ge=0,
        le=2**31,
        description="Most living jobs of one creator, over all replicas; 0 does not limit. Jobs"
        " that run at once do not count. Every other job then needs a creator.",
    )
    admin_address: AdminAddress = Field(
        "127.0.0.1:8080",
        description="Address of the HTTP port: `/livez`, `/readyz`, `/metrics`. `off` opens none.",
    )
    pages_address: AdminAddress = Field(
        "",
        description="Address of the admin pages: `host:port`. Unset, they are on the HTTP port."
        " `off` serves none.",
    )
    pages_link: Path | None = Field(
        None,
        description="File that gets a link to the admin pages. It signs in once, with the role"
        " admin; then the file gets a new one.",
    )
    pages_user_header: str = Field(
        "",
        description="Header in which a proxy names the caller of `SCHEDULING_CALLERS` that it has"
        " signed in, such as `x-forwarded-user`. Needs `SCHEDULING_PAGES_PROXIES`.",
    )
    pages_proxies: Networks = Field(
        (),
        description="Addresses of the proxies whose header counts, such as `10.0.0.0/8`, separated"
        " by commas.",
        json_schema_extra={"default": ""},
    )
    pages_mask_payloads: bool = Field(
        default=False, description="Hide the payloads of jobs on the admin pages."
    )
    pages_descriptors: Path | None = Field(
        None,
        description="File with a `FileDescriptorSet` of protobuf. The admin pages decode payloads"
        " of its messages.",
    )
    redis_url: RedisUrl = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,
        description="URL of Redis >= 7.0 or Valkey >= 7.2; `rediss://` for TLS. It may hold a user"
        " and a password.",
    )
    redis_password: SecretStr | None = Field(
        None,
        description="Password of Redis; takes precedence over a password in the URL."
        " SCHEDULING_REDIS_PASSWORD_FILE names a file that holds it.",
    )
    kafka_bootstrap_servers: Servers = Field(
        "127.0.0.1:9092", description="Brokers of Kafka >= 2.5: `host:port`, separated by commas."
    )
    kafka_options: KafkaOptions = Field(
        default_factory=dict,
        repr=False,
        description="Further properties of librdkafka as JSON, such as those for TLS and SASL.",
        json_schema_extra={"default": "{}"},
    )
    embedded_kafka_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="Port of the embedded broker on 127.0.0.1; 0 takes any free port. Unset, it is"
        " 9092, or any free port if 9092 is in use.",
    )
    namespace: Name = Field(
        "scheduling",
        description="Prefix of the service's Redis keys, transactional ids and own Kafka topics."
        " All replicas of a service use the same, and two services never do.",
    )
    kafka_group_id: Name = Field(
        default_factory=_of_namespace,
        description="Consumer group of the replicas.",
        json_schema_extra={"default": "{namespace}-srv"},
    )
    kafka_client_id: Name = Field(
        default_factory=_of_namespace,
        json_schema_extra={"default": "{namespace}-srv"},
        description="Name in Kafka's logs, and prefix of the Redis keys that show the offsets.",
    )
    shards: int = Field(
        1,
        ge=1,
        le=64,
        description="Number of shards. Each type of jobs belongs to one shard, and each shard has"
        " its own owner. Fixed at the first start.",
    )
    topic_jobs: Name = Field(
        "io.restorecommerce.jobs", description="Topic of job requests, runs and answers."
    )
    shared_topic: bool = Field(
        default=False,
        description="Let another deployment use the same jobs topic. `false`: a service that finds"
        " another one there consumes nothing and is NOT_SERVING.",
    )
    topic_resources: Name = Field(
        "io.restorecommerce.jobs.resource", description="Topic of jobsCreated and jobsDeleted."
    )
    topic_commands: Name = Field(
        "io.restorecommerce.command", description="Topic of system commands and their responses."
    )
    topic_dead_letter: Name = Field(
        "io.restorecommerce.jobs.dead-letter",
        description="Topic of records that could not be applied, with the reason.",
    )
    create_topics: bool = Field(
        default=True,
        description="Create topics that are missing, at the start and when one disappears."
        " `false`: an operator creates them.",
    )
    require_guarantees: bool = Field(
        default=False,
        description="Report NOT_SERVING while the settings of a server put a guarantee at risk"
        " (operations, Guarantees at risk). Runs are emitted all the same.",
    )
    start_offset: Literal["latest", "earliest"] = Field(
        "latest",
        description="Where the very first start reads the topics from. Later starts resume at the"
        " stored position.",
    )
    offset_interval: Annotated[Milliseconds, between("10ms", "1h")] = Field(
        1_000, description="Positions are stored in Redis at least this often."
    )
    recurring_spelling: Literal["RECURR", "RECCUR"] = Field(
        "RECURR",
        description="schedule_type of recurring runs; consumers of 2018 may want `RECCUR`.",
    )
    completion_timeout: Annotated[Milliseconds, between("1ms", "365d")] = Field(
        SHARD.completion_timeout,
        description="How long a worker may take to answer. Then the run counts as jobFailed.",
    )
    max_backoff: Annotated[Milliseconds, between("1ms", "365d")] = Field(
        SHARD.max_backoff,
        description="The longest delay that exponential backoff grows to.",
    )
    min_interval: Annotated[Milliseconds, between("1ms", "365d")] = Field(
        JOBS.min_interval, description="The shortest interval that a job may have."
    )
    catch_up_window: Annotated[Milliseconds, between("0s", "365d")] = Field(
        SHARD.catch_up_window,
        description="How far back from the end of an outage every missed occurrence still runs.",
    )
    input_timeout: Annotated[Milliseconds, between("0s", "1h")] = Field(
        SHARD.catch_up_limit,
        description="How long a new owner reads waiting events before it emits overdue runs.",
    )
    missed_runs: Literal["latest", "skip"] = Field(
        SHARD.missed_runs,
        description="Of occurrences missed before the catch-up window, run the `latest` one, or"
        " `skip` all.",
    )
    stage_ahead: Annotated[Milliseconds, between("0s", "100ms")] = Field(
        SHARD.stage_ahead,
        description="Runs are staged so long before they are due, and held until then; `0s`: at"
        " their time, which makes them later.",
    )
    produce_ahead: Annotated[Milliseconds, between("0s", "100ms")] = Field(
        SHARD.produce_ahead,
        description="Runs go to Kafka so long before they are due, in a transaction that is"
        " committed then. Consumers that read uncommitted records see them early.",
    )
    lease: Annotated[Milliseconds, between("100ms", "5m")] = Field(
        SHARD.lease,
        description="How long an owner may stay silent before another replica takes over.",
    )
    acknowledge: Literal["announced", "stored"] = Field(
        "announced",
        description="When a call is answered: once its change is on Kafka (`announced`), or once"
        " it is in Redis (`stored`).",
    )
    delivery: Delivery = Field(
        "exactly_once",
        description="`exactly_once`, or `at_least_once`: runs do not wait for a transaction. A"
        " crash may then send a run again, with the same `occurrence-id`.",
    )
    raise_format_after: Annotated[Milliseconds, between("0s", "3650d")] = Field(
        60_000,
        description="How long no replica of the version before must have been connected before the"
        " stored data gets a new format. From then on that version cannot be started again.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        description="Least severe level that is logged: `debug`, `info`, `warning`, `error`.",
    )
    log_format: Literal["json", "console"] = Field(
        default_factory=_log_format,
        description="`json` (one object a line), or `console` (for people). The default on a"
        " terminal is `console`.",
        json_schema_extra={"default": "json"},
    )
    metrics_types: Types = Field(
        (),
        description="Types of jobs that have their own label in metrics, separated by commas. All"
        " others have the label `other`.",
        json_schema_extra={"default": ""},
    )
    max_items: int = Field(
        JOBS.max_items, ge=1, le=1_000_000, description="Most jobs or ids in one request."
    )
    max_job_bytes: int = Field(
        JOBS.max_job_bytes,
        ge=1_000,
        le=16_000_000,
        description="Largest size of a job in bytes. The topics' max.message.bytes may allow less.",
    )
    outbox_limit: int = Field(
        SHARD.outbox_limit,
        ge=1_000,
        le=100_000_000,
        description="Most announcements that wait in Redis while Kafka is away. Beyond it no run is"
        " staged and no job is accepted.",
    )
    outbox_bytes: int = Field(
        SHARD.outbox_bytes,
        ge=2**24,
        le=2**40,
        description="The same limit in bytes, accurate to some megabytes.",
    )
    waiting_retries: int = Field(
        SHARD.waiting_retries,
        ge=1,
        le=10_000_000,
        description="Most waiting retries of one recurring job. A run that fails beyond it is not"
        " retried.",
    )
    history_runs: int = Field(
        100_000,
        ge=0,
        le=100_000_000,
        description="Most ended runs that the history keeps, over all shards; the oldest go.",
    )
    history_failures: Annotated[Milliseconds, between("1m", "3650d")] = Field(
        7 * 86_400_000,
        description="How long the history keeps failed runs of one-time jobs, and errors.",
    )
    history_bytes: int = Field(
        2**28,
        ge=0,
        le=2**40,
        description="Bytes of one-time jobs that failed, kept so that their runs may be retried.",
    )
    call_memory: int = Field(
        2**28,
        ge=2**28,
        le=2**36,
        description="Memory budget of gRPC calls in bytes. A call that exceeds it is UNAVAILABLE."
        " An answer larger than half of it is RESOURCE_EXHAUSTED.",
    )
    services: Services = Field(
        (
            "io-restorecommerce-scheduling-srv",
            "io-restorecommerce-scheduling-cis",
            "io-restorecommerce-scheduling-reflection",
        ),
        description="Logical service names in command responses and for health_check, separated by"
        " commas.",
    )

    _origin: Origin = PrivateAttr(default=Origin())

    @property
    def config_file(self) -> Path | None:
        """The configuration file that was read."""
        return self._origin.config_file

    def read_from(self, path: Path | None) -> Self:
        """Note the configuration file; returns the settings."""
        self._origin = Origin(path)
        return self

    @property
    def has_credentials(self) -> bool:
        """Whether callers of the ports have to show who they are."""
        return bool(self.callers or self.jwt_keys or self.tls_client_ca)

    @model_validator(mode="after")
    def _doors_are_whole(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("TLS needs both SCHEDULING_TLS_CERTIFICATE and SCHEDULING_TLS_KEY")
        if self.tls_client_ca and not self.tls_certificate:
            raise ValueError("SCHEDULING_TLS_CLIENT_CA needs SCHEDULING_TLS_CERTIFICATE as well")
        if self.jwt_keys and not (self.jwt_issuer and self.jwt_audience):
            raise ValueError(
                "SCHEDULING_JWT_KEYS needs SCHEDULING_JWT_ISSUER and SCHEDULING_JWT_AUDIENCE:"
                " else tokens for other services would be valid"
            )
        if self.pages_user_header and not (self.pages_proxies and self.callers):
            raise ValueError(
                "SCHEDULING_PAGES_USER_HEADER needs SCHEDULING_PAGES_PROXIES and"
                " SCHEDULING_CALLERS: else any client could name any caller"
            )
        if (self.jwt_issuer or self.jwt_audience) and not self.jwt_keys:
            raise ValueError("SCHEDULING_JWT_ISSUER and SCHEDULING_JWT_AUDIENCE need JWT_KEYS")
        return self

    @model_validator(mode="after")
    def _ahead_is_possible(self) -> Self:
        if self.produce_ahead and self.delivery != "exactly_once":
            raise ValueError(
                "SCHEDULING_PRODUCE_AHEAD needs SCHEDULING_DELIVERY=exactly_once:"
                " without a transaction runs would be early"
            )
        if self.produce_ahead > self.stage_ahead:
            raise ValueError(
                "SCHEDULING_PRODUCE_AHEAD is longer than SCHEDULING_STAGE_AHEAD:"
                " a run is staged before it goes to Kafka"
            )
        return self

    @model_validator(mode="after")
    def _topics_differ(self) -> Self:
        topics = [self.topic_jobs, self.topic_resources, self.topic_commands]
        topics += [
            self.topic_dead_letter,
            f"{self.namespace}.position",
            f"{self.namespace}.journal",
            f"{self.namespace}.events",
        ]
        twice = [topic for topic in topics if topics.count(topic) > 1]
        if twice:
            raise ValueError(f"the topic {twice[0]} is used for two things: each needs its own")
        return self

    def ignored(self, *, embedded: bool) -> Iterator[str]:
        """A sentence for each given setting that this mode ignores."""
        if not embedded and "embedded_kafka_port" in self.model_fields_set:
            yield f"{PREFIX}EMBEDDED_KAFKA_PORT is ignored: without --embedded there is no broker."
        for name in OF_SERVERS if embedded else ():
            if name in self.model_fields_set:
                yield f"{PREFIX}{name.upper()} is ignored: --embedded brings servers of its own."

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then the files."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings
