"""The real ``kfp.Client``, connected as a platform says, and nothing else of this machine's."""

from __future__ import annotations

import builtins
import contextlib
import json
import re
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import kfp
import kfp_server_api
from kfp.client import client as kfp_client
from kfp.client.token_credentials_base import TokenCredentialsBase
from urllib3 import Retry

from everloop.contracts.errors import ShouldFixPlatform
from everloop.contracts.platform import Platform
from everloop.settings import kubeflow_token

CONNECT_S = 10.0
READ_S = 60.0
_LINK = re.compile(r"(Experiment|Run|Pipeline) details: ")


class _Token(TokenCredentialsBase):  # type: ignore[misc]
    """Gives every request the token of the moment."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read

    def refresh_api_key_hook(self, config: Any) -> None:
        config.api_key["authorization"] = self._read()


class _Client(kfp.Client):  # type: ignore[misc]
    """kfp's client without what a developer's home folder says, and with bounded waits.

    kfp keeps a namespace and cookies in ``~/.config/kfp``, asks for its health five times before it
    says that nobody answers, and waits for an answer without end.
    """

    def __init__(self, platform: Platform, timeout_s: tuple[float, float], **rest: Any) -> None:
        self._platform_namespace = platform.namespace
        super().__init__(host=platform.host, namespace=platform.namespace or "kubeflow", **rest)
        for api in (self._run_api, self._upload_api):
            _bound(api.api_client.rest_client, timeout_s)

    def _load_context_setting_or_default(self) -> None:
        self._context_setting = {"namespace": self._platform_namespace}

    def _load_config(self, *arguments: Any, **named: Any) -> Any:
        config = super()._load_config(*arguments, **named)
        # Each call is repeated by us alone, and a login page is no answer.
        config.retries = Retry(
            total=None, connect=0, read=0, redirect=0, status=0, other=0, raise_on_redirect=False
        )
        return config

    def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:  # noqa: ARG002
        # Asked when the client is made; who serves several users is asked by ``check`` instead.
        return kfp_server_api.V2beta1GetHealthzResponse(multi_user=False)

    def check(self) -> str:
        """Kubeflow's release, "" where it does not say.

        Raises:
            ShouldFixPlatform: it serves several users, and the platform names none.
            ValueError: what answers is not Kubeflow Pipelines.
        """
        # The generated model leaves out the release, which the API server's answer holds.
        answer = self._healthz_api.healthz_service_get_healthz(_preload_content=False)
        health = json.loads(answer.data)
        if not isinstance(health, dict) or not isinstance(health.get("multi_user"), bool):
            raise ValueError("its health says nothing of users")
        if health["multi_user"] and not self._platform_namespace:
            raise ShouldFixPlatform(
                f"{self._existing_config.host} serves several users, and the platform names no namespace.",
                "Give your profile's name as namespace in the platform file.",
            )
        return str(health.get("tag_name") or "")


def connect(platform: Platform, timeout_s: tuple[float, float] = (CONNECT_S, READ_S)) -> Any:
    """A ``kfp.Client`` for a platform; nothing is sent yet.

    Args:
        timeout_s: how long a connection may take to open, and an answer to come, seconds.

    Raises:
        ShouldProvideKey: the token's file cannot be read.
    """
    token = kubeflow_token(platform.token_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # kfp warns of servers before 2.0
        return _Client(
            platform,
            timeout_s,
            credentials=None if token is None else _Token(token),
            ssl_ca_cert=platform.ca_file or None,
        )


def _bound(rest: Any, timeout_s: tuple[float, float]) -> None:
    if getattr(rest, "bounded", False):
        return
    request = rest.request

    def bounded(*arguments: Any, **named: Any) -> Any:
        named["_request_timeout"] = named.get("_request_timeout") or timeout_s
        return request(*arguments, **named)

    rest.request, rest.bounded = bounded, True


_QUIET: ContextVar[bool] = ContextVar("kfp_links_aside", default=False)


def _print(*values: Any, **named: Any) -> None:
    if not (_QUIET.get() and values and _LINK.match(str(values[0]))):
        builtins.print(*values, **named)


@contextlib.contextmanager
def links_aside() -> Iterator[None]:
    """kfp prints links on stdout, where commands print their answer.

    Its ``print`` alone is replaced, and says nothing of links within: other threads print as ever.
    """
    kfp_client.print = _print
    before = _QUIET.set(True)
    try:
        yield
    finally:
        _QUIET.reset(before)
