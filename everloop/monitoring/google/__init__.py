"""Figures for Google's services: Cloud Monitoring and Vertex AI, in the operator's own project."""
