"""A Kafka that also listens with TLS and with SASL, for clients that are set up wrongly."""

import subprocess
from pathlib import Path

from tests.harness.kafka import KafkaServer
from tests.harness.ports import free_port

PASSWORD = "a-password"
USER = "scheduling"


class SecureKafka(KafkaServer):
    """Its certificate is signed by itself: no client knows who did."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.tls_port = free_port()
        self.sasl_port = free_port()

    def _server_settings(self) -> dict[str, object]:
        settings = super()._server_settings()
        more = f",SSL://127.0.0.1:{self.tls_port},SASL_PLAINTEXT://127.0.0.1:{self.sasl_port}"
        login = (
            "org.apache.kafka.common.security.plain.PlainLoginModule required"
            f' user_{USER}="{PASSWORD}";'
        )
        return {
            **settings,
            "listeners": f"{settings['listeners']}{more}",
            "advertised.listeners": f"{settings['advertised.listeners']}{more}",
            "listener.security.protocol.map": f"{settings['listener.security.protocol.map']}"
            ",SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
            "ssl.keystore.location": self._made_keystore(),
            "ssl.keystore.password": PASSWORD,
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": login,
        }

    def _made_keystore(self) -> Path:
        place = self.directory / "keystore.p12"
        subprocess.run(
            [
                *("keytool", "-genkeypair", "-keyalg", "RSA", "-storetype", "PKCS12"),
                *("-alias", "broker", "-dname", "CN=localhost", "-validity", "2"),
                *("-keystore", str(place), "-storepass", PASSWORD),
            ],
            check=True,
            capture_output=True,
        )
        return place
