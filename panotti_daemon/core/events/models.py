"""An event, a delivery of one, and an announcement."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from panotti_daemon.choices import DeliveryState as DeliveryState
from panotti_daemon.core.events.types import EventPriority, Payload, payload_type
from panotti_daemon.errors import PayloadMisfit
from panotti_daemon.explain import dotted
from panotti_daemon.ids import new_id

EventName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$", max_length=120)]
P = TypeVar("P", bound=Payload)

DISCARDED = "discarded"
"""The error of a delivery that was dead until somebody gave it up."""

_ANY_JSON: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, JsonValue])


class Event(BaseModel):
    """A fact that happened. `data` is JSON, checked against the payload model of the name where there is one."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(default_factory=new_id)
    name: EventName
    data: dict[str, Any]
    payload_version: int = 1
    correlation_id: str
    """The same for everything that one cause set off."""
    cause_id: str | None = None
    """The event that this one answers."""
    source_plugin: str | None = None
    priority: EventPriority = EventPriority.NORMAL
    created_at: datetime

    @field_validator("priority", mode="before")
    @classmethod
    def _nearest_priority(cls, value: int) -> EventPriority:
        return max((p for p in EventPriority if p <= value), default=EventPriority.BACKLOG)

    @classmethod
    def create(
        cls,
        name: str,
        data: Payload | dict[str, Any],
        *,
        correlation_id: str | None = None,
        source_plugin: str | None = None,
        priority: EventPriority = EventPriority.NORMAL,
        cause_id: str | None = None,
        created_at: datetime | None = None,
    ) -> Self:
        """Raises pydantic.ValidationError when the data does not fit the name, or is no JSON."""
        model = payload_type(name)
        event_id = new_id()
        return cls(
            id=event_id,
            name=name,
            data=_checked(data, model),
            payload_version=model.payload_version if model else 1,
            correlation_id=correlation_id or event_id,
            cause_id=cause_id,
            source_plugin=source_plugin,
            priority=priority,
            created_at=created_at or datetime.now(UTC),
        )

    def child(self, name: str, data: Payload | dict[str, Any], *, source_plugin: str) -> Event:
        """An event that this one caused, in the same correlation."""
        return Event.create(
            name,
            data,
            correlation_id=self.correlation_id,
            source_plugin=source_plugin,
            priority=self.priority,
            cause_id=self.id,
        )

    def read(self, model: type[P]) -> P:
        """The data as its payload model, brought up from the version it was stored at."""
        data = self.data
        if self.payload_version < model.payload_version:
            data = model.upgrade(dict(data), self.payload_version)
        return model.model_validate(data)

    def current(self) -> Self:
        """With its data in today's form, whatever version stored it. Raises PayloadMisfit."""
        model = payload_type(self.name)
        if model is None:
            return self
        try:
            payload = self.read(model)
        except (LookupError, TypeError, ValueError) as error:
            versions = f"was stored at version {self.payload_version} and does not fit version {model.payload_version}"
            raise PayloadMisfit(f"The data of {self.name} {versions}: {_misfit(error)}") from error
        if self.payload_version >= model.payload_version:
            return self
        today = {"data": payload.model_dump(mode="json"), "payload_version": model.payload_version}
        return self.model_copy(update=today)


class DamagedEvent(Event):
    """Stands for what is stored and cannot be read: it can be shown and have its deliveries ended, but not handled."""

    damaged: tuple[str, ...]
    """The fields that could not be read, and are empty here."""

    @classmethod
    def of(cls, fields: dict[str, Any], error: ValidationError) -> Self:
        damaged = tuple(sorted({str(detail["loc"][0]) for detail in error.errors()}))
        empty = {"name": "event.damaged", "data": {}, "created_at": datetime.fromtimestamp(0, UTC)}
        return cls.model_validate(fields | {name: empty[name] for name in damaged} | {"damaged": damaged})

    def current(self) -> Self:
        raise PayloadMisfit(
            f"The stored event is damaged: its {' and its '.join(self.damaged)} cannot be read. "
            "`panotti events dead --discard` gives it up; then `panotti retry` tries its recording again."
        )


class Delivery(BaseModel):
    """One event on its way to one subscriber."""

    model_config = ConfigDict(frozen=True)

    id: int
    event_id: str
    subscriber: str
    correlation_id: str
    state: DeliveryState
    priority: int
    attempts: int
    waits: int
    """How often something was unavailable; those runs cost no attempt."""
    available_at: datetime | None = None
    error: str | None = None

    def refunded(self) -> Self:
        """As if this attempt had not been made."""
        return self.model_copy(update={"attempts": max(0, self.attempts - 1)})

    def afresh(self) -> Self:
        """Queued as if it had never been tried."""
        fresh = {"state": DeliveryState.QUEUED, "attempts": 0, "waits": 0, "available_at": None, "error": None}
        return self.model_copy(update=fresh)

    def discarded(self) -> Self:
        """Ended, by somebody who gave it up."""
        return self.model_copy(update={"state": DeliveryState.DONE, "error": DISCARDED})

    def withdrawn(self) -> Self:
        """Ended without result, for what it is about is to be done no more."""
        return self.model_copy(update={"state": DeliveryState.DONE, "error": "withdrawn", "available_at": None})


class Announcement(BaseModel):
    """A passing message: whoever listens now hears it, and nobody else ever does."""

    model_config = ConfigDict(frozen=True)

    name: EventName
    data: dict[str, Any]

    @classmethod
    def create(cls, name: str, data: Payload | dict[str, Any]) -> Self:
        return cls(name=name, data=_checked(data, payload_type(name)))


def _misfit(error: Exception) -> str:
    """Where it is, and nothing of what was said."""
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__} while it was brought up to date"
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{dotted(list(first['loc']))}: {first['msg']}"


def _checked(data: Payload | dict[str, Any], model: type[Payload] | None) -> dict[str, Any]:
    """As JSON has it, and as the model of the name wants it where there is one."""
    plain = data.model_dump(mode="json") if isinstance(data, Payload) else data
    return model.model_validate(plain).model_dump(mode="json") if model else _ANY_JSON.validate_python(plain)
