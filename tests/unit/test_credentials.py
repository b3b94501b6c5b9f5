"""The file of callers, and signed tokens: each fault has a sentence, each change is noticed."""

import asyncio
import base64
import errno
import json
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import URLError
from urllib.request import Request

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from structlog.testing import capture_logs

from scheduling_srv.adapters.credentials import caller_file, jwks
from scheduling_srv.adapters.credentials import credentials as all_credentials
from scheduling_srv.adapters.credentials.caller_file import hash_of, make_token
from scheduling_srv.adapters.credentials.credentials import AllCredentials
from scheduling_srv.adapters.credentials.fetch import _Redirects
from scheduling_srv.adapters.credentials.jwks import JwksAddress, JwksFile
from scheduling_srv.adapters.credentials.jwts import JwtVerifier
from scheduling_srv.app.access.accounts import Proven
from scheduling_srv.app.access.callers import Caller, Role
from scheduling_srv.domain.errors import StartError, Unauthenticated, Unavailable
from scheduling_srv.domain.limits import Limits
from tests.harness.certificates import Authority
from tests.harness.tokens import AUDIENCE, ISSUER, Issuer, write_callers
from tests.harness.waiting import PATIENCE_SECONDS

HASH = hash_of("t")


# --- the file of callers ---


def test_a_file_of_callers(tmp_path: Path) -> None:
    path = tmp_path / "callers.toml"
    write_callers(
        path,
        {"name": "a", "role": "reader", "tokens": [hash_of("one"), hash_of("two")]},
        {"name": "b", "role": "admin", "certificates": ["b.test"], "types": ["mail"]},
    )
    callers = caller_file.read(path)
    reader = Caller("a", Role.READER)
    assert callers.tokens == {hash_of("one"): reader, hash_of("two"): reader}
    limits = Limits(types=frozenset({"mail"}))
    assert callers.certificates == {"b.test": Caller("b", Role.ADMIN, limits)}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x", "is not TOML"),
        ("a = 1", r"it may hold tables \[\[callers\]\] only"),
        ("callers = 1", r"it may hold tables \[\[callers\]\] only"),
        ("[[callers]]", "a caller has no name"),
        ('[[callers]]\nname = "a"', "'a' needs a role: reader, operator, admin"),
        ('[[callers]]\nname = "a"\nrole = ["admin"]', "'a' needs a role"),
        ('[[callers]]\nname = "a"\nrole = "root"', "'a' needs a role"),
        ('[[callers]]\nname = "a"\nrole = "admin"\ntypos = []', "has 'typos': known are"),
        ('[[callers]]\nname = "a"\nrole = "admin"\ntypes = []', "types of the caller 'a'"),
        ('[[callers]]\nname = "a"\nrole = "admin"\ntypes = "mail"', "types of the caller 'a'"),
        ('[[callers]]\nname = "a"\nrole = "admin"\ntokens = ["secret"]', "is not a SHA-256 hash"),
        ('[[callers]]\nname = "a"\nrole = "admin"\n' * 2, "the caller 'a' stands twice"),
        (
            "".join(
                f'[[callers]]\nname = "{name}"\nrole = "admin"\ntokens = ["{HASH}"]\n'
                for name in "ab"
            ),
            "the callers 'a' and 'b' have the same credentials",
        ),
    ],
)
def test_a_faulty_file_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "callers.toml"
    path.write_text(text)
    with pytest.raises(StartError, match=sentence) as caught:
        caller_file.read(path)
    assert "SCHEDULING_CALLERS" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="No such file"):
        caller_file.read(tmp_path / "none")


def test_a_token_is_never_made_twice_and_its_entry_is_valid(tmp_path: Path) -> None:
    token = make_token()
    assert token != make_token()
    path = tmp_path / "callers.toml"
    path.write_text(caller_file.entry('"quoted" ü', "admin", token))
    assert caller_file.read(path).tokens == {hash_of(token): Caller('"quoted" ü', Role.ADMIN)}


