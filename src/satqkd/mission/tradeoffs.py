"""What one gives up for another: counts for a lower QBER by starting later, key for earlier key by cutting.

Each table takes settings that are chosen already and works on the channels of contacts. No search, no dice.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from satqkd.mission.contact import Contact
from satqkd.mission.link_channel import link_channel
from satqkd.mission.optimum import Closing, ElevationCut, Splitting
from satqkd.records import CLASS_NAMES
from satqkd.results import KeyLength
from satqkd.security.channel import Channel, SourceSettings
from satqkd.security.plan import Policy, Prior, Scenario, exact_bits, exact_key, variable_length

CUTS: Final = 15
"""Rows of a table of elevations at most."""
CLOSINGS: Final = 20
"""Times at which the first of two blocks may be closed."""
MOST_BLOCKS: Final = 8


def elevation_cuts(
    contacts: Sequence[Contact], weights: Sequence[float], prior: Prior, settings: SourceSettings, policy: Policy
) -> tuple[ElevationCut, ...]:
    """Expected key of all contacts by the elevation below which nothing is sent.

    weights: of each contact.  The first row is the station's own mask.
    """
    return tuple(
        _cut(float(each), contacts, weights, prior, settings, policy) for each in _elevations_deg(contacts)
    )


def closings(contact: Contact, settings: SourceSettings, policy: Policy) -> tuple[Closing, ...]:
    """A contact cut in two at times spread evenly over it, at the budget's loss."""
    t_s = contact.look.t_s[contact.quantum_rows]
    rows = []
    for close_s in np.linspace(0.0, contact.quantum_end_s, CLOSINGS + 1)[1:]:
        first, rest = (
            _bits(contact, part, settings, policy) for part in (t_s < close_s, t_s >= close_s)
        )
        rows.append(Closing(float(close_s), first, rest, first + rest))
    return tuple(rows)


def splittings(contact: Contact, settings: SourceSettings, policy: Policy) -> tuple[Splitting, ...]:
    """A contact cut into 1, 2, ... blocks of equal slots, at the budget's loss."""
    return tuple(_splitting(contact, blocks, settings, policy) for blocks in range(1, MOST_BLOCKS + 1))


def _cut(
    elevation_deg: float,
    contacts: Sequence[Contact],
    weights: Sequence[float],
    prior: Prior,
    settings: SourceSettings,
    policy: Policy,
) -> ElevationCut:
    expected, sifted, wrong = 0.0, 0.0, 0.0
    for contact, weight in zip(contacts, weights, strict=True):
        above = np.degrees(contact.look.elevation_rad[contact.quantum_rows]) >= elevation_deg - 1e-6
        if not above.any():
            continue
        channel = link_channel(contact, above)
        expected += weight * variable_length(exact_bits(settings, Scenario(channel, 1.0, prior), policy), prior)
        n, m = _sifted(channel, settings, policy)
        sifted, wrong = sifted + weight * n, wrong + weight * m
    return ElevationCut(elevation_deg, expected, sifted, wrong / sifted if sifted else None)


def _elevations_deg(contacts: Sequence[Contact]) -> list[float]:
    low = float(np.degrees(contacts[0].station.minimum_elevation_rad))
    top = max(float(np.degrees(each.look.elevation_rad[each.quantum_rows].max())) for each in contacts)
    step = max(1.0, np.ceil((top - low) / CUTS))
    return [low, *np.arange(np.floor(low / step + 1) * step, top, step).tolist()]


def _sifted(channel: Channel, settings: SourceSettings, policy: Policy) -> tuple[float, float]:
    """Sifted bits and errors among them, at the channel's own loss."""
    bases = [("Z", "X").index(basis) for basis in policy.keyed_bases]
    classes = [k for k, name in enumerate(CLASS_NAMES[: len(settings.intensities)]) if name in policy.keyed_classes]
    n, m = (float(table[np.ix_(bases, classes)].sum()) for table in channel.counts(settings))
    return n, m


def _splitting(contact: Contact, blocks: int, settings: SourceSettings, policy: Policy) -> Splitting:
    t_s = contact.look.t_s[contact.quantum_rows]
    edges_s = np.linspace(0.0, contact.quantum_end_s, blocks + 1)
    place = np.clip(np.searchsorted(edges_s, t_s, side="right") - 1, 0, blocks - 1)
    bits = [_bits(contact, place == k, settings, policy) for k in range(blocks)]
    first = next((k for k, each in enumerate(bits) if each > 0), None)
    return Splitting(
        blocks=blocks,
        first_key_s=None if first is None else float(edges_s[first + 1]),
        first_bits=0 if first is None else bits[first],
        secret_bits=sum(bits),
    )


def _bits(contact: Contact, rows: np.ndarray, settings: SourceSettings, policy: Policy) -> int:
    if not rows.any():
        return 0
    return _key(link_channel(contact, rows), settings, policy).secret_bits


def _key(channel: Channel, settings: SourceSettings, policy: Policy) -> KeyLength:
    return exact_key(settings, channel, policy)
