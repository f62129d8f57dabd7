"""How often the gate, the estimators and the experiment err, from simulated repetitions."""
