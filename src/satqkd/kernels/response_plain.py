"""How detectors and time tagger answer what falls on them, in plain Python: `response` compiles it.

Keys `time_ps * 8 + channel` in order of time go in; keys of tags in order of time come out. For each of the
four detectors: no answer within the dead time of its last click; after it the efficiency comes back as
1 - exp(-t / recovery); a click is followed by an afterpulse with some probability, at an exponential time
after the end of its dead time, which meets the same rules and may have one of its own. The tagger then
drops a click within its own dead time of the last tag on the channel (the detector has fired all the same)
and rounds down to its resolution. A click that is not seen does not prolong a dead time. Channels above 3
have no detector: the tagger alone answers for them.

    counter     word 0          word 1          word 2        word 3            output words
    afterpulse  event mod 2^32  event div 2^32  detector      STREAM_RESPONSE   0-1 clicks until it, 2-3 time
    recovery    event mod 2^32  event div 2^32  4 + detector  STREAM_RESPONSE   0 answer

Afterpulses are drawn as the number of clicks until the next one has one, which is geometric: one draw an
afterpulse instead of one a click. Events are counted by detector, so the answer does not depend on how the
stream is cut.

Sources: the non-paralysable model of Knoll, "Radiation Detection and Measurement", section 4.VII; Cova,
Lacaita and Ripamonti, IEEE Electron Device Letters 12, 685 (1991), for afterpulses by trapped carriers.
"""

import heapq
import math
from typing import Final, NamedTuple

import numpy as np

from satqkd.kernels.clicks_plain import STREAM_RESPONSE, Floats, Ints, uniform_32, uniform_53
from satqkd.kernels.philox_plain import MASK_32, SHIFT_32, Column, columns

PENDING_MAX: Final = 32
"""Afterpulses that wait at one detector; at probabilities below 0.3 no more ever do."""
LONG_AGO_PS: Final = -(2**60)
NEVER_PS: Final = 2**60
NOT_DRAWN: Final = -1
RECOVERED: Final = 40.0
"""Time constants after which what is missing of the efficiency is below the grain of a 32-bit number."""


class Response(NamedTuple):
    """Arrays are by detector, shape (4,)."""

    dead_ps: Ints
    recovery_ps: Floats
    """0: the full efficiency is back at once."""
    afterpulse: Floats
    """Probability."""
    decay_ps: Floats
    tagger_dead_ps: int
    resolution_ps: int
    key_0: int
    key_1: int


class Memory(NamedTuple):
    """What detectors and tagger remember between calls; changed in place."""

    last_click_ps: Ints
    """Shape (4,)."""
    last_tag_ps: Ints
    """By channel, shape (8,)."""
    events: Ints
    """Draws so far: afterpulses of the four detectors, then recoveries; shape (8,)."""
    clicks_until: Ints
    """Clicks of a detector before the one that has its next afterpulse, or NOT_DRAWN; shape (4,)."""
    delay_ps: Ints
    """How long after the dead time that afterpulse comes; shape (4,)."""
    pending_ps: Ints
    """Afterpulses to come, shape (4, PENDING_MAX)."""
    pending: Ints
    """How many of them, shape (4,)."""


def new_memory() -> Memory:
    """Nothing clicked yet."""
    return Memory(
        last_click_ps=np.full(4, LONG_AGO_PS, np.int64),
        last_tag_ps=np.full(8, LONG_AGO_PS, np.int64),
        events=np.zeros(8, np.int64),
        clicks_until=np.full(4, NOT_DRAWN, np.int64),
        delay_ps=np.zeros(4, np.int64),
        pending_ps=np.zeros((4, PENDING_MAX), np.int64),
        pending=np.zeros(4, np.int64),
    )


def respond(keys: Ints, before_ps: int, response: Response, memory: Memory) -> Ints:
    """Tags of the sorted keys, and of afterpulses before `before_ps`; `memory` is updated.

    Every key lies before `before_ps`; afterpulses at or after it wait in the memory.
    """
    waiting = [
        (int(time), d) for d in range(4) for time in memory.pending_ps[d, : int(memory.pending[d])].tolist()
    ]
    heapq.heapify(waiting)
    tags: list[int] = []
    coming = [(key >> 3, key & 7) for key in keys.tolist()]
    row = 0
    while row < len(coming) or (waiting and waiting[0][0] < before_ps):
        if row < len(coming) and (not waiting or coming[row] <= waiting[0]):
            time, channel = coming[row]
            row += 1
        else:
            time, channel = heapq.heappop(waiting)
        if channel > 3 or _clicks(time, channel, response, memory, waiting):
            _tag(time, channel, response, memory, tags)
    for d in range(4):
        left = sorted(time for time, detector in waiting if detector == d)
        memory.pending_ps[d, : len(left)] = left
        memory.pending[d] = len(left)
    return np.array(tags, np.int64)


def _clicks(time: int, d: int, response: Response, memory: Memory, waiting: list[tuple[int, int]]) -> bool:
    since = time - int(memory.last_click_ps[d])
    if since < response.dead_ps[d]:
        return False
    recovery = float(response.recovery_ps[d])
    recovering_ps = int(response.dead_ps[d]) - since
    if recovering_ps > -RECOVERED * recovery:
        chance = _draw(4 + d, response, memory)[0]
        if uniform_32(chance)[0] >= -math.expm1(recovering_ps / recovery):
            return False
    follows = response.afterpulse[d] > 0 and _has_afterpulse(d, response, memory)
    if follows and sum(detector == d for _, detector in waiting) < PENDING_MAX:
        heapq.heappush(waiting, (time + int(response.dead_ps[d]) + int(memory.delay_ps[d]), d))
    memory.last_click_ps[d] = time
    return True


def _has_afterpulse(d: int, response: Response, memory: Memory) -> bool:
    """Whether this click has one; its delay is then in the memory."""
    if memory.clicks_until[d] == NOT_DRAWN:
        number_high, number_low, time_high, time_low = _draw(d, response, memory)
        until = math.log(uniform_53(number_high, number_low)[0]) / math.log1p(-float(response.afterpulse[d]))
        memory.clicks_until[d] = int(min(until, 2.0**62))
        memory.delay_ps[d] = int(-math.log(uniform_53(time_high, time_low)[0]) * float(response.decay_ps[d]))
    memory.clicks_until[d] -= 1
    return bool(memory.clicks_until[d] == NOT_DRAWN)


def _tag(time: int, channel: int, response: Response, memory: Memory, tags: list[int]) -> None:
    if time - int(memory.last_tag_ps[channel]) < response.tagger_dead_ps:
        return
    memory.last_tag_ps[channel] = time
    tags.append((time // response.resolution_ps * response.resolution_ps) * 8 + channel)


def _draw(use: int, response: Response, memory: Memory) -> tuple[Column, ...]:
    number = np.full(1, memory.events[use], np.uint64)
    memory.events[use] += 1
    word_2, stream = np.full(1, use, np.uint64), np.full(1, STREAM_RESPONSE, np.uint64)
    return columns(number & MASK_32, number >> SHIFT_32, word_2, stream, (response.key_0, response.key_1))
