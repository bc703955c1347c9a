"""Night passes to come, as the optimiser takes them: contacts, their weather, and how key is made of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
import numpy as np

from satqkd.config import Protocol, Satellite, Source, Station
from satqkd.errors import NoPassError
from satqkd.mission.contact import PLANNING_GRID_S, SEARCH_S, Contact, choose_pass, make_contact
from satqkd.mission.course import site_of
from satqkd.mission.flown import receiver_model
from satqkd.mission.foretold import PLANNING_EFFICIENCY
from satqkd.mission.link_channel import link_channel
from satqkd.security import SecurityTargets
from satqkd.security.channel import Channel, SourceSettings
from satqkd.security.plan import Policy, Prior, Scenario
from satqkd.security.settings_space import SettingsLimits
from satqkd.security.source import Interval
from satqkd.sky import Pass, find_passes, format_utc, is_night, orbit_of

FIXABLE: Final = ("intensities", "probabilities", "basis")
"""Mean photon numbers, class probabilities, basis biases of both ends."""
REPRESENTATIVES: Final = 8
"""Passes that stand for a season in a search; its answer is computed for all."""
_LEAST_DECOY: Final = 0.005
_MOST_SIGNAL: Final = 1.0
_LEAST_PROBABILITY: Final = 0.002
"""Of a class and a basis, and more where the receiver's basis is not known so well."""
_TOLD_NODES: Final = 33
_MOST_TOLD: Final = 200
"""Passes times losses at which lengths are computed, about."""


