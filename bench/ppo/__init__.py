"""Our trainer of policies beside RLlib's, stable-baselines3's and a loop in CleanRL's style."""
