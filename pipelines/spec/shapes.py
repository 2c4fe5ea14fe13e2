"""The shapes of single values in platform.yaml and release.yaml, each with the sentence a person gets.

A shape that ends in a Kubernetes name, a URL or a query allows no character that could mean more there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

from annotated_types import Interval
from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_MOVING = {"latest", "main", "master", "head", "stable", "prod", "production"}


def wrong(says: str) -> PydanticCustomError:
    """An error whose message is this sentence, to which the reader adds the value seen."""
    return PydanticCustomError("shape", "{says}", {"says": says})


@dataclass(frozen=True, slots=True)
class Shape:
    """Text of one shape: the pattern is for programs (and editors), the sentence for people."""

    pattern: str
    says: str

    def check(self, text: str) -> str:
        """Pass text that has the shape; otherwise say what was wanted."""
        if not re.fullmatch(self.pattern, text):
            raise wrong(self.says)
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "pattern": f"^({self.pattern})$", "description": self.says}


def seconds(text: object) -> object:
    """Seconds of a duration such as ``90s``; anything else is refused."""
    if not isinstance(text, str) or not (match := re.fullmatch(r"([0-9]{1,6})([smhd])", text)):
        raise wrong("write a duration such as 90s, 15m, 2h or 3d")
    return float(match[1]) * _UNITS[match[2]]


def duration(seconds: float) -> str:
    """The shortest way to write whole seconds as a duration: 5400.0 is ``90m``."""
    whole = int(seconds)
    unit = next(unit for unit, size in _UNITS.items() if whole % size == 0)
    return f"{whole // _UNITS[unit]}{unit}" if whole else "0s"


def _immutable(uri: str) -> str:
    if not re.match(r"(s3|gs|oci|pvc|https)://[^\s/]|file:///[^\s]", uri):
        raise wrong("write an s3://, gs://, oci://, pvc://, https:// or file:/// URI")
    if re.search(r"[^!-~]|[{}$`\"'\\|<>^]", uri) or ".." in uri.split("/"):
        raise wrong("write a URI without spaces, quotes, braces, `$` or `..`")
    path = uri.split("://", 1)[1].rstrip("/")
    last = re.split(r"[/:@]", path)[-1].lower()
    if last in _MOVING or "latest" in path.lower().split("/"):
        raise wrong("names something that can change; write the URI of one immutable version")
    if uri.startswith("oci://") and not re.search(r"@sha256:[0-9a-f]{64}$", uri):
        raise wrong("an oci:// URI needs a digest: oci://registry/name@sha256:…")
    if "@" in urlsplit(uri).netloc:
        raise wrong("write a URI without user and password")
    return uri


def _instant(value: object) -> object:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise wrong("write an instant with its time zone, such as 2026-12-24T18:00:00Z")
    return value


def _not_nothing(seconds: float) -> float:
    if seconds <= 0:
        raise wrong("must be longer than 0s")
    return seconds


Duration = Annotated[
    float,
    BeforeValidator(seconds),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,6}[smhd]$", "examples": ["90s", "15m", "2h"]}),
]
"""Written as ``90s``, ``15m``, ``2h`` or ``3d``; held as seconds."""
SomeTime = Annotated[Duration, AfterValidator(_not_nothing)]
"""A duration that makes no sense when it is nothing."""
Instant = Annotated[
    datetime, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})
]
DnsLabel = Annotated[
    str,
    Shape(
        "[a-z]([-a-z0-9]{0,38}[a-z0-9])?", "write a name of lower-case letters, digits and dashes, 40 at most"
    ),
]
"""A name that fits in Kubernetes names with room for suffixes: 40 characters at most."""
VersionLabel = Annotated[
    str,
    Shape(
        "(?!latest$)[a-z0-9]([-a-z0-9.]{0,38}[a-z0-9])?",
        "write the label of one version, such as v38: lower-case letters, digits, dots and dashes",
    ),
]
Digest = Annotated[str, Shape("sha256:[0-9a-f]{64}", "write sha256: and 64 hexadecimal digits")]
Uri = Annotated[str, AfterValidator(_immutable)]
Share = Annotated[int, Interval(ge=1, le=100)]
"""A share of live requests in percent; 0 is every promotion's start and is not written."""
Percent = Annotated[float, Interval(gt=0, le=100)]
Url = Annotated[
    str,
    Shape(
        r"https?://[^\s/@\"'<>\\]+(/[^\s@\"'<>\\]*)?", "write an https:// address without user and password"
    ),
]
GitUrl = Annotated[
    str,
    Shape(
        r"https?://[^\s/@]+/[^\s@]+|ssh://([A-Za-z0-9._-]+@)?[A-Za-z0-9][^\s/@]*/[^\s@]+|file:///[^\s]+",
        "write an https://, ssh:// or file:/// address without password",
    ),
]
RegistryUrl = Annotated[
    str, Shape(r"https?://[^\s/@]+(/[^\s@]*)?|sqlite:///[^\s]+", "write an https:// or sqlite:/// address")
]
Person = Annotated[
    str, Shape("[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}", "write a login or mail address, without spaces")
]
Line = Annotated[
    str, Shape(r"[^\s^]([^\r\n^]{0,158}[^\s^])?", "write one line of at most 160 characters without ^")
]
"""One line of text. ServiceNow reads ``^`` as "and" in its queries."""
Quantity = Annotated[
    str,
    Shape(r"[0-9]+(\.[0-9]+)?(m|k|Ki|Mi|Gi|Ti|M|G|T)?", "write a quantity such as 500m, 2 or 4Gi, in quotes"),
]
ResourceName = Annotated[
    str,
    Shape(
        "([a-z0-9][-a-z0-9.]*/)?[a-z0-9][-a-zA-Z0-9._]{0,62}",
        "write a resource such as cpu or nvidia.com/gpu",
    ),
]
LabelKey = Annotated[
    str,
    Shape("([a-z0-9][-a-z0-9.]{0,252}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", "write a label key"),
]
LabelValue = Annotated[
    str,
    Shape("([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", "write a label value, 63 characters at most"),
]
ObjectName = Annotated[
    str, Shape("[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", "write the name of a Kubernetes object")
]
ApplicationRule = Annotated[
    str,
    Shape(
        r"(?=.*\{model\})([a-z0-9]|\{model\}|\{tenant\})([-a-z0-9.]|\{model\}|\{tenant\}){0,99}",
        'write a rule with {model} in it, such as "{model}-prod": one application for each model',
    ),
]
"""One application per model, so that syncing one model's exact commit never takes back another's."""
EnvironmentVariable = Annotated[str, Shape("[A-Z_][A-Z0-9_]*", "write a variable's name in capitals")]
AbsolutePath = Annotated[str, Shape(r"/[^\s]+", "write an absolute path")]
Secret = Annotated[
    str,
    Shape(
        r"env:[A-Z_][A-Z0-9_]*|file:/[^\s]+",
        "write where the secret is, never the secret: env:NAME or file:/absolute/path",
    ),
]
"""Where a secret is, never the secret: ``env:NAME`` or ``file:/absolute/path``."""
GateName = Annotated[str, Shape("[a-z][a-z0-9_]{0,39}", "write a gate's name: lower-case letters and digits")]
Settings = dict[str, Any]
"""Settings of one gate, checked against the gate's own Settings class."""
