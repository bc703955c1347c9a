"""What the optimiser tells: best settings for passes to come, what they are worth, and what depends on what.

Numbers of bits are expectations over loss and weather where those are uncertain. No counts of real passes.
"""

import msgspec

from satqkd.security.channel import SourceSettings


class LossRow(msgspec.Struct, frozen=True):
    """One loss that a pass may have, of all passes together."""

    loss_db: float
    """On top of the budget's."""
    weight: float
    """Probability."""
    before_bits: float | None
    """Secret bits with the preset's settings, weather included; None where the bound does not cover them."""
    after_bits: float
    """With the best settings."""


class Alternative(msgspec.Struct, frozen=True):
    """Best settings under another rule, to choose between rules beforehand."""

    keyed_bases: tuple[str, ...]
    keyed_classes: tuple[str, ...]
    decoys: int
    expected_bits: float
    settings: SourceSettings


class ElevationCut(msgspec.Struct, frozen=True):
    """What the passes give when the quantum link runs above an elevation only."""

    elevation_deg: float
    expected_bits: float
    sifted_bits: float
    qber: float | None


class Closing(msgspec.Struct, frozen=True):
    """One pass cut into two blocks, the first closed at a time."""

    close_s: float
    """Pass time."""
    first_bits: float
    """Key of the first block, there to be used while the pass goes on."""
    rest_bits: float
    secret_bits: float
    """Of both."""


class Splitting(msgspec.Struct, frozen=True):
    """One pass cut into blocks of equal numbers of slots, as `protocol.blocks` does."""

    blocks: int
    first_key_s: float | None
    """Pass time at which the first block with key is over; None where none has any."""
    first_bits: float
    secret_bits: float
    """Of all blocks."""


class PlannedPass(msgspec.Struct, frozen=True):
    """One pass that was planned for."""

    start_utc: str
    duration_s: float
    max_elevation_deg: float
    clear_sky: float
    before_bits: float | None
    after_bits: float
    """Expected, with this pass's probability of a clear sky."""


class Sweep(msgspec.Struct, frozen=True):
    """Expected key against one setting, the others kept, class probabilities in proportion."""

    setting: str
    values: tuple[float, ...]
    """Increasing; the best one is among them."""
    expected_bits: tuple[float, ...]
    """By the quick bound, which is never above the exact one at the same counts."""


class SourceOptimum(msgspec.Struct, frozen=True, kw_only=True):
    """Best settings, and every table that belongs to them; fields as `satqkd optimise --json` prints them."""

    satellite: str
    station: str
    bound: str
    keyed_bases: tuple[str, ...]
    keyed_classes: tuple[str, ...]
    loss_spread_db: float
    fixed: tuple[str, ...]
    """What was not to be chosen."""
    before: SourceSettings
    """The presets' settings."""
    before_bits: float | None
    """None where the bound does not cover a source of as many classes."""
    after: SourceSettings
    """The best found, rounded to four decimals."""
    after_bits: float
    evaluations: int
    """Settings that the search tried."""
    passes: tuple[PlannedPass, ...]
    losses: tuple[LossRow, ...]
    fixed_length_bits: float | None = None
    """Expectation with the best length fixed beforehand for each pass, at settings chosen for that, on the
    passes that stand for all; None for a loss that is known."""
    variable_over_fixed: float | None = None
    """What lengths that follow the counts give of that, on the same passes."""
    missing_factor: float | None = None
    """Where no settings give key: how many times the pulses would be enough, if any number is."""
    reason: str = ""
    """In words, where there is no key; then the tables below are empty."""
    alternatives: tuple[Alternative, ...] = ()
    """The first is under the rules that were asked for; all on the passes that stand for all."""
    elevation_cuts: tuple[ElevationCut, ...] = ()
    best_elevation_deg: float | None = None
    closings: tuple[Closing, ...] = ()
    """Of the pass with the most key."""
    splittings: tuple[Splitting, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
