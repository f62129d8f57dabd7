"""How people respond, learned privately.

``tonight`` makes a night's release. ``features`` and ``weights`` say what the heads see and hold,
``outcomes`` and ``samples`` what they learn from, ``private_fit`` is the mechanism (``schedule`` its
steps, ``nights`` how one release follows another). ``linear`` and ``mlp`` are the two released models
over ``responses``; ``uncertainty`` and ``noise_covariance`` say how far they may be off. ``reference_fit``
is the same model without privacy, for figures that stay inside.
"""

from synthetic.user_model.tonight import LinearUserModel, load_user_model, release_user_model

__all__ = ["LinearUserModel", "load_user_model", "release_user_model"]
