"""People who do not exist, drawn from private statistics of people who do.

``tonight`` makes a release and draws from it. ``plan`` says what it measures, ``statistics`` measures:
``marginals`` one variable at a time, ``pair_tables`` two, ``persona_moments`` the vectors within
``persona_space``. ``mixture_fit`` makes the tables a ``mixture``; ``sampling``, ``contexts``, ``traits``
and ``persona`` make people of it, ``rows`` their table. ``group_patterns`` tells groups of five and more;
``augmentation`` varies real people's own data and stays inside.
"""

from synthetic.profiles.tonight import (
    draw_profiles,
    load_profiles,
    load_statistics,
    persona_projection,
    release_profiles,
    save_profiles,
    to_rows,
)

__all__ = [
    "draw_profiles",
    "load_profiles",
    "load_statistics",
    "persona_projection",
    "release_profiles",
    "save_profiles",
    "to_rows",
]
