"""A fixed catalogue of tools of invented services, and calls that fit them or, when asked, do not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.data.synth import texts
from pytest_fcpivot.data.synth.draw import Draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

OPTIONAL_SHARE = 0.4  # of the parameters that need not be given, how many a call gives
_VALUES = 128  # of each parameter
_NULL_DESCRIPTION_EVERY = 19  # tools
_STRICT_SCHEMA_EVERY = 5  # tools; all of them say `strict: true`
_DOTTED_EVERY = 4  # domains
_DOMAINS = (
    ("retail", "order", "product", "coupon"), ("billing", "invoice", "payment", "refund"),
    ("travel", "booking", "flight", "itinerary"), ("clinic", "appointment", "prescription", "patient_record"),
    ("banking", "account", "transfer", "standing_order"), ("logistics", "shipment", "parcel", "warehouse_slot"),
    ("helpdesk", "ticket", "knowledge_article", "escalation"), ("library", "loan", "catalog_entry", "reservation"),
    ("calendar", "event", "reminder", "meeting_room"), ("insurance", "policy", "claim", "assessment"),
    ("telecom", "phone_line", "data_plan", "outage"), ("school", "course", "enrolment", "exam_result"),
    ("fleet", "vehicle", "trip", "fuel_card"), ("property", "lease", "viewing", "maintenance_job"),
    ("energy", "meter", "tariff", "reading"), ("media", "playlist", "subscription", "recording"),
    ("repository", "issue", "pull_request", "release"), ("garden", "plant_bed", "watering_plan", "seed_packet"),
    ("museum", "exhibit", "guided_tour", "membership"), ("kitchen", "recipe", "shopping_list", "meal_plan"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a tool: its schema, values that fit, as JSON text, and one that does not."""

    name: str
    schema: dict[str, Any]
    values: tuple[str, ...]
    wrong: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool; `flat` and `nested` are its JSON text in the two shapes that the data sets have."""

    name: str
    description: str | None
    parameters: tuple[Parameter, ...]
    schema: dict[str, Any]
    flat: str = field(init=False)
    nested: str = field(init=False)

    def __post_init__(self) -> None:
        flat = {"name": self.name, "parameters": self.schema, "strict": True, "type": "function"}
        object.__setattr__(self, "flat", json.dumps(flat | {"description": self.description}))
        object.__setattr__(self, "nested", json.dumps(function(self.name, self.description, self.schema)))

    @property
    def breakable(self) -> bool:
        """Whether some arguments break the schema for sure."""
        return bool(self.schema.get("required"))

    def arguments(self, draw: Draw) -> str:
        """Write arguments that fit, as the JSON text of an object."""
        random = draw.random
        given = [
            f'"{parameter.name}": {parameter.values[int(random() * _VALUES)]}'
            for parameter in self.parameters
            if parameter.required or random() < OPTIONAL_SHARE
        ]
        return "{" + ", ".join(given) + "}"

    def broken_arguments(self, draw: Draw) -> str:
        """Write arguments that break the schema of a breakable tool: one value is left out or of another type."""
        faulty = draw.of([parameter for parameter in self.parameters if parameter.required])
        values = {p.name: draw.of(p.values) for p in self.parameters if p.required}
        if draw.chance(0.5):
            del values[faulty.name]
        else:
            values[faulty.name] = faulty.wrong
        return "{" + ", ".join(f'"{name}": {value}' for name, value in values.items()) + "}"


class Catalogue:
    """All tools, those of a domain side by side."""

    def __init__(self) -> None:
        tools: list[Tool] = []
        self.domains: list[tuple[int, int]] = []
        for number, (domain, *nouns) in enumerate(_DOMAINS):
            start = len(tools)
            for name, description, parameters, schema in _domain_tools(number, domain, nouns):
                index = len(tools)
                shown = None if index % _NULL_DESCRIPTION_EVERY == 0 else description
                tools.append(Tool(name, shown, parameters, schema or _schema(parameters, index)))
            self.domains.append((start, len(tools)))
        self.size = len(tools)
        self._twice = (*tools, *tools)  # so that any slice of up to `size` tools exists, from anywhere

    def offer(self, draw: Draw, count: int) -> tuple[Tool, ...]:
        """Return so many tools, at most `size`, as far as possible of one domain."""
        start, end = draw.of(self.domains)
        first = start + int(draw.random() * max(1, end - start - count))
        return self._twice[first : first + count]


@cache
def catalogue() -> Catalogue:
    """Return the catalogue; it is built once."""
    return Catalogue()


def function(name: str, description: str | None, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the nested form of a tool."""
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def _schema(parameters: Sequence[Parameter], index: int) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {parameter.name: parameter.schema for parameter in parameters},
        "required": [parameter.name for parameter in parameters if parameter.required],
    }
    if index % _STRICT_SCHEMA_EVERY == 0:
        schema["additionalProperties"] = False
    return schema


