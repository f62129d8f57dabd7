"""Our training of adapters beside plain TRL, near-duplicates, and what swapping an adapter costs."""
