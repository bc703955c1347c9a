"""An independent reader of what was said: from recorded datagrams to a recount of leak and order.

Written from `docs/wire-link.md` and the documented form of messages alone: it takes nothing from the rooms
that made the datagrams but what is public: the table of code classes, Cascade's schedule. What it cannot
account for is a violation.
"""

import itertools
import math
import struct
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.distill.cascade import CascadeSchedule
from satqkd.distill.codes import LEAK_FRACTIONS

HEAD = struct.Struct("<2sBB4sIII")
TELEMETRY = 2
"""Stream of the laser link."""
STREAMED = ("Announce", "Bases", "Sift")
"""All that may be said of a block before its last slot is past, where its announcement is streamed."""
TALK = ("Hello", "BeaconSchedule", "LockReport")
FIELDS = {
    "Hello": 5,
    "BeaconSchedule": 2,
    "LockReport": 2,
    "Announce": 4,
    "Keep": 3,
    "Kept": 2,
    "Ended": 2,
    "Bases": 3,
    "Sift": 5,
    "Crossed": 2,
    "ChooseCodes": 2,
    "Parities": 3,
    "Verdicts": 3,
    "Reveal": 3,
    "Verify": 3,
    "Close": 4,
    "Amplify": 4,
    "Confirm": 2,
    "Confirmed": 3,
    "Done": 2,
    "Abandon": 3,
    "Values": 2,
    "Errors": 2,
}
SENDERS = {
    "down": {"BeaconSchedule", "Kept", "Sift", "Crossed", "Parities", "Reveal", "Verify", "Amplify"}
    | {"Confirmed", "Values"},
    "up": {"LockReport", "Announce", "Keep", "Bases", "ChooseCodes", "Verdicts", "Close", "Confirm", "Done"}
    | {"Ended", "Abandon", "Errors"},
}


class Violation(AssertionError):  # noqa: N818
    """What was recorded breaks a rule."""


class Said(NamedTuple):
    """One message: first and last moment at which it was given to the transmitter."""

    direction: str
    first_s: float
    last_s: float
    sequence: int
    kind: str
    fields: list[Any]

    @property
    def block(self) -> int:
        return int(self.fields[0])


class Rules(NamedTuple):
    """What the reader must know of the agreed parameters; plain numbers."""

    edges: tuple[int, ...]
    """First slot of each block, and the end of the last."""
    streamed: bool
    pulse_rate_hz: float
    light_time_s: float
    frame_bits: int
    keyed: frozenset[tuple[int, int]]
    """(basis, class) that carry key."""
    epsilon_correctness: float
    reconciliation: str
    further_rounds: int
    polarisation_sample: int
    leak_fractions: tuple[float, ...]
    """Public table of the code classes: syndrome bits a key bit."""

    @property
    def blocks(self) -> int:
        return len(self.edges) - 1

    def end_s(self, block: int) -> float:
        return self.edges[block + 1] / self.pulse_rate_hz


def rules_of(agreed: Any) -> Rules:
    """Rules from the agreed parameters."""
    protocol = agreed.protocol
    return Rules(
        edges=tuple(agreed.first_slot(block) for block in range(protocol.blocks + 1)),
        streamed=protocol.announcement == "streamed",
        pulse_rate_hz=agreed.source.pulse_rate_hz,
        light_time_s=agreed.maximum_light_time_s,
        frame_bits=protocol.frame_bits,
        keyed=frozenset(
            ("ZX".index(basis), ("signal", "decoy").index(name))
            for basis in protocol.keyed_bases
            for name in protocol.keyed_classes
        ),
        epsilon_correctness=protocol.epsilon_correctness,
        reconciliation=protocol.reconciliation,
        further_rounds=protocol.further_rounds,
        polarisation_sample=protocol.polarisation_sample,
        leak_fractions=LEAK_FRACTIONS,
    )


def require(condition: object, what: str) -> None:
    if not condition:
        raise Violation(what)


