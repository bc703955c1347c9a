"""Long horizons, window by window: a window is planned, its first part is kept, the next begins there.

What a part leaves behind (link key on board, key that pairs have got) is what the next window begins with. At
the end the relays of the whole are chosen anew for the contacts that were kept, and the bound is that of the
linear relaxation of the whole, so the gap told is honest whatever the windows cost.
"""

from collections import defaultdict
from datetime import timedelta
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from satqkd.constants import DAY_S
from satqkd.errors import ConfigError
from satqkd.plan.flow import FOREVER, Carried, Link, Periods, State, periods_of
from satqkd.plan.network import Network
from satqkd.plan.opportunities import Opportunities
from satqkd.plan.program import revolutions
from satqkd.plan.schedule import NOTHING, Choice, choose, serve, upper_bound
from satqkd.plan.search import Search

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Flown = NDArray[np.bool_]

LOOK_AHEAD: Final = 2.0
"""A window is so many times as long as what is kept of it."""


class Part(msgspec.Struct, frozen=True, eq=False):
    """A stretch of the horizon as a network of its own, and its passes; times count from its begin."""

    network: Network
    passes: Opportunities
    value_bits: Floats
    rows: Rows
    """Of the passes, in the whole."""


def roll(
    network: Network, passes: Opportunities, value_bits: Floats, search: Search, *, window_s: float
) -> Choice:
    """A plan of the whole horizon, `window_s` kept at a time.

    Raises ConfigError for a window that cuts a period in which books are kept, and as `choose` does.
    """
    _require_whole_periods(network, window_s)
    flown, state = np.zeros(len(passes), dtype=np.bool_), NOTHING
    for from_s in np.arange(0.0, network.duration_s, window_s).tolist():
        kept_s = min(window_s, network.duration_s - from_s)
        seen_s = min(LOOK_AHEAD * window_s, network.duration_s - from_s)
        ahead = part_of(network, passes, value_bits, from_s, seen_s, flown)
        choice = choose(ahead.network, ahead.passes, ahead.value_bits, search, state)
        is_kept = choice.flown & (ahead.passes.end_s <= kept_s)
        flown[ahead.rows[is_kept]] = True
        state = _after(network, passes, value_bits, flown, from_s, kept_s, state)
    choice = serve(network, passes, value_bits, flown)
    return msgspec.structs.replace(choice, bound=upper_bound(network, passes, value_bits), status="feasible")


def part_of(
    network: Network,
    passes: Opportunities,
    value_bits: Floats,
    from_s: float,
    length_s: float,
    flown: Flown,
) -> Part:
    """Passes that end in a stretch and that no flown one from before it excludes."""
    ends_here = (passes.end_s > from_s) & (passes.end_s <= from_s + length_s)
    rows = np.flatnonzero(ends_here & ~_excluded(network, passes, ends_here, from_s, flown))
    chosen = passes.taken(rows)
    times = {name: getattr(chosen, name) - from_s for name in ("start_s", "culmination_s", "end_s")}
    return Part(
        network=msgspec.structs.replace(
            network, start=network.start + timedelta(seconds=from_s), duration_s=length_s
        ),
        passes=msgspec.structs.replace(chosen, **times),
        value_bits=value_bits[rows],
        rows=rows,
    )


def after(part: Part, choice: Choice, state: State) -> State:
    """What a part leaves: link key that is young enough, the oldest used first, and key of pairs so far.

    choice: with all passes that are flown, those too whose key is for later.
    """
    periods, service = periods_of(part.network), part.network.service
    stock = _came(part, choice, periods, state)
    for transfer, bits in sorted(choice.transfers, key=lambda each: each[0].period):
        pair = part.network.pairs[transfer.pair]
        for station in (pair.a, pair.b):
            _draw(stock[transfer.satellite, station], bits, transfer.period)
    lasting = 0 if service.key_life_s is None else periods.count
    carried = tuple(
        Carried(satellite, station, bits, FOREVER if not lasting else life - lasting)
        for (satellite, station), pieces in sorted(stock.items())
        for life, bits in pieces
        if bits > 0 and (not lasting or life >= lasting)
    )
    served = np.array(state.served_bits or np.zeros(len(part.network.pairs))) + choice.pair_bits
    return State(carried, tuple(served.tolist()))


Stock = dict[Link, list[tuple[int, float]]]
"""By link: pieces of key, each with the last period at whose end it can be relayed, and bits."""


def _came(part: Part, choice: Choice, periods: Periods, state: State) -> Stock:
    stock: Stock = defaultdict(list)
    for each in state.carried:
        stock[each.satellite, each.station].append((each.life, each.key_bits))
    ages = part.network.service.key_life_s is not None
    period = periods.of(part.passes.end_s)
    for row in np.flatnonzero(choice.flown).tolist():
        link = int(part.passes.satellite[row]), int(part.passes.station[row])
        life = int(period[row]) + periods.life if ages else FOREVER
        stock[link].append((life, float(part.value_bits[row])))
    return stock


def _draw(pieces: list[tuple[int, float]], bits: float, period: int) -> None:
    """Take bits of pieces that still live in a period, those first that end first."""
    pieces.sort()
    left = bits
    for k, (life, held) in enumerate(pieces):
        if life >= period and left > 0:
            taken = min(held, left)
            pieces[k] = (life, held - taken)
            left -= taken


def _excluded(
    network: Network, passes: Opportunities, ends_here: Flown, from_s: float, flown: Flown
) -> Flown:
    """Passes too near to a flown one from before, or in a revolution that it has begun to use up."""
    excluded, setup_s = np.zeros(len(passes), dtype=np.bool_), network.service.setup_s
    counted = network.service.contact_per_revolution_s is not None
    revolution = revolutions(network, passes) if counted else np.zeros(len(passes), dtype=np.intp)
    for row in np.flatnonzero(flown & (passes.end_s <= from_s) & (passes.end_s > from_s - DAY_S)).tolist():
        same_satellite = passes.satellite == passes.satellite[row]
        near = passes.start_s < passes.end_s[row] + setup_s
        excluded |= ends_here & near & (same_satellite | (passes.station == passes.station[row]))
        if counted:
            excluded |= ends_here & same_satellite & (revolution == revolution[row])
    return excluded


def _require_whole_periods(network: Network, window_s: float) -> None:
    period_s = network.service.period_s
    if periods_of(network).count > 1 and window_s % period_s:
        raise ConfigError(
            f"plan, window: expected whole periods of {period_s:g} s, in which books of stores are kept, got "
            f"{window_s:g} s; round it"
        )


def _after(
    network: Network,
    passes: Opportunities,
    value_bits: Floats,
    flown: Flown,
    from_s: float,
    length_s: float,
    state: State,
) -> State:
    earlier = flown & (passes.end_s <= from_s)
    part = part_of(network, passes, value_bits, from_s, length_s, earlier)
    choice = serve(part.network, part.passes, part.value_bits, flown[part.rows], state)
    return after(part, msgspec.structs.replace(choice, flown=flown[part.rows]), state)
