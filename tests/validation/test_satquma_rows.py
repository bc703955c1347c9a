"""V7: the planner's figures come out, and the wrong inputs that its rows notice."""

import msgspec
import numpy as np
import pytest

from satqkd.security import satquma as bound
from satqkd.validation import satquma
from satqkd.validation.rows import listed_row


def statuses() -> dict[str, str]:
    return {each.id: each.status for each in satquma.rows()}


def test_all_rows_come_out() -> None:
    found = statuses()
    assert list(found) == ["V7a", "V7b", "V7c", "V7d", "V7e", "V7f", "V7g"]
    assert set(found.values()) == {"reproduced"}


def test_rows_are_of_a_model_and_name_the_program() -> None:
    assert {each.kind for each in satquma.rows()} == {"model"}
    assert all("SatQuMA 2.0.0, run with its" in each.source for each in satquma.rows())


@pytest.mark.parametrize("printed", [satquma.NOISY, satquma.QUIET])
def test_four_transmittances_count_like_the_programs_four_hundred(printed: satquma.Printed) -> None:
    for theirs, extra_loss_db in zip(printed.sifted_bits, satquma.EXTRA_LOSSES_DB, strict=True):
        counted = satquma.counts(printed.noise, extra_loss_db=extra_loss_db)
        assert counted.key.sum() == pytest.approx(theirs, rel=2e-6)


def test_the_pass_is_that_of_the_loss_file() -> None:
    """401 s; the brightest transmittance is near the 26.99 dB of the zenith, the darkest above 37.9 dB."""
    assert sum(satquma.DURATIONS_S) == pytest.approx(401, abs=0.001)
    losses_db = -10 * np.log10(satquma.TRANSMITTANCES)
    assert losses_db.min() == pytest.approx(26.99, abs=0.2)
    assert losses_db.max() < 37.9


@pytest.mark.parametrize(
    ("name", "value", "noticed"),
    [
        ("KEYED_BASIS", 0.765, {"V7a", "V7c", "V7d", "V7e", "V7f", "V7g"}),
        ("AFTERPULSE", 0.0, {"V7b", "V7c", "V7d", "V7e", "V7f", "V7g"}),
        ("PULSES_PER_S", 1.01e8, {"V7a", "V7c", "V7d", "V7e", "V7f", "V7g"}),
        ("EPSILON_SECRECY", 1e-10, {"V7c", "V7d", "V7e", "V7f"}),
        ("EPSILON_CORRECTNESS", 1e-12, {"V7g"}),
    ],
)
def test_another_setting_is_noticed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: float, noticed: set[str]
) -> None:
    monkeypatch.setattr(satquma, name, value)
    assert {row_id for row_id, status in statuses().items() if status != "reproduced"} == noticed


def test_other_tails_are_noticed() -> None:
    swapped = msgspec.structs.replace(
        satquma.NOISY,
        chernoff_bits=satquma.NOISY.hoeffding_bits,
        hoeffding_bits=satquma.NOISY.chernoff_bits,
    )
    assert satquma.key("V7c", swapped, "chernoff").status == "not_reproduced"
    assert satquma.key("V7d", swapped, "hoeffding").status == "not_reproduced"


def test_lims_budget_with_other_terms_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bound, "TERMS", 210)
    assert {status for row_id, status in statuses().items() if row_id in ("V7c", "V7d", "V7e", "V7f")} == {
        "not_reproduced"
    }


def test_errors_of_its_own_for_each_class_are_noticed_where_the_decoys_decide() -> None:
    """The program's mean rate per slot hides that decoys are noisier: 1.6 % of the key at 0 dB."""
    counted = satquma.counts(satquma.NOISY.noise, extra_loss_db=0.0)
    empty = np.exp(-np.outer(satquma.INTENSITIES, satquma.TRANSMITTANCES))
    clicks = (1 + satquma.AFTERPULSE) * (1 - (1 - 1e-6) * empty)
    errors = 5e-7 + satquma.AFTERPULSE * clicks / 2 + 0.005 * (1 - empty)
    own = (errors @ satquma.DURATIONS_S) / (clicks @ satquma.DURATIONS_S) * counted.test
    assert own.sum() == pytest.approx(counted.test_errors.sum(), rel=1e-9)
    shorter = satquma.secret_bits(msgspec.structs.replace(counted, test_errors=own), "chernoff")
    assert shorter == pytest.approx(3_619_203, rel=1e-4)
    assert shorter < 0.99 * satquma.NOISY.chernoff_bits[0]


class TestListedRow:
    @staticmethod
    def of(computed: tuple[float, ...], published: tuple[float, ...] = (100, 1000, 0)) -> tuple[str, str]:
        found = listed_row(
            "X",
            "x",
            places=("a", "b", "c"),
            published=published,
            computed=computed,
            share=0.01,
            why="w",
            source="s",
        )
        return found.what, found.status

    def test_the_worst_by_its_share_is_shown(self) -> None:
        assert self.of((100.5, 1001, 0)) == ("x, a", "reproduced")
        assert self.of((100.5, 1011, 0)) == ("x, b", "not_reproduced")

    def test_nothing_is_met_by_nothing_alone(self) -> None:
        assert self.of((101.5, 1000, 1)) == ("x, c", "not_reproduced")
        assert self.of((100, 1000, 0)) == ("x, a", "reproduced")

    def test_no_number_is_the_worst(self) -> None:
        assert self.of((102.5, float("nan"), 0)) == ("x, b", "not_reproduced")

    def test_lists_have_one_length(self) -> None:
        with pytest.raises(ValueError):
            self.of((1, 2), (1, 2, 3))
