"""What was said, read again from bytes: passes, blocks, and the one-time tags recomputed by the document.

Everything here goes by `docs/protocol.md` and the ledger's key, not by the sessions: which key a tag was made
with is found out from the tag.
"""

from collections import defaultdict
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.poly1305 import Poly1305

from satqkd.distill import messages
from simulator.history import Event, History

USES = {"Close": 0, "Keep": 0, "Amplify": 1, "Kept": 1, "Confirm": 2, "Confirmed": 3}
"""Tagged messages, and the place of their key among the four of a block (docs/protocol.md)."""
ONLINE_BYTES = TAG_BYTES = 32


class Word(NamedTuple):
    """One message of a session."""

    node: str
    pass_id: str
    sequence: int
    message: Any
    wire: bytes

    @property
    def kind(self) -> str:
        return type(self.message).__name__


def word_of(event: Event, node: str) -> Word | None:
    """The session's message in an event, said by `node`; None for a receipt and for what is none."""
    data = event.what["message"]
    address = messages.address_of(data[:-16])
    if event.what["priority"] != 1 or address is None or address.is_receipt:
        return None
    envelope = messages.decode(data[:-16])
    return Word(node, envelope.pass_id, envelope.sequence, envelope.message, data)


class Words:
    """All that was said, each message once, by pass."""

    def __init__(self, history: History) -> None:
        self.faults: list[str] = []
        self.by_pass: dict[str, dict[tuple[str, int], Word]] = defaultdict(dict)
        said = (word_of(event, event.node) for event in history.of("said"))
        for word in (each for each in said if each is not None):
            known = self.by_pass[word.pass_id].setdefault((word.node, word.sequence), word)
            if known.wire != word.wire:
                kinds = f"{known.kind}, {word.kind}"
                self.faults.append(f"{word.node} said {word.pass_id} number {word.sequence} twice: {kinds}")
        self.keys = {
            (event.node, event.what["purpose"].removeprefix("pass ")): event.what["key"]
            for event in history.of("use")
            if event.what["purpose"].startswith("pass ")
        }
        self.secrets = {
            (event.node, event.what["block_id"]): event.what["key"] for event in history.of("add")
        }

    def tag_faults(self) -> list[str]:
        """Tags that are not what their own key makes of what was said, and keys that made two tags."""
        faults = list(self.faults)
        for pass_id, words in self.by_pass.items():
            used: dict[tuple[int, int], Word] = {}
            for word in words.values():
                if word.kind not in USES:
                    continue
                place = word.message.block, USES[word.kind]
                if place in used:
                    faults.append(f"{pass_id}: {used[place].kind} and {word.kind} under one tag key {place}")
                used[place] = word
                if not self._fits(word, words):
                    faults.append(
                        f"{pass_id}: {word.kind} of block {place[0]} is not tagged under its own key"
                    )
        return faults

    def _fits(self, word: Word, words: dict[tuple[str, int], Word]) -> bool:
        key = self.keys.get((word.node, word.pass_id))
        if key is None:
            return False
        start = ONLINE_BYTES + (4 * word.message.block + USES[word.kind]) * TAG_BYTES
        key = key[start : start + TAG_BYTES]
        if word.kind in ("Confirm", "Confirmed"):
            secret = self.secrets.get((word.node, f"{word.pass_id}.block{word.message.block}"), b"")
            verdict = bytes([getattr(word.message, "matches", True)])
            head = word.message.block.to_bytes(4, "little") + verdict
            return Poly1305.generate_tag(key, head + secret) == word.message.key_tag
        return any(_tag(key, parts) == word.message.transcript_tag for parts in _transcripts(word, words))


def _transcripts(word: Word, words: dict[tuple[str, int], Word]) -> list[list[bytes]]:
    """What the tag may cover: all that its end said before, and any beginning of what the other said."""
    hellos = sorted(
        (each.message for each in words.values() if each.kind == "Hello"), key=lambda each: each.node
    )
    opening = b"".join(map(messages.encode_one, hellos)) + word.pass_id.encode()
    mine = [each for each in _of_block(word, words, own=True) if each.sequence < word.sequence]
    theirs = _of_block(word, words, own=False)
    bare = messages.encode_one(type(word.message)(**_fields(word.message) | {"transcript_tag": bytes(16)}))
    found = []
    for count in range(len(theirs), -1, -1):
        streams = [_stream(mine), _stream(theirs[:count])]
        down, up = streams if word.node == "sat" else streams[::-1]
        parts = [part for whole in (opening, down, up) for part in (len(whole).to_bytes(8, "little"), whole)]
        found.append([*parts, bare])
    return found


def _fields(message: Any) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__struct_fields__}


def _of_block(word: Word, words: dict[tuple[str, int], Word], *, own: bool) -> list[Word]:
    block = word.message.block
    mine = [each for each in words.values() if (each.node == word.node) == own]
    ordered = sorted(mine, key=lambda each: each.sequence)
    return [each for each in ordered if getattr(each.message, "block", None) == block]


def _stream(words: list[Word]) -> bytes:
    encoded = [messages.encode_one(each.message) for each in words]
    return b"".join(len(data).to_bytes(4, "little") + data for data in encoded)


def _tag(key: bytes, parts: list[bytes]) -> bytes:
    return Poly1305.generate_tag(key, b"".join(parts))
