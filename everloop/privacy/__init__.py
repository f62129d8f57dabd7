"""Privacy of people: pseudonyms, the accounting of Gaussian releases, and the ledger of who spent what.

``pseudonyms`` keys people, ``accounting`` is pure maths, ``plan`` divides the budget over nights,
``chain`` hashes ledger rows, ``ledger`` holds the rules over the ``LedgerStore`` port.
"""
