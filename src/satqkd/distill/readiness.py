"""Kernels made ready before the pass: the first block must not wait for a compiler.

For the station, which has numba and the time; the satellite never calls this. Cold it takes some ten seconds,
from numba's cache less than two. Draws nothing, keeps nothing but compiled code.
"""

import numpy as np

from satqkd.config import Protocol
from satqkd.distill import amplify, codes
from satqkd.distill.cascade_dialogue import CascadeCorrection
from satqkd.distill.leak_class import choose_class
from satqkd.distill.reconcile import Attempt


def warm_up(protocol: Protocol) -> None:
    """Compile, or load from the cache, what the station runs in a block: reconciler, amplification."""
    amplify.warm_up()
    if protocol.reconciliation == "ldpc":
        matrix = codes.code(codes.SHORTEST_CODE, choose_class(0.02, frame_length=codes.SHORTEST_CODE) or 0)
        frame = np.zeros(matrix.n_bits, np.uint8)
        Attempt(matrix, np.ones(matrix.rows_bits, np.uint8), frame, 0.02).run(1, 1)
        return
    variant = protocol.reconciliation.removeprefix("cascade-")
    end = CascadeCorrection(np.zeros(256, np.uint8), 0.02, frame_bits=256, variant=variant)
    sent = np.zeros(end.parities_awaited, np.uint8)
    sent[0] = 1
    end.take(sent)
