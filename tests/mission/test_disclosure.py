"""What an eavesdropper records: the leak recounted, the order of telling, and that the reader bites.

The reader (`wiretap.py`) is written from the documents and takes nothing from the rooms that spoke.
"""

import msgspec
import pytest

import wiretap
from satqkd.randomness import stream_bytes
from toy_pass import PROTOCOL, Flight, fly_toy, replaced
from wiretap import Said, Violation

Story = list[Said]


@pytest.fixture(scope="module")
def said(flight: Flight) -> Story:
    return wiretap.from_datagrams(flight.datagrams)


@pytest.fixture(scope="module")
def rules(flight: Flight) -> wiretap.Rules:
    return wiretap.rules_of(flight.satellite.parameters)


def test_the_leak_is_what_the_recorded_datagrams_hold(
    flight: Flight, said: Story, rules: wiretap.Rules
) -> None:
    account = wiretap.recount(said, 0, rules)
    for terminal in (flight.satellite, flight.station):
        (report,) = terminal.reports
        assert report.leaked_bits == account.leaked_bits
        assert (report.frames, report.frames_failed) == (account.frames, account.failed)
    assert flight.report.leaked_bits == sum(account.leaked_bits.values()) > 10_000
    rounds = {("ZX"[b], ("signal", "decoy", "vacuum")[k]): n for (b, k), n in account.rounds.items()}
    assert rounds == {(row.basis, row.class_name): row.detections for row in flight.report.counts}


def test_the_length_was_computed_from_that_leak(flight: Flight, said: Story, rules: wiretap.Rules) -> None:
    """One bit more of leak in a basis is one bit less of its key."""
    leak = wiretap.recount(said, 0, rules).leaked_bits
    length = flight.station.reports[0].length
    assert length is not None
    assert {basis: terms["leaked_bits"] for basis, terms in length.terms["bases"].items()} == leak


def test_nothing_is_told_too_early(said: Story, rules: wiretap.Rules) -> None:
    wiretap.check_order(said, rules)
    assert {each.kind for each in said} >= {
        "Announce",
        "Ended",
        "Bases",
        "Sift",
        "Crossed",
        "Parities",
        "Amplify",
    }


def test_three_blocks_are_opened_one_by_one_while_light_still_comes(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    protocol = replaced(PROTOCOL, blocks=3)
    flight = fly_toy(tmp_path_factory.mktemp("three"), protocol=protocol)
    said, rules = (
        wiretap.from_datagrams(flight.datagrams),
        wiretap.rules_of(flight.satellite.parameters),
    )
    wiretap.check_order(said, rules)
    for block, report in enumerate(flight.satellite.reports):
        assert wiretap.recount(said, block, rules).leaked_bits == report.leaked_bits
    sifted = [each for each in said if each.kind == "Crossed"]
    assert len(sifted) == 3
    assert sifted[0].first_s < rules.end_s(1)
    seeds = [bytes(seed) for each in said if each.kind in ("Amplify", "Verify") for seed in _seeds(each)]
    assert len(set(seeds)) == len(seeds)


def _seeds(each: Said) -> list[bytes]:
    return [each.fields[1]] if each.kind == "Verify" else [seed for seed in each.fields[2] if seed]


def test_seeds_are_sent_in_full(flight: Flight, said: Story) -> None:
    (amplify,) = [each for each in said if each.kind == "Amplify"]
    source, sizes = stream_bytes(1, "tests", "satellite"), []
    (verify,) = [each for each in said if each.kind == "Verify"]
    assert verify.fields[1] == source(len(verify.fields[1]))
    for seed, row in zip(amplify.fields[2], (0, 3), strict=True):
        sizes.append(len(seed))
        assert seed == source(len(seed))
        assert 8 * len(seed) >= flight.report.counts[row].detections - 1


def index(said: Story, kind: str) -> int:
    return next(i for i, each in enumerate(said) if each.kind == kind)


def moved(said: Story, kind: str, seconds: float) -> Story:
    return [
        each._replace(first_s=each.first_s + seconds, last_s=each.last_s + seconds)
        if each.kind == kind
        else each
        for each in said
    ]


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [
        ("Ended", -2.0),
        ("Bases", -2.0),
        ("Sift", -2.0),
        ("Crossed", -2.0),
        ("ChooseCodes", -2.0),
        ("Parities", -2.0),
        ("Amplify", -0.5),
        ("Close", 5.0),
        ("Bases", 5.0),
        ("Ended", 5.0),
        ("Announce", -1.0),
    ],
)
def test_the_reader_sees_what_is_told_too_early(
    said: Story, rules: wiretap.Rules, kind: str, seconds: float
) -> None:
    with pytest.raises(Violation):
        wiretap.check_order(moved(said, kind, seconds), rules)


