"""Operations that check requests against an OpenAPI description."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

# Dixa documents no limit.
BODY_LIMIT = 10 * 1024 * 1024
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused, and with which status."""

    status: int
    message: str


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is valid for its operation."""

    # Parameters, converted to the types of the description.
    path: Mapping[str, Any]
    query: Mapping[str, Any]
    # None for an operation without a body.
    body: Any
    # Whether one part of the request is to fail while the rest succeeds.
    refuse_one: bool = False
    # The URLs of attachments that could not be fetched.
    unreachable: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    required: bool
    schema: Mapping[str, Any]
    validator: jsonschema_rs.Draft202012Validator


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the description."""

    # The operationId.
    name: str
    method: str
    # The template, such as `/v1/queues/{id}`.
    path: str
    path_parameters: tuple[_Parameter, ...]
    query_parameters: tuple[_Parameter, ...]
    body: jsonschema_rs.Draft202012Validator | None
    body_required: bool

    def read(
        self, path: Mapping[str, str], query: Mapping[str, list[str]], content_type: str, body: bytes
    ) -> Call | Refusal:
        """The call, or the first violation of the description."""
        try:
            return Call(
                dict(_parsed(self.path_parameters, {name: [value] for name, value in path.items()})),
                dict(_parsed(self.query_parameters, query)),
                self._parsed_body(content_type, body),
            )
        except _RefusedError as refused:
            return refused.problem

    def _parsed_body(self, content_type: str, body: bytes) -> Any:
        if self.body is None:
            return None
        if not body and not self.body_required:
            return {}
        if len(body) > BODY_LIMIT:
            raise _RefusedError(413, f"The body is larger than {BODY_LIMIT} bytes.")
        if content_type != "application/json":
            raise _RefusedError(415, "The body must be application/json.")
        try:
            value = json.loads(body)
            if b"\\ud" in body.lower():  # a lone surrogate is valid JSON, but not text
                json.dumps(value, ensure_ascii=False).encode()
        except ValueError:
            raise _RefusedError(400, "The body is not JSON.") from None
        _check(self.body, value, "body")
        return value


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        self.problem = Refusal(status, message)


def load(path: Path) -> list[Operation]:
    """The operations of a description (OpenAPI 3.1, YAML)."""
    description = yaml.safe_load(path.read_text("utf-8"))
    return [
        _operation(description, template, method, item[method], item.get("parameters", []))
        for template, item in description["paths"].items()
        for method in ("get", "post", "put", "patch", "delete")
        if method in item
    ]


def _operation(
    description: Mapping[str, Any], template: str, method: str, item: Mapping[str, Any], shared: list[Any]
) -> Operation:
    parameters = [_resolved(description, parameter) for parameter in [*shared, *item.get("parameters", [])]]
    content = item.get("requestBody", {}).get("content", {}).get("application/json")
    return Operation(
        item["operationId"],
        method.upper(),
        template,
        tuple(_parameter(description, p) for p in parameters if p["in"] == "path"),
        tuple(_parameter(description, p) for p in parameters if p["in"] == "query"),
        _validator(description, content["schema"]) if content else None,
        item.get("requestBody", {}).get("required", False),
    )


def _parameter(description: Mapping[str, Any], parameter: Mapping[str, Any]) -> _Parameter:
    schema = _resolved(description, parameter["schema"])
    return _Parameter(
        parameter["name"],
        parameter.get("required", False),
        schema,
        _validator(description, parameter["schema"]),
    )


def _resolved(description: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in value:
        target: Any = description
        for part in value["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        value = target
    return value


def _validator(
    description: Mapping[str, Any], schema: Mapping[str, Any]
) -> jsonschema_rs.Draft202012Validator:
    whole = {**schema, "components": description["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def _parsed(parameters: tuple[_Parameter, ...], given: Mapping[str, list[str]]) -> Iterator[tuple[str, Any]]:
    for parameter in parameters:
        values = given.get(parameter.name)
        if values is None:
            if parameter.required:
                raise _RefusedError(400, f"{parameter.name}: is missing.")
            continue
        value = _value(parameter, values)
        _check(parameter.validator, value, parameter.name)
        yield parameter.name, value


def _value(parameter: _Parameter, values: list[str]) -> Any:
    kind = parameter.schema.get("type")
    if kind == "array":
        items = [item for value in values for item in value.split(",")]
        # The only maximum for which Dixa returns 422 (seen in a client).
        if len(items) > parameter.schema.get("maxItems", len(items)):
            raise _RefusedError(422, f"{parameter.name}: at most {parameter.schema['maxItems']} are allowed.")
        return [_integer(item) for item in items]
    return _integer(values[-1]) if kind == "integer" else values[-1]


def _integer(text: str) -> Any:
    return int(text) if _INTEGER.fullmatch(text) else text


def _check(validator: jsonschema_rs.Draft202012Validator, value: Any, where: str) -> None:
    for error in validator.iter_errors(value):
        place = ".".join([where, *(str(part) for part in error.instance_path)])
        raise _RefusedError(400, f"{place}: {error.message[:500]}")
