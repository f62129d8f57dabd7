"""What requests tell of the device that a person used, reduced to the facts that are kept."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from everloop.contracts.episodes import Json
from everloop.privacy.location import generalise


class Kept(BaseModel):
    """A body of which only the declared fields are kept: what nobody needs is not stored."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, populate_by_name=True)


def named(*names: str) -> AliasChoices:
    """A field under several spellings; the first one is documented."""
    return AliasChoices(*names)


Fact = Annotated[str, Field(max_length=64)]


class Browser(Kept):
    """A browser and its version."""

    browser: Annotated[Fact | None, Field(validation_alias=named("browser", "name"))] = None
    version: Fact | None = None


class ClientFacts(Kept):
    """Device and browser; their absence lowers the quality of feedback."""

    device_type: Annotated[
        Fact | None,
        Field(validation_alias=named("device_type", "deviceType"), examples=["desktop", "mobile"]),
    ] = None
    browser_info: Annotated[
        Browser | Fact | None,
        Field(validation_alias=named("browser", "browserInfo", "browser_info")),
    ] = None
    platform: Fact | None = None
    user_agent: Annotated[
        Annotated[str, Field(max_length=512)] | None,
        Field(validation_alias=named("user_agent", "userAgent")),
    ] = None
    webdriver: bool | None = None
    """``navigator.webdriver``: whether a program drives the browser."""
    location: Annotated[
        dict[str, Any] | str | None,
        Field(
            validation_alias=named("location", "geo_location", "geoLocation"),
            description="Where the person is; reduced to the city before anything is stored.",
        ),
    ] = None


def facts_of(*told: ClientFacts | None) -> dict[str, Json]:
    """The facts as they are stored; where two tell of the same, the later one counts."""
    facts: dict[str, Json] = {}
    for client in told:
        if client is not None:
            facts |= {name: value for name, value in _facts(client) if value not in {None, ""}}
    return facts


def _facts(client: ClientFacts) -> tuple[tuple[str, str | bool | None], ...]:
    info = client.browser_info
    browser, version = (info.browser, info.version) if isinstance(info, Browser) else (info, None)
    return (
        ("device_type", client.device_type),
        ("browser", browser),
        ("browser_version", version),
        ("platform", client.platform),
        ("user_agent", client.user_agent),
        ("webdriver", client.webdriver),
        ("location", generalise(client.location)),
    )
