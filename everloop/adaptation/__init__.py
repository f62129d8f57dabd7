"""From what people said to a voice that learned it: strategy, data, curriculum, preferences."""

from everloop.settings import stay_offline

stay_offline()
