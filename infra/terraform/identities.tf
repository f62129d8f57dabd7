locals {
  # Who everloop is to Google: role to what it does and the Kubernetes service accounts that may be it.
  identities = {
    service = {
      does     = "serves decisions and takes events"
      accounts = ["everloop/everloop-service"]
    }
    pipelines = {
      does     = "runs the steps of the graphs"
      accounts = ["everloop-pipelines/everloop-pipelines"]
    }
    watch = {
      does     = "looks after the candidate on trial every hour"
      accounts = ["everloop/everloop-watch"]
    }
    backup = {
      does     = "writes backups"
      accounts = ["everloop/everloop-backup"]
    }
    training = {
      does     = "trains policies on Ray or Cloud Run"
      accounts = ["everloop-pipelines/everloop-training"]
    }
    secrets = {
      does     = "copies secrets into the cluster"
      accounts = ["everloop/everloop-secrets", "everloop-pipelines/everloop-secrets"]
    }
  }

  # On buckets. Whoever opens the database adds to the journal what it lacks; nobody can change an entry. objectUser reads, writes and deletes objects; nobody may change a bucket or its policy.
  bucket_grants = {
    "service reads models and erases people" = { identity = "service", bucket = "data", role = "roles/storage.objectUser" }
    "pipelines write datasets and artefacts" = { identity = "pipelines", bucket = "data", role = "roles/storage.objectUser" }
    "watch writes datasets and artefacts"    = { identity = "watch", bucket = "data", role = "roles/storage.objectUser" }
    "training reads releases"                = { identity = "training", bucket = "data", role = "roles/storage.objectViewer" }
    "training writes checkpoints"            = { identity = "training", bucket = "data", role = "roles/storage.objectCreator" }
    "backup reads what rows name"            = { identity = "backup", bucket = "data", role = "roles/storage.objectViewer" }
    "service reads the ledger's journal"     = { identity = "service", bucket = "ledger", role = "roles/storage.objectViewer" }
    "service adds to the ledger's journal"   = { identity = "service", bucket = "ledger", role = "roles/storage.objectCreator" }
    "pipelines reads the ledger's journal"   = { identity = "pipelines", bucket = "ledger", role = "roles/storage.objectViewer" }
    "pipelines adds to the ledger's journal" = { identity = "pipelines", bucket = "ledger", role = "roles/storage.objectCreator" }
    "watch reads the ledger's journal"       = { identity = "watch", bucket = "ledger", role = "roles/storage.objectViewer" }
    "watch adds to the ledger's journal"     = { identity = "watch", bucket = "ledger", role = "roles/storage.objectCreator" }
    "training reads the ledger's journal"    = { identity = "training", bucket = "ledger", role = "roles/storage.objectViewer" }
    "training adds to the ledger's journal"  = { identity = "training", bucket = "ledger", role = "roles/storage.objectCreator" }
    "backup reads the ledger's journal"      = { identity = "backup", bucket = "ledger", role = "roles/storage.objectViewer" }
    "backup adds to the ledger's journal"    = { identity = "backup", bucket = "ledger", role = "roles/storage.objectCreator" }
    "backup makes and prunes backups"        = { identity = "backup", bucket = "backups", role = "roles/storage.objectUser" }
  }

  # On the dataset: erasure deletes a person's rows there, too, so the service writes.
  dataset_writers = toset(["service", "pipelines", "watch"])

  # Roles that exist for a project alone.
  project_grants = merge(
    { for identity in local.dataset_writers : "${identity} queries" => { identity = identity, role = "roles/bigquery.jobUser" } },
    { for identity in local.dataset_writers : "${identity} streams rows" => { identity = identity, role = "roles/bigquery.readSessionUser" } },
    { for identity in ["service", "pipelines", "watch"] : "${identity} reports figures" => { identity = identity, role = "roles/monitoring.metricWriter" } },
    var.vertex ? { for identity in ["pipelines", "watch"] : "${identity} reports runs" => { identity = identity, role = "roles/aiplatform.user" } } : {},
    var.cloud_run_training ? { "pipelines start trainings" = { identity = "pipelines", role = "roles/run.developer" } } : {},
    { "nodes report" = { identity = "nodes", role = "roles/container.defaultNodeServiceAccount" } },
  )

  members = merge(
    { for identity, account in google_service_account.main : identity => account.member },
    { nodes = google_service_account.nodes.member },
  )

  workload_identities = merge([
    for identity, facts in local.identities : {
      for account in facts.accounts : "${identity} as ${account}" => { identity = identity, account = account }
    }
  ]...)
}

resource "google_service_account" "main" {
  for_each = local.identities

  account_id   = "${var.name}-${each.key}"
  display_name = "everloop ${each.key}"
  description  = "${title(each.key)}: ${each.value.does}"

  depends_on = [google_project_service.api]
}

# Instead of the project's default account, which may edit everything.
resource "google_service_account" "nodes" {
  account_id   = "${var.name}-nodes"
  display_name = "everloop nodes"
  description  = "What the cluster's nodes run as"

  depends_on = [google_project_service.api]
}

resource "google_service_account_iam_member" "workload_identity" {
  for_each = local.workload_identities

  service_account_id = google_service_account.main[each.value.identity].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${google_container_cluster.main.workload_identity_config[0].workload_pool}[${each.value.account}]"
}

resource "google_service_account_iam_member" "cloud_run_training" {
  count = var.cloud_run_training ? 1 : 0

  service_account_id = google_service_account.main["training"].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.main["pipelines"].member
}

resource "google_storage_bucket_iam_member" "main" {
  for_each = local.bucket_grants

  bucket = local.buckets[each.value.bucket]
  role   = each.value.role
  member = local.members[each.value.identity]
}

resource "google_bigquery_dataset_iam_member" "writers" {
  for_each = local.dataset_writers

  dataset_id = google_bigquery_dataset.main.dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = local.members[each.value]
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = google_secret_manager_secret.main

  secret_id = each.value.id
  role      = "roles/secretmanager.secretAccessor"
  member    = local.members["secrets"]
}

# On Cloud Run a training reads its secrets by itself.
resource "google_secret_manager_secret_iam_member" "training" {
  for_each = { for secret, entry in google_secret_manager_secret.main : secret => entry if var.cloud_run_training }

  secret_id = each.value.id
  role      = "roles/secretmanager.secretAccessor"
  member    = local.members["training"]
}

resource "google_project_iam_member" "main" {
  for_each = local.project_grants

  project = var.project
  role    = each.value.role
  member  = local.members[each.value.identity]
}
