"""Google's services as the environment names them; credentials are those of the place."""

from __future__ import annotations

from google.api_core.client_options import ClientOptions
from google.cloud import aiplatform_v1, aiplatform_v1beta1, monitoring_v3

from everloop.monitoring.google.calls import told
from everloop.monitoring.google.cloud_monitoring import PERMISSION, CloudMonitoringSink
from everloop.monitoring.google.vertex_drift import Records, VertexClients, VertexDriftMonitor
from everloop.monitoring.google.vertex_experiments import VertexExperimentLog
from everloop.settings.cloud import GoogleProject


def metric_sink(named: GoogleProject) -> CloudMonitoringSink:
    """``ShouldProvideKey``: this process has no credentials; so for the others."""
    with told("Cloud Monitoring", PERMISSION):
        return CloudMonitoringSink(monitoring_v3.MetricServiceClient(), named.project)


def experiment_log(named: GoogleProject) -> VertexExperimentLog:
    """Vertex AI Experiments of the project and location."""
    with told("Vertex AI Experiments", "roles/aiplatform.user"):
        client = aiplatform_v1.MetadataServiceClient(client_options=_region(named))
        return VertexExperimentLog(client, named.project, named.location)


def drift_monitor(named: GoogleProject, records: Records) -> VertexDriftMonitor:
    """Vertex AI Model Monitoring of the project and location, with tables among the records."""
    with told("Vertex AI Model Monitoring", "roles/aiplatform.user"):
        clients = VertexClients(
            aiplatform_v1beta1.ModelServiceClient(client_options=_region(named)),
            aiplatform_v1beta1.ModelMonitoringServiceClient(client_options=_region(named)),
        )
        return VertexDriftMonitor(clients, records, named.project, named.location)


def _region(named: GoogleProject) -> ClientOptions:
    return ClientOptions(api_endpoint=f"{named.location}-aiplatform.googleapis.com")
