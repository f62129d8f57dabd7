"""The models of a tenant: which there are, what was measured of each, and how one is deployed."""