async def test_a_file_is_read_again_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "callers.toml"
    write_callers(path, {"name": "a", "role": "reader", "tokens": [hash_of("one")]})
    credentials, changes = AllCredentials(path, None), list[str]()
    credentials.on_change.append(lambda: changes.append("changed"))
    await credentials.look()
    assert changes == []
    write_callers(path, {"name": "a", "role": "admin", "tokens": [hash_of("two")]})
    await credentials.look()
    assert changes == ["changed"]
    assert (await credentials.verify("two")).caller.role is Role.ADMIN
    with pytest.raises(Unauthenticated):
        await credentials.verify("one")
    path.write_text("broken")
    with capture_logs() as logs:
        await credentials.look()
    assert (await credentials.verify("two")).caller.name == "a"
    assert [line["event"] for line in logs] == ["the file of callers cannot be used"]


async def test_a_change_while_the_file_is_read_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = tmp_path / "callers.toml", caller_file.read
    write_callers(path, {"name": "a", "role": "reader", "tokens": [hash_of("one")]})

    def changed_after(each: Path) -> caller_file.Callers:
        found = read(each)
        write_callers(path, {"name": "a", "role": "admin", "tokens": [hash_of("two")]})
        return found

    with monkeypatch.context() as patch:
        patch.setattr(caller_file, "read", changed_after)
        credentials = AllCredentials(path, None)
    await credentials.look()
    assert (await credentials.verify("two")).caller.role is Role.ADMIN


