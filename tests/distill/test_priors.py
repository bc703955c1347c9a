"""What revealed rounds tell of keyed ones: exact for expected counts, sharper where the light grows faint."""

import numpy as np
import pytest

from satqkd.distill.priors import Lesson, prior_of
from satqkd.distill.sift import Rounds, rounds_of
from satqkd.randomness import stream
from session_pair import SOURCE, parameters

SHARE = np.array(SOURCE.probabilities)
MEAN = np.array(SOURCE.intensities)


def block(*, eta, background, error, slots=1_000_000, seed=1, keyed_classes=("signal",)):
    """Rounds of both bases in turn with eta(t) over the block; their slots, and which are wrong."""
    rng = stream(seed, "priors")
    time = np.arange(slots) / slots
    classes = rng.choice(3, slots, p=SHARE).astype(np.uint8)
    light = rng.random(slots) < np.broadcast_to(eta(time), slots) * MEAN[classes]
    dark = rng.random(slots) < background
    seen = np.flatnonzero(light | dark)
    wrong = np.where(light[seen], rng.random(seen.size) < error, rng.random(seen.size) < 0.5)
    mine = classes[seen]
    keyed = np.isin(mine, [("signal", "decoy").index(name) for name in keyed_classes])
    basis = rng.integers(0, 2, seen.size, dtype=np.uint8)
    return rounds_of(basis, mine, np.zeros(seen.size, np.uint8), keyed), seen, wrong


def keyed_of(rounds, basis=0):
    return rounds.keyed & (rounds.basis == basis)


def test_a_steady_link_gives_one_rate():
    rounds, slots, wrong = block(eta=lambda t: 0.3 + 0 * t, background=1e-3, error=0.01)
    prior = prior_of(rounds, slots, wrong & ~rounds.keyed, 0, parameters())
    true = wrong[keyed_of(rounds)].mean()
    decoys = int(((rounds.intensity_class == 1) & (rounds.basis == 0)).sum())
    assert 0.3 * decoys < prior.sample_bits < 1.5 * decoys
    assert prior.rates.shape == (int(keyed_of(rounds).sum()),)
    assert prior.qber == pytest.approx(true, rel=0.1)
    assert np.ptp(prior.rates) < 0.003


def test_a_fading_link_gives_rates_that_rise_where_it_fades():
    """Power: one mean rate for all would be off by a factor of two at both ends."""
    rounds, slots, wrong = block(
        eta=lambda t: 0.4 * np.exp(-3.5 * t), background=5e-3, error=0.008, slots=4_000_000
    )
    prior = prior_of(rounds, slots, wrong & ~rounds.keyed, 0, parameters())
    errors, fifths = wrong[keyed_of(rounds)], np.array_split(np.arange(prior.rates.size), 5)
    true = [errors[part].mean() for part in fifths]
    told = [prior.rates[part].mean() for part in fifths]
    assert true[-1] > 3 * true[0]
    np.testing.assert_allclose(told, true, rtol=0.35)


def test_classes_differ_where_decoys_are_keyed_too_only_by_the_agreed_rate():
    rounds, slots, wrong = block(
        eta=lambda t: 0.05 + 0 * t, background=1e-4, error=0.01, keyed_classes=("signal", "decoy")
    )
    agreed = parameters(expected_qber=0.02, keyed_classes=("signal", "decoy"))
    prior = prior_of(rounds, slots, wrong & ~rounds.keyed, 0, agreed)
    assert prior.sample_bits is None
    assert set(prior.rates) == {0.02}


def test_too_few_decoys_leave_the_agreed_rate():
    rounds, slots, wrong = block(eta=lambda t: 0.05 + 0 * t, background=0.0, error=0.01, slots=1_000_000)
    decoys = np.flatnonzero((rounds.intensity_class == 1) & (rounds.basis == 0))
    for count, known in ((199, False), (200, True)):
        keep = np.delete(np.arange(slots.size), decoys[count:])
        fewer = Rounds(*(getattr(rounds, name)[keep] for name in Rounds.__struct_fields__))
        prior = prior_of(fewer, slots[keep], (wrong & ~rounds.keyed)[keep], 0, parameters(expected_qber=0.02))
        assert (prior.sample_bits is not None) == known
    assert prior.qber != 0.02


