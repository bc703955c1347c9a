"""Where blocks begin: by predictions alone, the same at both ends, and what each policy promises."""

import itertools
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from satqkd.config import Protocol
from satqkd.errors import ConfigError
from satqkd.mission import Contact, contact_of, presets
from satqkd.mission.contact import PLANNING_GRID_S, choose_pass, make_contact
from satqkd.mission.edges import (
    FIRST_KEY_LIGHT,
    block_edges,
    edges_s,
    first_key_s,
    growing_shares,
    sifted_so_far,
)
from satqkd.mission.foretold import expected_key, expected_pass_counts
from satqkd.mission.recorded_contact import RecordedContact
from satqkd.sky import parse_utc
from session_pair import parameters
from toy_pass import AT_UTC, PROTOCOL, replaced, toy_satellite, toy_station


@pytest.fixture(scope="module")
def contact() -> Contact:
    return contact_of(toy_satellite(), toy_station(), AT_UTC)


def rules(**changes: Any) -> Protocol:
    return replaced(PROTOCOL, **changes)


def sifted(contact: Contact, protocol: Protocol) -> Any:
    """Keyed rounds foretold of each block."""
    so_far = sifted_so_far(contact, protocol)
    return np.diff(np.interp(edges_s(contact, protocol), contact.look.t_s, so_far))


def test_by_default_blocks_have_equal_numbers_of_slots(contact: Contact) -> None:
    agreed = contact.parameters(rules(blocks=3), seed=1)
    assert agreed.edges == ()
    assert [agreed.first_slot(k) for k in range(4)] == [k * contact.slots // 3 for k in range(4)]


@pytest.mark.parametrize("policy", ["equal-bits", "first-key"])
@pytest.mark.parametrize("blocks", [2, 3, 7])
def test_edges_increase_lie_on_tenths_of_a_second_and_are_agreed(
    contact: Contact, policy: Any, blocks: int
) -> None:
    protocol = rules(blocks=blocks, block_policy=policy, first_key_bits=1)
    agreed, again = (contact.parameters(protocol, seed=seed) for seed in (1, 2))
    slots = [agreed.first_slot(block) for block in range(blocks + 1)]
    assert slots[0] == 0
    assert slots[-1] == contact.slots
    assert all(one < other for one, other in itertools.pairwise(slots))
    rate_hz = contact.satellite.source.pulse_rate_hz
    assert all(round(10 * slot / rate_hz, 6).is_integer() for slot in slots[1:-1])
    assert agreed.end_s(blocks - 1) == pytest.approx(contact.quantum_end_s)
    assert agreed.edges == again.edges
    moved = msgspec.structs.replace(agreed, edges=(agreed.edges[0] + 1, *agreed.edges[1:]))
    assert moved.digest != agreed.digest


def test_equal_bits_are_equal_and_add_up_to_what_is_foretold_of_the_pass(contact: Contact) -> None:
    shares = sifted(contact, rules(blocks=4, block_policy="equal-bits"))
    step = np.diff(sifted_so_far(contact, PROTOCOL)).max() / contact.step_s * 0.1
    assert shares == pytest.approx(np.full(4, shares.mean()), abs=2 * step)
    counts = expected_pass_counts(contact)
    keyed = sum(row.detections for row in counts if row.class_name == "signal")
    assert shares.sum() == pytest.approx(keyed, rel=2e-3)


def test_the_first_block_ends_when_its_key_is_foretold_with_less_light(contact: Contact) -> None:
    protocol = rules(blocks=3, block_policy="first-key", first_key_bits=1000)
    at_s = first_key_s(contact, protocol)
    assert 0 < at_s < contact.quantum_end_s
    for until_s, enough in ((at_s, True), (at_s - 0.1, False)):
        key = expected_key(contact, protocol, until_s=until_s, share=FIRST_KEY_LIGHT).secret_bits
        assert (key >= 1000) == enough
    assert 0 <= edges_s(contact, protocol)[1] - at_s < 0.1 + 1e-9
    later = first_key_s(contact, rules(blocks=3, block_policy="first-key", first_key_bits=2000))
    assert later > at_s


def test_where_all_the_light_gives_too_little_the_first_block_takes_it(contact: Contact) -> None:
    protocol = rules(blocks=3, block_policy="first-key", first_key_bits=1_000_000)
    end = contact.slots
    assert block_edges(contact, protocol) == (end - 2, end - 1)


@given(st.floats(1e-4, 1.0), st.integers(2, 100))
def test_blocks_grow_by_one_factor_and_are_the_whole_together(first: float, blocks: int) -> None:
    sizes = np.diff(growing_shares(first, blocks), prepend=0.0, append=1.0)
    assert sizes[0] == pytest.approx(first, rel=1e-6)
    assert (sizes > -1e-12).all()
    large = sizes[sizes > 1e-6]
    if large.size > 2:
        factors = large[1:] / large[:-1]
        assert factors == pytest.approx(np.full(factors.size, factors[0]), rel=1e-2)


@pytest.mark.parametrize("edges", [(10,), (20, 10), (0, 10), (10, 1000), (10, 10), (1, 2, 3)])
def test_edges_that_are_none_are_refused(edges: tuple[int, ...]) -> None:
    agreed = parameters(slots=1000, blocks=3)
    with pytest.raises(ConfigError, match="block edges"):
        msgspec.structs.replace(agreed, edges=edges)


def test_one_block_alone_cannot_end_early() -> None:
    with pytest.raises(ConfigError, match="at least 2"):
        rules(block_policy="first-key")


def test_a_recording_holds_no_budget_to_cut_by(contact: Contact) -> None:
    recorded = RecordedContact(
        satellite=contact.satellite,
        station=contact.station,
        epoch=contact.epoch,
        slots=contact.slots,
        look=contact.look,  # type: ignore[arg-type]
        link_start_s=contact.link_start_s,
        link_end_s=contact.link_end_s,
        pass_id="recorded",
        expected_qber=0.01,
    )
    with pytest.raises(ConfigError, match="holds no link budget"):
        recorded.parameters(rules(blocks=2, block_policy="equal-bits"), seed=1)
    assert recorded.parameters(rules(blocks=2), seed=1).edges == ()


def test_where_the_light_is_uneven_equal_bits_are_no_equal_times() -> None:
    """The middle blocks of a pass from horizon to horizon are short: most light comes from near."""
    craft, ground = presets.satellite("jinan-1"), presets.station("stellenbosch")
    best = choose_pass(craft, ground, parse_utc(craft.reference_epoch_utc))
    whole = make_contact(craft, ground, best, step_s=PLANNING_GRID_S)
    protocol = rules(blocks=4, block_policy="equal-bits")
    lasting_s = np.diff(edges_s(whole, protocol))
    assert max(lasting_s[1:3]) < 0.5 * min(lasting_s[[0, 3]])
    assert sifted(whole, protocol) == pytest.approx(np.full(4, sifted(whole, protocol).mean()), rel=0.01)


def test_less_light_and_fewer_slots_are_foretold_to_give_as_many_counts_less(contact: Contact) -> None:
    def detections(**part: float) -> int:
        return sum(row.detections for row in expected_pass_counts(contact, **part))

    assert detections(share=0.5) == pytest.approx(detections() / 2, rel=1e-3)
    middle_s = contact.quantum_end_s / 2
    assert 0.3 * detections() < detections(until_s=middle_s) < 0.7 * detections()
    assert detections(until_s=contact.quantum_end_s + 5) == detections()
