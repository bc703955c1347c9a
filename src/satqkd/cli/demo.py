"""`satqkd demo`: the main job, once, from photons to an image under one-time pad."""

from pathlib import Path
from typing import Annotated

import typer

from satqkd.cli.common import Json, ProgressLine, Seed, print_json, print_tables, say


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything it writes.")] = Path("satqkd-out/demo"),
    seed: Seed = 1,
    json: Json = False,
) -> None:
    """Two stations, one satellite, two passes in real processes, relay, an image encrypted and decrypted."""
    from satqkd.keys.ledger.onetime_mac import TAG_BYTES
    from satqkd.node import run_demo
    from satqkd.show import (
        as_noise,
        fitted_image,
        from_ppm,
        image_picture,
        pass_table,
        pass_view,
        report_of_folder,
        to_ppm,
    )
    from satqkd.show.report import IMAGE_PICTURE

    say(f"demo with seed {seed} in {out}; its key is the twin's, so it is not secret")
    result = run_demo(
        out,
        seed=seed,
        make_image=lambda most_bytes: to_ppm(fitted_image(most_bytes)),
        say=say,
        progress=lambda what: ProgressLine(what),
    )
    if result.image is not None:
        before, after = (from_ppm((out / name).read_bytes()) for name in ("image.ppm", "image-received.ppm"))
        noise = as_noise((out / "image.ppm.otp").read_bytes()[:-TAG_BYTES], before.shape)
        image_picture(out / IMAGE_PICTURE, before, noise, after)
    page = report_of_folder(out)
    if json:
        print_json(result)
    else:
        print_tables(pass_table([pass_view(report) for report in result.passes]))
        say(f"report: {page}")
    image = result.image
    if image is None or image["sha256_before"] != image["sha256_after"]:
        raise typer.Exit(1)
