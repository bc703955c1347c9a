"""Passes of a link added up in one block, and the key of the block.

Counts are sums over the passes, and so are leaks: error rates of a pool are estimated slice by slice, so each
pass is reconciled at its own. The bound sees the sums alone. Where losses have a spread, the key is the mean
over draws of a fixed seed, in which each pass has a loss of its own.
"""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from satqkd.config import Protocol, Satellite, Station
from satqkd.mission.contact import Contact
from satqkd.mission.flown import unkeyed_slots
from satqkd.mission.foretold import expected_pass_counts
from satqkd.mission.pass_plan import policy_of
from satqkd.optics import gate_fits
from satqkd.plan.network import Network
from satqkd.plan.opportunities import Opportunities
from satqkd.plan.yields import contact_of_row, fast_bits_of, weakened_contact, windows_of
from satqkd.randomness import stream
from satqkd.records import BASIS_NAMES, CLASS_NAMES
from satqkd.results import ClassCounts
from satqkd.security import key_length
from satqkd.security.plan import Policy

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

_DRAWS: Final = 16
"""Joint draws of the losses of all passes, in which each pass's are spread evenly over its distribution."""


class Light(Interface):
    """Passes of one link that can be counted at any loss."""

    @property
    def detections(self) -> Floats:
        """Expected at the budget's loss, all bases and classes; shape (passes,)."""
        ...

    def counts(self, loss_db: Floats | None = None) -> tuple[Floats, Floats]:
        """Expected detections and errors in matching bases, shape (passes, 2, 3)."""
        ...


class LinkPasses(NamedTuple):
    """A satellite over a station."""

    craft: Satellite
    ground: Station
    rows: Rows
    """Of its passes, in order of time."""
    lights: list[tuple[Rows, Light]]
    """Of those that can be counted."""


def lights_of(
    network: Network, passes: Opportunities, rows: Rows, *, exact: bool
) -> Iterator[tuple[Rows, Light]]:
    """Passes of one link by the full budget or, where it can, the surrogate's; rows: in order of time."""
    craft, station = network.satellites[passes.satellite[rows[0]]], int(passes.station[rows[0]])
    ground = network.stations[station]
    if not gate_fits(craft, ground):
        return
    if exact or network.tracks[station] or ground.receiver.polarisation.drift_rad_s:
        for row in rows:
            yield np.array([row]), _OneContact(contact_of_row(network, passes, int(row)))
    else:
        yield from windows_of(network, passes, rows)


class _OneContact:
    """A pass on the full grid, its counts whole."""

    def __init__(self, contact: Contact) -> None:
        self.contact = contact

    @property
    def detections(self) -> Floats:
        kept = 1 - unkeyed_slots(self.contact) / self.contact.slots
        return np.array([self.contact.total(self.contact.rates.detection_hz) * kept])

    def counts(self, loss_db: Floats | None = None) -> tuple[Floats, Floats]:
        contact = self.contact if loss_db is None else weakened_contact(self.contact, float(loss_db[0]))
        found = {(row.basis, row.class_name): row for row in expected_pass_counts(contact)}
        rows = [[found[basis, name] for name in CLASS_NAMES] for basis in BASIS_NAMES]
        detections = np.array([[[each.detections for each in row] for row in rows]], dtype=np.float64)
        errors = np.array([[[each.errors for each in row] for row in rows]], dtype=np.float64)
        return detections, errors


def keyed_counts(rules: Protocol | Policy, detections: Floats) -> Floats:
    """Of detections, or errors, (n, 2, 3) those of keyed classes, by keyed basis: (n, keyed bases)."""
    bases = [BASIS_NAMES.index(each) for each in rules.keyed_bases]
    classes = [CLASS_NAMES.index(each) for each in rules.keyed_classes]
    return np.asarray(detections[:, bases][:, :, classes].sum(axis=2))


def pool_bits(
    network: Network, link: LinkPasses, pool_of: Rows, sifted_bits: Floats, *, exact: bool
) -> Floats:
    """Expected key of each pool of a link, shape (pools,). pool_of, sifted_bits: of all passes, (n,)."""
    first = int(pool_of[link.rows].min())
    count = int(pool_of[link.rows].max()) - first + 1
    place = pool_of - first
    if not network.yields.loss_spread_db:
        return np.floor(_bits_at(network, link, place, count, None, exact=exact))
    drawn_db = _losses_db(network, link, len(pool_of))
    bits = np.array([_bits_at(network, link, place, count, each, exact=exact) for each in drawn_db])
    light = [_light(link, place, count, sifted_bits * 10 ** (-each / 10)) for each in drawn_db]
    tilt = (network.yields.loss_spread_db * math.log(10) / 10) ** 2 / 2
    return np.floor(
        _corrected(bits, np.array(light), _light(link, place, count, sifted_bits * math.exp(tilt)))
    )


