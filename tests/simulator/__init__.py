"""Whole passes of both ends' real software on virtual time, with everything that can go wrong drawn from one
seed, and a checker of what must hold whatever went wrong. See `docs/design/simulator.md`.
"""
