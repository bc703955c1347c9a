"""What one gives up for another: counts for a lower QBER by starting later, key for earlier key by cutting.

Each table takes settings that are chosen already, and the channels of a plan's passes. No search, no dice.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from satqkd.mission.contact import Contact
from satqkd.mission.link_channel import link_channel
from satqkd.mission.optimum import Closing, ElevationCut, Splitting
from satqkd.mission.pass_plan import PassPlan
from satqkd.records import BASIS_NAMES
from satqkd.security.channel import SourceSettings
from satqkd.security.optimise import expected_key_of
from satqkd.security.plan import Policy, Scenario, exact_bits, exact_key

CUTS: Final = 15
"""Rows of a table of elevations, about."""
CLOSINGS: Final = 24
"""Times at which the first of two blocks may be closed."""
MOST_BLOCKS: Final = 8


def elevation_cuts(plan: PassPlan, settings: SourceSettings) -> tuple[ElevationCut, ...]:
    """Expected key by the elevation below which nothing is sent; the first row is the station's own mask.

    Of a plan of many passes, those that stand for all are looked at.
    """
    few = plan.thinned()
    return tuple(_cut(elevation_deg, few, settings) for elevation_deg in _elevations_deg(few))


def closings(contact: Contact, settings: SourceSettings, policy: Policy) -> tuple[Closing, ...]:
    """A contact cut in two at times spread evenly over it, at the budget's loss."""
    t_s = _t_s(contact)
    rows = []
    for close_s in np.linspace(0.0, contact.quantum_end_s, CLOSINGS + 1)[1:].tolist():
        first, rest = (_bits(contact, part, settings, policy) for part in (t_s < close_s, t_s >= close_s))
        rows.append(Closing(close_s, first, rest, first + rest))
    return tuple(rows)


def splittings(contact: Contact, settings: SourceSettings, policy: Policy) -> tuple[Splitting, ...]:
    """A contact cut into 1, 2, ... blocks of equal slots, at the budget's loss."""
    return tuple(_splitting(contact, blocks, settings, policy) for blocks in range(1, MOST_BLOCKS + 1))


def _cut(elevation_deg: float, plan: PassPlan, settings: SourceSettings) -> ElevationCut:
    prior, scenarios = plan.told_prior, []
    for contact, weight in zip(plan.contacts, plan.clear_sky, strict=True):
        above = _elevation_deg(contact) >= elevation_deg - 1e-9
        if above.any():
            scenarios.append(Scenario(link_channel(contact, above), weight, prior))
    bits = [exact_bits(settings, each, plan.policy) for each in scenarios]
    n, m = np.sum([_sifted(each, settings, plan.policy) for each in scenarios], axis=0)
    return ElevationCut(
        elevation_deg=elevation_deg,
        expected_bits=expected_key_of(bits, scenarios),
        sifted_bits=float(n),
        qber=float(m / n) if n else None,
    )


def _elevations_deg(plan: PassPlan) -> list[float]:
    """The mask, then ever larger steps from where the first pass comes into range."""
    mask = round(float(np.degrees(plan.station.minimum_elevation_rad)), 6)
    seen = [_elevation_deg(contact) for contact in plan.contacts]
    low, top = max(mask, float(min(each.min() for each in seen))), float(max(each.max() for each in seen))
    above = np.unique(np.round(low + np.geomspace(1.0, max(top - low, 2.0), CUTS)))
    return [mask, *above[(above > low) & (above < top)].tolist()]


def _sifted(scenario: Scenario, settings: SourceSettings, policy: Policy) -> tuple[float, float]:
    """Sifted bits and errors among them at the channel's own loss, weighted."""
    bases = [BASIS_NAMES.index(basis) for basis in policy.keyed_bases]
    keyed = np.array(policy.keyed(settings))
    n, m = (float(table[bases][:, keyed].sum()) for table in scenario.channel.counts(settings))
    return scenario.weight * n, scenario.weight * m


def _splitting(contact: Contact, blocks: int, settings: SourceSettings, policy: Policy) -> Splitting:
    edges_s = np.linspace(0.0, contact.quantum_end_s, blocks + 1)
    place = np.clip(np.searchsorted(edges_s, _t_s(contact), side="right") - 1, 0, blocks - 1)
    bits = [_bits(contact, place == k, settings, policy) for k in range(blocks)]
    first = next((k for k, each in enumerate(bits) if each > 0), None)
    return Splitting(
        blocks=blocks,
        first_key_s=None if first is None else float(edges_s[first + 1]),
        first_bits=0 if first is None else bits[first],
        secret_bits=sum(bits),
    )


def _bits(contact: Contact, rows: NDArray[np.bool_], settings: SourceSettings, policy: Policy) -> int:
    return exact_key(settings, link_channel(contact, rows), policy).secret_bits if rows.any() else 0


def _t_s(contact: Contact) -> NDArray[np.float64]:
    return contact.look.t_s[contact.quantum_rows]


def _elevation_deg(contact: Contact) -> NDArray[np.float64]:
    return np.asarray(np.degrees(contact.look.elevation_rad[contact.quantum_rows]))