_Described = tuple[str, str, tuple[Parameter, ...], dict[str, Any] | None]


def _domain_tools(number: int, domain: str, nouns: Sequence[str]) -> Iterator[_Described]:
    yield f"list_{domain}_categories", f"List the categories that {domain} knows. Takes no arguments.", (), None
    free: dict[str, Any] = ({"type": "object", "additionalProperties": True}, {"type": "object"})[number % 2]
    yield f"{domain}_custom_request", f"Send a request of any form to {domain}.", (_free_text("request"),), free
    for noun in nouns:
        words = noun.replace("_", " ")
        for verb, sentence, make in _VERBS:
            name = f"{noun}s.{verb}" if number % _DOTTED_EVERY == 1 else f"{verb}_{noun}"
            description = (
                f"{sentence.format(noun=words, domain=domain)}\n\nUse it only for {words} data of {domain}: the "
                f"{words} must exist and belong to the user who is being served."
            )
            yield name, description, tuple(make(noun)), None


def _values(make: Callable[[Draw, int], Any], seed: str) -> tuple[str, ...]:
    draw = Draw(f"values:{seed}")
    return tuple(json.dumps(make(draw, index), ensure_ascii=False) for index in range(_VALUES))


def _whole(draw: Draw, below: int) -> int:
    return int(draw.random() * below)


@cache
def _identifier(noun: str, *, required: bool = True) -> Parameter:
    prefix = noun[:3].upper()
    schema = {
        "type": "string",
        "description": f"Unique identifier of the {noun.replace('_', ' ')} (e.g., '{prefix}-48210')",
        "title": f"{noun.replace('_', ' ').title()} Id",
    }
    values = _values(lambda draw, _: f"{prefix}-{10_000 + _whole(draw, 90_000)}", noun)
    return Parameter(f"{noun}_id", schema, values, "48210", required)


@cache
def _choice(name: str, options: Sequence[str], *, required: bool = False) -> Parameter:
    schema = {"type": "string", "enum": list(options), "description": f"One of the known values for {name}."}
    return Parameter(name, schema, _values(lambda draw, _: draw.of(options), name), '"none of these"', required)


@cache
def _count(name: str, most: int, *, required: bool = False) -> Parameter:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "description": f"The {name}, from 1 to {most}."}
    return Parameter(name, schema, _values(lambda draw, _: 1 + _whole(draw, most), name), '"3"', required)


@cache
def _number_as_text(name: str, *, required: bool = True) -> Parameter:
    schema = {"type": "string", "description": f"The {name} as a number, for example '3' or '12.50'."}
    values = _values(
        lambda draw, index: str(1 + _whole(draw, 40)) if index % 3 else f"{_whole(draw, 500)}.{10 + _whole(draw, 90)}",
        name,
    )
    return Parameter(name, schema, values, "3", required)


@cache
def _amount(name: str) -> Parameter:
    schema = {"type": "number", "exclusiveMinimum": 0, "description": f"The {name} in the account's currency."}
    return Parameter(name, schema, _values(lambda draw, _: (1 + _whole(draw, 90_000)) / 100, name), '"ten"', True)


