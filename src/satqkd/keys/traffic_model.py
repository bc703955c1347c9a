"""The words of user traffic: parcels, states of messages, rows of the lists. No bytes of anybody in them.

A parcel is what travels over one hop: a sealed message, its receipt, or a record that makes key of two ends
(relay, grant). Its name, `kind`, `source`, `destination` and `number`, is public and names the same bytes
for ever.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from satqkd.errors import ConfigError
from satqkd.keys.model import check_name

ParcelKind = Literal["relay", "grant", "receipt", "message"]
"""In the order in which they go: key before what is sealed under it, small before large."""
MessageState = Literal["waiting", "refused", "sealed", "handed", "delivered", "expired"]
Policy = Literal["wait", "refuse"]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Number = Annotated[int, Meta(ge=1, lt=2**53)]

PURPOSE: Final = "traffic"
"""Of key in the ledger."""
MAXIMUM_NAME_CHARACTERS: Final = 255
URGENT_BYTES: Final = 1024
"""Content of an urgent message at most: it goes whole, in one message of the link."""


class Parcel(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The name of some bytes that travel. A receipt bears its message's number, from receiver to sender."""

    kind: ParcelKind
    source: Name
    destination: Name
    number: Number

    @property
    def answer(self) -> "Parcel":
        """The receipt of a message, the message of a receipt."""
        kind: ParcelKind = "receipt" if self.kind == "message" else "message"
        return Parcel(kind, self.destination, self.source, self.number)


class Draft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a user gives to send. The plain text is no part of its repr."""

    receiver: str
    name: Annotated[str, Meta(max_length=MAXIMUM_NAME_CHARACTERS)]
    """A file's name without folders; empty for a text."""
    is_text: bool
    urgent: bool
    policy: Policy
    """When there is no key: wait for it, or refuse."""
    demo: bool
    """Key that is not secret will do."""
    content: bytes

    def __repr__(self) -> str:
        return f"<Draft to {self.receiver}, {len(self.content)} bytes>"


class OutgoingRow(msgspec.Struct, frozen=True):
    """One message that this node sends; a row of `messages`."""

    id: str
    """`sender:number`, the same at both ends."""
    to: str
    state: MessageState
    name: str
    is_text: bool
    urgent: bool
    policy: Policy
    size_bytes: int
    key_bits: int
    """Debited when it was sealed; 0 before."""
    reason: str
    """Why it waits, was refused or is held up."""
    queued_utc: str
    sealed_utc: str | None
    ended_utc: str | None
    """When its receipt came, or it was refused or expired."""


class IncomingRow(msgspec.Struct, frozen=True):
    """One message that came; a row of `messages`."""

    id: str
    sender: str
    name: str
    is_text: bool
    urgent: bool
    size_bytes: int
    key_bits: int
    origin: str
    received_utc: str


def check_draft(draft: Draft, node_id: str) -> Draft:
    """A draft as it came; raises ConfigError."""
    check_name(draft.receiver, "receiver")
    if draft.receiver == node_id:
        raise ConfigError(f"receiver: expected another node than {node_id!r}, the owner of this store")
    if len(draft.name) > MAXIMUM_NAME_CHARACTERS or "/" in draft.name or "\0" in draft.name:
        raise ConfigError(
            f"name: expected at most {MAXIMUM_NAME_CHARACTERS} characters without '/', "
            f"got {draft.name[:300]!r}"
        )
    if draft.urgent and len(draft.content) > URGENT_BYTES:
        raise ConfigError(
            f"an urgent message has at most {URGENT_BYTES} bytes, got {len(draft.content)}; send it without "
            f"--urgent"
        )
    return draft


def split_id(text: str) -> tuple[str, int]:
    """Sender and number of a message's id. Raises ConfigError."""
    sender, _, number = text.rpartition(":")
    if not number.isascii() or not number.isdigit():
        raise ConfigError(f"message id: expected SENDER:NUMBER as `satqkd messages` lists it, got {text!r}")
    return check_name(sender, "sender of the message id"), int(number)


def sent_reference(receiver: str, number: int) -> str:
    """How the sender's ledger calls the key of a message."""
    return f"to {receiver} {number}"


def received_reference(sender: str, number: int) -> str:
    """How the receiver's ledger calls it."""
    return f"from {sender} {number}"
