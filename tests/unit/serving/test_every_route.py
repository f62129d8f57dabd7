"""Every route asks who calls, keeps tenants apart, and writes down what it changed.

Routes and the ids that they take are read from the application and its OpenAPI document, so that one
that nobody thought of fails here.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from everloop.contracts.access import Scope
from everloop.serving import api
from tests.two_tenants import CANARY, OURS, THEIRS, Sent, World, two_tenants
from tests.unit.serving.route_table import PUBLIC, ROUTES, Case

READS = {"GET", "HEAD", "OPTIONS"}
UNKNOWN = f"elk_{'0' * 12}_{'0' * 64}"

every_route = pytest.mark.parametrize(
    ("method", "path"), ROUTES, ids=[f"{method} {path}" for method, path in ROUTES]
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with two_tenants(tmp_path_factory.mktemp("service")) as made:
        yield made


def routes_of(world: World) -> set[tuple[str, str]]:
    """(method, path) of everything that the application answers."""
    found: set[tuple[str, str]] = set()
    waiting: list[Any] = list(world.app.routes)
    while waiting:
        route = waiting.pop()
        if hasattr(route, "effective_candidates"):
            waiting += route.effective_candidates()
            waiting += route.effective_low_priority_routes()
            continue
        known = isinstance(route, Route) or getattr(route, "endpoint", None) is not None
        assert known, f"what does {route} answer?"
        template = re.sub(r":\w+\}", "}", route.path)  # as the document writes it
        found |= {(method, template) for method in route.methods - {"HEAD", "OPTIONS"}}
    return found


def ids_of(world: World, method: str, path: str) -> set[str]:
    """Names of the ids in a route's path, query and body, nested ones included."""
    document = world.app.openapi()
    operation = document["paths"][path][method.lower()]
    names = {parameter["name"] for parameter in operation.get("parameters", ())}
    content = operation.get("requestBody", {}).get("content", {})
    waiting = [media["schema"] for media in content.values()]
    seen: set[str] = set()
    while waiting:
        schema = waiting.pop()
        if isinstance(schema, list):
            waiting += schema
        elif isinstance(schema, dict):
            reference = schema.get("$ref")
            if reference is not None and reference not in seen:
                seen.add(reference)
                waiting.append(document["components"]["schemas"][reference.rpartition("/")[2]])
            names |= set(schema.get("properties", {}))
            waiting += list(schema.get("properties", {}).values())
            waiting += [
                schema[key] for key in ("anyOf", "oneOf", "allOf", "items") if key in schema
            ]
    return {name for name in names if name == "id" or name.endswith("_id")}


def problem_of(response: httpx.Response) -> Mapping[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    found: Mapping[str, Any] = response.json()
    assert found["status"] == response.status_code
    return found


def test_the_table_has_every_route(world: World) -> None:
    found = routes_of(world)
    assert found - PUBLIC - set(ROUTES) == set(), "routes that route_table.py doesn't know"
    assert set(ROUTES) - found == set(), "routes that are gone"


def test_every_resource_is_served() -> None:
    modules = {module.name for module in pkgutil.iter_modules(api.__path__)}
    found = {importlib.import_module(f"everloop.serving.api.{name}") for name in modules}
    routed = {module for module in found if hasattr(module, "router")}
    assert routed == set(api.RESOURCES)


def test_public_routes_show_no_rows(world: World) -> None:
    for method, path in sorted(PUBLIC):
        response = world.send(method, path, Sent(), None)
        assert response.status_code == 200, (path, response.text)
        assert CANARY not in response.text


@every_route
def test_every_id_is_accounted_for(world: World, method: str, path: str) -> None:
    case = ROUTES[method, path]
    named = set(case.foreign) | set(case.apart)
    assert ids_of(world, method, path) == named | case.own, f"ids of {method} {path}"


@every_route
def test_strangers_are_not_let_in(world: World, method: str, path: str) -> None:
    sent = ROUTES[method, path].good(world.ours)
    for key in (None, UNKNOWN, world.keys[OURS][:-1]):
        response = world.send(method, path, sent, key)
        assert response.status_code == 401, response.text
        assert problem_of(response)["title"] == "ShouldAuthenticate"
        assert response.headers["www-authenticate"] == "Bearer"


@every_route
def test_the_scope_is_needed_and_named(world: World, method: str, path: str) -> None:
    case = ROUTES[method, path]
    others = world.key(OURS, *(scope for scope in Scope if scope is not case.scope))
    response = world.send(method, path, case.good(world.ours), others)
    assert response.status_code == 403, response.text
    assert f"needs the scope {case.scope};" in problem_of(response)["detail"]


@every_route
def test_another_tenant_is_not_named(world: World, method: str, path: str) -> None:
    sent = ROUTES[method, path].good(world.ours)
    key = world.keys[OURS]
    named = Sent(sent.path, {**(sent.query or {}), "tenant": THEIRS}, sent.body)
    for response in (
        world.send(method, path, sent, key, X_Everloop_Tenant=THEIRS),
        world.send(method, path, named, key),
    ):
        assert response.status_code == 403, response.text
        assert problem_of(response)["title"] == "ShouldAskForScope"


@every_route
def test_rows_of_another_tenant_stay_theirs(world: World, method: str, path: str) -> None:
    for name, made in ROUTES[method, path].foreign.items():
        before = _state(world)
        response = world.send(method, path, made(world.ours, world.theirs), world.keys[OURS])
        assert response.status_code == 403, (name, response.text)
        assert problem_of(response)["title"] == "ShouldAskForScope"
        assert CANARY not in response.text
        assert _state(world) == before, "a refused request changes nothing"


@every_route
def test_ids_of_one_s_own_show_nothing_of_others(world: World, method: str, path: str) -> None:
    for name, made in ROUTES[method, path].apart.items():
        theirs = world.audited(THEIRS)
        response = world.send(method, path, made(world.ours, world.theirs), world.keys[OURS])
        assert response.status_code in {200, 201, 202, 204, 404}, (name, response.text)
        assert CANARY not in response.text
        assert world.audited(THEIRS) == theirs


@every_route
def test_a_mutation_is_written_down(world: World, method: str, path: str) -> None:
    case: Case = ROUTES[method, path]
    key = world.key(OURS, case.scope)
    before = world.audited(OURS)
    response = world.send(method, path, case.good(world.ours), key)
    assert response.is_success or response.status_code == case.status, response.text
    assert CANARY not in response.text
    new = world.audited(OURS)[len(before) :]
    if case.mutates is True or (case.mutates is None and method not in READS):
        assert new, f"{method} {path} changed something and left no entry"
    actor = f"key:{key.split('_')[1]}"
    assert {entry.actor for entry in new} <= {actor}
    assert {entry.tenant for entry in new} <= {OURS}


def _state(world: World) -> tuple[int, int]:
    """How much was ever written down of both tenants."""
    return len(world.audited(OURS)), len(world.audited(THEIRS))
