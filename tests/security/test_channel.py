"""A channel foretells counts: against a plain sum over samples, and what sorting into bins may cost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.errors import DataFormatError
from satqkd.security.channel import Channel, SourceSettings

SETTINGS = SourceSettings((0.7, 0.2, 0.001), (0.6, 0.3, 0.1), 0.8, 0.7)


def fading(seed: int = 1, samples: int = 300) -> dict[str, np.ndarray]:
    """Samples whose transmittance, errors and noise all vary, noise against transmittance."""
    rng = np.random.default_rng(seed)
    eta = 10 ** rng.uniform(-4.5, -1.5, (2, samples))
    return {
        "pulses": rng.uniform(1e5, 1e7, samples),
        "transmittance": eta,
        "optical_error": rng.uniform(0, 0.1, (2, samples)),
        "noise": 1e-6 * rng.uniform(0.5, 2, (2, samples)) * (eta / 1e-3) ** -0.2,
    }


def plain_sum(
    link: dict[str, np.ndarray], source: SourceSettings, *, afterpulse: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Detections and errors by basis and class, sample by sample, as the textbook has them."""
    detections, errors = np.zeros((2, 3)), np.zeros((2, 3))
    choices = ((source.basis_z_probability, source.station_basis_z_probability),)
    both = [choices[0][0] * choices[0][1], (1 - choices[0][0]) * (1 - choices[0][1])]
    for b in range(2):
        for k, (mu, p) in enumerate(zip(source.intensities, source.probabilities, strict=True)):
            for n, eta, e, y in zip(
                link["pulses"],
                link["transmittance"][b],
                link["optical_error"][b],
                link["noise"][b],
                strict=True,
            ):
                hit = 1 - np.exp(-mu * eta)
                gain = 1 - (1 - y) * (1 - hit)
                wrong = e * hit + 0.5 * y * (1 - hit)
                sent = n * p * both[b]
                detections[b, k] += sent * gain * (1 + afterpulse)
                errors[b, k] += sent * (wrong + 0.5 * afterpulse * gain)
    return detections, errors


@pytest.mark.parametrize("afterpulse", [0.0, 0.02])
def test_counts_are_the_sum_over_all_samples(afterpulse: float) -> None:
    link = fading()
    wanted = plain_sum(link, SETTINGS, afterpulse=afterpulse)
    got = Channel.of(**link, afterpulse=afterpulse, bins=10_000).counts(SETTINGS)
    for a, b in zip(got, wanted, strict=True):
        # Noise of slots that light has filled is counted to first order.
        assert a == pytest.approx(b, rel=2e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 64), st.floats(0.01, 1.0))
def test_bins_cost_no_more_than_is_stated(seed: int, bins: int, intensity: float) -> None:
    link = fading(seed, samples=80) | {"noise": np.zeros(80)}
    source = SourceSettings((intensity, intensity / 3, 0.0), (0.5, 0.4, 0.1), 0.5, 0.5)
    exact, coarse = (Channel.of(**link, bins=n).counts(source)[0][:, 0].sum() for n in (10_000, bins))
    stated = Channel.of(**link, bins=bins).compression_error(intensity)
    assert -1e-12 < coarse / exact - 1 < stated + 1e-12


def test_the_stated_cost_of_bins_is_near_the_real_one() -> None:
    link = fading(5) | {"noise": np.zeros(300)}
    source = SourceSettings((0.9, 0.2, 0.0), (0.5, 0.4, 0.1), 0.5, 0.5)
    exact, coarse = (Channel.of(**link, bins=n).counts(source)[0][:, 0].sum() for n in (10_000, 3))
    assert (coarse / exact - 1) > 0.3 * Channel.of(**link, bins=3).compression_error(0.9) > 1e-5
    both_alike = link | {"transmittance": link["transmittance"][0]}
    assert Channel.of(**both_alike).compression_error(0.9) < 3e-5


def test_the_order_of_samples_makes_no_difference() -> None:
    link = fading()
    order = np.random.default_rng(2).permutation(300)
    shuffled = {name: column[..., order] for name, column in link.items()}
    for a, b in zip(
        Channel.of(**link).counts(SETTINGS), Channel.of(**shuffled).counts(SETTINGS), strict=True
    ):
        assert a == pytest.approx(b, rel=1e-12)


