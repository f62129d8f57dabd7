"""Ten days of the whole loop on people whose truth is known, beside what else could have decided."""
