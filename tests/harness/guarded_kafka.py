"""A Kafka whose authorizer is on, with TLS, client certificates, SCRAM and OAUTHBEARER.

The harness itself comes over the plain listener, as the super user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
)
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from scheduling_srv.adapters.kafka.needed_rights import Right, named
from tests.harness.certificates import Authority, Pair
from tests.harness.kafka import KafkaServer
from tests.harness.ports import free_port
from tests.harness.waiting import PATIENCE_SECONDS

USER, PASSWORD = "scheduling", "a-password"
RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,
}
OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}


class GuardedKafka(KafkaServer):
    """Ports: `port` for the harness, `scram_port` (TLS), `oauth_port`, `mtls_port`."""

    def __init__(self, directory: Path, authority: Authority, *, jwks: str, audience: str) -> None:
        super().__init__(directory)
        self.scram_port, self.oauth_port, self.mtls_port = (free_port() for _ in range(3))
        self._authority = authority
        self._pair = authority.sign("kafka.test")
        self._jwks, self._audience = jwks, audience
        # Without it the broker trusts no address of keys.
        allowed = "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls"
        self._flags += [f"{allowed}={jwks}"]

    def make_user(self) -> None:
        """Give the user its password."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(USER, scram, PASSWORD.encode())
        for answer in admin.alter_user_scram_credentials([change]).values():
            answer.result(PATIENCE_SECONDS)

    def allow(self, principal: str, rights: Sequence[Right], names: Mapping[str, str]) -> None:
        """Give a principal these rights, and no others."""
        admin: Any = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        anything: Any = AclBindingFilter(
            ResourceType.ANY,
            None,  # type: ignore[arg-type]  # any name
            ResourcePatternType.ANY,
            principal,
            None,  # type: ignore[arg-type]  # any host
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        for gone in admin.delete_acls([anything]).values():
            gone.result(PATIENCE_SECONDS)
        bindings = [
            AclBinding(
                RESOURCES[right.resource],
                name,
                ResourcePatternType.PREFIXED if is_prefix else ResourcePatternType.LITERAL,
                principal,
                "*",
                OPERATIONS[operation],
                AclPermissionType.ALLOW,
            )
            for right, name, is_prefix in named(rights, names)
            for operation in right.operations.split()
        ]
        for made in admin.create_acls(bindings).values():
            made.result(PATIENCE_SECONDS)

    def _server_settings(self) -> dict[str, object]:
        settings = super()._server_settings()
        ports = {"SCRAM": self.scram_port, "OAUTH": self.oauth_port, "MTLS": self.mtls_port}
        more = "".join(f",{name}://127.0.0.1:{port}" for name, port in ports.items())
        mapped = str(settings["listener.security.protocol.map"])
        protocols = ",SCRAM:SASL_SSL,OAUTH:SASL_PLAINTEXT,MTLS:SSL"
        security = "org.apache.kafka.common.security"
        return {
            **settings,
            "listeners": f"{settings['listeners']}{more}",
            "advertised.listeners": f"{settings['advertised.listeners']}{more}",
            "listener.security.protocol.map": mapped + protocols,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": _bundle(self.directory / "keystore.pem", self._pair),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self._authority.ca,
            "listener.name.mtls.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^CN=([^,]+)$/$1/,DEFAULT",
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config": (
                f"{security}.scram.ScramLoginModule required;"
            ),
            "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.oauth.oauthbearer.sasl.jaas.config": (
                f"{security}.oauthbearer.OAuthBearerLoginModule required;"
            ),
            "listener.name.oauth.oauthbearer.sasl.server.callback.handler.class": (
                f"{security}.oauthbearer.OAuthBearerValidatorCallbackHandler"
            ),
            "listener.name.oauth.sasl.oauthbearer.jwks.endpoint.url": self._jwks,
            "listener.name.oauth.sasl.oauthbearer.expected.audience": self._audience,
        }


def _bundle(path: Path, pair: Pair) -> Path:
    """The key and the certificate in one file, as Kafka wants them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pair.key.read_bytes() + pair.certificate.read_bytes())
    return path