@cache
def _flag(name: str) -> Parameter:
    schema = {"type": "boolean", "description": f"Whether to {name.replace('_', ' ')}.", "default": False}
    return Parameter(name, schema, _values(lambda draw, _: draw.chance(0.5), name), '"yes"', False)


@cache
def _date(name: str, *, required: bool = True) -> Parameter:
    schema = {"type": "string", "format": "date", "description": f"The {name.replace('_', ' ')}, as YYYY-MM-DD."}
    values = _values(lambda draw, _: f"2026-{1 + _whole(draw, 12):02}-{1 + _whole(draw, 28):02}", name)
    return Parameter(name, schema, values, "20260401", required)


@cache
def _free_text(name: str, *, required: bool = True) -> Parameter:
    schema = {"type": "string", "description": f"The {name}, in a few words."}
    english = texts.WORDS_EN

    def make(draw: Draw, _: int) -> str:
        return f"{draw.of(english['thing'])} {draw.of(english['state'])}, {draw.of(english['act'])}"

    return Parameter(name, schema, _values(make, name), "false", required)


@cache
def _word_list(name: str, options: Sequence[str]) -> Parameter:
    schema = {"type": "array", "items": {"type": "string"}, "description": f"The {name} to use.", "title": name.title()}
    values = _values(lambda draw, _: list(options[_whole(draw, len(options)) :][:3]), name)
    return Parameter(name, schema, values, f'"{options[0]}"', False)


@cache
def _contact() -> Parameter:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "Full name"},
            "email": {"type": "string", "description": "Email address"},
            "city": {"type": "string"},
        },
        "required": ["name"],
        "description": "Who to get in touch with about this.",
    }
    values = _values(
        lambda draw, index: {
            "name": draw.of(texts.NAMES),
            "email": f"contact{index}@example.com",
            "city": draw.of(texts.CITIES),
        },
        "contact",
    )
    return Parameter("contact", schema, values, '"unknown"', True)


@cache
def _user() -> Parameter:
    schema = {"type": "string", "description": "The user's identifier, such as 'user_1204'."}
    return Parameter("user_id", schema, _values(lambda draw, _: f"user_{1000 + _whole(draw, 9000)}", "user"), "1204")


_VERBS: tuple[tuple[str, str, Callable[[str], Sequence[Parameter]]], ...] = (
    ("get", "Get one {noun} with its details.", lambda noun: (_identifier(noun), _flag("include_history"))),
    (
        "list",
        "List the {noun} records of a user.",
        lambda _: (_user(), _choice("status", ("open", "closed", "pending", "cancelled")), _count("limit", 100)),
    ),
    (
        "search",
        "Search every {noun} in {domain}.",
        lambda _: (_free_text("query"), _date("from_date", required=False), _number_as_text("max_results")),
    ),
    (
        "create",
        "Create a new {noun}. Ask the user to confirm the details first.",
        lambda _: (
            _user(),
            _number_as_text("quantity"),
            _contact(),
            _choice("priority", ("low", "normal", "high", "urgent")),
            _word_list("labels", ("gift", "fragile", "business", "return", "express")),
        ),
    ),
    (
        "update",
        "Change one field of a {noun}.",
        lambda noun: (
            _identifier(noun),
            _choice("field", ("address", "name", "date", "quantity"), required=True),
            _free_text("value"),
        ),
    ),
    (
        "cancel",
        "Cancel a {noun}. This cannot be undone.",
        lambda noun: (
            _identifier(noun),
            _choice("reason", ("no longer needed", "ordered by mistake", "too late", "other"), required=True),
            _flag("notify_by_email"),
        ),
    ),
    (
        "schedule",
        "Set the date of a {noun}.",
        lambda noun: (_identifier(noun), _date("date"), _count("duration_minutes", 240, required=True)),
    ),
    (
        "charge",
        "Charge an amount for a {noun}.",
        lambda noun: (_identifier(noun), _amount("amount"), _choice("currency", ("EUR", "USD", "GBP", "JPY"))),
    ),
)
