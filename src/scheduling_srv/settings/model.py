"""Every setting: what it means, its default, and what values it takes (README, Settings).

Durations are kept in milliseconds. Where values come from is in `settings/load.py`, what a value
looks like in `settings/types.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from scheduling_srv.settings.types import (
    Address,
    AdminAddress,
    Delivery,
    KafkaOptions,
    Milliseconds,
    Name,
    RedisUrl,
    Servers,
    Services,
    Types,
    between,
)

PREFIX = "SCHEDULING_"
OF_SERVERS = ("redis_url", "redis_password", "kafka_bootstrap_servers")
"""Settings that lead to servers: with --embedded these are others."""


def _of_namespace(given: dict[str, Any]) -> str:
    """Two namespaces on one Kafka must not share a consumer group."""
    return f"{given.get('namespace', '')}-srv"


def _log_format() -> Literal["json", "console"]:
    return "console" if sys.stderr.isatty() else "json"


class Settings(BaseSettings):
    """The settings of one replica. The environment goes before what it is made with."""

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
        description="Where gRPC listens: `host:port`, an IPv6 host in brackets; port 0: any. An"
        " address that other hosts reach needs `SCHEDULING_INSECURE=true`.",
    )
    insecure: bool = Field(
        default=False,
        description="Let other hosts call without TLS and credentials. Any host that reaches the"
        " port can read and delete every job.",
    )
    admin_address: AdminAddress = Field(
        "127.0.0.1:8080",
        description="Where HTTP listens: `/livez`, `/readyz`, `/metrics`; `off`: nowhere.",
    )
    redis_url: RedisUrl = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,
        description="Redis >= 7.0 or Valkey >= 7.2; `rediss://` for TLS; may hold user, password.",
    )
    redis_password: SecretStr | None = Field(
        None,
        description="Goes before a password in the URL. Any setting can stand in a file of its own:"
        " SCHEDULING_REDIS_PASSWORD_FILE names that of this one.",
    )
    kafka_bootstrap_servers: Servers = Field(
        "127.0.0.1:9092", description="Kafka >= 2.5: `host:port`, several with commas between."
    )
    kafka_options: KafkaOptions = Field(
        default_factory=dict,
        repr=False,
        description="JSON of further librdkafka properties, such as those of security.",
        json_schema_extra={"default": "{}"},
    )
    embedded_kafka_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="Port of the embedded broker on 127.0.0.1; 0: any. Unless set, it is 9092, or"
        " any port if another program has that one.",
    )
    namespace: Name = Field(
        "scheduling",
        description="Prefix of Redis keys, of transactional ids and of our own Kafka topics."
        " Replicas that work together have the same; services that do not must not.",
    )
    kafka_group_id: Name = Field(
        default_factory=_of_namespace,
        description="Consumer group: its members share the events.",
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
        description="Parts that types of jobs are spread over, each with an owner of its own."
        " Fixed at the first start.",
    )
    topic_jobs: Name = Field(
        "io.restorecommerce.jobs", description="Topic of job requests, runs and answers."
    )
    shared_topic: bool = Field(
        default=False,
        description="Let another deployment use the same topic of jobs. Without it a service that"
        " finds another one there consumes nothing and is NOT_SERVING.",
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
        description="Be NOT_SERVING while a server is set up so that a guarantee does not hold"
        " (operations, Guarantees at risk). Runs are emitted all the same.",
    )
    start_offset: Literal["latest", "earliest"] = Field(
        "latest",
        description="Where the very first start reads from; after that, where it left off.",
    )
    offset_interval: Annotated[Milliseconds, between("10ms", "1h")] = Field(
        1_000, description="How often positions are stored in Redis, at least."
    )
    recurring_spelling: Literal["RECURR", "RECCUR"] = Field(
        "RECURR",
        description="schedule_type of recurring runs; consumers of 2018 may want `RECCUR`.",
    )
    completion_timeout: Annotated[Milliseconds, between("1ms", "365d")] = Field(
        3_600_000, description="A run without an answer for so long counts as jobFailed."
    )
    max_backoff: Annotated[Milliseconds, between("1ms", "365d")] = Field(
        86_400_000, description="The longest delay that exponential backoff grows to."
    )
    min_interval: Annotated[Milliseconds, between("1ms", "365d")] = Field(
        100, description="The shortest interval that a job may have."
    )
    catch_up_window: Annotated[Milliseconds, between("0s", "365d")] = Field(
        60_000, description="Occurrences missed in an outage that run all, counted from its end."
    )
    input_timeout: Annotated[Milliseconds, between("0s", "1h")] = Field(
        10_000,
        description="How long an owner that has just started reads waiting events before it emits"
        " overdue runs.",
    )
    missed_runs: Literal["latest", "skip"] = Field(
        "latest",
        description="Of occurrences missed before that, run the `latest` one, or `skip` all.",
    )
    lease: Annotated[Milliseconds, between("100ms", "5m")] = Field(
        3_000, description="An owner that says nothing for so long is replaced by another replica."
    )
    acknowledge: Literal["announced", "stored"] = Field(
        "announced",
        description="When a call is answered: once it is on Kafka, or once it is in Redis.",
    )
    delivery: Delivery = Field(
        "exactly_once",
        description="Or `at_least_once`: runs do not wait for a transaction; a crash may send one"
        " again, with the same `occurrence-id`.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least important messages that are logged."
    )
    log_format: Literal["json", "console"] = Field(
        default_factory=_log_format,
        description="`json`, a line each, or `console` for people: the default on a terminal.",
        json_schema_extra={"default": "json"},
    )
    metrics_types: Types = Field(
        (),
        description="Types of jobs that metrics show by name, with commas between; all others are"
        " `other`.",
        json_schema_extra={"default": ""},
    )
    max_items: int = Field(
        10_000, ge=1, le=1_000_000, description="How many jobs or ids one request may hold."
    )
    max_job_bytes: int = Field(
        900_000,
        ge=1_000,
        le=16_000_000,
        description="How large a job may be, as far as the topics' max.message.bytes allow it.",
    )
    outbox_limit: int = Field(
        200_000,
        ge=1_000,
        le=100_000_000,
        description="Announcements that may wait in Redis while Kafka is away; beyond it no run is "
        "staged and no job taken in.",
    )
    outbox_bytes: int = Field(
        2**28,
        ge=2**24,
        le=2**40,
        description="The same in bytes, for large jobs; counted to within some megabytes.",
    )
    waiting_retries: int = Field(
        10_000,
        ge=1,
        le=10_000_000,
        description="Retries of one recurring job that may wait; a run that fails beyond it is not "
        "retried.",
    )
    call_memory: int = Field(
        2**28,
        ge=2**28,
        le=2**36,
        description="Bytes that gRPC calls under way may hold; beyond it a call is UNAVAILABLE. "
        "An answer of more than half of it is RESOURCE_EXHAUSTED.",
    )
    services: Services = Field(
        (
            "io-restorecommerce-scheduling-srv",
            "io-restorecommerce-scheduling-cis",
            "io-restorecommerce-scheduling-reflection",
        ),
        description="Logical names in command responses, known to health_check; commas between.",
    )

    @model_validator(mode="after")
    def _topics_differ(self) -> Self:
        topics = [self.topic_jobs, self.topic_resources, self.topic_commands]
        topics += [
            self.topic_dead_letter,
            f"{self.namespace}.position",
            f"{self.namespace}.journal",
        ]
        twice = [topic for topic in topics if topics.count(topic) > 1]
        if twice:
            raise ValueError(f"the topic {twice[0]} is used for two things: each needs its own")
        return self

    def ignored(self, *, embedded: bool) -> Iterator[str]:
        """A sentence for each setting that was given and that this way to start does not use."""
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
        """The environment, then what was read from files."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings
