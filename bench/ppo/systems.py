"""The systems that are compared, by name. Nothing is imported: the process that measures stays small."""

SYSTEMS = {
    "everloop": ("with_everloop", "train"),
    "sb3-maskable": ("with_sb3", "train"),
    "sb3-plain": ("with_sb3", "train_plain"),
    "cleanrl-style": ("with_cleanrl", "train"),
    "rllib-stock": ("with_rllib", "train"),
}
"""Name -> (module, function that trains)"""
