"""What judges and must not be learned by heart: the golden set's answers, and those of held-out people.

An answer behind the same last words is refused whatever its length; an answer of ``LEAST_WORDS`` words
behind other words, too: a template or a copied text would give it away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from everloop.adaptation.near_duplicates import NearDuplicates
from everloop.contracts.voices import TrainingDataInstance

LEAST_WORDS = 8
"""From which an answer says whose it is without what it answers."""
GOLDEN, HELD_OUT_ANSWER = "golden", "held_out_answer"


class Reserved:
    """Texts that nothing that teaches may nearly repeat. Asking leaves no trace, so that nobody's text
    decides about another's.

    Args:
        jaccard: similarity of 5-character shingles from which two texts are nearly alike.
        unlearned: the golden set, and whatever else judges by its own words.
    """

    def __init__(self, jaccard: float, unlearned: Iterable[TrainingDataInstance] = ()) -> None:
        self._golden, self._held_out = NearDuplicates(jaccard), NearDuplicates(jaccard)
        for instance in unlearned:
            for text in (_behind(instance), *_long((instance,))):
                self._golden.seen(text)

    def keep(self, group: Sequence[TrainingDataInstance]) -> None:
        """Remember the answers that held-out people wanted."""
        for text in _long(group):
            self._held_out.seen(text)

    def reason(self, group: Sequence[TrainingDataInstance]) -> str:
        """``golden`` or ``held_out_answer`` where what a group wants said is reserved; "" else."""
        long = tuple(_long(group))
        if any(self._golden.knows(text) for text in (*map(_behind, group), *long)):
            return GOLDEN
        return HELD_OUT_ANSWER if any(map(self._held_out.knows, long)) else ""


def _behind(instance: TrainingDataInstance) -> str:
    return f"{instance.prompt[-1].content}\n{instance.completion}"


def _long(group: Sequence[TrainingDataInstance]) -> Iterator[str]:
    """Distinct wanted answers that are long enough."""
    wanted = dict.fromkeys(each.completion for each in group if each.liked is not False)
    return (text for text in wanted if len(text.split()) >= LEAST_WORDS)
