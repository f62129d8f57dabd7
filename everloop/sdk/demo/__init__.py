"""A tour: made-up people live with the loop day by day, in one process and on a simulated calendar.

``play`` yields one ``DemoDay`` a day. The people come from ``synthetic.population``, whose truth is
known; their decisions and answers go through the ordinary ingest, and each night runs the daily graph's
own steps.
"""

from everloop.sdk.demo.days import play, tour_of
from everloop.sdk.demo.plan import DemoPlan

__all__ = ["DemoPlan", "play", "tour_of"]
