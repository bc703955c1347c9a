"""`satqkd serve` as a process of its own over the toy supply, its command line as it is.

python served.py CONFIG [--demo]
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from toy_supply import ToyNetwork, ToySupply

from satqkd.cli import main
from satqkd.delivery import ServeConfig, opened


@contextmanager
def toy(config: ServeConfig, *, demo: bool, **_: object) -> Iterator[ToySupply]:
    network = ToyNetwork("beijing", "stellenbosch")
    network.origin = "twin"
    supply = network.supply("beijing", demo=demo)
    yield supply
    print("closed" if supply.closed else "left open", file=sys.stderr)


if __name__ == "__main__":
    opened.opened_supply = toy
    sys.argv = ["satqkd", "serve", *sys.argv[1:]]
    main()
