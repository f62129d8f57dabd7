"""Kubeflow: graphs uploaded, submitted, followed and scheduled on a cluster that a platform file names."""
