"""What people's answers say of a candidate on trial: effects, intervals, ratios, drift and plans."""
