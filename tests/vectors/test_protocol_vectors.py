"""Golden vectors: what `docs/protocol.md` quotes is what the code gives.

A change of any of them is a change of the wire format or of the twin: raise the protocol's version.
"""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from satqkd.beacon import beacon_code
from satqkd.bits import from_bytes, to_bytes
from satqkd.config import Detector, Receiver, Source
from satqkd.devices.dice import settings_of
from satqkd.devices.nature import swap_of
from satqkd.distill import amplify, codes, gaps, messages, verify
from satqkd.distill.authenticate import PassKeys, TagUse, Transcript
from satqkd.distill.cascade import CascadeEnd, CascadeSchedule
from satqkd.distill.cascade_variants import memberships, permutation
from satqkd.distill.frames import interleaved_order
from satqkd.header import header_codes
from satqkd.kernels.click_inputs import Swap
from satqkd.kernels.clicks_plain import swapped
from satqkd.kernels.philox_plain import philox4x32
from satqkd.randomness import expand, key_words

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
SOURCE = Source(
    pulse_rate_hz=1e8,
    wavelength_m=850e-9,
    intensities=(0.8, 0.1, 0.0),
    probabilities=(0.5, 0.25, 0.25),
    pulse_width_s=2e-10,
)
PASS_KEY = bytes(range(160))
BITS = from_bytes(b"satqkd g", 64)


def _code(n_bits: int, leak_class: int) -> str:
    code = codes.code(n_bits, leak_class)
    return f"{code.rows} {code.columns} {code.lift} {code.digest()}"


def _philox_zero() -> str:
    return " ".join(f"{word:08x}" for word in philox4x32(np.zeros((1, 4), np.uint32), (0, 0))[0].tolist())


def _dice() -> str:
    found = settings_of(np.arange(8, dtype=np.int64), key=key_words(1, "twin", "dice"), source=SOURCE)
    columns = (found.intensity_class, found.basis, found.bit)
    return " ".join("".join(map(str, column.tolist())) for column in columns)


def _labels() -> Swap:
    detector = Detector.equal(efficiency=0.5, dark_rate_hz=0, dead_time_s=0, jitter_s=0)
    receiver = Receiver(
        optics_transmittance=0.5,
        optical_error=0,
        basis_choice="passive",
        label_swap="random",
        gate_s=1e-9,
        detector=detector,
    )
    return swap_of(receiver, 1)


def _message(message: messages.AnyMessage) -> str:
    return messages.encode(messages.Envelope(messages.VERSION, "p", 3, message)).hex()


def _transcript() -> str:
    transcript = Transcript(b"opening")
    transcript.add(b"sta>sat", b"ab")
    transcript.add(b"sat>sta", b"c")
    return b"".join(transcript.parts()).hex()


def _verify() -> str:
    return verify.tag(BITS, bytes(range(verify.seed_bytes(1e-15))), 1e-15).hex()


def _cascade(variant: str) -> str:
    bit = np.arange(3817)
    wrong = ((bit**2 + 7 * bit) % 61 == 8).astype(np.uint8)
    schedule = CascadeSchedule([3000, 40, 777], 0.017, variant=variant)
    end = CascadeEnd(schedule, wrong)
    differences = []
    while not schedule.done:
        differences.append(end.parities())
        schedule.take(differences[-1])
    digest = hashlib.sha256(np.concatenate(differences).tobytes()).hexdigest()
    return f"{schedule.rounds} {schedule.parities} {digest[:16]}"


def _header_codes(satellite: str) -> dict[str, str]:
    codes = zip(("first", "second"), header_codes(satellite), strict=True)
    return {f"header.{satellite}.{name}": "".join(map(str, code[:64].tolist())) for name, code in codes}


def computed() -> dict[str, str]:
    """Every vector by name."""
    slots = np.array([1000, 1007, 1300, 5000], dtype=np.int64)
    return {
        "beacon.shake": expand("satqkd beacon code v1", 4).hex(),
        "beacon.code": "".join(map(str, beacon_code(64).tolist())),
        **_header_codes("micius"),
        **{f"code.{n}.{c}": _code(n, c) for n, c in ((8192, 0), (100_000, 40), (262_144, 40))},
        "frames.4.3": " ".join(map(str, interleaved_order([4, 3]).tolist())),
        "philox.zero": _philox_zero(),
        "dice.key": " ".join(map(str, key_words(1, "twin", "dice"))),
        "dice.0-7": _dice(),
        "swap.key": " ".join(map(str, key_words(1, "station", "swap"))),
        "swap.0-31": "".join(map(str, swapped(np.arange(32), _labels()).tolist())),
        "gaps": gaps.encode(slots, start_slot=900).hex(),
        "message.lock": _message(messages.LockReport(True, 7)),
        "message.hello": _message(
            messages.Hello("a", "b", bytes(32), 8, (messages.RawClaim("q.block0", "r", 5, 9),))
        ),
        "message.cut": _message(messages.Cut(0, 70_000)),
        "message.receipt": messages.encode_receipt(messages.Receipt("p", 3)).hex(),
        "message.keep": _message(messages.Keep(0, 10, bytes(16))),
        "message.bases": _message(messages.Bases(0, 10, b"\xff\x03")),
        "transcript": _transcript(),
        "code.online": PassKeys(PASS_KEY, 1).online_code(b"sat>sta", b"message").hex(),
        "tag.confirm": PassKeys(PASS_KEY, 1).one_time_tag(0, TagUse.CONFIRM, b"message").hex(),
        "verify.1e-15": _verify(),
        "amplify": to_bytes(amplify.amplify(BITS, 16, bytes(range(8)))).hex(),
        "cascade.order": " ".join(map(str, permutation(12, 2)[0].tolist())),
        "cascade.checks": " ".join(map(str, memberships(6).tolist())),
        **{f"cascade.{name}": _cascade(name) for name in ("least-leak", "fewest-rounds")},
    }


def quoted() -> dict[str, str]:
    """Every vector of the page by name."""
    found = re.search(r"^```vectors\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None
    pairs = (line.split(" = ") for line in found.group(1).splitlines())
    return dict(pairs)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(computed()))
def test_the_page_quotes_what_the_code_gives(name: str) -> None:
    assert quoted().get(name) == computed()[name]


def test_the_page_quotes_no_other_vector() -> None:
    assert set(quoted()) == set(computed())


def test_philox_vector_is_that_of_random123() -> None:
    """kat_vectors of Random123, philox4x32 10, counter and key zero."""
    assert computed()["philox.zero"] == "6627e8d5 e169c58d bc57ac4c 9b00dbd8"


def test_amplification_by_the_matrix_written_out() -> None:
    """The formula of the page, entry by entry, against the transform."""
    n, m, seed = 64, 16, from_bytes(bytes(range(8)), 64)
    toeplitz = np.array([[seed[i - j + n - m - 1] for j in range(n - m)] for i in range(m)], dtype=np.int64)
    expected = (BITS[:m] + toeplitz @ BITS[m:].astype(np.int64)) % 2
    assert to_bytes(expected.astype(np.uint8)).hex() == computed()["amplify"]


def test_the_beacon_code_by_its_recurrence() -> None:
    code = from_bytes(bytes.fromhex(computed()["beacon.shake"]), 32).tolist()
    for i in range(32):
        code.append(code[i] ^ code[i + 1] ^ code[i + 2] ^ code[i + 22])
    assert "".join(map(str, code)) == computed()["beacon.code"]
