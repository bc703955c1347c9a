"""Two sessions over made-up detections: for any channel equal keys, one account, nothing told early."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wiretap
from satqkd.distill.authenticate import pass_key_bits
from satqkd.distill.codes import LEAK_FRACTIONS
from satqkd.distill.outcome import SecretReady, StageEntered
from satqkd.distill.parameters import Parameters
from satqkd.errors import ConfigError
from satqkd.randomness import stream_bytes
from satqkd.security import ReceiverModel
from session_pair import DOWN, UP, Pair, Pool, Table, flown, kind_of, parameters


def checked(pair: Pair) -> Pair:
    """All that must hold whatever came of the pass."""
    agreed, blocks = pair.agreed, pair.agreed.protocol.blocks
    assert pair.satellite.finished
    assert pair.station.finished
    said, rules = wiretap.from_messages(pair.said), wiretap.rules_of(agreed)
    wiretap.check_order(said, rules)
    wiretap.check_answers(said)
    assert pair.keys(DOWN) == pair.keys(UP)
    assert pair.confirmed(DOWN) == pair.confirmed(UP) == set(pair.keys(UP))
    assert len(pair.reports(DOWN)) == len(pair.reports(UP)) == blocks
    for ours, theirs in zip(pair.reports(DOWN), pair.reports(UP), strict=True):
        account = wiretap.recount(said, ours.block, rules)
        assert ours == theirs
        assert account.leaked_bits == ours.leaked_bits
        assert (account.frames, account.failed) == (ours.frames, ours.frames_failed)
        assert account.rounds == (
            {(b, k): ours.counts[3 * b + k].detections for b in range(2) for k in range(3)}
            if account.rounds
            else {}
        )
        assert ours.keys_match == (ours.outcome == "key") == (ours.secret_bits > 0)
        assert ours.secret_bits == 8 * len(pair.keys(UP).get(ours.block, b""))
        assert bool(ours.reason) == (ours.outcome != "key")
        check_counts(pair.table, ours, agreed.first_slot(ours.block), agreed.first_slot(ours.block + 1))
    return pair


def check_counts(table: Table, report: Any, low: int, high: int) -> None:
    """The report's counts are those of the table, errors of keyed rounds included."""
    rows = np.flatnonzero((table.slots >= low) & (table.slots < high))
    sent = table.settings(table.slots[rows])
    assert report.detections == rows.size
    for count in report.counts:
        basis, index = "ZX".index(count.basis), ("signal", "decoy", "vacuum").index(count.class_name)
        mine = (sent.basis == basis) & (table.bases[rows] == basis) & (sent.intensity_class == index)
        assert count.detections == mine.sum()
        assert count.errors == (sent.bit[mine] != table.bits[rows][mine]).sum()


PROTOCOLS = st.fixed_dictionaries(
    {
        "slots": st.sampled_from([3, 300, 20_000, 200_000]),
        "blocks": st.integers(1, 3),
        "keyed_bases": st.sampled_from([("Z",), ("X",), ("Z", "X")]),
        "keyed_classes": st.sampled_from([("signal",), ("signal", "decoy")]),
        "frame_bits": st.sampled_from([8192, 65536]),
        "bound": st.sampled_from(["variable-sharp", "variable", "variable-martingale"]),
    }
)


@settings(max_examples=60, deadline=None)
@given(PROTOCOLS, st.floats(0, 0.15), st.sampled_from([1.0, 0.1, 0.0]), st.integers(0, 100))
def test_any_channel_ends_in_one_account(
    protocol: dict[str, Any], qber: float, transmittance: float, seed: int
) -> None:
    pair = checked(flown(parameters(**protocol), qber=qber, transmittance=transmittance, seed=seed))
    if transmittance == 0:
        assert all(report.outcome in ("no_key", "aborted") for report in pair.reports(UP))