def test_each_basis_has_its_own_errors():
    rounds, slots, wrong = block(eta=lambda t: 0.3 + 0 * t, background=1e-3, error=0.01)
    worse = wrong | ((rounds.basis == 1) & (stream(2, "worse").random(wrong.size) < 0.04))
    one, other = (prior_of(rounds, slots, worse & ~rounds.keyed, basis, parameters()) for basis in (0, 1))
    assert one.qber < 0.016 < 0.04 < other.qber


def test_a_basis_without_rounds():
    rounds, slots, wrong = block(eta=lambda t: 0.3 + 0 * t, background=1e-3, error=0.01)
    mine = rounds.basis == 0
    half = Rounds(*(getattr(rounds, name)[mine] for name in Rounds.__struct_fields__))
    prior = prior_of(half, slots[mine], (wrong & ~rounds.keyed)[mine], 1, parameters(expected_qber=0.03))
    assert (prior.rates.size, prior.sample_bits, prior.qber) == (0, None, 0.0)


def test_nothing_but_background_is_half_wrong():
    rounds, slots, wrong = block(eta=lambda t: 0 * t, background=0.01, error=0.01, slots=1_000_000)
    assert prior_of(rounds, slots, wrong & ~rounds.keyed, 0, parameters()).qber == pytest.approx(
        0.5, abs=0.03
    )


def test_keyed_errors_are_never_looked_at():
    rounds, slots, wrong = block(eta=lambda t: 0.3 + 0 * t, background=1e-3, error=0.01)
    one = prior_of(rounds, slots, wrong & ~rounds.keyed, 0, parameters())
    other = prior_of(rounds, slots, wrong | rounds.keyed, 0, parameters())
    np.testing.assert_array_equal(one.rates, other.rates)


def test_a_closed_block_teaches_the_next():
    """With decoys keyed nothing is revealed: the expected rate is wrong by half, the lesson is right."""
    link = {"eta": lambda t: 0.3 + 0 * t, "background": 1e-3, "error": 0.01}
    agreed = parameters(expected_qber=0.02)
    rounds, slots, wrong = block(**link)
    prior = prior_of(rounds, slots, wrong & ~rounds.keyed, 0, agreed)
    lesson = prior.lesson(int((wrong & keyed_of(rounds)).sum()))
    assert lesson.error_rate == pytest.approx(0.01, rel=0.1)
    rounds, slots, wrong = block(**link, seed=2, keyed_classes=("signal", "decoy"))
    keyed = parameters(expected_qber=0.02, keyed_classes=("signal", "decoy"))
    told = prior_of(rounds, slots, wrong & ~rounds.keyed, 0, keyed, lesson=lesson)
    assert told.qber == pytest.approx(wrong[keyed_of(rounds)].mean(), rel=0.1)
    assert told.sample_bits > 10_000


def test_a_lesson_sharpens_a_small_sample_but_does_not_rule_a_large_one():
    rounds, slots, wrong = block(eta=lambda t: 0.3 + 0 * t, background=1e-3, error=0.02)
    seen = wrong & ~rounds.keyed
    stale = Lesson(error_rate=0.005, photons=1e6)
    alone, taught = (prior_of(rounds, slots, seen, 0, parameters(), lesson=each) for each in (None, stale))
    decoys = np.flatnonzero((rounds.intensity_class == 1) & (rounds.basis == 0))
    keep = np.delete(np.arange(slots.size), decoys[250:])
    few = Rounds(*(getattr(rounds, name)[keep] for name in Rounds.__struct_fields__))
    right = Lesson(error_rate=0.0205, photons=1e5)
    small, helped = (
        prior_of(few, slots[keep], seen[keep], 0, parameters(), lesson=each) for each in (None, right)
    )
    assert taught.qber < alone.qber  # it counts
    assert helped.sample_bits > 5 * small.sample_bits
    assert helped.qber == pytest.approx(wrong[keyed_of(rounds)].mean(), rel=0.1)


def test_hardly_a_photon_teaches_nothing():
    rounds, slots, wrong = block(eta=lambda t: 0.3 + 0 * t, background=1e-3, error=0.01, slots=1000)
    assert prior_of(rounds, slots, wrong & ~rounds.keyed, 0, parameters()).lesson(1) is None
