"""What each attack does to the tags, against its own arithmetic, and what Eve then says she knows."""

from typing import Any

import numpy as np
import pytest
from devices_models import Bench

from satqkd.config import BrightLight
from satqkd.constants import ELEMENTARY_CHARGE_C, PLANCK_J_S, SPEED_OF_LIGHT_M_S
from satqkd.devices import EveAccount, Monitored, settings_of
from satqkd.devices.eve_attacks import InterceptResend, Splitting, Words
from satqkd.errors import ConfigError
from satqkd.kernels.clicks_plain import Sent
from satqkd.records import BEACON_CHANNEL, SWAPPED, Settings, Tags

DELAY_PS = 5e5 / 299_792_458 * 1e12
SLOTS = 30_000_000
BRIGHT = BrightLight(avalanche_electrons=1e8, linear_electrons=50, blinding_w=4e-7, current_noise_a=1e-8)
ALL = ("Z", "X"), ("signal", "decoy", "vacuum")


class Seen:
    """Tags of a steady link at 100 MHz, with their slots and settings, and Eve's account of them."""

    def __init__(
        self, bench: Bench, eve: str | None, link: dict[str, Any] | None = None, **changes: Any
    ) -> None:
        columns = {"transmittance": 0.01, "errors": (0.0, 0.0), **(link or {})}
        self.twin = bench.receiver(bench.series(0.3, **columns), slots=SLOTS, eve=eve, **changes)
        tags = self.twin.read(1e9)
        light = tags.channel != BEACON_CHANNEL
        self.tags = Tags(tags.time_ps[light], tags.channel[light])
        swapped = self.tags.channel >= SWAPPED
        self.detector = self.tags.channel.astype(np.int64) - SWAPPED * swapped
        self.slots = np.rint((self.tags.time_ps - DELAY_PS) / 10_000).astype(np.int64)
        self.late_ps = self.tags.time_ps - DELAY_PS - 1e4 * self.slots
        inside = (self.slots >= 0) & (self.slots < SLOTS)
        self.sent = settings_of(np.where(inside, self.slots, 0), key=bench.key, source=bench.source())
        self.basis, self.bit = self.detector // 2, self.detector % 2 ^ swapped
        self.matched = inside & (self.basis == self.sent.basis)
        self.wrong = self.matched & (self.bit != self.sent.bit)

    def account(self) -> EveAccount:
        assert self.twin.eavesdropper is not None
        self.twin.eavesdropper.hear(self.slots, self.basis.astype(np.uint8))
        return self.twin.eavesdropper.account([0, SLOTS // 2, SLOTS], *ALL)

    def by_class(self) -> np.ndarray:
        return np.bincount(self.sent.intensity_class, minlength=3)


def total(account: EveAccount, name: str) -> float:
    return float(sum(getattr(block, name) for block in account.blocks))


def far(count: float, expected: float) -> float:
    """Standard deviations of a Poisson number."""
    return abs(count - expected) / max(expected, 1.0) ** 0.5


def same(one: Tags, other: Tags) -> bool:
    return np.array_equal(one.time_ps, other.time_ps) and np.array_equal(one.channel, other.channel)


@pytest.mark.parametrize(
    "eve",
    ["intercept-resend:0", "time-shift:0,shift_ns=0", "blinding,from=0.4", "jamming:1e5,from=0.5,to=0.6"],
)
def test_who_does_nothing_leaves_every_tag_as_it_was(bench: Bench, eve: str) -> None:
    """Her numpy path and the compiled one are the same nature."""
    noise = {"background_hz": 3e4, "errors": (0.02, 0.05)}
    assert same(Seen(bench, eve, noise).tags, Seen(bench, None, noise).tags)


def test_dice_of_eve_are_of_the_seed(bench: Bench) -> None:
    one, again, other = (Seen(bench, "intercept-resend", seed=seed) for seed in (1, 1, 2))
    assert same(one.tags, again.tags) and one.account() == again.account() != other.account()


@pytest.mark.parametrize("passive", [True, False])
@pytest.mark.parametrize("share", [0.2, 1.0])
def test_intercept_resend_errs_in_a_quarter_and_knows_a_half(
    bench: Bench, share: float, passive: bool
) -> None:
    choice = {"basis_choice": "passive" if passive else "active"}
    seen, untouched = (Seen(bench, eve, receiver=choice) for eve in (f"intercept-resend:{share}", None))
    account, sifted = seen.account(), int(seen.matched.sum())
    assert sifted > 20_000 and not untouched.wrong.any()
    assert far(seen.wrong.sum(), sifted * share / 4) < 4.5
    assert far(total(account, "bits_known"), sifted * share / 2) < 4.5
    assert far(total(account, "guessed_right"), sifted * (share * 3 / 4 + (1 - share) / 2)) < 4.5
    assert total(account, "sifted_bits") == sifted
    assert far(account.detections_touched, share * seen.slots.size) < 4.5
    assert np.abs(seen.by_class() - untouched.by_class()).max() < 4.5 * seen.slots.size**0.5


def test_a_resend_that_always_hits_the_basis_would_be_seen(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cheat(_: InterceptResend, settings: Settings, words: Words) -> tuple[np.ndarray, np.ndarray]:
        return settings.basis.astype(np.int64), settings.bit.astype(np.int64)

    monkeypatch.setattr(InterceptResend, "found", cheat)
    seen = Seen(bench, "intercept-resend")
    assert far(seen.wrong.sum(), seen.matched.sum() / 4) > 50


def test_a_window_is_kept_to_the_slot(bench: Bench) -> None:
    seen = Seen(bench, "intercept-resend,from=0.1,to=0.25")
    wrong = seen.slots[seen.wrong]
    assert wrong.size > 2_000 and wrong.min() >= 10_000_000 and wrong.max() < 25_000_000
    first, second = seen.account().blocks
    assert far(first.bits_known, first.sifted_bits / 6) < 4.5
    assert far(second.bits_known, second.sifted_bits / 3) < 4.5


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_splitting_keeps_the_signal_and_starves_the_decoy(bench: Bench, share: float) -> None:
    """Yields: singles pass with (1 - share) T, pulses of several photons with rho T."""
    seen, untouched = Seen(bench, f"photon-number-splitting:{share}"), Seen(bench, None)
    pulses, probability = np.array([0.8, 0.3]), np.array([0.5, 0.3])
    singles = (1 - share) * pulses * np.exp(-pulses)
    several = 1 - np.exp(-pulses) - pulses * np.exp(-pulses)
    rho = (0.8 - singles[0]) / several[0]
    means = singles + rho * several
    expected = SLOTS * probability * means * 0.01 * 0.5
    counts = seen.by_class()
    assert all(far(count, mean) < 4.5 for count, mean in zip(counts[:2], expected, strict=True))
    assert far(counts[0], untouched.by_class()[0]) < 6.5
    assert counts[1] < (0.7 if share == 1 else 0.87) * untouched.by_class()[1]
    known = float((expected * rho * several / means).sum()) / 2
    assert far(total(seen.account(), "bits_known"), known) < 4.5
    assert not seen.wrong.any()


def test_yields_are_never_above_one() -> None:
    """At a transmittance of 0.9 a pulse of two and more photons arrives for sure, and no oftener."""
    n = np.ones(3)
    attack = Splitting(1.0, np.array([0.8, 0.3, 0.0]), 0.9)
    sent = Sent(0 * n.astype(int), 0 * n.astype(int), np.array([0.8, 0.3, 0.0]), 0 * n, -n.astype(int))
    settings = Settings(np.arange(3, dtype=np.uint8), np.zeros(3, np.uint8), np.zeros(3, np.uint8))
    arriving = 0.9 * attack.changed(sent, settings, (), n > 0).photons
    assert (
        arriving[:2] == pytest.approx([1 - 1.8 * np.exp(-0.8), 1 - 1.3 * np.exp(-0.3)]) and arriving[2] == 0
    )


@pytest.mark.parametrize("passive", [True, False])
def test_blinded_detectors_click_in_her_basis_alone(bench: Bench, passive: bool) -> None:
    choice = {
        "basis_choice": "passive" if passive else "active",
        "basis_z_probability": 0.5 if passive else 0.7,
    }
    noise = {"background_hz": 2e4, "transmittance": 0.05}
    seen, untouched = (Seen(bench, eve, noise, receiver=choice) for eve in ("blinding", None))
    account = seen.account()
    assert total(account, "bits_known") == total(account, "guessed_right") == total(account, "sifted_bits")
    assert not seen.wrong.any() and untouched.wrong.any()
    light = untouched.slots.size - 2e4 * 0.3
    assert abs(seen.slots.size - light) < 6.5 * light**0.5
    z_share, wanted = (seen.basis == 0).mean(), choice["basis_z_probability"]
    assert abs(z_share - wanted) < 4.5 * (wanted * (1 - wanted) / seen.slots.size) ** 0.5
    both = {name: shared(each) for name, each in (("seen", seen), ("untouched", untouched))}
    assert both["seen"] == 0 and (both["untouched"] > 1_000 or not passive)


def shared(seen: Seen) -> int:
    """Slots with clicks in both bases."""
    return np.intersect1d(seen.slots[seen.basis == 0], seen.slots[seen.basis == 1]).size


def test_darkness_returns_when_the_light_goes(bench: Bench) -> None:
    seen = Seen(bench, "blinding,from=0.1,to=0.2", {"transmittance": 0.0, "background_hz": 1e6})
    assert np.bincount(seen.slots // 10_000_000, minlength=3)[1] < 2
    assert far(seen.slots.size, 2e5) < 4.5


LAG_S = (4e-10, -4e-10, -4e-10, 4e-10)


@pytest.mark.parametrize("swap", ["none", "random"])
def test_shifted_light_favours_the_detector_that_stays_in_the_gate(bench: Bench, swap: str) -> None:
    """Gate of 1 ns, lags of 0.4 ns: shifted by 0.5 ns, one detector keeps nearly all, the other none."""
    seen = Seen(
        bench,
        "time-shift,shift_ns=0.5",
        detector={"jitter_s": 1e-10, "lag_s": LAG_S},
        receiver={"label_swap": swap},
    )
    inside, account = np.abs(seen.late_ps) <= 500, seen.account()
    lag_ps = 1e12 * np.array(LAG_S)[seen.detector]
    assert set(np.rint((seen.late_ps - lag_ps)[:2000] / 500)) == {-1, 1}
    assert 0.4 < inside.mean() < 0.6
    spread = np.bincount(seen.detector[inside], minlength=4) / inside.sum()
    assert np.abs(spread - 0.25).max() < 0.01
    heard = seen.twin.eavesdropper
    assert heard is not None and total(account, "bits_known") == 0
    heard._heard = []
    heard.hear(seen.slots[inside], seen.basis[inside].astype(np.uint8))
    told = heard.account([0, SLOTS], *ALL).blocks[0]
    assert not seen.wrong.any()
    known = told.information_bits / told.sifted_bits
    assert known > 0.95 if swap == "none" else told.information_bits < 30


def test_equal_lags_tell_nothing(bench: Bench) -> None:
    seen = Seen(bench, "time-shift", detector={"jitter_s": 1e-10})
    assert total(seen.account(), "information_bits") == 0
    assert far(total(seen.account(), "guessed_right") / 2, seen.matched.sum() / 2) < 4.5


def test_jamming_is_noise_of_its_rate_or_its_power(bench: Bench) -> None:
    photon_j = PLANCK_J_S * SPEED_OF_LIGHT_M_S / 850e-9
    dark = {"transmittance": 0.0}
    for eve in ("jamming:1e6,from=0.1", f"jamming:{1e6 / 0.5 * photon_j}W,from=0.1"):
        seen = Seen(bench, eve, dark)
        # The background's grid has steps of 0.1 s: half of the step before the window is lit besides.
        assert far(seen.slots.size, 1e6 * 0.25) < 4.5
        assert far((seen.detector == 0).sum(), 1e6 * 0.25 / 4) < 4.5
        assert seen.account().clicks_touched == 0


def test_bias_currents_show_clicks_and_bright_light(bench: Bench) -> None:
    link = {"transmittance": 0.01}
    quiet, blinded = (
        Seen(bench, eve, link, receiver={"bright_light": BRIGHT}) for eve in (None, "blinding:1e-6")
    )
    assert isinstance(quiet.twin, Monitored)
    drawn, bright = (each.twin.readings(0.2).current_a[0] for each in (quiet, blinded))
    clicks = np.bincount(quiet.detector[quiet.slots < 20_000_000], minlength=4)
    assert np.abs(drawn - ELEMENTARY_CHARGE_C * 1e8 * clicks / 0.2).max() < 5e-8
    photon_j = PLANCK_J_S * SPEED_OF_LIGHT_M_S / 850e-9
    steady_a = ELEMENTARY_CHARGE_C * 50 * 1e-6 / photon_j
    assert np.abs(bright - steady_a - drawn).max() < 1e-7 and steady_a > 30 * drawn.max()


def test_without_its_settings_nothing_is_read(bench: Bench) -> None:
    assert Seen(bench, "blinding").twin.readings(1e9).t_s.size == 0


def test_readings_come_once_in_order_and_stop_at_the_time_asked(bench: Bench) -> None:
    twin = Seen(bench, None, receiver={"bright_light": BRIGHT}).twin
    first, rest = twin.readings(0.25), twin.readings(9.0)
    assert first.t_s.tolist() == [0.2] and rest.t_s[0] > 0.25


def test_light_too_weak_to_blind_is_refused(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="expected at least 4e-07 W"):
        Seen(bench, "blinding:1e-7", receiver={"bright_light": BRIGHT})
