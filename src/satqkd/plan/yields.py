"""What each pass is expected to give, by the key-length function that both ends call.

`exact_yields` asks the full link budget pass by pass. `fast_yields` is its surrogate: the counts of
`yields_link`, all passes of one satellite over one station in one call, and the form of the bound that the
optimiser searches with, which gives no more key for the same counts.
Where the scenario has a `loss_spread_db`, key is the mean over the loss of a pass; `exact_spread` and
`fast_spread` tell its quantiles beside. Clear sky, one block a pass; no dice.
"""

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.config import Protocol, Satellite, Station
from satqkd.mission.contact import PLANNING_GRID_S, Contact, make_contact
from satqkd.mission.foretold import expected_key
from satqkd.mission.pass_plan import policy_of
from satqkd.optics import expected_rates, gate_fits
from satqkd.plan.network import Network
from satqkd.plan.opportunities import Opportunities, station_at
from satqkd.plan.yields_error import SurrogateError, error_on
from satqkd.plan.yields_link import LEAST_WINDOW_S, Link, WindowLight, weakened
from satqkd.plan.yields_spread import KeySpread, fast_spread_of, no_key, spread_of
from satqkd.security.channel import SourceSettings
from satqkd.security.quick import quick_bits

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

_PASSES_AT_ONCE: Final = 4096


def exact_yields(network: Network, passes: Opportunities) -> Floats:
    """Expected secret bits of each pass, shape (n,); some 5 ms a pass, with a spread 0.1 s."""
    return exact_spread(network, passes).key_bits


def fast_yields(network: Network, passes: Opportunities) -> Floats:
    """The surrogate's expected secret bits of each pass, shape (n,); some 0.2 ms a pass, with a spread 1 ms.

    Ships and polarisation that drifts in the time of a pass are computed exactly.
    """
    return fast_spread(network, passes).key_bits


def exact_spread(network: Network, passes: Opportunities) -> KeySpread:
    """Key of each pass with what the spread of its loss makes of it. No spread: alike in all columns."""
    found = no_key(len(passes))
    for row in range(len(passes)):
        found.put(np.array([row]), _exact(network, passes, row))
    return found


def fast_spread(network: Network, passes: Opportunities) -> KeySpread:
    """The same by the surrogate."""
    found = no_key(len(passes))
    for satellite, station, rows in links_of(passes):
        craft, ground = network.satellites[satellite], network.stations[station]
        if not gate_fits(craft, ground):
            continue
        if network.tracks[station] or ground.receiver.polarisation.drift_rad_s:
            for row in rows:
                found.put(np.array([row]), _exact(network, passes, int(row)))
            continue
        for part, light in windows_of(network, passes, rows):
            found.put(part, _fast(light, network.protocol, network.yields.loss_spread_db))
    return found


def surrogate_error(
    network: Network, passes: Opportunities, fast_bits: Floats, *, sample: int = 200, seed: int = 1
) -> SurrogateError:
    """The surrogate's error on passes drawn at random, without repetition. fast_bits: of all passes."""
    return error_on(lambda rows: exact_yields(network, passes.taken(rows)), fast_bits, sample, seed)


def contact_of_row(network: Network, passes: Opportunities, row: int) -> Contact:
    """A pass with its link on a grid of a second. Raises NoPassError, ConfigError for a gate too long."""
    craft = network.satellites[int(passes.satellite[row])]
    ground = station_at(network, int(passes.station[row]), float(passes.culmination_s[row]))
    return make_contact(craft, ground, passes.pass_of(row, network.start), step_s=PLANNING_GRID_S)


def weakened_contact(contact: Contact, loss_db: float) -> Contact:
    """The same contact with a loss on top of its budget's, that light alone suffers."""
    losses = weakened(contact.losses, loss_db)
    rates = expected_rates(losses, satellite=contact.satellite, station=contact.station)
    course = msgspec.structs.replace(contact.course, losses=losses, rates=rates)
    return msgspec.structs.replace(contact, course=course)


def links_of(passes: Opportunities) -> Iterator[tuple[int, int, Rows]]:
    """Satellite, station and rows of each that have some, the rows in order of time."""
    order = np.lexsort((passes.start_s, passes.station, passes.satellite))
    link = np.stack([passes.satellite[order], passes.station[order]])
    edges = np.flatnonzero((np.diff(link) != 0).any(axis=0)) + 1
    for rows in np.split(order, edges):
        if rows.size:
            yield int(passes.satellite[rows[0]]), int(passes.station[rows[0]]), rows


def windows_of(network: Network, passes: Opportunities, rows: Rows) -> Iterator[tuple[Rows, WindowLight]]:
    """The surrogate's budget of passes of one link, as many at once as memory likes; those that last."""
    craft, ground = network.satellites[passes.satellite[rows[0]]], network.stations[passes.station[rows[0]]]
    link = Link(network, craft, ground)
    for first in range(0, len(rows), _PASSES_AT_ONCE):
        part = rows[first : first + _PASSES_AT_ONCE]
        start_s, end_s = link.windows(passes, part)
        lasting = end_s - start_s > LEAST_WINDOW_S
        if lasting.any():
            yield part[lasting], link.light(start_s[lasting], end_s[lasting])


def fast_bits_of(
    craft: Satellite, ground: Station, protocol: Protocol, detections: Floats, errors: Floats
) -> Floats:
    """Bits of tables of counts by the surrogate's bound, below 0 where costs exceed what is secret.

    detections, errors: shape (n, 2, 3).  Returns shape (n,).
    """
    source = craft.source
    settings = SourceSettings(
        source.intensities,
        source.probabilities,
        source.basis_z_probability,
        ground.receiver.basis_z_probability,
        source.intensity_intervals,
    )
    order = np.argsort(-detections.sum(axis=(1, 2)), kind="stable")  # in order of loss, as the bound wants
    bits = np.empty(len(order))
    bits[order] = quick_bits(settings, detections[order], errors[order], policy_of(craft, ground, protocol))
    return bits


def _exact(network: Network, passes: Opportunities, row: int) -> KeySpread:
    craft, deviation_db = network.satellites[int(passes.satellite[row])], network.yields.loss_spread_db
    if not gate_fits(craft, network.stations[int(passes.station[row])]):
        return no_key(1)
    contact = contact_of_row(network, passes, row)
    if not deviation_db:
        return KeySpread.certain(np.array([float(expected_key(contact, network.protocol).secret_bits)]))

    def bits(z: float) -> float:
        return float(expected_key(weakened_contact(contact, deviation_db * z), network.protocol).secret_bits)

    return spread_of(bits)


def _fast(light: WindowLight, protocol: Protocol, deviation_db: float) -> KeySpread:
    if not deviation_db:
        bits = fast_bits_of(light.craft, light.ground, protocol, *light.counts())
        return KeySpread.certain(np.floor(np.maximum(bits, 0.0)))

    def bits_at(rows: Rows, z: Floats) -> Floats:
        counts = light.taken(rows).counts(deviation_db * z)
        return fast_bits_of(light.craft, light.ground, protocol, *counts)

    return fast_spread_of(bits_at, light.windows, deviation_db=deviation_db)
