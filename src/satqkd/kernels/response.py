"""How detectors and time tagger answer, compiled: the sequential part of the digital twin.

Rules, random numbers, units and sources stand in `satqkd.kernels.response_plain`, whose `respond` gives the
same tags. Here they are written to `out`; when it is full the call returns, and the caller goes on from the
row it tells with more room. Nothing is checked here.
"""

import math

import numpy as np

from satqkd.kernels.clicks import uniform_32, uniform_53
from satqkd.kernels.clicks_plain import STREAM_RESPONSE, Ints
from satqkd.kernels.jit import njit
from satqkd.kernels.philox import words
from satqkd.kernels.philox_plain import MASK_32, SHIFT_32
from satqkd.kernels.response_plain import (
    NEVER_PS,
    NOT_DRAWN,
    PENDING_MAX,
    RECOVERED,
    Memory,
    Response,
)

U64 = np.uint64
_RESPONSE = U64(STREAM_RESPONSE)


@njit
def respond(
    keys: Ints, row: int, before_ps: int, response: Response, memory: Memory, out: Ints
) -> tuple[int, int, bool]:
    """Tags of keys[row:] and of afterpulses before `before_ps`: (next row, tags written, finished)."""
    # The hot path touches arrays by their own names and calls nothing: a call that hands the tuples on would
    # copy all of them each time.
    last_click_ps, last_tag_ps, clicks_until = memory.last_click_ps, memory.last_tag_ps, memory.clicks_until
    dead_ps, recovery_ps, afterpulse = response.dead_ps, response.recovery_ps, response.afterpulse
    tagger_dead_ps, resolution_ps = response.tagger_dead_ps, response.resolution_ps
    count = 0
    next_ps, next_detector = next_afterpulse(memory)
    while row < keys.size or next_ps < before_ps:
        if count == out.size:
            return row, count, False
        if row < keys.size and (
            keys[row] >> 3 < next_ps or (keys[row] >> 3 == next_ps and keys[row] & 7 <= next_detector)
        ):
            time, channel = keys[row] >> 3, keys[row] & 7
            row += 1
        else:
            time, channel = next_ps, next_detector
            drop_afterpulse(memory, channel, time)
            next_ps, next_detector = next_afterpulse(memory)
        if channel <= 3:
            recovering_ps = dead_ps[channel] - (time - last_click_ps[channel])
            if recovering_ps > 0:
                continue
            if recovering_ps > -RECOVERED * recovery_ps[channel] and not recovers(
                recovering_ps, channel, response, memory
            ):
                continue
            last_click_ps[channel] = time
            if afterpulse[channel] > 0.0:
                if clicks_until[channel] == NOT_DRAWN:
                    draw_afterpulse(channel, response, memory)
                clicks_until[channel] -= 1
                if clicks_until[channel] == NOT_DRAWN:
                    keep_afterpulse(memory, channel, time + dead_ps[channel] + memory.delay_ps[channel])
                    next_ps, next_detector = next_afterpulse(memory)
        if time - last_tag_ps[channel] >= tagger_dead_ps:
            last_tag_ps[channel] = time
            if resolution_ps > 1:
                time = time // resolution_ps * resolution_ps
            out[count] = time * 8 + channel
            count += 1
    return row, count, True


@njit
def recovers(recovering_ps: int, d: int, response: Response, memory: Memory) -> bool:
    """Whether a detector so long (as a negative number) past its dead time has enough efficiency back."""
    w0, _, _, _ = draw(4 + d, response, memory)
    return bool(uniform_32(w0) < -math.expm1(recovering_ps / response.recovery_ps[d]))


@njit
def draw_afterpulse(d: int, response: Response, memory: Memory) -> None:
    """How many clicks it is to the next one, and how late it comes."""
    w0, w1, w2, w3 = draw(d, response, memory)
    until = math.log(uniform_53(w0, w1)) / math.log1p(-response.afterpulse[d])
    memory.clicks_until[d] = int(min(until, 2.0**62))
    memory.delay_ps[d] = int(-math.log(uniform_53(w2, w3)) * response.decay_ps[d])


@njit
def draw(use: int, response: Response, memory: Memory) -> tuple[U64, U64, U64, U64]:
    """The words of the next event of a use."""
    event = U64(memory.events[use])
    memory.events[use] += 1
    k0, k1 = U64(response.key_0), U64(response.key_1)
    return words(event & MASK_32, event >> SHIFT_32, U64(use), _RESPONSE, k0, k1)


@njit
def next_afterpulse(memory: Memory) -> tuple[int, int]:
    """Time and detector of the earliest that waits; of equal times the lower detector."""
    earliest, detector = NEVER_PS, 7
    for d in range(4):
        for place in range(memory.pending[d]):
            if memory.pending_ps[d, place] < earliest:
                earliest, detector = memory.pending_ps[d, place], d
    return earliest, detector


@njit
def keep_afterpulse(memory: Memory, d: int, time: int) -> None:
    """Let one wait."""
    if memory.pending[d] < PENDING_MAX:
        memory.pending_ps[d, memory.pending[d]] = time
        memory.pending[d] += 1


@njit
def drop_afterpulse(memory: Memory, d: int, time: int) -> None:
    """Take one of this time away."""
    last = memory.pending[d] - 1
    for place in range(memory.pending[d]):
        if memory.pending_ps[d, place] == time:
            memory.pending_ps[d, place] = memory.pending_ps[d, last]
            memory.pending[d] = last
            return