@pytest.mark.parametrize("bases", [("Z",), ("X",), ("Z", "X")], ids="".join)
@pytest.mark.parametrize("blocks", [1, 3])
def test_a_good_channel_gives_key(bases: tuple[Any, ...], blocks: int) -> None:
    pair = checked(flown(parameters(slots=200_000 * blocks, blocks=blocks, keyed_bases=bases)))
    keys = pair.keys(UP)
    assert [report.outcome for report in pair.reports(UP)] == ["key"] * blocks
    assert len(set(keys.values())) == blocks
    for key in keys.values():
        ones = int(np.unpackbits(np.frombuffer(key, np.uint8)).sum())
        assert abs(ones - 4 * len(key)) < 6 * (2 * len(key)) ** 0.5


def test_martingale_weights_are_agreed_before_the_first_slot() -> None:
    """More key than the default from the same light; the sets are in the digest that hello compares."""
    usual = checked(flown(parameters(slots=400_000))).reports(UP)
    agreed = parameters(slots=400_000, bound="variable-martingale")
    pair = checked(flown(agreed))
    (report,) = pair.reports(UP)
    assert report.outcome == "key"
    assert report.secret_bits > usual[0].secret_bits > 0
    assert set(agreed.weights) == {"Z", "X"}
    assert report.length.terms["bases"]["Z"]["events"] == len(agreed.weights["Z"])
    before, fewer = agreed.digest, {"Z": agreed.weights["Z"][1:], "X": agreed.weights["X"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parameters, "weights", property(lambda self: fewer))
        assert agreed.digest != before


def test_a_receiver_the_martingale_does_not_cover_is_refused_before_the_pass() -> None:
    agreed = parameters(bound="variable-martingale")
    uneven = msgspec.structs.replace(
        agreed, receiver=ReceiverModel(basis_choice="passive", x_share=(0.5, 0.5))
    )
    with pytest.raises(ConfigError, match=r"basis_spread"):
        flown(uneven)


def test_keyed_decoys_carry_key_too() -> None:
    agreed = parameters(slots=400_000, keyed_classes=("signal", "decoy"))
    (report,) = checked(flown(agreed)).reports(UP)
    assert report.outcome == "key"
    keyed = [row.detections for row in report.counts if row.class_name in ("signal", "decoy")]
    assert report.sifted_bits == sum(keyed)


@pytest.mark.parametrize(
    "policy",
    [
        {"reconciliation": "cascade-least-leak"},
        {"reconciliation": "cascade-fewest-rounds", "frame_bits": 8192},
        {"further_rounds": 0},
        {"further_rounds": 2, "frame_bits": 8192},
    ],
    ids=lambda policy: " ".join(map(str, policy.values())),
)
def test_every_policy_of_reconciliation_gives_key(policy: dict[str, Any]) -> None:
    """And the leak subtracted is the one that an independent reader counts, in every mode."""
    (report,) = checked(flown(parameters(slots=400_000, **policy))).reports(UP)
    assert (report.outcome, report.frames_failed) == ("key", 0)
    if "reconciliation" in policy:
        assert report.reconciliation_bits == 2 * report.parity_bits
    else:
        assert report.reconciliation_rounds <= 1 + policy["further_rounds"]


@pytest.mark.parametrize("qber", [0.07, 0.15, 0.5])
def test_a_noisy_channel_is_aborted_with_its_counts(qber: float) -> None:
    (report,) = checked(flown(qber=qber)).reports(UP)
    assert (report.outcome, report.secret_bits, report.leaked_bits) == ("aborted", 0, {})
    assert "QBER" in report.reason
    assert report.errors / report.sifted_bits == pytest.approx(qber, rel=0.1)


def test_noise_that_nothing_foretold_costs_all() -> None:
    """Keyed rounds far noisier than the revealed ones: every frame fails, and is charged."""
    agreed = parameters()
    table = Table(agreed, qber=0.0)
    for basis in range(2):
        rows = table.rounds(basis, 0)
        table.bits[rows[::5]] ^= 1
    (report,) = checked(Pair(agreed, table).fly()).reports(UP)
    assert report.frames_failed == report.frames > 0
    assert (report.outcome, report.secret_bits) == ("no_key", 0)
    assert report.errors / report.sifted_bits == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize("kept", [0, 1, 2, 7])
def test_hardly_a_detection(kept: int) -> None:
    agreed = parameters()
    table = Table(agreed)
    table.keep(np.arange(kept))
    (report,) = checked(Pair(agreed, table).fly()).reports(UP)
    assert report.detections == kept
    assert (report.outcome, report.secret_bits) == ("no_key", 0)


@pytest.mark.parametrize("classes", [(0,), (0, 1, 2)], ids=["no signal", "nothing"])
def test_one_basis_without_a_keyed_round(classes: tuple[int, ...]) -> None:
    agreed = parameters(slots=400_000)
    table = Table(agreed)
    blind = np.concatenate([table.rounds(1, each) for each in classes])
    table.keep(np.setdiff1d(np.arange(table.slots.size), blind))
    (report,) = checked(Pair(agreed, table).fly()).reports(UP)
    assert report.counts[3].detections == 0
    assert report.outcome in ("aborted", "no_key")


def test_empty_blocks_between_full_ones() -> None:
    agreed = parameters(slots=600_000, blocks=3)
    table = Table(agreed)
    inner = (table.slots >= agreed.first_slot(1)) & (table.slots < agreed.first_slot(2))
    table.keep(np.flatnonzero(~inner))
    reports = checked(Pair(agreed, table).fly()).reports(UP)
    assert [report.outcome for report in reports] == ["key", "no_key", "key"]


def test_slots_outside_the_pass_are_cut() -> None:
    agreed = parameters(slots=100)
    pair = Pair(agreed, Table(agreed))
    pair.greet()
    slots = np.array([-5, -1, 0, 99, 100, 101])
    pair.station.announce(slots, np.zeros(6, np.uint8), np.zeros(6, np.uint8))
    pair.exchange(1.0)
    pair.open_block(0)
    assert pair.reports(UP)[0].detections == pair.reports(DOWN)[0].detections == 2


def test_the_same_dice_give_the_same_pass_and_fresh_bytes_another_key() -> None:
    one, again, other = (
        Pair(agreed, Table(agreed), seed=seed).fly() for agreed in [parameters()] for seed in (1, 1, 2)
    )
    assert one.said == again.said
    assert one.reports(UP) == other.reports(UP)
    assert one.keys(UP) != other.keys(UP)


def test_how_detections_are_cut_into_messages_changes_no_number() -> None:
    agreed = parameters()
    pairs = []
    for parts in (1, 17):
        pair = Pair(agreed, Table(agreed))
        pair.greet()
        pair.announce(0, parts)
        pair.open_block(0)
        pairs.append(checked(pair))
    assert pairs[0].reports(UP) == pairs[1].reports(UP)
    assert pairs[0].keys(UP) == pairs[1].keys(UP)


def test_the_satellites_draws_are_one_hash_seed_and_one_toeplitz_seed_a_basis() -> None:
    agreed, drawn = parameters(), []
    pair = Pair(agreed, Table(agreed))
    source = stream_bytes(7, "satellite")

    def randbytes(count: int) -> bytes:
        drawn.append(count)
        return source(count)

    pair.satellite._random._randbytes = randbytes
    checked(pair.fly())
    (report,) = pair.reports(DOWN)
    keyed = [sum(row.detections for row in report.counts if row.basis == basis and row.class_name == "signal")
             for basis in "ZX"]  # fmt: skip
    (amplify,) = [each for each in wiretap.from_messages(pair.said) if each.kind == "Amplify"]
    assert drawn[1:] == [(bits - 1 + 7) // 8 for bits in keyed]
    assert [len(seed) for seed in amplify.fields[2]] == drawn[1:]


def test_authentication_key_is_taken_whole_at_hello_whatever_becomes_of_the_pass() -> None:
    agreed = parameters(blocks=2)
    pair = Pair(agreed, Table(agreed), pools=(Pool(position_bits=800), Pool(position_bits=2048)))
    assert pair.satellite.authentication_bits_spent == 0
    pair.greet()
    needed = pass_key_bits(2)
    assert [pool.drawn for pool in pair.pools] == [[(2048, needed)]] * 2
    assert pair.satellite.authentication_bits_spent == pair.station.authentication_bits_spent == needed
    pair.announce(0)
    assert [pool.position_bits for pool in pair.pools] == [2048 + needed] * 2


def test_no_text_form_shows_key() -> None:
    pair = flown()
    for way in (UP, DOWN):
        (ready,) = [each for each in pair.events[way] if isinstance(each, SecretReady)]
        texts = [repr(each) for each in pair.events[way]] + [str(ready), f"{ready}"]
        assert ready.secret.hex()[:16] not in "".join(texts)
        assert repr(ready.secret)[2:20] not in "".join(texts)


def test_events_come_before_the_messages_that_rest_on_them() -> None:
    """Key is ready to be stored before Amplify or Confirm leaves: commit, then speak."""
    agreed = parameters()
    pair = Pair(agreed, Table(agreed))
    order: list[str] = []

    def hook(direction: str, data: bytes) -> bytes:
        kind = wiretap.from_messages([(direction, 0.0, data)])[0].kind
        stored = [each for each in pair.events[direction] if isinstance(each, SecretReady)]
        if kind in ("Amplify", "Confirm"):
            assert len(stored) == 1
        order.append(kind)
        return data

    pair.hook = hook
    checked(pair.fly())
    assert order[-5:] == ["Close", "Amplify", "Confirm", "Confirmed", "Done"]
    stages = [each.stage for each in pair.events[UP] if isinstance(each, StageEntered)]
    assert stages == ["announced", "chosen", "reconciled", "closed", "confirming", "finished"]


def test_the_code_class_learns_from_the_blocks_before() -> None:
    """Decoys are keyed, nothing is revealed: the first block must take the expected rate, three times too
    high."""
    agreed = parameters(
        slots=900_000, blocks=3, expected_qber=0.03, keyed_classes=("signal", "decoy"), further_rounds=0
    )
    pair = checked(flown(agreed, qber=0.01))
    said = wiretap.from_messages(pair.said)
    classes = [each.fields[1] for each in said if each.kind == "ChooseCodes"]
    leaks = [[LEAK_FRACTIONS[chosen] for chosen in each] for each in classes]
    for basis in range(2):
        assert leaks[1][basis] < 0.75 * leaks[0][basis]
        assert leaks[2][basis] < 0.75 * leaks[0][basis]


def test_a_block_waits_for_the_blocks_before_it_not_for_the_clock() -> None:
    """The second block's sift answer comes while the first is still open: same classes as in order."""
    agreed = parameters(slots=600_000, blocks=2, expected_qber=0.03, keyed_classes=("signal", "decoy"))

    def classes(pair: Pair) -> list[object]:
        said = wiretap.from_messages(pair.said)
        return [(each.block, each.fields[1]) for each in said if each.kind == "ChooseCodes"]

    calm = flown(agreed, qber=0.01)
    late = Pair(agreed, Table(agreed, qber=0.01))
    late.greet()
    late.announce(0)
    late.announce(1)
    late.station.end_block(0, late.end_s(1))
    late.station.end_block(1, late.end_s(1))
    late.exchange(late.end_s(1))
    sifts = [i for i, (_, _, data) in enumerate(late.said) if kind_of(data) == "Sift"]
    closes = [i for i, (_, _, data) in enumerate(late.said) if kind_of(data) == "Close"]
    assert max(sifts) < min(closes)  # power: it did come while the first was open
    assert classes(late) == classes(calm)
    assert [report.outcome for report in late.reports(UP)] == ["key", "key"]


def test_both_ends_sum_the_forgery_bounds_of_the_same_tags() -> None:
    """Close and Amplify cover the whole block so far, Confirm and Confirmed the key: four tags a block."""
    agreed = parameters(slots=400_000, blocks=2)
    pair = checked(flown(agreed))
    total = pair.satellite.epsilon_authentication
    assert total == pair.station.epsilon_authentication
    said = sum(len(data) for _, _, data in pair.said)
    assert 2 * 2 * 8 * 100 / 2**106 < total < 2 * 4 * 8 * (said // 16 + 1) / 2**106
    assert Pair(agreed, Table(agreed)).station.epsilon_authentication == 0.0
