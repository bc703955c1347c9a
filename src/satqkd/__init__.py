"""satqkd: a satellite quantum-key-distribution system, from the photon to the delivered key."""

__version__ = "0.1.0"
