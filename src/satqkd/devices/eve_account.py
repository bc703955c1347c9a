"""What an eavesdropper says of a pass when it is over: counts, never a bit of key."""

import msgspec


class EveBlock(msgspec.Struct, frozen=True, kw_only=True):
    """What she knows of one block's sifted bits, before anything is leaked or compressed."""

    block: int
    sifted_bits: int
    """Announced detections of keyed classes and bases, both ends in the same basis."""
    bits_known: int
    """Of these, known for sure."""
    information_bits: float
    """Shannon information: one for each bit known, 1 - h(r) for each of the guesses that were right so often.

    r is counted, which makes up to two bits of information out of none.
    """
    guessed_right: int
    """Sifted bits that equal her best guess."""


class EveAccount(msgspec.Struct, frozen=True, kw_only=True):
    """What an eavesdropper did in a pass, and what she knows. Counts; no bit of key."""

    spec: str
    attack: str
    pulses: int
    """Slots of her window."""
    clicks_touched: int
    """Photons that fell on detectors out of pulses that she had changed, before dead time."""
    detections_touched: int
    """Announced detections in slots that she had changed."""
    blocks: tuple[EveBlock, ...]
