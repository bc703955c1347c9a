"""Which reconciler a pass uses: the policy agreed in hello, in one place for both ends.

LDPC by default. Cascade is for a lively two-way link; under the two-way account it leaks about twice the
entropy, so it is an option and an oracle. No message, no clock, no random source.
"""

from typing import Final

from numpy.typing import ArrayLike

from satqkd.bits import Bits
from satqkd.config import Protocol
from satqkd.distill.cascade_dialogue import CascadeCorrection, CascadeReference
from satqkd.distill.codes import LEAK_FRACTIONS
from satqkd.distill.dialogue import Correction, Reference
from satqkd.distill.frames import frame_sizes
from satqkd.distill.ldpc_dialogue import LdpcCorrection, LdpcReference
from satqkd.distill.leak_class import BEGIN, SIGMAS, choose_class
from satqkd.security.tails import binary_entropy

_CASCADE: Final = {"cascade-least-leak": "least-leak", "cascade-fewest-rounds": "fewest-rounds"}


def reference_of(bits: Bits, leak_class: int, protocol: Protocol) -> Reference:
    """The satellite's end for a keyed string (uint8 (n,), in order of slot), by the agreed policy. Of an
    empty string there is nothing to say, whatever the policy."""
    frame_bits, variant = protocol.frame_bits, _CASCADE.get(protocol.reconciliation)
    if variant is not None and bits.size:
        return CascadeReference(bits, qber_of(leak_class), frame_bits=frame_bits, variant=variant)
    return LdpcReference(bits, leak_class, frame_bits=frame_bits, further_rounds=protocol.further_rounds)


def correction_of(bits: Bits, leak_class: int, crossover: ArrayLike, protocol: Protocol) -> Correction:
    """The station's end; crossover: estimated error rate, one number or one for each bit."""
    frame_bits, variant = protocol.frame_bits, _CASCADE.get(protocol.reconciliation)
    if variant is not None and bits.size:
        return CascadeCorrection(bits, qber_of(leak_class), frame_bits=frame_bits, variant=variant)
    return LdpcCorrection(
        bits, leak_class, crossover, frame_bits=frame_bits, further_rounds=protocol.further_rounds
    )


def class_of(rates: ArrayLike, n_bits: int, revealed: int | None, protocol: Protocol) -> int:
    """The class that a string of n_bits begins in; the largest where none is large enough.

    rates: estimated error rate, one number or one for each bit; revealed: how many rounds told it, None
    where it was expected beforehand. Cascade begins where LDPC with all its
    rounds does.
    """
    found = choose_class(
        rates,
        frame_length=min(frame_sizes(n_bits, frame_bits=protocol.frame_bits), default=1),
        sample_bits=revealed,
        further_rounds=protocol.further_rounds if protocol.reconciliation == "ldpc" else len(SIGMAS),
    )
    return len(LEAK_FRACTIONS) - 1 if found is None else found


def qber_of(leak_class: int) -> float:
    """The error rate that a class stands for: BEGIN times its entropy is the leak; to five decimals, so
    that it is the same number on any machine."""
    low, high = 0.0, 0.5
    while high - low > 1e-7:
        middle = (low + high) / 2
        low, high = (
            (middle, high) if BEGIN * binary_entropy(middle) < LEAK_FRACTIONS[leak_class] else (low, middle)
        )
    return round(high, 5)
