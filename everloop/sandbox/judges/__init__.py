"""Who says whether an answer meets a criterion: rules, classifiers, probabilities, a model outside."""
