"""A thread that looks at live trials every few seconds, and at what the active models do.

It stores what this process counted of candidates, asks the controller of trials about each one (its shadow
and its hard limits; what people's answers say is looked at hourly), and opens a loop's safety breaker where
the active model leans on safety-critical actions. Every worker has one:
the controller acts by compare-and-set, so that they act once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import Clock
from everloop.rollout.breaker import set_breaker, too_critical
from everloop.rollout.control import act
from everloop.sdk.voice_head import follow_voice
from everloop.serving.decisions.engine import DecisionEngine
from everloop.serving.looking import Looking
from everloop.wiring import Workspace

ACTOR = "system:guard"
EVERY_S = 3.0
_log = logging.getLogger(__name__)


class TrialGuard(Looking):
    """Looks at trials; see ``Looking``.

    Args:
        workspace: whose trials.
        loops: loop name -> specification, of those that are served.
        decisions: counts what candidates do, and knows which trials there are.
        clock: dates verdicts.
        every_s: seconds between looks.
    """

    def __init__(
        self,
        workspace: Workspace,
        loops: Mapping[str, LoopSpec],
        decisions: DecisionEngine,
        clock: Clock,
        every_s: float = EVERY_S,
    ) -> None:
        self._workspace = workspace
        self._loops = loops
        self._decisions = decisions
        self._clock = clock
        self._heads: dict[tuple[str, str], int] = {}
        super().__init__("guard", every_s)

    def look(self) -> None:
        """Store this process's counts, then act on every live trial, every voice and every breaker."""
        self._decisions.flush()
        for state in self._decisions.states():
            if state.rollout_id is not None:
                self._try(self._trial, state.tenant, state.loop)
        if any(spec.voice is not None for spec in self._loops.values()):
            self._look_at_voices()
        for tenant, loop in self._decisions.watch.critical_shares():
            self._try(self._active, tenant, loop)

    def _trial(self, tenant: str, loop: str) -> None:
        act(self._loops[loop], self._workspace, self._clock.now(), None, ACTOR, tenant)

    def _look_at_voices(self) -> None:
        """Act on voices' trials, of which a service that only speaks has loaded nothing to decide with; and
        let versions say whether they serve, once for every change of what does."""
        loaded = {(state.tenant, state.loop) for state in self._decisions.states()}
        for head in self._workspace.deployments.heads():
            spec = self._loops.get(head.loop)
            tried = spec is not None and head.trial is not None and head.trial.is_of_voice
            if tried and (head.tenant, head.loop) not in loaded:
                self._try(self._trial, head.tenant, head.loop)
            if self._heads.get((head.tenant, head.loop)) != head.revision:
                self._try(self._voice, head.tenant, head.loop)

    def _voice(self, tenant: str, loop: str) -> None:
        place, spec = self._workspace, self._loops.get(loop)
        head = place.deployments.head(loop, tenant)
        if spec is not None:
            follow_voice(place, spec, head, place.rollouts.rollouts(loop, tenant))
        self._heads[tenant, loop] = head.revision

    def _active(self, tenant: str, loop: str) -> None:
        share = self._decisions.watch.critical_shares().get((tenant, loop))
        if share is None:
            return
        why = too_critical(self._loops[loop], share.taken, share.decisions)
        if why:
            self._open(tenant, loop, why)
            self._decisions.watch.forget_critical(tenant, loop)

    def _open(self, tenant: str, loop: str, reason: str) -> None:
        if any(action.safety_critical for action in self._loops[loop].actions):
            now = self._clock.now()
            set_breaker(self._workspace.deployments, loop, True, reason, ACTOR, now, tenant)

    def _try(self, look: Callable[[str, str], None], tenant: str, loop: str) -> None:
        try:
            look(tenant, loop)
        except Exception:  # busy or away, or a trial that can't be judged: others go on
            _log.warning("A trial of %s can't be looked at; trying again.", loop, exc_info=True)
