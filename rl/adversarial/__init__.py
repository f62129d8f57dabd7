"""Attacks on a policy: perturbed states, extreme contexts, catalogue tricks and poisoned rewards.

Each attack answers with a named check and its figures. numpy and the loop's own encoders only; the policy
is asked through its port, as it is served.
"""
