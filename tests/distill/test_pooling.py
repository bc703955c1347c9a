"""Pools: blocks kept with nothing but slots told, then distilled as one with the block that closes them."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wiretap
from satqkd.distill import messages, pooling
from satqkd.distill.outcome import BlockReport, RawLeftOut
from satqkd.distill.parameters import Parameters, PlannedBlock
from satqkd.distill.pooling import HeldBlock, Pools
from satqkd.distill.raw_blocks import pack_detections, pack_settings, unpack_detections, unpack_settings
from satqkd.errors import AuthenticationError, ConfigError, LocalProtocolError, RemoteProtocolError
from satqkd.randomness import stream
from satqkd.records import Settings
from session_pair import DOWN, UP, MemoryShelf, Pair, Pool, Table, kind_of, parameters

SLOTS = 40_000
NEEDED = 30_000
Hold = Any


def planned_pass(number: int, *, bits: int = 10_000, pool: str = "p", **changes: Any) -> Parameters:
    return parameters(
        **{
            "slots": SLOTS,
            "pass_id": f"pass{number}",
            "planned": ((pool, bits),),
            "pooling": "pooled",
            "pool_sifted_bits": NEEDED,
            "epsilon_secrecy": 1e-6,
            **changes,
        }
    )


class Link:
    """A satellite and a station with their stores, from pass to pass."""

    def __init__(self) -> None:
        self.pools = Pool(), Pool()
        self.shelves = MemoryShelf(), MemoryShelf()
        self.passes: list[Pair] = []

    def pair(self, agreed: Parameters, *, table: dict[str, Any] | None = None, **more: Any) -> Pair:
        number = len(self.passes)
        made = Pair(
            agreed,
            Table(agreed, **{"seed": number, **(table or {})}),
            pools=self.pools,
            shelves=self.shelves,
            seed=number,
            **more,
        )
        self.passes.append(made)
        return made

    def fly(self, agreed: Parameters, **more: Any) -> Pair:
        return self.pair(agreed, **more).fly()

    def states(self) -> tuple[dict[str, str], dict[str, str]]:
        return self.shelves[0].states, self.shelves[1].states


def flown(passes: int = 3, **table: Any) -> Link:
    link = Link()
    for number in range(passes):
        link.fly(planned_pass(number), table=table)
    return link


def only(pair: Pair) -> BlockReport:
    """The one report, the same at both ends."""
    (ours,), (theirs,) = pair.reports(DOWN), pair.reports(UP)
    assert ours == theirs
    return ours


def sent_and_measured(pairs: list[Pair], basis: int) -> tuple[np.ndarray, np.ndarray]:
    """Keyed bits of a basis as sent and as measured, pass after pass, straight from the tables."""
    sent, measured = [], []
    for pair in pairs:
        rows = pair.table.rounds(basis, 0)
        sent.append(pair.table.settings(pair.table.slots[rows]).bit)
        measured.append(pair.table.bits[rows])
    return np.concatenate(sent), np.concatenate(measured)


def hashed(bits: np.ndarray, secret_bits: int, seed: bytes) -> np.ndarray:
    """y = (I | T) x by one plain convolution: T_ij = s[i - j + n - m - 1]."""
    diagonal = np.unpackbits(np.frombuffer(seed, np.uint8), bitorder="little")[: bits.size - 1]
    tail = bits[secret_bits:].astype(np.int64)
    rows = np.convolve(diagonal[: bits.size - 1].astype(np.int64), tail)
    return (bits[:secret_bits] + rows[tail.size - 1 : tail.size - 1 + secret_bits]) & 1


def in_frames(bits: np.ndarray, frame_bits: int) -> np.ndarray:
    """Frame order: every frame takes its bits evenly from the whole string."""
    size = -(-bits.size // -(-bits.size // frame_bits))
    lengths = [min(size, bits.size - start) for start in range(0, bits.size, size)]
    places = np.concatenate([(np.arange(length) + 0.5) / length for length in lengths])
    order = np.empty(bits.size, dtype=np.int64)
    order[np.argsort(places, kind="stable")] = np.arange(bits.size)
    return bits[order]


@pytest.fixture(scope="module")
def link() -> Link:
    """Three passes, the third of which closes the pool; not to be changed."""
    return flown()


class TestAPool:
    def test_passes_that_give_nothing_alone_give_key_together(self, link: Link) -> None:
        for number in range(3):
            alone = Link().fly(planned_pass(number, planned=(), pooling="per-pass"), table={"seed": number})
            assert only(alone).outcome == "no_key"
        kept, also, closed = map(only, link.passes)
        assert [kept.outcome, also.outcome, closed.outcome] == ["no_key", "no_key", "key"]
        assert closed.secret_bits > 100
        last = link.passes[-1]
        assert last.keys(DOWN) == last.keys(UP) != {}
        assert last.confirmed(DOWN) == last.confirmed(UP) == {0}

    def test_its_key_is_the_hash_of_all_passes_one_after_the_other(self, link: Link) -> None:
        last = link.passes[-1]
        (amplify,) = [each for each in wiretap.from_messages(last.said) if each.kind == "Amplify"]
        parts = []
        for basis, secret_bits, seed in zip((0, 1), *amplify.fields[1:3], strict=True):
            sent, _ = sent_and_measured(link.passes, basis)
            if secret_bits:
                parts.append(hashed(in_frames(sent, 32768), secret_bits, seed))
        expected = np.packbits(np.concatenate(parts), bitorder="little").tobytes()
        assert last.keys(UP) == {0: expected}

    def test_its_counts_are_those_of_all_passes(self, link: Link) -> None:
        closed = only(link.passes[-1])
        for basis in (0, 1):
            sent, measured = sent_and_measured(link.passes, basis)
            row = closed.counts[3 * basis]
            assert (row.detections, row.errors) == (sent.size, int((sent != measured).sum()))
        earlier = sum(pair.table.slots.size for pair in link.passes[:2])
        assert (closed.detections, closed.pooled_bits) == (link.passes[2].table.slots.size, earlier)
        assert closed.pool == "p" and closed.kept_bits == 0

    def test_each_bit_of_its_leak_is_counted_once(self, link: Link) -> None:
        said = [wiretap.from_messages(pair.said) for pair in link.passes]
        earlier = sum(wiretap.announced(each, 0) for each in said[:2])
        rules = wiretap.rules_of(link.passes[2].agreed)
        account = wiretap.recount(said[2], 0, rules, earlier=earlier)
        closed = only(link.passes[2])
        assert account.leaked_bits == closed.leaked_bits
        assert closed.length is not None
        bases = closed.length.terms["bases"]
        assert {basis: terms["leaked_bits"] for basis, terms in bases.items()} == account.leaked_bits
        for one, pair in zip(said[:2], link.passes, strict=False):
            assert wiretap.recount(one, 0, rules) == wiretap.Account({}, {}, 0, 0)
            assert only(pair).leaked_bits == {}

    def test_of_a_kept_block_nothing_but_slots_is_told(self, link: Link) -> None:
        for pair in link.passes:
            wiretap.check_order(wiretap.from_messages(pair.said), wiretap.rules_of(pair.agreed))
        kinds = {kind_of(data) for _, _, data in link.passes[0].said}
        assert kinds == {"Hello", "BeaconSchedule", "Announce", "Keep", "Kept"}
        kept = only(link.passes[0])
        assert kept.kept_bits == kept.detections == link.passes[0].table.slots.size
        assert (kept.sifted_bits, kept.errors_known, kept.length) == (0, False, None)
        assert "kept for pool p" in kept.reason

    def test_its_raw_blocks_are_used_once_and_no_more(self, link: Link) -> None:
        assert link.states() == ({"pass0.block0": "used", "pass1.block0": "used"},) * 2
        assert [shelf.taken for shelf in link.shelves] == [["pass0.block0", "pass1.block0"]] * 2

    def test_an_event_hides_its_raw_bits(self, link: Link) -> None:
        ready = next(each for each in link.passes[0].events[UP] if hasattr(each, "data"))
        assert repr(ready) == f"RawReady(block=0, detections={ready.detections})"


def test_a_pool_that_gives_no_key_is_spent_all_the_same() -> None:
    link = Link()
    for number in range(3):
        link.fly(planned_pass(number, epsilon_secrecy=1e-60))
    assert only(link.passes[-1]).outcome == "no_key"
    assert set(link.states()[0].values()) == set(link.states()[1].values()) == {"used"}


def test_one_bad_pass_aborts_the_pool_it_is_in_with_all_its_counts() -> None:
    link = Link()
    for number, qber in enumerate((0.005, 0.3, 0.005)):
        link.fly(planned_pass(number), table={"qber": qber})
    closed = only(link.passes[-1])
    assert (closed.outcome, closed.errors_known) == ("aborted", True)
    assert closed.errors / closed.sifted_bits == pytest.approx(0.103, rel=0.1)
    assert set(link.states()[0].values()) == {"used"}


def test_a_pass_without_a_detection_counts_by_its_prediction() -> None:
    link = Link()
    for number, light in enumerate((1.0, 0.0, 1.0)):
        link.fly(planned_pass(number), table={"transmittance": light, "background": 0.0})
    assert only(link.passes[1]).kept_bits == 0
    assert only(link.passes[2]).pooled_bits == link.passes[0].table.slots.size


def test_a_block_that_is_predicted_to_fill_a_pool_is_distilled_at_once() -> None:
    link = Link()
    link.fly(planned_pass(0, slots=200_000, bits=NEEDED))
    assert only(link.passes[0]).outcome == "key"
    assert link.states() == ({}, {})


def test_the_order_in_which_passes_flew_changes_no_count_and_no_length() -> None:
    """Where no frame fails, the leak is of the sums too."""
    found = []
    for order in ((1, 2, 3), (2, 1, 3)):
        link = Link()
        for number, seed in enumerate(order):
            link.fly(planned_pass(number), table={"seed": seed})
        found.append(only(link.passes[-1]))
    assert found[0].counts == found[1].counts
    assert found[0].pooled_bits == found[1].pooled_bits


class TestWhoClosesIsFixedBeforehand:
    @settings(max_examples=15, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.0, 0.01, 0.2])),
            min_size=4,
            max_size=4,
        ),
        st.lists(st.integers(0, 20_000), min_size=4, max_size=4),
        st.integers(0, 10),
    )
    def test_by_predictions_whatever_the_counts(
        self, channels: list[tuple[float, float]], predicted: list[int], seed: int
    ) -> None:
        expected, total = [], 0
        for bits in predicted:
            total += bits
            expected.append(total >= NEEDED)
            total = 0 if expected[-1] else total
        link = Link()
        for number, (bits, (light, qber)) in enumerate(zip(predicted, channels, strict=True)):
            table = {"transmittance": light, "qber": qber, "seed": seed + number}
            link.fly(planned_pass(number, bits=bits, slots=4_000), table=table)
        assert ["kept for" not in only(pair).reason for pair in link.passes] == expected

    def test_within_a_pass_too(self) -> None:
        link = Link()
        agreed = planned_pass(0, slots=280_000, blocks=7, planned=(("p", 10_000),) * 7)
        flown = link.fly(agreed)
        for way in (DOWN, UP):
            kept = [report.kept_bits > 0 for report in flown.reports(way)]
            assert kept == [True, True, False, True, True, False, True]
        edges = [agreed.first_slot(block) for block in range(8)]
        detections = np.histogram(flown.table.slots, bins=edges)[0]
        for closing, own in ((flown.reports(UP)[number], detections[number]) for number in (2, 5)):
            before = detections[closing.block - 2 : closing.block].sum()
            assert (closing.outcome, closing.pooled_bits, closing.detections) == ("key", before, own)
        assert flown.keys(UP) == flown.keys(DOWN)
        assert flown.confirmed(UP) == flown.confirmed(DOWN) == {2, 5}
        assert link.states()[0] == link.states()[1]
        assert list(link.states()[0].values()) == ["used"] * 4 + ["confirmed"]

    def test_pools_do_not_mix(self) -> None:
        link = Link()
        for number, pool in enumerate("abab"):
            link.fly(planned_pass(number, pool=pool, bits=NEEDED // 2))
        third, fourth = map(only, link.passes[2:])
        assert (third.pool, fourth.pool) == ("a", "b")
        assert third.pooled_bits == link.passes[0].table.slots.size
        assert fourth.pooled_bits == link.passes[1].table.slots.size
        assert link.shelves[0].taken == ["pass0.block0", "pass1.block0"]

    def test_a_pass_of_no_pool_leaves_raw_blocks_alone(self) -> None:
        link = flown(2)
        link.fly(planned_pass(2, planned=(), pooling="per-pass", slots=200_000))
        assert only(link.passes[2]).outcome == "key"
        assert set(link.states()[0].values()) == {"confirmed"}

    def test_a_pool_takes_no_more_than_a_block_may_hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        link = flown(2)
        detections = [pair.table.slots.size for pair in link.passes]
        monkeypatch.setattr(pooling, "MAXIMUM_KEPT_DETECTIONS", sum(detections) - 1)
        link.fly(planned_pass(2))
        assert only(link.passes[2]).pooled_bits == detections[0]
        assert link.states() == ({"pass0.block0": "used", "pass1.block0": "confirmed"},) * 2


def without(kind: str) -> Any:
    """A wire that loses one kind of message and all that its sender says after it."""
    lost: list[str] = []

    def hook(direction: str, data: bytes) -> bytes | None:
        if kind_of(data) == kind:
            lost.append(direction)
        return None if direction in lost else data

    return hook


class TestWhatOnlyOneEndHolds:
    @pytest.mark.parametrize(
        ("lost", "states"),
        [
            ("Keep", ({}, {"pass0.block0": "unconfirmed"})),
            ("Kept", ({"pass0.block0": "confirmed"}, {"pass0.block0": "unconfirmed"})),
        ],
    )
    def test_is_left_out_by_both_and_wiped(self, lost: str, states: Any) -> None:
        link = Link()
        link.fly(planned_pass(0), hook=without(lost))
        assert link.states() == states
        for number in (1, 2):
            link.fly(planned_pass(number))
        assert link.states()[1]["pass0.block0"] == "discarded"
        assert link.states()[0].get("pass0.block0", "discarded") == "discarded"
        for way, states_now in zip((DOWN, UP), link.states(), strict=True):
            told = [each for each in link.passes[1].events[way] if isinstance(each, RawLeftOut)]
            assert [each.block_ids for each in told] == [("pass0.block0",)] * ("pass0.block0" in states_now)
        link.fly(planned_pass(3))
        closed = only(link.passes[3])
        assert closed.outcome == "key"
        assert closed.pooled_bits == sum(pair.table.slots.size for pair in link.passes[1:3])

    @pytest.mark.parametrize(
        "lost", ["Ended", "Bases", "Sift", "Verdicts", "Close", "Amplify", "Confirm", "Done"]
    )
    def test_a_pool_that_breaks_is_never_used_again(self, lost: str) -> None:
        """Its bases are out at one end at least: what the other still holds is left out."""
        link = flown(2)
        link.fly(planned_pass(2), hook=without(lost))
        assert link.states()[1] == {"pass0.block0": "used", "pass1.block0": "used"}
        assert set(link.states()[0].values()) == {"confirmed" if lost == "Ended" else "used"}
        for number in (3, 4, 5):
            link.fly(planned_pass(number))
        assert only(link.passes[5]).pooled_bits == sum(pair.table.slots.size for pair in link.passes[3:5])
        for shelf in link.shelves:
            assert len(set(shelf.taken)) == len(shelf.taken)
            assert not set(shelf.taken[-2:]) & {"pass0.block0", "pass1.block0"}
        if lost == "Ended":
            assert link.states()[0]["pass0.block0"] == "discarded"

    def test_a_pass_that_breaks_before_its_end_leaves_the_pool_as_it_was(self) -> None:
        link = flown(2)
        broken = link.pair(planned_pass(2))
        broken.greet()
        broken.announce(0)
        link.fly(planned_pass(3))
        assert only(link.passes[3]).outcome == "key"

    def test_nothing_is_used_up_on_a_hello_alone(self) -> None:
        """Whoever says it knows no key: the station waits for a message under the code on line."""
        link = flown(2)
        pair = link.pair(planned_pass(2), hook=without("BeaconSchedule"))
        pair.greet()
        pair.announce(0)
        said = len(pair.said)
        pair.open_block(0)
        assert not pair.station.finished
        assert len(pair.said) == said
        assert set(link.states()[1].values()) == {"confirmed"}
        link.fly(planned_pass(3))
        assert only(link.passes[3]).outcome == "key"

    @pytest.mark.parametrize(("bits", "tagged"), [(0, "Keep"), (NEEDED, "Close")])
    def test_nothing_is_discarded_before_a_tag_covers_the_hellos(self, bits: int, tagged: str) -> None:
        """They are not authenticated when they come."""
        link = flown(2)
        link.shelves[1].states["pass0.block0"] = "unconfirmed"
        pair = link.pair(planned_pass(2, bits=bits))
        seen: list[str] = []

        def hook(direction: str, data: bytes) -> bytes:
            if tagged not in seen:
                assert "discarded" not in {state for states in link.states() for state in states.values()}
            seen.append(kind_of(data))
            return data

        pair.hook = hook
        pair.fly()
        assert tagged in seen
        assert [states["pass0.block0"] for states in link.states()] == ["discarded", "discarded"]

    def test_a_claim_of_a_pool_that_this_pass_has_not_is_nothing(self) -> None:
        claim = messages.RawClaim("x.block0", "another", 10, 20)
        pools = Pools(planned_pass(0, bits=NEEDED), MemoryShelf(), satellite=[claim], station=[claim])
        assert (pools.closes(0), pools.joining_detections(0)) == (True, 0)

    @pytest.mark.parametrize("field", ["block_id", "pool", "sifted_bits", "detections"])
    def test_a_claim_that_differs_in_anything_is_left_out(self, field: str) -> None:
        claim = messages.RawClaim("x.block0", "p", 10, 20)
        changed = {"block_id": "y.block0", "pool": "q", "sifted_bits": 11, "detections": 21}
        other = msgspec.structs.replace(claim, **{field: changed[field]})
        agreed = planned_pass(0, bits=NEEDED)
        held = [HeldBlock(claim, True)]
        same = Pools(agreed, MemoryShelf(), held, satellite=[claim], station=[claim])
        differ = Pools(agreed, MemoryShelf(), held, satellite=[claim], station=[other])
        assert (same.left_out, same.joining_detections(0)) == ((), 20)
        assert (differ.left_out, differ.joining_detections(0)) == (("x.block0",), 0)

    def test_a_claim_made_twice_counts_once(self) -> None:
        claim = messages.RawClaim("x.block0", "p", NEEDED // 2, 20)
        claims = [claim, claim]
        pools = Pools(planned_pass(0, bits=0), MemoryShelf(), satellite=claims, station=claims)
        assert (pools.joining_detections(0), pools.closes(0)) == (20, False)


class TestRefused:
    def altered(self, pair: Pair, kind: str, change: Any) -> Any:
        """A wire on which an adversary changes a message that has no code on line: hello."""

        def hook(direction: str, data: bytes) -> bytes:
            if kind_of(data) != kind or direction != DOWN:
                return data
            envelope = messages.decode(data[:-16])
            return (
                messages.encode(msgspec.structs.replace(envelope, message=change(envelope.message)))
                + data[-16:]
            )

        pair.hook = hook
        return pair

    def test_a_changed_claim_in_hello_is_found_by_the_first_tag(self) -> None:
        link = flown(1)
        pair = link.pair(planned_pass(1))
        self.altered(pair, "Hello", lambda hello: msgspec.structs.replace(hello, raw_blocks=()))
        with pytest.raises(AuthenticationError, match="transcript of block 0"):
            pair.fly()
        assert link.states()[0]["pass0.block0"] == link.states()[1]["pass0.block0"] == "confirmed"

    def test_a_changed_claim_that_changes_who_closes_ends_the_session(self) -> None:
        link = flown(2)
        pair = link.pair(planned_pass(2))
        self.altered(pair, "Hello", lambda hello: msgspec.structs.replace(hello, raw_blocks=()))
        with pytest.raises(RemoteProtocolError, match="to be opened by what both hellos say, Keep came"):
            pair.fly()

    def test_bases_of_a_block_that_is_to_be_kept(self) -> None:
        link = Link()
        pair = link.pair(planned_pass(0))
        pair.greet()
        pair.announce(0)
        pair.station._pools.closes = lambda block: True  # type: ignore[method-assign]
        with pytest.raises(RemoteProtocolError, match="to be kept"):
            pair.open_block(0)

    def test_bases_of_another_number_use_no_raw_block_up(self) -> None:
        link = flown(2)
        pair = link.pair(planned_pass(2))
        pair.greet()
        pair.announce(0)
        pair.station._pools.take = lambda block: ()  # type: ignore[method-assign]
        with pytest.raises(RemoteProtocolError, match="the end came for"):
            pair.open_block(0)
        assert link.shelves[0].taken == []

    def test_a_word_to_keep_another_number(self) -> None:
        pair = Link().pair(planned_pass(0))
        true = pair.station.announce
        pair.station.announce = lambda *columns: true(*(each[1:] for each in columns))  # type: ignore[method-assign]
        pair.greet()
        pair.announce(0)
        pair.station._blocks[0].detections += 1
        with pytest.raises(RemoteProtocolError, match="word to keep came for"):
            pair.open_block(0)

    def test_a_block_is_not_kept_twice(self) -> None:
        pair = Link().fly(planned_pass(0))
        with pytest.raises(LocalProtocolError, match="block 0 is finished"):
            pair.station.end_block(0, pair.end_s(0))

    def test_a_hello_with_too_many_claims(self) -> None:
        claims = (messages.RawClaim("x", "p", 1, 1),) * (messages.MAXIMUM_CLAIMS + 1)
        hello = messages.Hello("sat", "sta", bytes(32), 0, claims)
        with pytest.raises(RemoteProtocolError, match="cannot be read"):
            messages.decode(messages.encode(messages.Envelope(messages.VERSION, "p", 0, hello)))

    def test_a_plan_that_does_not_fit_its_pass(self) -> None:
        with pytest.raises(ConfigError, match="each of 1 blocks"):
            planned_pass(0, planned=(("p", 1), ("p", 1)))
        with pytest.raises(ConfigError, match="name of a pool"):
            PlannedBlock("", 1)

    def test_an_end_without_a_shelf_asks_for_nothing(self) -> None:
        with pytest.raises(LocalProtocolError, match="no raw blocks are kept here"):
            pooling.EmptyShelf().take(["x"], reference="y")


class TestPacked:
    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.integers(0, 200), min_size=0, max_size=4), st.integers(0, 2**32))
    def test_raw_blocks_come_back_as_they_were_one_after_the_other(self, sizes: list[int], seed: int) -> None:
        rng, settled, detected = stream(seed, "packed"), [], []
        for size in sizes:
            settled.append(Settings(*(rng.integers(0, top, size, dtype=np.uint8) for top in (3, 2, 2))))
            slots = np.sort(rng.choice(1000, size, replace=False)).astype(np.int64)
            detected.append((slots, *(rng.integers(0, 2, (2, size), dtype=np.uint8))))
        back = unpack_settings([pack_settings(each) for each in settled])
        for name in Settings.__struct_fields__:
            whole = np.concatenate([np.empty(0, np.uint8), *(getattr(each, name) for each in settled)])
            assert np.array_equal(getattr(back, name), whole)
        packed = [
            pack_detections(slots + 5000, *columns, first_slot=5000, end_slot=6000)
            for slots, *columns in detected
        ]
        slots, bases, bits = unpack_detections(packed, before_slot=70_000)
        first = 70_000 - 1000 * len(sizes)
        assert slots.tolist() == [
            first + 1000 * i + slot for i, (each, *_) in enumerate(detected) for slot in each
        ]
        assert bases.tolist() == [bit for _, each, _ in detected for bit in each]
        assert bits.tolist() == [bit for *_, each in detected for bit in each]