async def test_a_read_that_failed_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after EMFILE: the file itself does not change any more."""
    path = tmp_path / "callers.toml"
    write_callers(path, {"name": "a", "role": "reader", "tokens": [hash_of("one")]})
    credentials = AllCredentials(path, None)
    write_callers(path, {"name": "a", "role": "admin", "tokens": [hash_of("two")]})

    def full(_path: Path) -> caller_file.Callers:
        raise StartError("Too many open files.")

    with monkeypatch.context() as patch, capture_logs():
        patch.setattr(caller_file, "read", full)
        await credentials.look()
    await credentials.look()
    assert (await credentials.verify("two")).caller.role is Role.ADMIN


async def test_a_file_that_comes_back_as_it_was_is_used(tmp_path: Path) -> None:
    issuer, path = Issuer(), tmp_path / "callers.toml"
    write_callers(path, {"name": "a", "role": "reader", "tokens": [hash_of("one")]})
    credentials = AllCredentials(path, verifier_of(issuer, tmp_path))
    with capture_logs() as logs:
        for each in (path, tmp_path / "keys.json"):
            each.rename(each.with_suffix(".away"))
        await credentials.look()
        for each in (path, tmp_path / "keys.json"):
            each.with_suffix(".away").rename(each)
        await credentials.look()
    assert [line["event"] for line in logs] == [
        "the file of callers cannot be used",
        "the keys of tokens cannot be read",
        "the file of callers is used",
        "the keys of tokens are read again",
    ]
    assert (await credentials.verify("one")).caller.name == "a"


def test_certificates_without_other_credentials_may_do_everything(tmp_path: Path) -> None:
    assert AllCredentials(None, None).of_certificate(["x"]) == Caller("x", Role.ADMIN)
    path = tmp_path / "callers.toml"
    write_callers(path, {"name": "a", "role": "reader", "certificates": ["a.test"]})
    credentials = AllCredentials(path, None)
    assert credentials.of_certificate(["other", "a.test"]) == Caller("a", Role.READER)
    with pytest.raises(Unauthenticated, match="certificate of x belongs to no caller"):
        credentials.of_certificate(["x"])


# --- signed tokens ---


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


def verifier_of(issuer: Issuer, tmp_path: Path, role_claim: str = "scheduling_role") -> JwtVerifier:
    path = tmp_path / "keys.json"
    path.write_text(issuer.jwks)
    return JwtVerifier(JwksFile(path), issuer=ISSUER, audience=AUDIENCE, role_claim=role_claim)


@pytest.mark.parametrize("kind", ["ES256", "RS256"])
async def test_a_valid_token(tmp_path: Path, kind: str) -> None:
    issuer = Issuer(kind=kind)
    caller, seconds = await verifier_of(issuer, tmp_path).verify(issuer.token("me", "operator"))
    assert caller == Caller("me", Role.OPERATOR)
    assert 50 < seconds <= 60


async def test_signed_in_by_a_token_as_long_as_it_is_valid(tmp_path: Path, issuer: Issuer) -> None:
    path = tmp_path / "callers.toml"
    write_callers(path, {"name": "a", "role": "reader", "tokens": [HASH]})
    credentials = AllCredentials(path, verifier_of(issuer, tmp_path))
    assert await credentials.prove("t") == Proven(Caller("a", Role.READER), float("inf"), HASH)
    caller, seconds, secret = await credentials.prove(issuer.token("me", "operator"))
    assert (caller.name, secret) == ("me", "")
    assert 50 < seconds <= 60


async def test_limits_and_the_highest_role(tmp_path: Path, issuer: Issuer) -> None:
    claims = {"scheduling_types": ["mail"], "realm": {"roles": ["x", "reader", "admin"]}}
    verifier = verifier_of(issuer, tmp_path, "realm.roles")
    caller, _ = await verifier.verify(issuer.token("me", "reader", **claims))
    assert caller == Caller("me", Role.ADMIN, Limits(types=frozenset({"mail"})))


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ({"exp": 1}, "has expired"),
        ({"exp": None}, "lacks a claim"),
        ({"sub": None}, "lacks a claim"),
        ({"nbf": 4_000_000_000}, "is not valid yet"),
        ({"aud": "other"}, r"for another audience \(aud\)"),
        ({"aud": None}, "lacks a claim"),
        ({"iss": "https://other"}, r"of another issuer \(iss\)"),
        ({"iss": None}, "lacks a claim"),
        ({"scheduling_role": None}, "names no role in scheduling_role"),
        ({"scheduling_role": "root"}, "names no role in scheduling_role"),
        ({"scheduling_role": {"admin": 1}}, "names no role in scheduling_role"),
        ({"scheduling_types": "mail"}, "scheduling_types of the token is not a list"),
        ({"scheduling_creators": []}, "scheduling_creators of the token is not a list"),
        ({"sub": "\ud800"}, "claim sub of the token is not a text in UTF-8"),
        ({"scheduling_types": ["\ud800"]}, "claim scheduling_types of the token is not a text"),
    ],
)
async def test_a_claim_that_is_wrong_is_named(
    tmp_path: Path, issuer: Issuer, claims: dict[str, Any], sentence: str
) -> None:
    token = issuer.token("me", "admin", **claims)
    with pytest.raises(Unauthenticated, match=sentence):
        await verifier_of(issuer, tmp_path).verify(token)


def unsigned(issuer: Issuer) -> str:
    """As `alg=none` wants it."""
    header = {"alg": "none", "typ": "JWT", "kid": issuer.key_id}
    _, claims, _ = issuer.token("me", "admin").split(".")
    return f"{base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip('=')}.{claims}."


def with_public_key_as_secret(issuer: Issuer) -> str:
    """The classic confusion: HMAC with the public key."""
    claims = jwt.decode(issuer.token("me", "admin"), options={"verify_signature": False})
    return jwt.encode(claims, "x" * 64, algorithm="HS256", headers={"kid": issuer.key_id})


def changed(issuer: Issuer) -> str:
    header, _, signature = issuer.token("me", "reader").split(".")
    _, claims, _ = issuer.token("me", "admin").split(".")
    return f"{header}.{claims}.{signature}"


@pytest.mark.parametrize("attack", [unsigned, with_public_key_as_secret, changed])
async def test_attacks_are_refused(tmp_path: Path, issuer: Issuer, attack: Any) -> None:
    with pytest.raises(Unauthenticated):
        await verifier_of(issuer, tmp_path).verify(attack(issuer))


class NoKeys:
    """A source without any key."""

    keys: jwks.Keys = {}  # noqa: RUF012

    async def refresh(self) -> None:
        """There is nothing to read."""

    async def find(self, key_id: str) -> jwks.Key | None:
        return self.keys.get(key_id)


def _as_token(content: bytes) -> str:
    """Three parts, as a signed token has them."""
    part = base64.urlsafe_b64encode(content).decode().rstrip("=")
    return f"{part}.{part}.{part}"


@pytest.mark.parametrize("token", ["", "..", "a.b.c", "e30.e30.", "\x00.\x00.\x00", "ü.ü.ü"])
async def test_garbage_is_refused(tmp_path: Path, issuer: Issuer, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await verifier_of(issuer, tmp_path).verify(token)


@given(st.text(max_size=200) | st.binary(max_size=200).map(_as_token))
def test_no_text_is_a_token(text: str) -> None:
    """Nor does any break the verifier."""
    known = AllCredentials(None, JwtVerifier(NoKeys(), issuer="i", audience="a", role_claim="r"))
    with pytest.raises(Unauthenticated):
        asyncio.run(known.verify(text))


async def test_a_foreign_key_with_a_known_id(tmp_path: Path, issuer: Issuer) -> None:
    foreign = Issuer()
    foreign.keys = {issuer.key_id: foreign.keys[foreign.key_id]}
    foreign.key_id = issuer.key_id
    with pytest.raises(Unauthenticated, match="signature of the token is wrong"):
        await verifier_of(issuer, tmp_path).verify(foreign.token("me", "admin"))


async def test_keys_rotate_in_a_file(tmp_path: Path) -> None:
    issuer = Issuer()
    verifier = verifier_of(issuer, tmp_path)
    before = issuer.token("me", "admin")
    issuer.rotate(forget=True)
    with pytest.raises(Unauthenticated, match="key that is not known"):
        await verifier.verify(issuer.token("me", "admin"))
    (tmp_path / "keys.json").write_text(issuer.jwks)
    await verifier.verify(issuer.token("me", "admin"))
    with pytest.raises(Unauthenticated, match="key that is not known"):
        await verifier.verify(before)


async def test_keys_that_could_not_be_read_are_tried_again_but_not_at_each_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer, read = Issuer(), list[str]()
    verifier = verifier_of(issuer, tmp_path)
    issuer.rotate()
    (tmp_path / "keys.json").write_text(issuer.jwks)

    def full(text: str) -> jwks.Keys:
        read.append(text)
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch, capture_logs():
        patch.setattr(jwks, "parsed", full)
        for _ in range(5):  # any caller may name a key
            with pytest.raises(Unauthenticated, match="key that is not known"):
                await verifier.verify(issuer.token("me", "admin"))
        assert len(read) == 1
        await verifier.keys.refresh()
        assert len(read) == 2
    await verifier.keys.refresh()
    await verifier.verify(issuer.token("me", "admin"))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "oct", "kid": "a", "k": "c2VjcmV0"}]}'],
)
def test_a_file_without_public_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(StartError, match=r"\(SCHEDULING_JWT_KEYS\): it"):
        JwksFile(path)


def public(key: Any, key_id: Any = "other", **more: Any) -> dict[str, Any]:
    kind: Any = RSAAlgorithm if isinstance(key, rsa.RSAPublicKey) else ECAlgorithm
    return {**kind.to_jwk(key, as_dict=True), "kid": key_id, **more}


RSA_KEY = rsa.generate_private_key(65_537, 2048).public_key()
P256, P384, P521, KOBLITZ = (
    ec.generate_private_key(curve).public_key()
    for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1(), ec.SECP256K1())
)


@pytest.mark.parametrize(
    "entry",
    [
        public(RSA_KEY, alg="RSA-OAEP"),
        public(P256, alg="ECDH-ES"),
        public(KOBLITZ, alg="ES256K"),
        public(KOBLITZ),
        public(P256, alg="ES384"),
        public(P256, alg=7),
        public(P256, key_id=7),
        public(P256, use="enc"),
        {"kty": "OKP", "crv": "X25519", "kid": "other", "x": "MTEx" * 10 + "MTE"},
        {"kty": "RSA", "kid": "other", "n": 7, "e": "AQAB"},
        {"kty": "EC", "kid": "other", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "kid": "other"},
        {"kty": ["EC"], "kid": "other"},
        {"kty": "oct", "kid": "other", "k": "c2VjcmV0"},
        "text",
        None,
    ],
)  # fmt: skip
def test_a_key_that_cannot_be_used_costs_no_other_key(entry: Any) -> None:
    """RFC 7517, section 5."""
    own = public(P256, "own")
    with capture_logs() as logs:
        assert list(jwks.parsed(json.dumps({"keys": [entry, own]}))) == ["own"]
    assert [line["event"] for line in logs] == ["a key of tokens is not used"]
    assert logs[0]["reason"]
    with pytest.raises(ValueError, match="no public key"):
        jwks.parsed(json.dumps({"keys": [entry]}))


@pytest.mark.parametrize(
    ("key", "algorithms"), [(P256, ["ES256"]), (P384, ["ES384"]), (P521, ["ES512"])]
)
def test_the_curve_of_a_key_names_its_algorithm(key: Any, algorithms: list[str]) -> None:
    (found,) = jwks.parsed(json.dumps({"keys": [public(key)]})).values()
    assert found.algorithms == algorithms


@pytest.mark.parametrize("alg", [None, ""])
def test_a_key_whose_algorithm_is_empty_has_none(alg: str | None) -> None:
    assert jwks.parsed(json.dumps({"keys": [public(P256, alg=alg)]}))


class Login:
    """A server that tells the keys, and counts how often it is asked."""

    def __init__(self) -> None:
        self.text, self.asked, self.status = "", 0, 200
        self.headers: dict[str, str] = {}
        self.raw: Iterable[bytes] | None = None
        """Sent instead of an answer, piece by piece."""
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                told.asked += 1
                if told.raw is not None:
                    with suppress(OSError):
                        for piece in told.raw:
                            self.wfile.write(piece)
                    return
                self.send_response(told.status)
                for name, value in told.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(told.text.encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/keys"

    def use_tls(self, directory: Path) -> ssl.SSLContext:
        """The context of its clients."""
        authority = Authority(directory)
        pair, context = authority.sign("login.test"), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = self.url.replace("http", "https")
        return ssl.create_default_context(cafile=str(authority.ca))


@pytest.fixture
def login() -> Iterator[Login]:
    made = Login()
    yield made
    made.server.shutdown()
    made.server.server_close()


async def test_keys_of_an_address_rotate(login: Login) -> None:
    issuer, now = Issuer(), [0.0]
    login.text = issuer.jwks
    keys = JwksAddress(login.url, monotonic=lambda: now[0])
    verifier = JwtVerifier(keys, issuer=ISSUER, audience=AUDIENCE, role_claim="scheduling_role")
    await verifier.verify(issuer.token("me", "admin"))
    await verifier.verify(issuer.token("me", "admin"))
    assert login.asked == 1
    issuer.rotate()
    login.text = issuer.jwks
    with pytest.raises(Unauthenticated):  # too soon: any caller may name a key
        await verifier.verify(issuer.token("me", "admin"))
    assert login.asked == 1
    now[0] += jwks.UNKNOWN_KEY_SECONDS
    await verifier.verify(issuer.token("me", "admin"))
    assert login.asked == 2


async def test_an_address_that_fails_keeps_the_keys(login: Login) -> None:
    issuer, now = Issuer(), [0.0]
    keys = JwksAddress(login.url, monotonic=lambda: now[0])
    verifier = JwtVerifier(keys, issuer=ISSUER, audience=AUDIENCE, role_claim="scheduling_role")
    login.status = 500
    with pytest.raises(Unavailable, match="their keys are not known yet"):
        await verifier.verify(issuer.token("me", "admin"))
    login.status, login.text = 200, issuer.jwks
    now[0] += jwks.UNKNOWN_KEY_SECONDS
    await verifier.verify(issuer.token("me", "admin"))
    login.text = "broken"
    now[0] += jwks.REFRESH_SECONDS
    with capture_logs() as logs:
        await keys.refresh()
    assert [line["event"] for line in logs] == ["the keys of tokens cannot be read"]
    await verifier.verify(issuer.token("me", "admin"))


async def faults_of(login: Login, trust: ssl.SSLContext | None = None) -> list[str]:
    """What the log says of a fetch that fails."""
    with capture_logs() as logs:
        await JwksAddress(login.url, trust=trust).refresh()
    assert {line["event"] for line in logs} <= {"the keys of tokens cannot be read"}
    return [line["reason"] for line in logs]


@pytest.mark.parametrize(
    "raw",
    [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort", b"x" * 99_999],
)
async def test_an_address_that_breaks_http(login: Login, raw: bytes) -> None:
    login.raw = [raw]
    assert len(await faults_of(login)) == 1


async def test_keys_that_are_nested_too_deep(login: Login, tmp_path: Path) -> None:
    login.text = "[" * 100_000
    assert "is not a JWKS" in (await faults_of(login))[0]
    (tmp_path / "keys.json").write_text(login.text)
    with pytest.raises(StartError, match="is not a JWKS"):
        JwksFile(tmp_path / "keys.json")
    (tmp_path / "callers.toml").write_text("a = " + login.text)
    with pytest.raises(StartError, match="is not TOML"):
        caller_file.read(tmp_path / "callers.toml")


@pytest.mark.parametrize("place", ["http://127.0.0.2/keys", "http://login.test/keys", "ftp://a/b"])
async def test_a_redirect_that_leaves_https_is_not_followed(login: Login, place: str) -> None:
    login.status, login.headers = 302, {"Location": place}
    assert await faults_of(login) == [f"it redirects to {place}, which is not https."]


@pytest.mark.parametrize(
    ("old", "new", "is_followed"),
    [
        ("https://a/keys", "https://b/keys", True),
        ("https://a/keys", "http://a/keys", False),
        ("https://127.0.0.1/keys", "http://127.0.0.1/keys", False),
        ("https://a/keys", "file:///etc/passwd", False),
        ("http://127.0.0.1:80/keys", "https://a/keys", True),
        ("http://127.0.0.1:80/keys", "http://127.0.0.1:80/other", True),
        ("http://127.0.0.1:80/keys", "http://127.0.0.1:81/keys", False),
    ],
)
def test_redirects(old: str, new: str, is_followed: bool) -> None:
    about: Any = None, 302, "Found", HTTPMessage(), new
    try:
        found = _Redirects().redirect_request(Request(old), *about)  # noqa: S310 - nothing is opened
    except URLError:
        found = None
    assert (found is not None) == is_followed


async def test_a_redirect_at_the_same_place_is_followed(login: Login) -> None:
    """Up to urllib's limit."""
    login.status, login.headers = 302, {"Location": "/other"}
    await faults_of(login)
    assert login.asked > 2


