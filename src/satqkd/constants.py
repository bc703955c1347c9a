"""Physical constants, each with its source. SI units, the unit in the name."""

from typing import Final

SPEED_OF_LIGHT_M_S: Final = 299_792_458.0  # SI definition
ELEMENTARY_CHARGE_C: Final = 1.602_176_634e-19  # SI definition
PLANCK_J_S: Final = 6.626_070_15e-34  # SI definition
ASTRONOMICAL_UNIT_M: Final = 149_597_870_700.0  # IAU 2012 Resolution B2

EARTH_EQUATORIAL_RADIUS_M: Final = 6_378_137.0  # WGS 84
EARTH_FLATTENING: Final = 1.0 / 298.257_223_563  # WGS 84
EARTH_ROTATION_RAD_S: Final = 7.292_115_146_7e-5  # IERS 2010, mean angular velocity
SUN_RADIUS_M: Final = 6.957e8  # IAU 2015 Resolution B3, nominal
DAY_S: Final = 86_400.0
TROPICAL_YEAR_S: Final = 365.242_19 * DAY_S  # Seidelmann 1992, Explanatory Supplement

FWHM_PER_SIGMA: Final = 2.354_820_045_030_949  # of a Gaussian, 2 sqrt(2 ln 2)
PS_PER_S: Final = 1_000_000_000_000
