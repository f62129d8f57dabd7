"""May a candidate meet people? Named checks of evidence, and one verdict.

``decide.decide(spec, evidence)`` asks every check; one module per check, each a ``GateCheck``. No
evidence is a no.
"""
