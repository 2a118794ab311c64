"""Connections to servers, kept open and shared by all threads.

An adapter of requests makes the connection pool of each server, with the proxies and certificates that the environment
names (http_proxy, ..., REQUESTS_CA_BUNDLE, SSL_CERT_FILE) at the first request to the server. Requests go to that pool
of urllib3 directly: so redirects are not followed, ~/.netrc is not read, and no cookie is kept.
"""

import os
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.client import IncompleteRead, RemoteDisconnected
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema, RequestException
from requests.utils import get_environ_proxies, urldefragauth
from urllib3 import BaseHTTPResponse, Retry, Timeout
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, LocationValueError, MaxRetryError, ProxyError

CONNECT_TIMEOUT_S = 10
POOL_SIZE = 1024  # connections kept open per host; further connections are closed after use
USER_AGENT = "dreamflow"
ERRORS = (HTTPError, OSError, ValueError)  # what `send` and reading a response raise; OSError: those of requests too
_NO_RETRIES = Retry(0, read=False)
_guard = threading.Lock()
_is_here = re.compile(r"localhost|127\.[0-9.]+|::1").fullmatch
# Routers drop connections that are silent for minutes, as during a long answer: send probes.
_KEEP_ALIVE = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
if hasattr(socket, "TCP_KEEPIDLE"):
    _KEEP_ALIVE.append((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60))


class _Server(HTTPAdapter):
    """The connections to the server at `base_url`: what is the same for all requests to it."""

    def __init__(self, base_url: str) -> None:
        super().__init__(pool_connections=1, pool_maxsize=POOL_SIZE)
        request = PreparedRequest()
        request.prepare_url(base_url, None)
        self.url = urldefragauth(request.url).rstrip("/")  # without a password, which would replace the key
        # A model server on this machine is not behind the proxy that the environment may name.
        name = urlsplit(self.url).hostname
        self.proxies = {} if name and _is_here(name) else get_environ_proxies(self.url)
        verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or True
        request.url = self.url
        self.target = self.request_url(request, self.proxies).rstrip("/")  # the path, or for a proxy the whole URL
        self.pool = self.get_connection_with_tls_context(request, verify, self.proxies)
        self.cert_verify(self.pool, self.url, verify, None)

    def init_poolmanager(self, *arguments: Any, **settings: Any) -> None:
        """Connections without a proxy."""
        super().init_poolmanager(*arguments, socket_options=_KEEP_ALIVE, **settings)

    def proxy_manager_for(self, proxy: str, **settings: Any) -> Any:
        """Connections through a proxy."""
        return super().proxy_manager_for(proxy, socket_options=_KEEP_ALIVE, **settings)


@contextmanager
def send(
    base_url: str, timeout_s: float, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
) -> Iterator[BaseHTTPResponse]:
    """The response of the server, unread; it is closed at the end. Raises one of `ERRORS`."""
    with _guard:  # threads that start together share the connections too
        server = _server(base_url)
    response = server.pool.urlopen(
        method,
        server.target + path,
        body,
        {"Accept": "*/*", "User-Agent": USER_AGENT, **headers},
        retries=_NO_RETRIES,
        redirect=False,
        assert_same_host=False,
        timeout=Timeout(connect=CONNECT_TIMEOUT_S, read=timeout_s),
        preload_content=False,
        decode_content=False,
    )
    try:
        yield response
    finally:
        response.close()
        response.release_conn()


_server = cache(_Server)


def is_wrong(error: Exception) -> bool:
    """Whether one of `ERRORS` is in the configuration (`base_url`, the certificates), so that it would come again."""
    if isinstance(error, InvalidURL | InvalidSchema | MissingSchema | LocationValueError):
        return True
    return not isinstance(error, RequestException | HTTPError)


def is_sent(error: Exception) -> bool:
    """Whether the server may have got the request, although the answer was one of `ERRORS`."""
    return not (is_wrong(error) or isinstance(error, MaxRetryError))  # only what was not sent is tried again, 0 times


def reason(error: Exception, base_url: str, timeout_s: float) -> str:
    """What went wrong, for people, without the names of classes, as far as possible."""
    is_proxy = isinstance(getattr(error, "reason", None), ProxyError)
    root = _root(error)
    if isinstance(root, socket.gaierror):
        name = "of the proxy" if is_proxy else urlsplit(base_url).hostname
        return f"the name {name} cannot be resolved ({root.strerror})"
    if isinstance(root, IncompleteRead):
        return "the connection ended within the answer"
    if isinstance(root, RemoteDisconnected):
        return "the server closed the connection without an answer"
    if isinstance(root, TimeoutError) and not root.strerror:
        silence = f"nothing came in time (timeout_s: {timeout_s:g})"
        said = silence if is_sent(error) else f"no connection within {CONNECT_TIMEOUT_S} s"
    elif isinstance(root, ssl.SSLError):
        said = f"no safe connection: {root.strerror or root}"
    else:
        said = getattr(root, "strerror", None) or str(root) or type(root).__name__
    return f"the proxy of the environment: {said}" if is_proxy else said


def _root(error: BaseException) -> BaseException:
    """The error that `error` was made of."""
    parts = (getattr(error, "reason", None), *error.args, error.__cause__)
    inner = next((part for part in parts if isinstance(part, BaseException)), None)
    return _root(inner) if inner else error