@pytest.mark.parametrize("with_tls", [False, True])
@pytest.mark.parametrize(
    "begin", [b"", b"HTTP/1.1 200 OK\r\na: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"]
)
async def test_a_slow_answer_ends_at_the_deadline(
    login: Login, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, begin: bytes, with_tls: bool
) -> None:
    """Each read of the socket ends in time, all of them together do not."""
    monkeypatch.setattr(jwks, "ANSWER_SECONDS", 0.3)

    def slow() -> Iterator[bytes]:
        yield begin
        for _ in range(200):
            time.sleep(0.05)
            yield b"x"

    trust = login.use_tls(tmp_path) if with_tls else None
    login.raw, began = slow(), time.monotonic()
    assert await faults_of(login, trust) == ["it has not answered within 0.3 s."]
    assert time.monotonic() - began < 9, "the answer would take ten seconds"


async def test_keys_come_by_tls_from_an_authority_that_is_trusted(
    login: Login, tmp_path: Path
) -> None:
    trust = login.use_tls(tmp_path)
    login.text = Issuer().jwks
    assert await faults_of(login, trust) == []
    assert "CERTIFICATE_VERIFY_FAILED" in (await faults_of(login))[0]


async def test_the_same_keys_are_not_read_again(login: Login) -> None:
    issuer, now = Issuer(), [0.0]
    login.text = issuer.jwks
    keys = JwksAddress(login.url, monotonic=lambda: now[0])
    await keys.refresh()
    before = keys.keys
    now[0] += jwks.REFRESH_SECONDS
    await keys.refresh()
    assert (login.asked, keys.keys is before) == (2, True)


class Slow(NoKeys):
    """An address that does not answer."""

    async def refresh(self) -> None:
        await asyncio.Event().wait()


async def test_slow_keys_delay_no_look_at_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(all_credentials, "LOOK_SECONDS", 0.01)
    path, changed = tmp_path / "callers.toml", asyncio.Event()
    write_callers(path, {"name": "a", "role": "reader", "tokens": [hash_of("one")]})
    verifier = JwtVerifier(Slow(), issuer="i", audience="a", role_claim="r")
    credentials = AllCredentials(path, verifier)
    credentials.on_change.append(changed.set)
    running = asyncio.create_task(credentials.run())
    await asyncio.sleep(0.05)
    write_callers(path, {"name": "a", "role": "admin", "tokens": [hash_of("two")]})
    async with asyncio.timeout(PATIENCE_SECONDS):
        await changed.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert (await credentials.verify("two")).caller.role is Role.ADMIN
