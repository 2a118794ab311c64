"""Keys go only to servers whose certificate is good."""

import ssl

import pytest
from dreamflow.generation.model import Message
from dreamflow.generation.models import Model
from dreamflow.generation.providers import CallError, Request, provider
from server import Server

# A certificate of 127.0.0.1, which nobody trusts, and its key, which protects nothing.
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBkTCCATagAwIBAgIUHpkF1JJ6Z3ajBCqd/L7DKDXWy7MwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJMTI3LjAuMC4xMCAXDTI2MTEyNzE3MjEwM1oYDzIxMjYxMTAz
MTcyMTAzWjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATMqKeBLSyp06SCVUbF6pE0AIh4voLzeAjFU1yHQV6mL0sJe6XV0suE
PVuRcF0gO9TpW7CfppFGmf4XzNqEGbfBo2QwYjAdBgNVHQ4EFgQURepyQo3GKt3z
ah/g8KBPKKJo2c8wHwYDVR0jBBgwFoAURepyQo3GKt3zah/g8KBPKKJo2c8wDwYD
VR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0kAMEYC
IQCvjTeIj97L3IHkiRozTQe30ffPRnS1+7X23O4MV8i6nwIhANhs8DO825o/xt98
mof7u4oBnDe6RJPJJGj/9R8sDZdc
-----END CERTIFICATE-----
"""
PRIVATE_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgwNmKdU9qdtycKKia
jGnw44fnXRbS3VErfm2bzmrQcjmhRANCAATMqKeBLSyp06SCVUbF6pE0AIh4voLz
eAjFU1yHQV6mL0sJe6XV0suEPVuRcF0gO9TpW7CfppFGmf4XzNqEGbfB
-----END PRIVATE KEY-----
"""


@pytest.fixture
def server(tmp_path):
    """A server with TLS."""
    (tmp_path / "certificate.pem").write_text(CERTIFICATE)
    (tmp_path / "both.pem").write_text(CERTIFICATE + PRIVATE_KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    server = Server()
    server._http.socket = context.wrap_socket(server._http.socket, server_side=True)
    with server:
        yield server


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


def ask(server, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-test-0123456789")
    base_url = server.url.replace("http:", "https:")
    row = {"model_id": "m1", "provider": "openai", "name": "m", "base_url": base_url, "api_key_env": "MY_KEY"}
    request = Request(Model.model_construct(**row), [Message("user", "Why?")], {"max_tokens": 50})
    return provider("openai").complete(request)


def test_an_unknown_certificate_is_refused(server, monkeypatch):
    with pytest.raises(CallError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        ask(server, monkeypatch)
    assert (caught.value.kind, caught.value.may_be_billed, server.calls) == ("connection", False, 0)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_an_authority_of_ones_own(server, monkeypatch, tmp_path, name):
    monkeypatch.setenv(name, str(tmp_path / "certificate.pem"))
    assert ask(server, monkeypatch).text
    assert server.requests[0].headers["authorization"] == "Bearer sk-test-0123456789"
