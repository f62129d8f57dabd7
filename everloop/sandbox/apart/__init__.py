"""The process in which a candidate speaks: what it may not do, how that is shown, and how it is asked."""
