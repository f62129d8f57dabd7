"""What a policy would have earned, from decisions that another policy made and logged.

``estimators`` hold the formulas, ``intervals`` and ``betting`` what can be said with confidence,
``overlap`` whether anything can be said at all, ``evaluate`` puts them together. One-step values at
logged states: none of this is the value of a journey. numpy and scipy only.
"""
