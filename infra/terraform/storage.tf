# Datasets and artefacts. No object versions: what a person had erased must be gone, not noncurrent.
resource "google_storage_bucket" "data" {
  name                        = "${var.project}-${var.name}-data"
  location                    = var.region
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  labels                      = local.labels

  soft_delete_policy {
    retention_duration_seconds = var.undelete_days * 86400
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = var.pipeline_artifact_days
      matches_prefix = ["${local.pipeline_prefix}/"]
    }
  }

  # Histograms that Vertex compares. An erasure does not reach them, so they do not stay.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = var.monitoring_days
      matches_prefix = ["${local.storage_prefix}/monitoring/"]
    }
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.api]
}

# The privacy ledger's journal: each entry is written once, and outlives the database and its owners' wishes.
resource "google_storage_bucket" "ledger" {
  name                        = "${var.project}-${var.name}-ledger"
  location                    = var.region
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  labels                      = local.labels

  retention_policy {
    retention_period = var.ledger_days * 86400
    is_locked        = var.lock_retention
  }

  # Nothing deletes an entry. Were one deleted after its retention, it could be brought back for a quarter.
  soft_delete_policy {
    retention_duration_seconds = 90 * 86400
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.api]
}

# Backups share the objects that did not change, and everloop prunes what none of them needs: a lifecycle rule by age
# would take away what a newer backup counts on, and a retention period would refuse the pruning. So nothing deletes
# here but everloop, and what it deletes can be brought back for a while.
resource "google_storage_bucket" "backups" {
  name                        = "${var.project}-${var.name}-backups"
  location                    = var.region
  storage_class               = "NEARLINE"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  labels                      = local.labels

  soft_delete_policy {
    retention_duration_seconds = var.backup_undelete_days * 86400
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.api]
}

locals {
  buckets = {
    data    = google_storage_bucket.data.name
    ledger  = google_storage_bucket.ledger.name
    backups = google_storage_bucket.backups.name
  }

  pipeline_prefix = "kubeflow"
  storage_prefix  = "loops"
}
