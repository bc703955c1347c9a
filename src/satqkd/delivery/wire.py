"""The objects of ETSI GS QKD 014 V1.1.1, in and out, and their limits of form.

Requests are decoded strictly: unknown members, members given twice, numbers that are no integers are
refused with the place. Key goes into an answer once, from the supply's buffer. No socket, no supply.
"""

import json
import re
from binascii import b2a_base64
from collections.abc import Sequence
from typing import Annotated, Final, TypeVar
from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec import Meta

from satqkd.delivery.refusals import bad_request
from satqkd.keys.supply_door import KeyBatch

T = TypeVar("T")
UUID_PATTERN: Final = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
AtLeastOne = Annotated[int, Meta(ge=1)]
SaeId = Annotated[str, Meta(min_length=1)]
Extension = dict[str, msgspec.Raw]
"""Parameters by name; a value is decoded by whoever knows the name."""
_INTEGER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_UUID: Final = re.compile(UUID_PATTERN[1:-1], re.ASCII)
_JSON: Final = re.compile(r'application/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?', re.IGNORECASE)


class Status(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of the keys that a master may draw for a slave."""

    source_KME_ID: str  # noqa: N815 - the standard's spelling
    target_KME_ID: str  # noqa: N815
    master_SAE_ID: str  # noqa: N815
    slave_SAE_ID: str  # noqa: N815
    key_size: int
    stored_key_count: int
    max_key_count: int
    max_key_per_request: int
    max_key_size: int
    min_key_size: int
    max_SAE_ID_count: int  # noqa: N815
    status_extension: dict[str, str] | None = None


class GetKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Key request. `size` None: the default size."""

    number: AtLeastOne = 1
    size: AtLeastOne | msgspec.UnsetType = msgspec.UNSET
    additional_slave_SAE_IDs: list[SaeId] = []  # noqa: N815
    extension_mandatory: list[Extension] = []
    extension_optional: list[Extension] = []


class KeyId(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key id."""

    key_ID: Annotated[str, Meta(pattern=UUID_PATTERN)]  # noqa: N815
    key_ID_extension: dict[str, msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET  # noqa: N815


class KeyIds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Key IDs of one request."""

    key_IDs: Annotated[list[KeyId], Meta(min_length=1)]  # noqa: N815
    key_IDs_extension: dict[str, msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET  # noqa: N815


class KeyExtension(msgspec.Struct, frozen=True):
    """What is told of a key besides."""

    satqkd_paths: tuple[tuple[str, ...], ...]
    """Who knew it: exclusive or of one share a path, each known to all nodes of its path."""
    satqkd_origin: str


class Key(msgspec.Struct, frozen=True):
    """One key of a container; the type of the answer, never made here: see `container`."""

    key_ID: str  # noqa: N815
    key: str
    """Base64."""
    key_extension: KeyExtension


class KeyContainer(msgspec.Struct, frozen=True):
    """Keys of one answer."""

    keys: list[Key]


def decoded(body: bytes, content_type: str, kind: type[T]) -> T:
    """A request's JSON body. Raises Refusal (400) that says what is wrong with it, and where."""
    if _JSON.fullmatch(content_type.strip()) is None:
        raise bad_request(f"expected Content-Type application/json in UTF-8, got {content_type[:100]!r}")
    try:
        found = msgspec.json.decode(body, type=kind)
        json.loads(body, object_pairs_hook=_refuse_twins)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise bad_request(f"expected a {kind.__name__} object in JSON: {str(error)[:300]}") from None
    except RecursionError:
        raise bad_request("expected JSON of few levels, got more than can be read") from None
    return found


def _refuse_twins(pairs: list[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("a member stands twice in one object")


def query_of(text: str, allowed: Sequence[str]) -> dict[str, str]:
    """Parameters of a query string, each once. Raises Refusal (400)."""
    if not text:
        return {}
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=16
        )
    except ValueError:
        raise bad_request(
            f"expected a query of {', '.join(allowed) or 'no parameter'}, got what is none"
        ) from None
    found = dict(pairs)
    if len(found) < len(pairs) or not set(found) <= set(allowed):
        raise bad_request(
            f"expected a query of {', '.join(allowed) or 'no parameter'}, each once, "
            f"got {[name[:40] for name, _ in pairs]}"
        )
    return found


def integer(name: str, text: str) -> int:
    """A whole number of a query. Raises Refusal (400)."""
    if _INTEGER.fullmatch(text) is None:
        raise bad_request(f"{name}: expected a whole number above 0, got {text[:40]!r}")
    return int(text)


def key_id(text: str) -> str:
    """A key id in lower case. Raises Refusal (400)."""
    if _UUID.fullmatch(text) is None:
        raise bad_request(f"key_ID: expected a UUID, got {text[:60]!r}")
    return text.lower()


def path_name(text: str) -> str:
    """A name of one path segment, percent-decoded once. Raises Refusal (400)."""
    try:
        name = unquote(text, errors="strict")
        name.encode()
    except UnicodeError:
        raise bad_request("path: expected percent-encoded UTF-8") from None
    if not name:
        raise bad_request("path: expected an SAE id, got an empty one")
    return name


def container(batches: Sequence[KeyBatch]) -> bytes:
    """The Key container with all keys of the batches, in order; their buffers are wiped."""
    return b'{"keys":[' + b",".join([_keys(batch) for batch in batches]) + b"]}"


def _keys(batch: KeyBatch) -> bytes:
    size = batch.size_bits // 8
    tails: dict[object, bytes] = {}
    pieces: list[bytes] = []
    with batch.keys as secret:
        view = secret.expose()
        for number, (name, paths) in enumerate(zip(batch.ids, batch.paths, strict=True)):
            tail = tails.get(paths)
            if tail is None:
                told = msgspec.json.encode(KeyExtension(paths, batch.origin))
                tail = tails[paths] = b'","key_extension":' + told + b"}"
            pieces.append(
                b'{"key_ID":"%b","key":"%b%b'
                % (name.encode(), b2a_base64(view[number * size : (number + 1) * size], newline=False), tail)
            )
    return b",".join(pieces)
