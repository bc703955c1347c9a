"""Published figures that cannot be computed yet, each with what is missing for it. No number is made up."""

from satqkd.validation.rows import Row, gap_row


def rows() -> list[Row]:
    """All gaps."""
    return [
        gap_row(
            "V3",
            "loss of the Micius pass from optics alone, dB",
            missing="zenith transmittance and turbulence of that night; the preset's loss is fitted to the "
            "curve itself, with two numbers",
            source="Liao et al., Nature 549, 43 (2017)",
        ),
        gap_row(
            "V7",
            "key lengths of SatQuMA 2.0.0, bits",
            missing="the bound of that program",
            source="cnqo-qcomms/SatQuMA",
        ),
        gap_row(
            "V8",
            "mean final key of a portable station with Micius, bits",
            published=50_000,
            missing="receiver efficiency and the passes themselves",
            source="Ren et al., arXiv:2205.13828",
        ),
        gap_row(
            "V10",
            "spread of the keys of 20 Jinan-1 passes",
            missing="the table of passes",
            source="Jinan-1 experiment, Nature (2025)",
        ),
        gap_row(
            "V11",
            "final over sifted bits at Zvenigorod",
            published=0.124,
            missing="QBER, detectors and the passes themselves",
            source="Khmelev et al., Opt. Express 32, 11964 (2024)",
        ),
        gap_row(
            "V14",
            "an emulated pass at a GHz clock distilled within the pass, bits",
            published=4_580_000,
            missing="the settings in the body of the paper",
            source="Roger et al., emulated satellite pass",
        ),
    ]
