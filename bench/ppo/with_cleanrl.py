"""PPO in one loop, in the style of CleanRL's ``ppo.py`` and its masked variants (Huang et al. 2022).

Its ways are kept where they cost something: tensors that rollouts are written into, distributions that
check their arguments, an unfused Adam, a shuffle of numpy indices. A batch of journeys is one
vectorised numpy environment.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn, optim
from torch.distributions import Categorical

from bench.ppo.problem import Greedy, Problem
from bench.ppo.terms import Terms
from bench.ppo.trace import Trace
from everloop.contracts.datasets import Float, Float32
from rl.environment.views import JourneyVectorEnv


def layer_init(layer: nn.Linear, std: float = np.sqrt(2.0), bias: float = 0.0) -> nn.Linear:
    nn.init.orthogonal_(layer.weight, std)
    nn.init.constant_(layer.bias, bias)
    return layer


class Agent(nn.Module):
    """Separate networks; an observation is the context, then the mask."""

    def __init__(self, width: int, actions: int, hidden: int) -> None:
        super().__init__()
        self.width = width
        self.critic = nn.Sequential(
            layer_init(nn.Linear(width, hidden)),
            nn.Tanh(),
            layer_init(nn.Linear(hidden, hidden)),
            nn.Tanh(),
            layer_init(nn.Linear(hidden, 1), std=1.0),
        )
        self.actor = nn.Sequential(
            layer_init(nn.Linear(width, hidden)),
            nn.Tanh(),
            layer_init(nn.Linear(hidden, hidden)),
            nn.Tanh(),
            layer_init(nn.Linear(hidden, actions), std=0.01),
        )

    def get_value(self, x: Tensor) -> Tensor:
        value: Tensor = self.critic(x[:, : self.width])
        return value

    def get_logits(self, x: Tensor) -> Tensor:
        logits: Tensor = self.actor(x[:, : self.width])
        return torch.where(x[:, self.width :] > 0.5, logits, torch.tensor(-1e8))

    def get_action_and_value(
        self, x: Tensor, action: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        probs = Categorical(logits=self.get_logits(x))
        if action is None:
            action = probs.sample()
        return action, probs.log_prob(action), probs.entropy(), self.get_value(x)


def train(  # noqa: PLR0915 - one loop is the style
    terms: Terms, problem: Problem, seed: int, trace: Trace
) -> None:
    """Train by the terms."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    envs = JourneyVectorEnv(problem.source(seed), terms.journeys)
    agent = Agent(terms.size.width, terms.size.actions, terms.hidden)
    optimizer = optim.Adam(agent.parameters(), lr=terms.rate, eps=terms.adam_eps)
    torch.set_num_threads(1)

    trace.start()
    shape = (terms.length, terms.journeys)
    obs = torch.zeros((*shape, terms.size.width + terms.size.actions))
    actions = torch.zeros(shape)
    logprobs, rewards, dones, values = (torch.zeros(shape) for _ in range(4))
    next_obs = torch.Tensor(envs.reset(seed=seed)[0])
    next_done = torch.zeros(terms.journeys)
    for iteration in range(terms.iterations):
        optimizer.param_groups[0]["lr"] = terms.rate_at(iteration / terms.iterations)
        for step in range(terms.length):
            obs[step] = next_obs
            dones[step] = next_done
            with torch.no_grad():
                action, logprob, _, value = agent.get_action_and_value(next_obs)
                values[step] = value.flatten()
            actions[step] = action
            logprobs[step] = logprob
            observed, reward, terminations, truncations, _ = envs.step(action.cpu().numpy())
            rewards[step] = torch.tensor(reward).view(-1)
            next_obs = torch.Tensor(observed)
            next_done = torch.Tensor(np.logical_or(terminations, truncations))

        with torch.no_grad():
            next_value = agent.get_value(next_obs).reshape(1, -1)
            advantages = torch.zeros_like(rewards)
            lastgaelam: Tensor | float = 0.0
            for t in reversed(range(terms.length)):
                last = t == terms.length - 1
                nextnonterminal = 1.0 - (next_done if last else dones[t + 1])
                nextvalues = next_value if last else values[t + 1]
                delta = rewards[t] + terms.discount * nextvalues * nextnonterminal - values[t]
                lastgaelam = delta + (
                    terms.discount * terms.gae_lambda * nextnonterminal * lastgaelam
                )
                advantages[t] = lastgaelam
            returns = advantages + values

        b_obs = obs.reshape(terms.batch, -1)
        b_actions, b_logprobs = actions.reshape(-1), logprobs.reshape(-1)
        b_advantages, b_returns = advantages.reshape(-1), returns.reshape(-1)
        b_inds = np.arange(terms.batch)
        clipfracs = []
        for _ in range(terms.epochs):
            rng.shuffle(b_inds)
            for start in range(0, terms.batch, terms.minibatch):
                mb_inds = b_inds[start : start + terms.minibatch]
                _, newlogprob, entropy, newvalue = agent.get_action_and_value(
                    b_obs[mb_inds], b_actions.long()[mb_inds]
                )
                logratio = newlogprob - b_logprobs[mb_inds]
                ratio = logratio.exp()
                with torch.no_grad():
                    ((ratio - 1) - logratio).mean()  # CleanRL's estimate of the KL divergence
                    clipfracs += [((ratio - 1.0).abs() > terms.clip).float().mean().item()]

                mb_advantages = b_advantages[mb_inds]
                mb_advantages = (mb_advantages - mb_advantages.mean()) / (
                    mb_advantages.std() + 1e-8
                )
                pg_loss1 = -mb_advantages * ratio
                pg_loss2 = -mb_advantages * torch.clamp(ratio, 1 - terms.clip, 1 + terms.clip)
                pg_loss = torch.max(pg_loss1, pg_loss2).mean()
                v_loss = 0.5 * ((newvalue.view(-1) - b_returns[mb_inds]) ** 2).mean()
                entropy_loss = entropy.mean()
                loss = pg_loss - terms.entropy * entropy_loss + v_loss * terms.value_weight

                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), terms.gradient_norm)
                optimizer.step()

        trace.mark((iteration + 1) * terms.batch, _greedy(agent))


def _greedy(agent: Agent) -> Greedy:
    def greedy(observation: Float32) -> Float:
        scores: Float = agent.get_logits(torch.from_numpy(observation)).numpy()
        return scores

    return greedy
