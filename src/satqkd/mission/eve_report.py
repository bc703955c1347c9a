"""What a pass under attack comes to: what Eve knows of its key, who saw her, and that in one sentence.

The twin alone knows her (`satqkd.devices.EveAccount`); blocks and monitors are what the session saw. Computes
from counts; knows no key.
"""

from collections.abc import Sequence

import msgspec

from satqkd.devices import EveAccount, EveBlock
from satqkd.distill.outcome import BlockReport
from satqkd.mission.monitors import MonitorReading


class EveReport(msgspec.Struct, frozen=True, kw_only=True):
    """An attacker's account of a pass, with what it means for the key."""

    spec: str
    attack: str
    pulses: int
    """Slots of her window."""
    clicks_touched: int
    detections_touched: int
    sifted_bits: int
    """By her own sifting of what she overheard, refused blocks too."""
    bits_known: int
    information_bits: float
    guessed_right: int
    key_bits_exposed: int
    """At least so many bits of the confirmed key that what she does not know cannot cover."""
    blocks: tuple[EveBlock, ...]


def eve_report(account: EveAccount, blocks: Sequence[BlockReport]) -> EveReport:
    """The account beside what became of the blocks."""
    by_number = {block.block: block for block in blocks}
    rows = account.blocks
    return EveReport(
        spec=account.spec,
        attack=account.attack,
        pulses=account.pulses,
        clicks_touched=account.clicks_touched,
        detections_touched=account.detections_touched,
        sifted_bits=sum(row.sifted_bits for row in rows),
        bits_known=sum(row.bits_known for row in rows),
        information_bits=sum(row.information_bits for row in rows),
        guessed_right=sum(row.guessed_right for row in rows),
        key_bits_exposed=sum(
            exposed_bits(row, by_number[row.block]) for row in rows if row.block in by_number
        ),
        blocks=rows,
    )


def exposed_bits(known: EveBlock, block: BlockReport) -> int:
    """Key bits of a block beyond what its sifted bits hold that Eve lacks, once the leak is said."""
    unknown_bits = known.sifted_bits - known.information_bits - sum(block.leaked_bits.values())
    return max(0, block.secret_bits - max(0, int(unknown_bits)))


def verdict(eve: EveReport | None, blocks: Sequence[BlockReport], readings: Sequence[MonitorReading]) -> str:
    """Who saw what, and what was refused, in words; empty where nobody attacked and nothing alarmed."""
    alarms = sorted({each.monitor for each in readings if each.alarm})
    if alarms:
        refused = sorted({each.block for each in readings if each.alarm})
        seen = f"seen by {' and '.join(alarms)}: {_named(refused)} refused before any basis was told"
        return seen + ("" if eve is None else _of_key(eve, blocks))
    if eve is None:
        return ""
    if not any(block.outcome == "key" for block in blocks):
        reasons = "; ".join(dict.fromkeys(block.reason for block in blocks if block.reason))
        return f"no monitor alarmed; no key was made ({reasons})"
    return "not detected" + _of_key(eve, blocks)


def _of_key(eve: EveReport, blocks: Sequence[BlockReport]) -> str:
    secret_bits = sum(block.secret_bits for block in blocks)
    if secret_bits == 0:
        return "; no key was made"
    if eve.key_bits_exposed:
        return f"; of the {secret_bits} key bits made she knows {eve.key_bits_exposed} at least"
    return (
        f"; {secret_bits} key bits were made, and the bits she lacks ({eve.sifted_bits} sifted, "
        f"{eve.information_bits:.0f} known) cover them"
    )


def _named(blocks: Sequence[int]) -> str:
    numbers = ", ".join(str(block) for block in blocks)
    return f"block {numbers}" if len(blocks) == 1 else f"blocks {numbers}"
