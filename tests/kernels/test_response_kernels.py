"""Detectors and tagger: the compiled answer is the plain one, and both are what the docstring says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.kernels import response as compiled
from satqkd.kernels.response_plain import NEVER_PS, Memory, Response, new_memory, respond


def make_response(
    dead_ps: object = 0,
    *,
    recovery_ps: object = 0.0,
    afterpulse: object = 0.0,
    decay_ps: object = 1.0,
    tagger_dead_ps: int = 0,
    resolution_ps: int = 1,
) -> Response:
    each = np.ones(4)
    return Response(
        dead_ps=(each * dead_ps).astype(np.int64),
        recovery_ps=each * recovery_ps,
        afterpulse=each * afterpulse,
        decay_ps=each * decay_ps,
        tagger_dead_ps=tagger_dead_ps,
        resolution_ps=resolution_ps,
        key_0=5,
        key_1=6,
    )


def fast(keys: np.ndarray, before_ps: int, rules: Response, memory: Memory, room: int = 3) -> np.ndarray:
    """The compiled answer, with so little room that it has to go on again and again."""
    parts, row, finished = [], 0, False
    while not finished:
        out = np.empty(room, np.int64)
        row, count, finished = compiled.respond(keys, row, before_ps, rules, memory, out)
        parts.append(out[:count].copy())
    return np.concatenate(parts)


def poisson_keys(rate_hz: float, duration_s: float, *, seed: int = 1, channel: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, int(duration_s * 1e12), rng.poisson(rate_hz * duration_s)))
    return times * 8 + channel


events = st.lists(st.tuples(st.integers(-2000, 2000), st.integers(0, 4)), max_size=60)
times = st.integers(0, 300)
chances = st.sampled_from([0.0, 0.05, 0.3])


@settings(max_examples=150, deadline=None)
@given(events, times, times, chances, times, times, st.sampled_from([1, 7, 100]), st.integers(-2000, 2500))
def test_the_compiled_answer_is_the_plain_one_however_the_stream_is_cut(
    happened, dead, recovery, chance, decay, tagger_dead, resolution, cut
):
    keys = np.sort(np.array([8 * time + channel for time, channel in happened], np.int64))
    spread = np.array([1.0, 0.5, 2.0, 1.3])
    rules = make_response(
        dead * spread,
        recovery_ps=recovery * spread,
        afterpulse=min(chance, 0.3),
        decay_ps=decay * spread + 1,
        tagger_dead_ps=tagger_dead,
        resolution_ps=resolution,
    )
    whole = respond(keys, NEVER_PS, rules, new_memory())
    at = int(np.searchsorted(keys, cut * 8))
    for answer in (respond, fast):
        memory = new_memory()
        parts = [answer(keys[:at], cut, rules, memory), answer(keys[at:], NEVER_PS, rules, memory)]
        assert np.array_equal(np.concatenate(parts), whole)
    assert (np.diff(whole >> 3) >= 0).all()
    assert ((whole >> 3) % resolution == 0).all()
    if resolution == 1:
        for channel in range(4):
            gaps = np.diff((whole >> 3)[whole & 7 == channel])
            assert (gaps >= max(int(dead * spread[channel]), tagger_dead)).all()


def test_dead_time_is_not_prolonged_by_what_is_not_seen():
    keys = np.array([0, 80, 110, 190], np.int64) * 8
    assert (respond(keys, NEVER_PS, make_response(100), new_memory()) >> 3).tolist() == [0, 110]


def test_without_dead_time_all_is_tagged():
    keys = poisson_keys(1e6, 0.01)
    assert np.array_equal(fast(keys, NEVER_PS, make_response(), new_memory(), 10**6), keys)


def test_the_tagger_drops_what_the_detector_has_spent_its_dead_time_on():
    """A click that the tagger drops makes the detector dead all the same."""
    keys = np.array([0, 60, 105], np.int64) * 8
    rules = make_response(50, tagger_dead_ps=70)
    assert (respond(keys, NEVER_PS, rules, new_memory()) >> 3).tolist() == [0]
    assert (respond(keys, NEVER_PS, make_response(40, tagger_dead_ps=70), new_memory()) >> 3).tolist() == [
        0,
        105,
    ]


def test_the_tagger_answers_for_the_beacon_too():
    keys = np.array([3, 14, 57], np.int64) * 8 + 4
    tags = respond(keys, NEVER_PS, make_response(1000, tagger_dead_ps=20, resolution_ps=10), new_memory())
    assert (tags >> 3).tolist() == [0, 50]
    assert (tags & 7 == 4).all()


def test_afterpulses_have_their_probability_and_their_times():
    probability, dead_ps, decay_ps = 0.2, 5_000, 40_000.0
    keys = np.arange(200_000, dtype=np.int64) * 10_000_000 * 8
    rules = make_response(dead_ps, afterpulse=probability, decay_ps=decay_ps)
    tags = fast(keys, NEVER_PS, rules, new_memory(), 10**6) >> 3
    late = tags[tags % 10_000_000 != 0] % 10_000_000
    expected = keys.size * probability / (1 - probability)
    assert abs(late.size - expected) < 4.5 * np.sqrt(expected) / (1 - probability)
    first = np.unique(tags[tags % 10_000_000 != 0] // 10_000_000, return_index=True)[1]
    since = late[first] - dead_ps
    assert since.min() >= 0
    assert since.mean() == pytest.approx(decay_ps, rel=4 / np.sqrt(since.size))
    assert since.std() == pytest.approx(decay_ps, rel=8 / np.sqrt(since.size))


def test_saturation_follows_dead_time_and_recovery():
    r"""Renewal: mean interval = dead + tau e^x x^-x gamma(x, x), x = rate x tau, gamma lower incomplete."""
    from scipy.special import gamma, gammainc

    rate_hz, dead_s, tau_s = 4e6, 50e-9, 80e-9
    keys = poisson_keys(rate_hz, 0.2)
    rules = make_response(dead_s * 1e12, recovery_ps=tau_s * 1e12)
    counted = fast(keys, NEVER_PS, rules, new_memory(), 10**6).size
    x = rate_hz * tau_s
    interval_s = dead_s + tau_s * np.exp(x) * x**-x * gammainc(x, x) * gamma(x)
    assert counted * interval_s == pytest.approx(0.2, rel=4 / np.sqrt(counted))
    assert counted * (1 / rate_hz + dead_s) < 0.95 * 0.2  # without recovery there would be more


def test_detectors_differ():
    keys = np.sort(np.concatenate([poisson_keys(1e6, 0.05, seed=d, channel=d) for d in range(4)]))
    dead_ps = np.array([0, 100_000, 300_000, 1_000_000])
    tags = fast(keys, NEVER_PS, make_response(dead_ps), new_memory(), 10**6)
    counts = np.bincount(tags & 7, minlength=4)
    expected = 0.05 * 1e6 / (1 + 1e6 * dead_ps * 1e-12)
    assert (np.abs(counts - expected) < 4.5 * np.sqrt(expected)).all()
