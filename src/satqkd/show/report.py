"""The report: one HTML file that explains a pass, or a whole demo, to someone who was not there.

It says first what is simulated, inferred, assumed and not proved, then what happened, then on what
evidence. Self-contained, so that it can be mailed. Reads result files only; no key is in them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from satqkd.errors import DataFormatError, ResourceError
from satqkd.show import pictures, tables
from satqkd.show.files import EvidenceRow, PassFiles, PassView, read_pass
from satqkd.show.page import Markup, element, folded, page, picture, table

REPORT_FILE: Final = "report.html"
IMAGE_PICTURE: Final = "image.png"
"""Where a demo's picture of the image is looked for: in the report's folder, by `image_picture`."""
PICTURES: Final = {
    "geometry.png": "Elevation and range in time",
    "loss.png": "Loss and its parts in time",
    "rates.png": "Sifted rate, and error rate of revealed decoys, in time, counted and expected",
}


def write_pictures(files: PassFiles) -> list[Path]:
    """Draw what the files of a pass allow, into its folder. Returns the PNG files, in reading order."""
    folder, report = files.folder, files.report
    drawn = []
    if files.course is not None:
        columns = files.course.columns
        drawn.append(pictures.geometry_picture(folder / "geometry.png", report.scene, columns))
        drawn.append(pictures.loss_picture(folder / "loss.png", report.scene, columns))
    if files.profiles:
        columns_or_none = None if files.course is None else files.course.columns
        drawn.append(
            pictures.rate_picture(
                folder / "rates.png", report.scene, files.profiles, columns_or_none, qber=report.qber
            )
        )
    return drawn


def pass_report(folder: Path) -> Path:
    """Pictures and `report.html` of one pass folder, written into it. Returns the HTML file.

    Raises DataFormatError for a folder that is none, ResourceError when it cannot be written.
    """
    return write_report(folder, {}, [read_pass(folder)])


def write_report(folder: Path, demo: dict[str, Any], passes: Sequence[PassFiles]) -> Path:
    """Write `report.html` into `folder`, and the pictures of each pass into its own. Returns the file.

    demo: as `demo --json` prints it (`relay`, `image`, `seed`, `wall_s`); empty for a pass by itself.
    The picture of the image is taken from `folder / IMAGE_PICTURE` where it exists.
    Raises DataFormatError without a pass, ResourceError when something cannot be written.
    """
    if not passes:
        raise DataFormatError("report: expected at least one pass, got none")
    reports = [files.report for files in passes]
    evidence = [row for files in passes if files.course for row in files.course.evidence]
    title = "Two passes, one key, one image" if demo else f"A pass over {reports[0].station}"
    sections = [
        element("h1", title),
        element("p", _subtitle(reports, demo), class_="lead"),
        *_outcome(reports, demo),
        *_about(reports, evidence),
        element("h2", "What happened"),
        table(tables.pass_table(reports), caption=False),
        *_relay_and_image(folder, demo),
        *(part for files in passes for part in _pass_section(files)),
        element("h2", "The laser link"),
        table(tables.classical_table(reports), caption=False),
        folded("What each process took", table(tables.process_table(reports), caption=False)),
        *_evidence(evidence),
    ]
    return _write(folder / REPORT_FILE, page(f"satqkd: {title}", sections))


def _write(path: Path, content: str) -> Path:
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise ResourceError(
            f"{path}: the report cannot be written ({error.strerror}); choose another folder"
        ) from None
    return path


def _subtitle(reports: Sequence[PassView], demo: dict[str, Any]) -> str:
    places = " and ".join(dict.fromkeys(report.station for report in reports))
    flown = ", ".join(dict.fromkeys(report.satellite for report in reports))
    wall = demo.get("wall_s", reports[0].timings_s.get("wall"))
    seed = demo.get("seed", reports[0].seed)
    return f"{flown} over {places}; seed {seed}; computed in {tables.decimals(wall, 1)} s"


def _outcome(reports: Sequence[PassView], demo: dict[str, Any]) -> list[Markup]:
    """The result in one sentence each."""
    sentences = [_sentence(report) for report in reports]
    image = demo.get("image")
    if image:
        same = image.get("sha256_before") == image.get("sha256_after")
        size = tables.whole(image.get("bytes"))
        sentences.append(
            f"An image of {size} bytes, encrypted at one station, was decrypted at the other: "
            + ("both are identical." if same else "they differ.")
        )
    return [element("div", *(element("p", sentence) for sentence in sentences), class_="good")]


def _sentence(report: PassView) -> str:
    if report.outcome == "key":
        qber = tables.percent(report.qber)
        return (
            f"{report.station}: {tables.whole(report.secret_bits)} secret bits from "
            f"{tables.whole(report.sifted_bits)} sifted bits at {qber} errors."
        )
    why = f": {report.reason}" if report.reason else ""
    return f"{report.station}: no key to use ({report.outcome}{why})."


def _about(reports: Sequence[PassView], evidence: Sequence[EvidenceRow]) -> list[Markup]:
    """What the reader must know before believing a number."""
    points = [element("li", point) for point in (*_origins(reports), *_marks(evidence), *_LIMITS)]
    bounds = ", ".join(dict.fromkeys(report.bound for report in reports))
    if "asymptotic" in bounds:
        points.append(element("li", _ASYMPTOTIC))
    secrecy = max(report.epsilon_secrecy for report in reports)
    correctness = max(report.epsilon_correctness for report in reports)
    forged = max(report.epsilon_authentication for report in reports)
    return [
        element("h2", "What this is, and what it is not"),
        element("p", _WHAT),
        element("ul", *points, class_="note"),
        element(
            "p",
            f"Secret lengths are by the bound {bounds}, for a secrecy error of at most {secrecy:g} and a "
            f"correctness error of at most {correctness:g} per pass; that a forged one-time tag was taken "
            f"adds at most {forged:.1g}.",
        ),
    ]


def _origins(reports: Sequence[PassView]) -> list[str]:
    origins = dict.fromkeys(report.origin for report in reports)
    return [_ORIGINS.get(origin, f"The photons' origin is given as {origin}.") for origin in origins]


def _marks(evidence: Sequence[EvidenceRow]) -> list[str]:
    counts = tables.mark_counts(evidence)
    if not counts:
        return ["No evidence for the presets' numbers came with these files."]
    parts = ", ".join(f"{count} {mark}" for mark, count in counts.items())
    return [
        f"Of {sum(counts.values())} preset numbers with a stated source: {parts}. Each is listed at the end."
    ]


def _pass_section(files: PassFiles) -> list[Markup]:
    report = files.report
    drawn = write_pictures(files)
    missing = [] if len(drawn) == len(PICTURES) else [element("p", _INCOMPLETE, class_="note")]
    return [
        element("h2", f"{report.satellite} over {report.station}"),
        *(picture(path, f"{PICTURES[path.name]}, {report.station}") for path in drawn),
        *([element("p", _ERRORS_IN_TIME, class_="note")] if files.profiles else []),
        *missing,
        table(tables.block_table(report)),
        folded("Counts per basis and class", table(tables.count_table(report), caption=False)),
        *(folded(terms.title, table(terms, caption=False)) for terms in tables.term_tables(report)),
        folded("When each stage was entered", table(tables.stage_table(report), caption=False)),
    ]


def _relay_and_image(folder: Path, demo: dict[str, Any]) -> list[Markup]:
    if not demo:
        return []
    path = folder / IMAGE_PICTURE
    return [
        element("h2", "Relay and image"),
        element("p", _RELAY),
        *(
            table(tables.fact_table(title, demo[name]))
            for name, title in (("relay", "Relay"), ("image", "Image"))
            if isinstance(demo.get(name), dict)
        ),
        *([picture(path, "The image before, encrypted and after")] if path.exists() else []),
    ]


def _evidence(evidence: Sequence[EvidenceRow]) -> list[Markup]:
    marks = tables.mark_counts(evidence)
    return [
        element("h2", "Evidence for the presets' numbers"),
        *(
            folded(f"{mark}: {count}", table(tables.evidence_table(evidence, mark), caption=False))
            for mark, count in marks.items()
        ),
        *([] if marks else [element("p", "None came with these files.")]),
    ]


_WHAT: Final = (
    "A satellite sends faint polarised pulses to a ground station; both ends turn the few that arrive into "
    "the same secret key by talking over a laser link. Below, that conversation was carried out in full "
    "between a satellite's and a station's program: every message, correction, check and tag."
)
_ORIGINS: Final = {
    "twin": "Twin: the photons, clicks and noise are simulated with repeatable dice. The protocol's "
    "programs are the real ones, but whoever has the seed can make the same photons again: no key of "
    "theirs is secret.",
    "recorded": "Recorded: the time tags came from files. Whoever holds the files can distil the key again.",
}
_LIMITS: Final = (
    "Inferred and calibrated: where a system's numbers are not public, they were worked back from what is, "
    "or one loss was fitted to a published result. Such a pass agrees with that result by construction.",
    "Assumed: numbers taken from similar systems. They carry no weight as evidence.",
    "Link: a model. Pointing and turbulence fade the light from moment to moment where the settings say how "
    "strong and how fast they are; clouds pass only where they are set.",
    "Not proved: that real hardware does what the security proof supposes, namely the stated intensities "
    "and choices independent from pulse to pulse, random phases, detectors equally efficient in both "
    "bases, no light in from outside. The software does not measure any of it.",
    "Trusted: the satellite knows every key it relays. The programs were not audited by others, and they do "
    "not protect against someone who reads the memory of a node.",
)
_ASYMPTOTIC: Final = (
    "The bound asymptotic ignores that counts are finite: its lengths are for comparison and give no secure "
    "key."
)
_RELAY: Final = (
    "The satellite holds a key with each station. It sends out the exclusive-or of the two, which is no "
    "secret, with a tag for each end, so that both stations hold one key in common. The image is encrypted "
    "with that key as a one-time pad: as many key bits as image bits, used once. The satellite is trusted; "
    "the path of the ciphertext is not."
)
_ERRORS_IN_TIME: Final = (
    "The error rate in time is that of decoys, whose values the satellite tells in the open. They are "
    "fainter than signals, so that noise spoils more of them. Where the errors of keyed rounds lie depends "
    "on the key and is not told; only their number is, and it is charged as leaked: the QBER of the whole "
    "pass stands in the table."
)
_INCOMPLETE: Final = (
    "course.json or station.json is missing from the folder, or holds no detections by the second: what they "
    "would show is left out."
)
