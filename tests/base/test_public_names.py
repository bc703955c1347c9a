"""The public names of the package: a change of this list is a change of the contract."""

import satqkd


def test_the_door_lists_and_gives_just_these() -> None:
    assert satqkd.__all__ == [
        "KeyStore", "__version__", "contact_of", "expected_key", "find_passes", "key_length", "link_budget",
        "optimise_source", "run_pass", "satellite", "station",
    ]  # fmt: skip
    assert all(getattr(satqkd, name) is not None for name in satqkd.__all__)
