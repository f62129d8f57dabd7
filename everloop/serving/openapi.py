"""What routes tell OpenAPI beyond their signatures."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from everloop.serving.problems import Problem

_MEANING = {
    401: "no credential that works",
    403: "the credential lacks the scope, or the row is another tenant's",
    404: "nothing has this id",
    409: "the id was used with another payload, or the state does not allow it",
    422: "malformed, or not what the loop declares",
    429: "a rate limit was met",
    503: "full, starting or out of disk: the same request may succeed later",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Problem responses of a route; 401, 403, 422, 429 and 503 are on every one."""
    return {
        status: {
            "model": Problem,
            "description": _MEANING[status],
            "content": {"application/problem+json": {}},
        }
        for status in sorted({401, 403, 422, 429, 503, *statuses})
    }


def body_of(
    model: type[BaseModel] | tuple[type[BaseModel], ...], required: bool = True
) -> dict[str, Any]:
    """``openapi_extra`` of a route that reads its body by itself."""
    models = model if isinstance(model, tuple) else (model,)
    references = [{"$ref": f"#/components/schemas/{m.__name__}"} for m in models]
    schema = references[0] if len(references) == 1 else {"anyOf": references}
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": required, "content": content}}


def add_schemas(document: dict[str, Any], models: tuple[type[BaseModel], ...]) -> None:
    """Put the models that ``body_of`` names, and what they name, among the components."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model in models:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
