"""Jobs beside the requests: who holds one, and the process that does its work."""
