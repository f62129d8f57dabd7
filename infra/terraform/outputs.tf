locals {
  # Names as everloop/settings reads them.
  environment = {
    EVERLOOP_STORAGE_URL     = "gs://${google_storage_bucket.data.name}/${local.storage_prefix}"
    EVERLOOP_LEDGER_JOURNAL  = "gs://${google_storage_bucket.ledger.name}/journal"
    EVERLOOP_BIGQUERY        = "${var.project}.${google_bigquery_dataset.main.dataset_id}"
    EVERLOOP_GOOGLE_PROJECT  = var.project
    EVERLOOP_GOOGLE_LOCATION = var.region
    EVERLOOP_VERTEX          = var.vertex ? "1" : "0"
  }

  registry = "${google_artifact_registry_repository.images.location}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"

  # Names as infra/kubernetes/overlays/gcp reads them.
  platform = merge(
    {
      IMAGE               = "${local.registry}/everloop-python:${var.image_tag}"
      BACKUP_IMAGE        = "${local.registry}/everloop-backup:${var.image_tag}"
      BACKUP_URL          = "gs://${google_storage_bucket.backups.name}/everloop"
      DATABASE_RANGE      = var.database_range
      CONTROL_PLANE_RANGE = var.control_plane_range
      GOOGLE_APIS_RANGE   = local.google_apis_range
      PROJECT             = var.project
      REGION              = var.region
      CLUSTER             = google_container_cluster.main.name
    },
    { for identity, account in google_service_account.main : "ACCOUNT_${upper(identity)}" => account.email },
    { for secret, entry in google_secret_manager_secret.main : "SECRET_${upper(replace(secret, "-", "_"))}" => entry.secret_id },
  )
}

output "environment" {
  description = "Environment of every container, by the names of everloop/settings; nothing secret."
  value       = local.environment
}

output "everloop_env" {
  description = "The same as a file: terraform output -raw everloop_env > ../kubernetes/overlays/gcp/everloop.env"
  value       = join("", [for name, value in local.environment : "${name}=${value}\n"])
}

output "platform_env" {
  description = "What the manifests need to know of the cloud: terraform output -raw platform_env > ../kubernetes/overlays/gcp/platform.env"
  value       = join("", [for name, value in local.platform : "${name}=${value}\n"])
}

output "kubeflow" {
  description = "What belongs into the platform file of everloop submit: image, pipeline_root, namespace, service_account."
  value = {
    image           = local.platform.IMAGE
    pipeline_root   = "gs://${google_storage_bucket.data.name}/${local.pipeline_prefix}"
    namespace       = split("/", local.identities.pipelines.accounts[0])[0]
    service_account = split("/", local.identities.pipelines.accounts[0])[1]
  }
}

output "training_service_account" {
  description = "What a training on Cloud Run runs as: service_account of its placement file."
  value       = google_service_account.main["training"].email
}

output "next_steps" {
  description = "What a person does once: the keys, which no program may make a second time, and the way into the cluster."
  value = join("\n", concat(
    [for secret in sort(local.key_secrets) : "openssl rand -hex 32 | gcloud secrets versions add ${var.name}-${secret} --project ${var.project} --data-file=-"],
    ["gcloud container clusters get-credentials ${google_container_cluster.main.name} --region ${var.region} --project ${var.project}", ""],
  ))
}
