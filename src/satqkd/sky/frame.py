r"""How the satellite's polarisation axes lie in the telescope's: the angle a half-wave plate must undo.

Seen along the arriving light, from the satellite down to the station (k points away from the eye):

              up'                  h: station's reference, the horizontal direction across the line of
               |    s                 sight, to the right of one who looks up at the satellite; the receiver
               |   /                  turns with the tube of an alt-azimuth mount
               |  /                s: satellite's reference, the direction across the line of sight that
        h -----k-)--- -h              lies nearest to the orbit's normal (angular momentum)
               |\ frame angle: from -h (as from h: both are one axis) to s, here negative

The angle is positive clockwise in this view, that is right-handed about the direction in which the light
travels. Both references are axes, not arrows: the angle counts modulo pi, and H of the satellite at
frame angle pi/2 arrives as V of the station. Mirrors, coude paths and the satellite's own attitude about
its line of sight are not part of it. Knows no light but its direction.
"""

import numpy as np

from satqkd.sky.geometry import Axes, Column


def frame_angle_rad(line_m: Axes, orbit_normal: Axes) -> Column:
    r"""Angle from the station's to the satellite's polarisation reference along a pass, shape (n,).

    .. math:: \psi = \mathrm{atan2}(\hat k \cdot (\vec h \times \vec s),\ \vec h \cdot \vec s), \quad
        \vec h = \vec d \times \hat z, \quad \vec s = \vec N - (\vec N \cdot \hat d) \hat d, \quad
        \hat k = -\hat d

    d: line of sight from station to satellite, N: orbit normal, both east, north, up, shape (3, n), z: up.
    The first value lies in (-pi/2, pi/2], the others follow without jumps if no step turns by a quarter turn
    or more (steps of a second: passes up to 89 degrees); larger steps lose only multiples of pi.
    """
    east, north, up = line_m / np.linalg.norm(line_m, axis=0)
    horizontal = np.hypot(east, north)
    right = np.stack([north, -east]) / np.where(horizontal > 0, horizontal, 1.0)  # h: east, north
    # Across k: h, and k x h, which is -d_up along the ground toward the satellite and d_horizontal upward.
    along = right[0] * orbit_normal[0] + right[1] * orbit_normal[1]
    toward = right[0] * orbit_normal[1] - right[1] * orbit_normal[0]
    across = horizontal * orbit_normal[2] - up * toward
    angle = np.arctan2(across, along)
    return np.asarray(np.unwrap(angle - np.pi * np.ceil(angle[:1] / np.pi - 0.5), period=np.pi))