def require_telemetry(data: bytes) -> None:
    """A time and four counts, nothing besides."""
    told = msgspec.msgpack.decode(data)
    require(len(data) <= 64 and isinstance(told, list), "telemetry is a short array")
    require(
        [type(each) for each in told] == [float, int, int, int, int], "telemetry is a time and four counts"
    )
    require(told[0] % 0.05 < 1e-6 or told[0] % 0.05 > 0.05 - 1e-6, "its time is a tick's")


def reassembled(datagrams: Iterable[tuple[str, float, bytes]]) -> list[tuple[str, float, float, bytes]]:
    """Whole messages of stream 1: direction, first and last time of its frames' first sending, bytes."""
    frames: dict[tuple[str, int], tuple[float, int, bytes]] = {}
    boots: set[tuple[str, int, int]] = set()
    for direction, now_s, data in datagrams:
        magic, version, flags, _, boot, peer_boot, sequence = HEAD.unpack_from(data)
        kind, sender, stream, ends = flags & 3, flags >> 2 & 1, flags >> 3 & 3, flags >> 5
        require((magic, version) == (b"SQ", 2), "magic and version")
        require(sender == ("down", "up").index(direction), "direction")
        require(zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little"), "CRC")
        if kind != 0:
            continue
        if stream == TELEMETRY:
            require(ends & 3 == 3, "telemetry is one frame a message")
            require_telemetry(data[HEAD.size : -4])
            continue
        require(stream == 1, "nothing but distillation and telemetry flies here")
        boots.add((direction, boot, peer_boot))
        piece = (ends, data[HEAD.size : -4])
        known = frames.setdefault((direction, sequence), (now_s, *piece))
        require(known[1:] == piece, "a frame sent again differs from the first")
    require(len(boots) <= 2, "one connection")
    messages: list[tuple[str, float, float, bytes]] = []
    for way in ("down", "up"):
        whole, times = b"", []
        for number in range(sum(direction == way for direction, _ in frames)):
            now_s, ends, payload = frames[way, number]
            require(bool(ends & 1) == (not times), "the first frame of a message is marked, no other")
            whole += payload
            times.append(now_s)
            if ends & 2:
                messages.append((way, min(times), max(times), whole))
                whole, times = b"", []
        require(not times, "the last message is whole")
    return messages


def read(messages: Iterable[tuple[str, float, float, bytes]]) -> list[Said]:
    """Envelopes `[version, pass_id, sequence, [kind, ...]]` followed by 16 bytes of code.

    Receipts `["Receipt", pass_id, received]` tell no more than how many messages were taken.
    """
    said: list[Said] = []
    receipts = {"down": 0, "up": 0}
    for direction, first_s, last_s, data in messages:
        told = msgspec.msgpack.decode(data[:-16])
        if told[0] == "Receipt":
            require(len(told) == 3 and told[2] >= receipts[direction], "receipts count forward")
            receipts[direction] = told[2]
            continue
        version, _, sequence, (kind, *fields) = told
        require(version == 2, "protocol version")
        said.append(Said(direction, first_s, last_s, sequence, kind, fields))
    for direction, received in receipts.items():
        others = sum(each.direction != direction for each in said)
        require(received <= others, f"{direction}: a receipt for more than was said")
    return said


def from_datagrams(datagrams: Iterable[tuple[str, float, bytes]]) -> list[Said]:
    """All that was said, from a tap of the laser link."""
    return read(reassembled(datagrams))


def from_messages(messages: Iterable[tuple[str, float, bytes]]) -> list[Said]:
    """All that was said, from messages passed directly."""
    return read((direction, now_s, now_s, data) for direction, now_s, data in messages)


def check_order(said: list[Said], rules: Rules) -> None:
    """Who says what, when: DESIGN 5. Raises Violation."""
    for way in ("down", "up"):
        mine = [each for each in said if each.direction == way]
        require([each.sequence for each in mine] == list(range(len(mine))), f"{way}: sequence")
        require(mine[0].kind == "Hello", f"{way}: Hello comes first")
        require(sum(each.kind == "Hello" for each in mine) == 1, f"{way}: one Hello")
        for each in mine:
            require(each.kind in SENDERS[way] | {"Hello"}, f"{way}: {each.kind} is not this end's to say")
            require(len(each.fields) == FIELDS[each.kind], f"{each.kind}: fields")
    for block in range(rules.blocks):
        _check_block([each for each in said if each.kind not in TALK and each.block == block], block, rules)


def _check_block(said: list[Said], block: int, rules: Rules) -> None:
    by_kind: dict[str, list[Said]] = {}
    for each in said:
        by_kind.setdefault(each.kind, []).append(each)
    for kind in (
        "Keep",
        "Kept",
        "Ended",
        "Crossed",
        "ChooseCodes",
        "Verify",
        "Close",
        "Amplify",
        "Confirm",
        "Confirmed",
        "Done",
    ):
        require(len(by_kind.get(kind, [])) <= 1, f"block {block}: {kind} is said once")
    if "Keep" in by_kind or "Kept" in by_kind:
        require(set(by_kind) <= {"Announce", "Keep", "Kept"}, f"block {block} is kept: slots, nothing else")
        _in_order(by_kind, ("Announce", "Keep", "Kept"), block)
    end_s = rules.end_s(block)
    for each in said:
        if each.kind == "Announce":
            _check_announce(each, block, rules)
        elif rules.streamed and each.kind in STREAMED:
            continue
        else:
            require(each.first_s >= end_s, f"block {block}: {each.kind} before its last slot")
            if each.direction == "down":
                require(each.first_s >= end_s + rules.light_time_s, f"block {block}: {each.kind} too early")
    _in_order(by_kind, ("Announce", "Ended", "Crossed", "ChooseCodes"), block)
    if not rules.streamed:
        _in_order(by_kind, ("Ended", "Bases"), block)
    _check_sifting(by_kind, block)
    _in_order(by_kind, ("ChooseCodes", "Verify"), block)
    for basis in (0, 1):
        _check_dialogue(by_kind, basis, block)
    _in_order(by_kind, ("Verdicts", "Verify", "Close", "Amplify", "Confirm", "Confirmed", "Done"), block)
    if "Amplify" in by_kind:
        require("Close" in by_kind, f"block {block}: a seed without the station's close")
    for each in by_kind.get("Verify", []):
        bits = math.ceil(math.log2(2 / rules.epsilon_correctness))
        require(len(each.fields[2]) == (bits + 7) // 8, f"block {block}: tag longer than paid for")


def _check_announce(each: Said, block: int, rules: Rules) -> None:
    slots = rice_slots(each.fields[3], each.fields[1])
    require(slots.size == each.fields[2], f"block {block}: announced count")
    low, high = rules.edges[block], min(rules.edges[block + 1], each.first_s * rules.pulse_rate_hz)
    require(slots.size == 0 or (slots[0] >= low and slots[-1] < high), f"block {block}: slots told")


def _check_sifting(by_kind: dict[str, list[Said]], block: int) -> None:
    """Bases of what was announced and of nothing else, an answer to each that came, the sample at the end."""
    asked, answered = by_kind.get("Bases", []), by_kind.get("Sift", [])
    require(len(answered) <= len(asked), f"block {block}: an answer to bases that were not told")
    for one, other in zip(asked, answered, strict=False):
        require(one.last_s <= other.first_s, f"block {block}: Sift came before its bases")
    if "Ended" in by_kind:
        ended = by_kind["Ended"][0]
        early = [each for each in asked if each.sequence < ended.sequence]
    else:
        early = asked
    for each in early:
        told = sum(one.fields[2] for one in by_kind.get("Announce", []) if one.sequence < each.sequence)
        known = sum(one.fields[1] for one in early if one.sequence <= each.sequence)
        require(known <= told, f"block {block}: bases of detections that were not announced")
    if "Crossed" in by_kind:
        require(len(answered) == len(asked), f"block {block}: bases without an answer")
        sequence = by_kind["Crossed"][0].sequence
        require(all(each.sequence < sequence for each in answered), f"block {block}: Crossed before Sift")


def _check_dialogue(by_kind: dict[str, list[Said]], basis: int, block: int) -> None:
    """Parities and verdicts of a basis in turn, the first parities after the class, then what failed."""
    said, answers, revealed = (
        [each for each in by_kind.get(kind, []) if each.fields[1] == basis]
        for kind in ("Parities", "Verdicts", "Reveal")
    )
    require(len(said) - len(answers) in (0, 1), f"block {block}: a verdict for each parities")
    turns: list[Said] = [each for pair in itertools.zip_longest(said, answers) for each in pair if each]
    turns = by_kind.get("ChooseCodes", [])[:1] + turns + revealed
    for before, after in itertools.pairwise(turns):
        require(before.last_s <= after.first_s, f"block {block}: {after.kind} came before {before.kind}")


def _in_order(by_kind: dict[str, list[Said]], kinds: tuple[str, ...], block: int) -> None:
    """Each kind is wholly said before the next one begins, where another end says it."""
    present = [by_kind[kind] for kind in kinds if kind in by_kind]
    for before, after in itertools.pairwise(present):
        one, other = before[0], after[0]
        if one.direction == other.direction:
            fine = max(each.sequence for each in before) < min(each.sequence for each in after)
        else:
            fine = before[0].last_s <= after[0].first_s
        require(fine, f"block {block}: {other.kind} came before {one.kind}")


def check_answers(said: list[Said]) -> None:
    """Messages passed directly lie in order of cause: an answer never comes before its question."""
    for question, answer in (("Bases", "Sift"), ("Close", "Amplify"), ("ChooseCodes", "Parities")):
        for block in {each.block for each in said if each.kind == answer}:
            asked, came = (
                [i for i, each in enumerate(said) if each.kind == kind and each.block == block]
                for kind in (question, answer)
            )
            pairs = list(zip(asked, came, strict=False))
            require(pairs and all(one < other for one, other in pairs), f"block {block}: {answer} first")


def rice_slots(data: bytes, start: int) -> NDArray[np.int64]:
    """Slot numbers of an announcement, read bit by bit: count u32, k u8, k planes, unary parts."""
    count, k = int.from_bytes(data[:4], "little"), data[4]
    bits = bits_of(data[5:])
    low = [int(sum(int(bits[level * count + i]) << level for level in range(k))) for i in range(count)]
    slots, at, here = [], k * count, start - 1
    ones = np.flatnonzero(bits[at:])
    for i in range(count):
        zeros = int(ones[i]) - (int(ones[i - 1]) + 1 if i else 0)
        here += (zeros << k) + low[i] + 1
        slots.append(here)
    return np.array(slots, dtype=np.int64)


def bits_of(data: bytes) -> NDArray[np.uint8]:
    return np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")


class Account(NamedTuple):
    """What the recount found in one block."""

    rounds: dict[tuple[int, int], int]
    """Kept detections by basis and class."""
    leaked_bits: dict[str, int]
    frames: int
    failed: int


def announced(said: list[Said], block: int) -> int:
    """Detections told of a block."""
    return sum(each.fields[2] for each in said if each.kind == "Announce" and each.block == block)


def recount(said: list[Said], block: int, rules: Rules, *, earlier: int = 0) -> Account:
    """Count every bit that depends on key. Raises Violation for anything unaccounted.

    earlier: detections announced in kept blocks of its pool, of this pass or others.
    """
    mine: dict[str, list[Said]] = {}
    for each in said:
        if each.kind not in TALK and each.block == block:
            mine.setdefault(each.kind, []).append(each)
    rounds = _rounds(mine, rules, earlier)
    if "Parities" not in mine:
        return Account(rounds, {}, 0, 0)
    leaks: dict[str, int] = {}
    frames = failed_frames = 0
    bases = sorted({basis for basis, _ in rules.keyed})
    require({each.fields[1] for each in mine["Parities"]} == set(bases), "parities of each basis")
    for basis in bases:
        n_bits = sum(rounds.get((basis, k), 0) for k in range(3) if (basis, k) in rules.keyed)
        count = math.ceil(n_bits / rules.frame_bits)
        size = math.ceil(n_bits / max(1, count))
        lengths = [min(size, n_bits - size * i) for i in range(math.ceil(n_bits / max(1, size)))]
        code_class = mine["ChooseCodes"][0].fields[1][bases.index(basis)]
        spoken = _ldpc if rules.reconciliation == "ldpc" else _cascade
        told, bad, verdict_bits = spoken(mine, basis, lengths, rules.leak_fractions[code_class], rules)
        revealed = [each.fields[2] for each in mine.get("Reveal", []) if each.fields[1] == basis]
        require(len(revealed) == (1 if bad else 0), "failed frames are revealed, others not")
        if bad:
            require(len(revealed[0]) == (sum(lengths[i] for i in bad) + 7) // 8, "all of them is revealed")
        leak = verdict_bits
        leak += sum(length if i in bad else min(told[i], length) for i, length in enumerate(lengths))
        leak += sum(
            math.ceil(math.log2(rounds.get((basis, k), 0) + 1)) for k in range(3) if (basis, k) in rules.keyed
        )
        leaks["ZX"[basis]] = leak
        frames += len(lengths)
        failed_frames += len(bad)
    return Account(rounds, leaks, frames, failed_frames)


def _ldpc(
    mine: dict[str, list[Said]], basis: int, lengths: list[int], leak_fraction: float, rules: Rules
) -> tuple[list[int], set[int], int]:
    """Parity bits told of each frame, which frames failed, and verdict bits; each message as long as it
    must be."""
    parities = [each.fields[2] for each in mine["Parities"] if each.fields[1] == basis]
    verdicts = [each.fields[2] for each in mine["Verdicts"] if each.fields[1] == basis]
    require(len(parities) == len(verdicts), "an answer to all parities")
    plans = [further_bits(length, leak_fraction, rules.further_rounds) for length in lengths]
    told = [syndrome_bits(length, leak_fraction) for length in lengths]
    asked, bad, verdict_bits = list(range(len(lengths))), set(), 0
    said = sum(told)
    for turn, (one, other) in enumerate(zip(parities, verdicts, strict=True)):
        require(len(one) == (said + 7) // 8, "parities as long as their codes say")
        require(len(other) == (len(asked) + 7) // 8, "one verdict a frame that is open")
        verdict_bits += len(asked)
        open_still = [i for i, decoded in zip(asked, bits_of(other), strict=False) if not decoded]
        bad |= {i for i in open_still if turn >= len(plans[i])}
        asked = [i for i in open_still if i not in bad]
        for i in asked:
            told[i] += plans[i][turn]
        said = sum(plans[i][turn] for i in asked)
        require(bool(asked) == (turn + 1 < len(parities)), "it ends when no frame is open")
    return told, bad, verdict_bits


def _cascade(
    mine: dict[str, list[Said]], basis: int, lengths: list[int], leak_fraction: float, rules: Rules
) -> tuple[list[int], set[int], int]:
    """As `_ldpc`. The schedule is public: fed with the differences that crossed it says how many bits were
    due."""
    if not lengths:
        return [], set(), 0
    parities = [each.fields[2] for each in mine["Parities"] if each.fields[1] == basis]
    differences = [each.fields[2] for each in mine["Verdicts"] if each.fields[1] == basis]
    low, high = 0.0, 0.5
    while high - low > 1e-7:
        rate = (low + high) / 2
        entropy = -rate * math.log2(rate) - (1 - rate) * math.log2(1 - rate)
        low, high = (rate, high) if 1.04 * entropy < leak_fraction else (low, rate)
    variant = rules.reconciliation.removeprefix("cascade-")
    schedule = CascadeSchedule(lengths, round(high, 5), variant=variant)
    require(len(parities) == len(differences), "a difference for each parity")
    crossed = 0
    for one, other in zip(parities, differences, strict=True):
        require(not schedule.done, "it ends when nothing is asked")
        crossed += schedule.asked
        require(len(one) == len(other) == (schedule.asked + 7) // 8, "a bit for each block asked")
        schedule.take(bits_of(other)[: schedule.asked])
    require(schedule.done, "all differences are told")
    bad = set(np.flatnonzero(schedule.given_up).tolist())
    told = schedule.frame_parities.tolist()
    require(sum(told) == crossed, "every parity belongs to a frame")
    return told, bad, crossed


def _rounds(mine: dict[str, list[Said]], rules: Rules, earlier: int) -> dict[tuple[int, int], int]:
    """Rounds by basis and class from what was told; checks that keyed values were not."""
    if "Crossed" not in mine:
        return {}
    count = earlier + sum(each.fields[2] for each in mine.get("Announce", []))
    require(mine["Ended"][0].fields[1] == count, "the end counts all announced")
    asked, answered = mine.get("Bases", []), mine.get("Sift", [])
    require(sum(each.fields[1] for each in asked) == count, "bases of all announced")
    require(len(asked) == len(answered), "an answer to all bases")
    rounds = dict.fromkeys(itertools.product(range(2), range(3)), 0)
    for question, answer in zip(asked, answered, strict=True):
        for place, n in _part(question, answer, rules).items():
            rounds[place] += n
    (crossed,) = mine["Crossed"][0].fields[1:]
    apart = count - sum(rounds.values())
    require(len(crossed) == (sample_bits(apart, rules) + 7) // 8, "bits of the sample, no more")
    return rounds if count else {}


def _part(question: Said, answer: Said, rules: Rules) -> dict[tuple[int, int], int]:
    """Rounds of one message of bases and its answer."""
    count, bases = question.fields[1:]
    require(0 < count <= 65536 and len(bases) == (count + 7) // 8, "a bit a detection")
    keep, is_signal, is_vacuum, values = answer.fields[1:]
    require(len(keep) == (count + 7) // 8, "a mask of just these detections")
    basis = bits_of(bases)[:count][bits_of(keep)[:count] == 1]
    require(len(is_signal) == (basis.size + 7) // 8, "a class of kept detections, and of no others")
    signal = bits_of(is_signal)[: basis.size] == 1
    classes = np.zeros(basis.size, dtype=np.int64)
    classes[~signal] = 1 + bits_of(is_vacuum)[: int((~signal).sum())]
    rounds = {(b, k): int(((basis == b) & (classes == k)).sum()) for b in range(2) for k in range(3)}
    unkeyed = sum(n for place, n in rounds.items() if place not in rules.keyed)
    require(len(values) == (unkeyed + 7) // 8, "values of unkeyed rounds, and of no others")
    return rounds


def sample_bits(apart: int, rules: Rules) -> int:
    """Bits told of rounds with different bases: of every so manieth, so that there are not too many."""
    if not rules.polarisation_sample:
        return 0
    return len(range(0, apart, max(1, math.ceil(apart / rules.polarisation_sample))))


def shape(n_bits: int, leak_fraction: float) -> tuple[int, int]:
    """Block rows and lift of the code of a frame: the fraction of at least 8192 bits, in some 48 to 64 block
    rows of lifts in steps of 16, up to 96 to 128 where lifts are 600 and more."""
    checks = leak_fraction * max(n_bits, 8192)
    most = min(128, max(64, int(checks) // 600))
    low = math.ceil(checks / most / 16) * 16
    lifts = range(low, max(low, int(checks / (3 * most // 4))) + 1, 16)
    lift = min(lifts, key=lambda each: (math.ceil(checks / each) * each, -each))
    return math.ceil(checks / lift), lift


def syndrome_bits(n_bits: int, leak_fraction: float) -> int:
    """Rows of the code of a frame; the frame itself where the code would leak as much."""
    rows, lift = shape(n_bits, leak_fraction)
    return min(rows * lift, n_bits)


def further_bits(n_bits: int, leak_fraction: float, rounds: int) -> list[int]:
    """Parities of each further round: the last of 1, 1, 3, 9 units of block rows, then all rows left."""
    rows, lift = shape(n_bits, leak_fraction)
    left = rows if rows * lift < n_bits else 0
    unit = max(1, math.isqrt(2 * rows // lift))
    plan = []
    for times in (1, 1, 3, 9, rows)[5 - rounds :]:
        plan.append(min(left, times * unit) * lift)
        left -= min(left, times * unit)
    return [bits for bits in plan if bits]
