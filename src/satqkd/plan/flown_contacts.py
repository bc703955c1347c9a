"""Planned contacts flown by the digital twin: single photons against what the plan expected.

`contact_of_plan` gives what `satqkd.run_pass` wants; `fly_contacts` flies some and sets the figures side by
side. A pass of minutes takes tens of seconds.
"""

from collections.abc import Iterable, Iterator
from typing import TypedDict

import msgspec

from satqkd.config import Protocol, Satellite, Station
from satqkd.errors import ConfigError
from satqkd.mission.contact import PLANNING_GRID_S, choose_pass, make_contact
from satqkd.mission.foretold import expected_key
from satqkd.mission.run_pass import run_pass
from satqkd.plan.network import Network
from satqkd.plan.opportunities import station_at
from satqkd.plan.result import PlannedContact
from satqkd.randomness import stream
from satqkd.sky import format_utc, parse_utc


class Flight(TypedDict):
    """The arguments of `satqkd.run_pass` for a planned contact."""

    satellite: Satellite
    station: Station
    at_utc: str
    protocol: Protocol


class FlownContact(msgspec.Struct, frozen=True, kw_only=True):
    """Key of one contact under a clear sky, bits."""

    satellite: str
    station: str
    start_utc: str
    planned_bits: float
    """What the plan was made with: the surrogate's, where it was not told otherwise."""
    expected_bits: int
    """By the full link budget."""
    twin_bits: int
    """That both ends distilled."""


def contact_of_plan(network: Network, contact: PlannedContact) -> Flight:
    """How a planned contact is flown: the station where it then is, with the mask of the scenario.

    Raises ConfigError for names that are not the network's.
    """
    satellites = {each.name: each for each in network.satellites}
    stations = {each.name: k for k, each in enumerate(network.stations)}
    if contact.satellite not in satellites or contact.station not in stations:
        raise ConfigError(
            f"contact of {contact.satellite!r} and {contact.station!r}: expected names of the scenario "
            f"{network.name}, which has others; give the scenario that was planned"
        )
    start = parse_utc(contact.start_utc)
    middle = start + (parse_utc(contact.end_utc) - start) / 2
    ground = station_at(network, stations[contact.station], (middle - network.start).total_seconds())
    mask_rad = max(ground.minimum_elevation_rad, network.service.minimum_elevation_rad or 0.0)
    return Flight(
        satellite=satellites[contact.satellite],
        station=msgspec.structs.replace(ground, minimum_elevation_rad=mask_rad),
        at_utc=format_utc(middle),
        protocol=network.protocol,
    )


def fly_contacts(
    network: Network, contacts: Iterable[PlannedContact], *, seed: int
) -> Iterator[FlownContact]:
    """Fly contacts one after another; each by a seed of its own, by its names and start.

    Raises as `satqkd.run_pass` does, so for a contact by day, and as `contact_of_plan` does.
    """
    for contact in contacts:
        flight = contact_of_plan(network, contact)
        names = (contact.satellite, contact.station, contact.start_utc)
        own_seed = int(stream(seed, "flown contacts", *names).integers(1 << 31))
        yield FlownContact(
            satellite=contact.satellite,
            station=contact.station,
            start_utc=contact.start_utc,
            planned_bits=contact.key_bits,
            expected_bits=_expected_bits(flight),
            twin_bits=run_pass(**flight, seed=own_seed).secret_bits,
        )


def _expected_bits(flight: Flight) -> int:
    satellite, station = flight["satellite"], flight["station"]
    found = choose_pass(satellite, station, parse_utc(flight["at_utc"]))
    contact = make_contact(satellite, station, found, step_s=PLANNING_GRID_S)
    return expected_key(contact, flight["protocol"]).secret_bits
