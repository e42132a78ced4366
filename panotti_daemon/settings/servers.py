"""The servers that recordings may be sent to, as the user writes them down: without any, none ever is."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

DEFAULT_PATH = "/v1"
_KEY_NAME = "abcdefghijklmnopqrstuvwxyz0123456789_"


def is_near(address: str) -> bool:
    """Whether an IP address is this machine's or a private network's, where others cannot listen in on the way."""
    ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return not (ip.is_global or ip.is_multicast or ip.is_unspecified)


def _url(url: str) -> str:
    if set("@?#") & set(url):
        raise PydanticCustomError("secret", "must hold neither user, password nor query: `key` names a key")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address such as http://gpu.lan:8000/v1")
    _ = parts.port  # raises ValueError, in words
    path = parts.path.rstrip("/") or DEFAULT_PATH
    return f"{parts.scheme}://{parts.netloc}{path}"


def _key_name(name: str) -> str:
    if not name or set(name) - set(_KEY_NAME):
        raise PydanticCustomError(
            "secret",
            "must be a name of your choice in small letters, not the key itself; `panotti remote key NAME` keeps that",
        )
    return name


class Server(BaseModel, extra="forbid", frozen=True):
    url: Annotated[str, AfterValidator(_url)]
    """Up to the part that `/audio/transcriptions` is added to; without a path, `/v1` is meant."""
    model: str = Field("whisper-1", min_length=1)
    """As this server calls it."""
    key: Annotated[str, AfterValidator(_key_name)] | None = None
    """The name of its key in the keyring or the environment."""
    at_once: int = Field(2, ge=1, le=16)
    """Parts of a recording that it is given at a time."""
    allow_plain_http: bool = False
    """Also to an address that is not private, where anybody on the way can listen."""

    @model_validator(mode="after")
    def _not_in_the_open(self) -> Self:
        host = urlsplit(self.url).hostname or ""
        try:
            in_the_open = not is_near(host)
        except ValueError:
            return self  # a name: what it stands for is looked at before each call
        if in_the_open and not self.may_go_anywhere:
            raise ValueError(f"http would let others on the way to {host} listen: use https, or set allow_plain_http")
        return self

    @property
    def name(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def may_go_anywhere(self) -> bool:
        return self.allow_plain_http or self.url.startswith("https://")


class RemoteSettings(BaseModel, extra="forbid", frozen=True):
    servers: tuple[Server, ...] = ()
    timeout_seconds: float = Field(300.0, ge=1, le=3600)
    """For the answer to one part of a recording."""
    attempts: int = Field(4, ge=1, le=20)
    """For each part, at all servers together."""
    part_minutes: float = Field(5.0, ge=0.5, le=10)
    """Of speech that are sent at a time: ten of them stay below the 25 MB that most servers take."""
    codec: Literal["flac", "opus"] = "flac"
    """`opus` is a tenth of the size, and not quite the same sound."""
    otherwise_local: bool = False
    """Whether this machine does what no server does."""

    @property
    def key_names(self) -> list[str]:
        return list(dict.fromkeys(server.key for server in self.servers if server.key))
