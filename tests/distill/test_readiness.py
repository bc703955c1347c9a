"""After the warm-up no kernel is compiled or loaded any more; without a folder for the cache all import."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np
from satqkd.config import Protocol
from satqkd.distill.readiness import warm_up
from satqkd.distill import amplify
from satqkd.distill.reconciliation import class_of, correction_of, reference_of
import sys
from numba.core.dispatcher import Dispatcher

def ready():
    kernels = [module for name, module in sys.modules.items() if name.startswith("satqkd.kernels")]
    found = [each for module in kernels for each in vars(module).values() if isinstance(each, Dispatcher)]
    return {{(each.py_func.__name__, str(one)) for each in found for one in each.signatures}}

rules = Protocol(reconciliation={policy!r}, frame_bits=8192)
warm_up(rules)
before = ready()
rng = np.random.default_rng(1)
sent = rng.integers(0, 2, 20_000, dtype=np.uint8)
received = sent ^ (rng.random(20_000) < 0.02).astype(np.uint8)
chosen = class_of(0.02, 20_000, None, rules)
above, below = reference_of(sent, chosen, rules), correction_of(received, chosen, 0.02, rules)
parities = above.opening()
while above.verdicts_awaited:
    parities = above.take(below.take(parities))
amplify.amplify(below.bits, 9000, bytes(2500), method="clmul")
print(sorted(ready() - before))
"""


@pytest.mark.parametrize("policy", ["ldpc", "cascade-least-leak", "cascade-fewest-rounds"])
def test_after_the_warm_up_nothing_is_compiled_or_loaded(policy: str) -> None:
    """Signatures that kernels can run at once: all that a block needs are there before it."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(policy=policy)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_without_a_folder_for_the_cache_kernels_import_and_run(tmp_path: object) -> None:
    """A package in a folder that cannot be written, no home: numba has no place, the import holds all the
    same."""
    program = (
        "import numba.core.caching as c\n"
        "c.CacheImpl._locator_classes = []\n"
        "import satqkd.kernels.ldpc, satqkd.kernels.gf2, satqkd.kernels.cascade, satqkd.kernels.clicks\n"
        "import numpy as np\n"
        "from satqkd.kernels.jit import njit\n"
        "import numba\n"
        "try: numba.njit(cache=True)(lambda a: a)\n"
        "except RuntimeError: print('refused')\n"
        "print(njit(lambda a: a + 1)(1))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip().split() == ["refused", "2"]