@pytest.mark.parametrize("kind", ["Amplify", "Verify", "Ended", "Crossed", "Hello"])
def test_the_reader_sees_what_is_told_twice(said: Story, rules: wiretap.Rules, kind: str) -> None:
    each = said[index(said, kind)]
    last = max(other.sequence for other in said if other.direction == each.direction)
    with pytest.raises(Violation):
        wiretap.check_order([*said, each._replace(sequence=last + 1)], rules)


@pytest.mark.parametrize("kind", ["Hello", "Close", "Announce", "Bases", "Sift"])
def test_the_reader_sees_what_is_missing(said: Story, rules: wiretap.Rules, kind: str) -> None:
    place = index(said, kind)
    gone = said[place]
    story = [
        each._replace(sequence=each.sequence - (each.direction == gone.direction and i > place))
        for i, each in enumerate(said)
        if i != place
    ]
    with pytest.raises(Violation):
        wiretap.check_order(story, rules)
        wiretap.recount(story, 0, rules)


@pytest.mark.parametrize(
    ("kind", "field", "change"),
    [
        ("Parities", 2, lambda data: data + b"\x00"),
        ("Sift", 4, lambda data: data + b"\x00"),
        ("Verdicts", 2, lambda data: bytes(len(data))),
        ("Crossed", 1, lambda data: data + b"\x00"),
        ("Bases", 1, lambda count: count + 1),
        ("Ended", 1, lambda count: count + 1),
    ],
)
def test_the_recount_sees_every_byte_more(
    said: Story, rules: wiretap.Rules, kind: str, field: int, change: object
) -> None:
    story = list(said)
    place = index(said, kind)
    fields = list(said[place].fields)
    fields[field] = change(fields[field])  # type: ignore[operator]
    story[place] = said[place]._replace(fields=fields)
    with pytest.raises(Violation):
        wiretap.recount(story, 0, rules)


def test_the_recount_sees_a_reveal_of_a_good_frame(said: Story, rules: wiretap.Rules) -> None:
    reveal = said[index(said, "Parities")]._replace(kind="Reveal", fields=[0, 0, b"values"])
    with pytest.raises(Violation):
        wiretap.recount([*said, reveal], 0, rules)


def test_the_reader_sees_a_seed_redrawn_on_the_link(flight: Flight) -> None:
    """A frame that is sent again must be the same bytes."""
    way, now_s, data = next(each for each in flight.datagrams if each[2][3] & 3 == 0)
    body = data[:-5] + bytes([data[-5] ^ 1])
    again = body + wiretap.zlib.crc32(body).to_bytes(4, "little")
    with pytest.raises(Violation, match="sent again differs"):
        wiretap.reassembled([(way, now_s, data), (way, now_s + 1, again)])


def test_no_key_is_on_the_link(flight: Flight, said: Story) -> None:
    (key,) = flight.keys[0].values()
    stream = b"".join(field for each in said for field in each.fields if isinstance(field, bytes))
    assert len(key) > 1000
    assert all(key[i : i + 8] not in stream for i in range(0, len(key) - 8, 8))


def test_no_key_is_in_reports_or_logs(flight: Flight) -> None:
    (key,) = flight.keys[0].values()
    text = repr(flight.report) + repr(flight.satellite.report()) + repr(flight.station.report())
    assert key.hex()[:16] not in text
    assert repr(key)[2:12] not in text
    assert key.hex()[:16].encode() not in msgspec.json.encode(flight.report)
