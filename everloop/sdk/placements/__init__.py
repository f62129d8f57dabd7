"""Where a training runs when it is not here: written as a manifest, submitted, waited for, brought back."""
