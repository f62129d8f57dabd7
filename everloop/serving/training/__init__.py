"""Training by itself: when it is due, who runs it, and how a run is started and watched."""