def _light(link: LinkPasses, place: Rows, count: int, of_pass: Floats) -> Floats:
    return np.bincount(place[link.rows], of_pass[link.rows], minlength=count).astype(np.float64)


def _corrected(bits: Floats, light: Floats, expected_light: Floats) -> Floats:
    """Mean of the draws' keys, less what the draws had too much light; shapes (draws, pools), (pools,).

    The slope is that of the least squares of key over light, which hang together closely.
    """
    spare = light - light.mean(axis=0)
    square = (spare**2).sum(axis=0)
    slope = np.divide((spare * bits).sum(axis=0), square, out=np.zeros_like(square), where=square > 0)
    return np.asarray(np.maximum(bits.mean(axis=0) + slope * (expected_light - light.mean(axis=0)), 0.0))


def _bits_at(
    network: Network, link: LinkPasses, place: Rows, count: int, loss_db: Floats | None, *, exact: bool
) -> Floats:
    """Key of each pool at one loss of each pass."""
    policy = policy_of(link.craft, link.ground, network.protocol)
    detections, errors = np.zeros((count, 2, 3)), np.zeros((count, 2, 3))
    leaks = np.zeros((count, len(policy.keyed_bases)))
    for rows, light in link.lights:
        counts = light.counts(None if loss_db is None else loss_db[rows])
        np.add.at(detections, place[rows], counts[0])
        np.add.at(errors, place[rows], counts[1])
        np.add.at(leaks, place[rows], _leaks(policy, *counts))
    lit, bits = detections.sum(axis=(1, 2)) > 0, np.zeros(count)
    bits_of = _exact_bits if exact else _fast_bits
    bits[lit] = bits_of(network, link, policy, detections[lit], errors[lit], leaks[lit])
    return np.maximum(bits, 0.0)


def _losses_db(network: Network, link: LinkPasses, passes: int) -> list[Floats]:
    """Draws of losses on top of the budgets', by row of all passes."""
    rng = stream(1, "pool losses", link.craft.name, link.ground.name)
    order = rng.permuted(np.tile(np.arange(_DRAWS)[:, None], len(link.rows)), axis=0)
    drawn_db = np.zeros((_DRAWS, passes))
    drawn_db[:, link.rows] = network.yields.loss_spread_db * ndtri((order + rng.random(order.shape)) / _DRAWS)
    return list(drawn_db)


def _leaks(policy: Policy, detections: Floats, errors: Floats) -> Floats:
    """Of each pass and keyed basis, as each pass's reconciliation is foretold by itself."""
    sifted, wrong = keyed_counts(policy, detections), keyed_counts(policy, errors)
    pairs = zip(sifted.ravel().tolist(), wrong.ravel().tolist(), strict=True)
    leaks = np.array([math.ceil(policy.leak(n, m)) for n, m in pairs], dtype=np.float64)
    return leaks.reshape(sifted.shape)


def _fast_bits(
    network: Network, link: LinkPasses, policy: Policy, detections: Floats, errors: Floats, leaks: Floats
) -> Floats:
    """By the surrogate's bound, which reckons with the leak of the whole at one error rate."""
    bits = fast_bits_of(link.craft, link.ground, network.protocol, detections, errors)
    return np.asarray(bits + (_leaks(policy, detections, errors) - leaks).sum(axis=1))


def _exact_bits(
    network: Network, link: LinkPasses, policy: Policy, detections: Floats, errors: Floats, leaks: Floats
) -> Floats:
    source = link.craft.source

    def rows(n: Floats, m: Floats) -> list[ClassCounts]:
        return [
            ClassCounts(
                basis, name, source.intensities[k], source.probabilities[k], int(n[b, k]), int(m[b, k])
            )
            for b, basis in enumerate(BASIS_NAMES)
            for k, name in enumerate(CLASS_NAMES)
        ]

    return np.array([
        key_length(
            rows(n, m),
            source,
            policy.security,
            leaked_bits={basis: int(bits) for basis, bits in zip(policy.keyed_bases, leak, strict=True)},
            bound=policy.bound,
            keyed_bases=policy.keyed_bases,
            keyed_classes=policy.keyed_classes,
            receiver=policy.receiver,
        ).secret_bits
        for n, m, leak in zip(detections, errors, leaks, strict=True)
    ], dtype=np.float64)  # fmt: skip