class PassPlan(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Passes of one satellite over one station, each a block of its own."""

    satellite: Satellite
    station: Station
    contacts: tuple[Contact, ...]
    channels: tuple[Channel, ...]
    """Of each contact."""
    clear_sky: tuple[float, ...]
    """Probability of each."""
    loss_spread_db: float
    """Standard deviation of each pass's loss around the budget's, independent."""
    policy: Policy
    fix: tuple[str, ...] = ()
    """Of `FIXABLE`: what stays as the presets have it."""
    decoys: int = 2

    @property
    def settings(self) -> SourceSettings:
        """What the presets say."""
        source = self.satellite.source
        return SourceSettings(
            source.intensities,
            source.probabilities,
            source.basis_z_probability,
            self.station.receiver.basis_z_probability,
            source.intensity_intervals,
        )

    @property
    def told_prior(self) -> Prior:
        """Fine enough for what jumps with the loss."""
        nodes = max(9, min(_TOLD_NODES, _MOST_TOLD // len(self.contacts)) | 1)
        return Prior.even(self.loss_spread_db, nodes=nodes)

    @property
    def limits(self) -> SettingsLimits:
        """What may be chosen: the vacuum stays as dark as it is, a passive receiver's basis at 1/2."""
        source, receiver = self.satellite.source, self.station.receiver
        classes, intervals = self.decoys + 1, source.intensity_intervals
        free_receiver = receiver.basis_choice == "active" and "basis" not in self.fix
        return SettingsLimits(
            decoys=self.decoys,
            intensities=source.intensities[:classes] if "intensities" in self.fix else None,
            vacuum_intensity=source.intensities[2],
            intensity_range=_intensity_range(source),
            least_probability=max(_LEAST_PROBABILITY, 1.5 * receiver.limits.basis_spread),
            probabilities=source.probabilities if "probabilities" in self.fix else None,
            basis_z_probability=source.basis_z_probability if "basis" in self.fix else None,
            station_basis_z_probability=None if free_receiver else receiver.basis_z_probability,
            relative_intervals=None if intervals is None else _relative(intervals, source.intensities),
            vacuum_interval=None if intervals is None else intervals[2],
        )

    def scenarios(self, prior: Prior) -> list[Scenario]:
        """One for each contact."""
        return [
            Scenario(channel, weight, prior)
            for channel, weight in zip(self.channels, self.clear_sky, strict=True)
        ]

    def thinned(self) -> "PassPlan":
        """Few passes that stand for all: of like ones, with equal shares of the light, the middle one."""
        if len(self.contacts) <= REPRESENTATIVES:
            return self
        light = np.array([_light(each) for each in self.channels])
        order = np.lexsort((np.array([contact.epoch.timestamp() for contact in self.contacts]), light))
        share = np.cumsum((light * self.clear_sky)[order])
        place = np.minimum(REPRESENTATIVES * share / share[-1] * (1 - 1e-12), REPRESENTATIVES - 1).astype(int)
        middles, weights = [], []
        for group in (order[place == k] for k in range(REPRESENTATIVES)):
            if group.size:
                # Weighted so that the light of the group is kept.
                middle = int(group[group.size // 2])
                middles.append(middle)
                weights.append(float((light * self.clear_sky)[group].sum() / light[middle]))
        return msgspec.structs.replace(
            self,
            contacts=tuple(self.contacts[k] for k in middles),
            channels=tuple(self.channels[k] for k in middles),
            clear_sky=tuple(weights),
        )


def pass_plan(
    satellite: Satellite,
    station: Station,
    at: datetime,
    *,
    protocol: Protocol,
    bound: str | None = None,
    passes: int = 1,
    season_s: float | None = None,
    loss_spread_db: float = 0.0,
    clear_sky: float = 1.0,
    fix: Sequence[str] = (),
    decoys: int = 2,
) -> PassPlan:
    """Passes by night from the one that contains `at` on. Raises NoPassError."""
    contacts = _contacts(satellite, station, at, passes=passes, season_s=season_s)
    return PassPlan(
        satellite=satellite,
        station=station,
        contacts=tuple(contacts),
        channels=tuple(link_channel(each) for each in contacts),
        clear_sky=(clear_sky,) * len(contacts),
        loss_spread_db=loss_spread_db,
        policy=policy_of(satellite, station, protocol, bound),
        fix=tuple(fix),
        decoys=decoys,
    )


def policy_of(satellite: Satellite, station: Station, protocol: Protocol, bound: str | None = None) -> Policy:
    """How the protocol makes key between these two, under its bound or another."""
    return Policy(
        security=SecurityTargets(protocol.epsilon_secrecy, protocol.epsilon_correctness),
        bound=protocol.bound if bound is None else bound,
        keyed_bases=protocol.keyed_bases,
        keyed_classes=protocol.keyed_classes,
        reconciliation_efficiency=PLANNING_EFFICIENCY,
        receiver=receiver_model(satellite, station),
        basis_spread=station.receiver.limits.basis_spread,
    )


def _contacts(
    satellite: Satellite, station: Station, at: datetime, *, passes: int, season_s: float | None
) -> list[Contact]:
    first = choose_pass(satellite, station, at)
    if season_s is None and passes == 1:
        return [make_contact(satellite, station, first, step_s=PLANNING_GRID_S)]
    if season_s is None:
        found: list[Pass] = []
        while len(found) < passes:
            more = _night_passes(satellite, station, found[-1].end if found else first.start, SEARCH_S)
            if not more:
                raise NoPassError(
                    f"expected {passes} night passes of {satellite.name} over {station.name} from "
                    f"{format_utc(at)} on, found {len(found)} before a gap of {SEARCH_S / 86_400:.0f} days; "
                    "ask for fewer, or for another time"
                )
            found += more
        found = found[:passes]
    else:
        waited_s = max(0.0, (first.start - at).total_seconds())
        found = _night_passes(satellite, station, first.start, max(1.0, season_s - waited_s))
    if not found:
        raise NoPassError(
            f"no night pass of {satellite.name} comes into the range of {station.name} within "
            f"{season_s or 0:.0f} s of {format_utc(at)}; plan for a longer season"
        )
    return [make_contact(satellite, station, each, step_s=PLANNING_GRID_S) for each in found]


def _night_passes(satellite: Satellite, station: Station, start: datetime, duration_s: float) -> list[Pass]:
    """Those that culminate in the window and come into range."""
    passes = find_passes(
        orbit_of(satellite.orbit),
        site_of(station),
        start,
        duration_s=duration_s,
        minimum_elevation_rad=station.minimum_elevation_rad,
    )
    return [each for each in passes if is_night(each) and _usable(station, each)]


def _usable(station: Station, each: Pass) -> bool:
    return station.maximum_range_m is None or each.min_range_m < station.maximum_range_m


def _intensity_range(source: Source) -> Interval:
    """Wide, with the preset's own intensities in it and the decoy above the vacuum."""
    signal, decoy, vacuum = source.intensities
    return min(max(_LEAST_DECOY, 1.5 * vacuum), decoy), max(_MOST_SIGNAL, signal)


def _light(channel: Channel) -> float:
    return float((channel.pulses * channel.transmittance.sum(axis=0)).sum())


def _relative(intervals: Sequence[Interval], intensities: Sequence[float]) -> tuple[Interval, ...]:
    return tuple(
        (low / mu, high / mu) for (low, high), mu in zip(intervals[:2], intensities[:2], strict=True)
    )
