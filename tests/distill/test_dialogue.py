"""Both reconcilers as dialogues: equal strings, equal accounts, and no bit that is not charged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.config import Protocol
from satqkd.distill import codes, reconcile, verify
from satqkd.distill.leak_class import choose_class
from satqkd.distill.reconciliation import class_of, correction_of, qber_of, reference_of
from satqkd.errors import RemoteProtocolError
from satqkd.security.tails import binary_entropy

POLICIES = ("ldpc", "cascade-least-leak", "cascade-fewest-rounds")


def protocol(policy, **more):
    return Protocol(**{"reconciliation": policy, "frame_bits": 8192, **more})


def strings(n_bits, qber, seed):
    rng = np.random.default_rng(seed)
    sent = rng.integers(0, 2, n_bits, dtype=np.uint8)
    return sent, sent ^ (rng.random(n_bits) < qber).astype(np.uint8)


def held(sent, received, leak_class, rules, rates=0.02):
    """Both ends after the dialogue, and how many bits crossed each way."""
    above = reference_of(sent, leak_class, rules)
    below = correction_of(received, leak_class, rates, rules)
    down = up = 0
    parities = above.opening()
    while True:
        assert parities.size == below.parities_awaited
        verdicts = below.take(parities)
        assert verdicts.size == above.verdicts_awaited
        down, up = down + parities.size, up + verdicts.size
        parities = above.take(verdicts)
        if not above.verdicts_awaited:
            assert parities.size == below.parities_awaited == 0
            break
    assert above.failed.tolist() == below.failed.tolist()
    assert above.account == below.account
    if above.failed_bits:
        below.replace_failed(above.failed_values())
    return above, below, down, up


@pytest.mark.parametrize("policy", POLICIES)
@given(n_bits=st.integers(0, 20_000), qber=st.floats(0, 0.06), seed=st.integers(0, 2**31))
@settings(max_examples=12, deadline=None)
def test_strings_become_equal_and_every_bit_is_charged(policy, n_bits, qber, seed):
    sent, received = strings(n_bits, qber, seed)
    leak_class = choose_class(max(qber, 0.002), frame_length=max(1, min(n_bits, 8192)), further_rounds=5)
    above, below, down, up = held(sent, received, leak_class, protocol(policy), rates=max(qber, 0.002))
    np.testing.assert_array_equal(above.bits, below.bits)
    np.testing.assert_array_equal(above.bits, sent[above.order])
    account = above.account
    assert account.verdict_bits == up
    assert account.frames == -(-n_bits // 8192)
    assert account.parity_bits == down or account.failed or account.parity_bits <= n_bits < down
    assert account.leaked_bits == account.parity_bits + account.verdict_bits


@pytest.mark.parametrize("policy", POLICIES[1:])
def test_cascade_is_charged_both_ways(policy):
    sent, received = strings(65_536, 0.02, 5)
    rules = protocol(policy, frame_bits=65_536)
    above, _, down, up = held(sent, received, class_of(0.02, sent.size, 10**9, rules), rules)
    assert down == up
    assert above.account.leaked_bits == 2 * down
    assert down < 1.06 * sent.size * binary_entropy(float((sent != received).mean()))


def test_frames_that_never_decode_are_revealed_and_charged_whole(monkeypatch):
    """One frame of three fails in all its rounds: its length is charged, its flags too."""
    true = reconcile.Attempt.run

    def run(attempt, *args):
        found = true(attempt, *args)
        return codes.msgspec.structs.replace(found, converged=found.converged and found.bits.size != 7127)

    monkeypatch.setattr(reconcile.Attempt, "run", run)
    sent, received = strings(3 * 7128 - 1, 0.01, 2)
    leak_class = choose_class(0.02, frame_length=8192)
    above, below, _, up = held(sent, received, leak_class, protocol("ldpc"), rates=0.01)
    assert above.failed.tolist() == [False, False, True]
    np.testing.assert_array_equal(above.bits, below.bits)
    rounds = len(reconcile.further_rows(codes.code(7127, leak_class)))
    assert above.account.rounds == rounds + 1
    assert up == 3 + rounds
    syndromes = 2 * reconcile.syndrome_bits(7128, leak_class)
    assert above.account.parity_bits == syndromes + 7127
    assert above.account.leaked_bits == syndromes + 7127 + up


@pytest.mark.parametrize("rounds", [0, 2, 5])
def test_no_more_rounds_than_agreed(rounds):
    sent, received = strings(8192, 0.2, 3)
    above, *_ = held(
        sent, received, choose_class(0.01, frame_length=8192), protocol("ldpc", further_rounds=rounds)
    )
    assert above.failed.all()
    assert above.account.rounds == rounds + 1
    assert above.account.parity_bits == 8192


def test_reliabilities_reach_the_decoder():
    """A quarter of the bits bad, and known to be: much less is told than with their mean rate."""
    rng = np.random.default_rng(6)
    rates = np.where(np.arange(65_536) % 4 == 0, 0.1, 0.005)
    sent, _ = strings(65_536, 0, 6)
    received = sent ^ (rng.random(rates.size) < rates).astype(np.uint8)
    rules = protocol("ldpc", frame_bits=65_536)
    leak_class = choose_class(rates, frame_length=65_536, sample_bits=10**9, further_rounds=5)
    told = [
        held(sent, received, leak_class, rules, rates=given)[0].account.leaked_bits
        for given in (rates, float(rates.mean()))
    ]
    entropy = (binary_entropy(0.1) + 3 * binary_entropy(0.005)) / 4
    assert told[0] < 1.16 * entropy * sent.size
    assert told[1] > 1.2 * told[0]


def test_reliabilities_follow_their_bits_into_the_frames():
    """Every other bit bad, three frames: given to the wrong bits, the rates would do harm."""
    rng, n_bits = np.random.default_rng(7), 3 * 16_384
    rates = np.where(np.arange(n_bits) % 2 == 0, 0.06, 0.003)
    sent, _ = strings(n_bits, 0, 7)
    received = sent ^ (rng.random(n_bits) < rates).astype(np.uint8)
    rules = protocol("ldpc", frame_bits=16_384)
    leak_class = choose_class(rates, frame_length=16_384, sample_bits=10**9, further_rounds=5)
    above, below, _, _ = held(sent, received, leak_class, rules, rates=rates)
    np.testing.assert_array_equal(above.bits, below.bits)
    entropy = (binary_entropy(0.06) + binary_entropy(0.003)) / 2
    assert not above.failed.any()
    assert above.account.leaked_bits < 1.25 * entropy * n_bits


@given(st.integers(0, len(codes.LEAK_FRACTIONS) - 1))
def test_a_class_stands_for_one_error_rate(leak_class):
    rate = qber_of(leak_class)
    assert 0 < rate <= 0.5
    assert leak_class == 0 or rate >= qber_of(leak_class - 1)
    assert 1.04 * binary_entropy(rate) == pytest.approx(codes.LEAK_FRACTIONS[leak_class], rel=4e-3)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("n_bits", "qber", "count"), [(65_536, 0.01, 2000), (32_768, 0.02, 4000), (65_536, 0.11, 300)]
)
def test_many_frames_fail_less_than_once_in_a_thousand_and_never_unnoticed(n_bits, qber, count):
    rules = protocol("ldpc", frame_bits=n_bits)
    leak_class = choose_class(qber, frame_length=n_bits, sample_bits=10**12, further_rounds=5)
    failed = unnoticed = 0
    for seed in range(count):
        sent, received = strings(n_bits, qber, seed)
        above, below, _, _ = held(sent, received, leak_class, rules, rates=qber)
        failed += int(above.failed.any())
        unnoticed += not np.array_equal(above.bits, below.bits)
    assert failed <= count / 1000
    assert unnoticed == 0


@pytest.mark.soak
def test_wrong_words_of_short_codes_never_pass_verification():
    """10 000 frames of 8192 bits, whose codes have low-weight words: some decode wrong, the tags tell all of
    them."""
    rules = protocol("ldpc", frame_bits=8192)
    leak_class = choose_class(0.005, frame_length=8192, sample_bits=10**12, further_rounds=5)
    wrong = passed = 0
    for seed in range(10_000):
        above, below, _, _ = held(*strings(8192, 0.005, seed), leak_class, rules, rates=0.005)
        fresh = np.random.default_rng([seed, 1]).bytes(verify.seed_bytes(1e-15))
        same = verify.matches(*(verify.tag(end.bits, fresh, 1e-15) for end in (above, below)))
        wrong += not np.array_equal(above.bits, below.bits)
        passed += same and not np.array_equal(above.bits, below.bits)
        assert same == np.array_equal(above.bits, below.bits)
    assert passed == 0
    assert wrong > 0  # power: there was something to catch


@pytest.mark.parametrize(
    ("n_bits", "qber", "required"),
    [
        (65_536, 0.005, 1.30),
        (65_536, 0.01, 1.20),
        (65_536, 0.02, 1.18),
        (65_536, 0.03, 1.16),
        (65_536, 0.05, 1.15),
        (262_144, 0.005, 1.18),
        (262_144, 0.01, 1.14),
        (262_144, 0.02, 1.13),
        (262_144, 0.05, 1.12),
    ],
)
def test_leak_over_entropy_is_what_is_required(n_bits, qber, required):
    """Every bit of both ways, over the entropy of the error rate; a mean of a few frames of fixed seeds."""
    rules = protocol("ldpc", frame_bits=n_bits)
    leak_class = choose_class(qber, frame_length=n_bits, sample_bits=10**12, further_rounds=5)
    told = [
        held(*strings(n_bits, qber, seed), leak_class, rules, rates=qber)[0].account.leaked_bits
        for seed in range(8 if n_bits < 100_000 else 3)
    ]
    assert np.mean(told) / n_bits / binary_entropy(qber) <= required


@pytest.mark.parametrize(("n_bits", "qber"), [(8192, 0.02), (65_536, 0.005), (65_536, 0.03), (262_144, 0.11)])
def test_one_shot_decodes_above_the_one_way_floor_and_nothing_below_the_entropy(n_bits, qber):
    """Floor n h + z sqrt(n v) at failure 10^-2 (facts: reconciliation, 2c). A decoder that knew more than
    it was told would succeed below."""
    chosen = choose_class(qber, frame_length=n_bits, sample_bits=10**12, further_rounds=0)
    slope = np.log2((1 - qber) / qber)
    floor = binary_entropy(qber) + 2.326 * slope * np.sqrt(qber * (1 - qber) / n_bits)
    assert reconcile.syndrome_bits(n_bits, chosen) / n_bits > floor
    below = int(np.searchsorted(codes.LEAK_FRACTIONS, 0.97 * binary_entropy(qber))) - 1
    for seed in range(3):
        sent, received = strings(n_bits, qber, seed)
        for leak_class, reaches in ((chosen, True), (below, False)):
            told = reconcile.syndrome(sent, leak_class)
            found = reconcile.decode(received, told, leak_class, qber)
            assert (found is not None and np.array_equal(found, sent)) == reaches


@pytest.mark.parametrize("policy", POLICIES[1:])
def test_a_frame_that_cascade_gives_up_is_charged_whole_and_revealed(policy):
    """The second frame of two is noise: its parities would outgrow it."""
    rules = protocol(policy, frame_bits=4096)
    rng = np.random.default_rng(8)
    sent = rng.integers(0, 2, 8192, dtype=np.uint8)
    order = reference_of(sent, 60, rules).order
    wrong = np.zeros(8192, np.uint8)
    wrong[order[:4096]] = rng.random(4096) < 0.01
    wrong[order[4096:]] = rng.random(4096) < 0.4
    leak_class = choose_class(0.01, frame_length=4096, further_rounds=5)
    above, below, down, up = held(sent, sent ^ wrong, leak_class, rules)
    assert above.failed.tolist() == [False, True]
    np.testing.assert_array_equal(above.bits, below.bits)
    first = above._schedule.frame_parities[0]
    assert above.account.parity_bits == first + 4096
    assert above.account.verdict_bits == up == down


@pytest.mark.parametrize("policy", POLICIES)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_no_end_takes_what_it_does_not_await(policy, data):
    """Other lengths, types and values are refused before anything changes; the dialogue then goes on."""
    sent, received = strings(3000, 0.02, 1)
    rules, leak_class = protocol(policy, frame_bits=1500), 80
    above, below = reference_of(sent, leak_class, rules), correction_of(received, leak_class, 0.02, rules)
    parities = above.opening()
    wrong = data.draw(
        st.sampled_from([parities[:-1], np.append(parities, 0), parities.astype(bool), parities + 2])
    )
    before = below.account
    with pytest.raises(RemoteProtocolError):
        below.take(np.asarray(wrong, wrong.dtype if wrong.dtype == bool else np.uint8))
    assert below.account == before
    verdicts = below.take(parities)
    for bad in (verdicts[:-1], np.append(verdicts, 1).astype(np.uint8), verdicts + 2):
        with pytest.raises(RemoteProtocolError):
            above.take(np.asarray(bad, np.uint8))
    while above.verdicts_awaited:
        parities = above.take(verdicts)
        verdicts = below.take(parities) if above.verdicts_awaited else verdicts
    if not above.failed.any():
        np.testing.assert_array_equal(above.bits, below.bits)
    with pytest.raises(RemoteProtocolError):
        below.replace_failed(np.zeros(below.failed_bits + 1, np.uint8))


def test_a_string_without_bits_is_over_at_once():
    above, below, down, up = held(np.empty(0, np.uint8), np.empty(0, np.uint8), 50, protocol("ldpc"))
    assert (above.account.leaked_bits, above.account.rounds, down, up) == (0, 0, 0, 0)
    assert below.account == above.account