def test_loss_weakens_light_and_no_noise() -> None:
    link = fading()
    weaker = link | {"transmittance": link["transmittance"] / 10}
    lossy = Channel.of(**link).counts(SETTINGS, [0.0, 10.0])
    plain = [Channel.of(**each).counts(SETTINGS) for each in (link, weaker)]
    assert lossy[0].shape == (2, 2, 3)
    for row, wanted in enumerate(plain):
        for a, b in zip(lossy, wanted, strict=True):
            assert a[row] == pytest.approx(b, rel=1e-5)


def test_what_light_leaves_behind_follows_the_mean_of_all_classes() -> None:
    link = fading() | {"noise": np.zeros(300)}
    slope, lost = np.full((2, 300), 1e-4), np.stack([np.full(300, 0.1), np.full(300, 0.05)])
    dim, bright = (SourceSettings((0.7, 0.2, 0.0), (p, 0.9 - p, 0.1), 0.5, 0.5) for p in (0.1, 0.8))
    for source in (dim, bright):
        mean = float(np.dot(source.intensities, source.probabilities))
        got = Channel.of(**link, noise_per_photon=slope, lost=lost).counts(source)[0][:, 2]
        wanted = 0.25 * 0.1 * link["pulses"].sum() * 1e-4 * mean * np.exp(-0.1 - 0.05 * mean)
        assert got == pytest.approx([wanted, wanted], rel=1e-9)
        channel = Channel.of(**link, noise_per_photon=slope, lost=lost)
        dimmer = channel.counts(source, loss_db=10.0)[0][:, 2]
        ratio = 0.1 * np.exp(0.05 * mean * (1 - 0.1))
        assert dimmer == pytest.approx(ratio * got, rel=1e-9)


def test_noise_of_a_basis_that_was_not_chosen_counts_where_its_detectors_are_open() -> None:
    link = fading()
    dark = SourceSettings((1e-11, 1e-12, 0.0), (0.5, 0.4, 0.1), 0.5, 0.8)
    chosen, always = (Channel.of(**link, noise_unchosen=each).counts(dark)[0] for each in (False, True))
    assert chosen[0] / always[0] == pytest.approx(0.8, rel=1e-6)
    assert chosen[1] / always[1] == pytest.approx(0.2, rel=1e-6)


def test_a_splitter_chooses_by_itself() -> None:
    link = fading()
    biased = SourceSettings(SETTINGS.intensities, SETTINGS.probabilities, 0.8, 0.3)
    split = Channel.of(**link, receiver_chooses=False)
    for a, b in zip(split.counts(biased), split.counts(SETTINGS), strict=True):
        assert np.array_equal(a, b)


def test_true_light_is_brighter_than_nominal_and_dark_pulses_shine() -> None:
    link = fading() | {"noise": np.zeros(300)}
    nominal = SourceSettings((0.5, 0.1, 0.0), (0.5, 0.3, 0.2), 0.5, 0.5)
    true = SourceSettings((0.55, 0.1, 0.0055), (0.5, 0.3, 0.2), 0.5, 0.5)
    real = Channel.of(**link, brightness=(1.1, 1.0, 1.0), vacuum_leak=0.01)
    assert real.counts(nominal)[0] == pytest.approx(Channel.of(**link).counts(true)[0], rel=1e-12)


def test_one_decoy_has_two_columns() -> None:
    channel = Channel.of(**fading())
    two, three = (
        channel.counts(SourceSettings(mu, p, 0.5, 0.5))[0]
        for mu, p in (((0.5, 0.1), (0.7, 0.3)), ((0.5, 0.1, 0.0), (0.7, 0.3, 1e-12)))
    )
    assert two == pytest.approx(three[:, :2], rel=1e-9)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"pulses": np.zeros(300)}, "more than 0"),
        ({"pulses": np.full(300, -1.0)}, "pulses"),
        ({"transmittance": np.full(300, 1.1)}, r"\[0, 1\]"),
        ({"optical_error": np.full(300, 0.6)}, "optical_error"),
        ({"noise": np.full(300, np.nan)}, "noise"),
    ],
)
def test_what_is_no_probability_is_refused(change: dict[str, np.ndarray], part: str) -> None:
    with pytest.raises(DataFormatError, match=part):
        Channel.of(**fading() | change)
