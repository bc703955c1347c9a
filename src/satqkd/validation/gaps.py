"""Published figures that cannot be computed yet, each with what is missing for it. No number is made up."""

from satqkd.validation.rows import Row, gap_row


def rows() -> list[Row]:
    """All gaps without a computed figure; those with one stand with what computes them."""
    return [
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
            source="Roger et al., emulated satellite pass (PMC10691775)",
        ),
    ]
