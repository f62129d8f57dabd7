"""Privacy of people: pseudonyms, sealed health fields, and the ledger of who spent what.

``pseudonyms`` keys people. ``accounting`` (Gaussian) and ``renyi`` (orders) are pure maths; ``mechanisms``
prices a mechanism and ``dp_events`` writes it down. ``plan`` divides the budget over nights, ``admission``
says who can pay, ``spending`` and ``outlook`` what is gone and what is left. ``chain`` hashes ledger rows
under ``ledger_keys``, ``soundness`` checks what is stored, and ``ledger`` holds the rules over the
``LedgerStore`` port. ``export`` and ``statement`` show it to strangers and to one person.
"""
