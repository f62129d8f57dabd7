"""One base, versioned adapters: loading by checksum, answers, scores, export."""

from everloop.settings import stay_offline

stay_offline()
