# terraform init -backend=false && terraform test: plans with made-up clouds, so it needs no project and costs nothing.

mock_provider "google" {
  override_during = plan

  mock_resource "google_service_account" {
    defaults = {
      email  = "mock@example-project.iam.gserviceaccount.com"
      member = "serviceAccount:mock@example-project.iam.gserviceaccount.com"
      name   = "projects/example-project/serviceAccounts/mock@example-project.iam.gserviceaccount.com"
    }
  }

  mock_resource "google_sql_database_instance" {
    defaults = {
      private_ip_address = "10.32.0.3"
      server_ca_cert     = [{ cert = "mock certificate" }]
    }
  }
}

mock_provider "google-beta" {}

# random is the real one: what is ephemeral cannot be mocked, and drawing a password reaches nobody.

variables {
  project = "example-project"
  region  = "europe-west4"
}

run "everything_is_made" {
  command = plan

  assert {
    condition     = output.environment.EVERLOOP_STORAGE_URL == "gs://example-project-everloop-data/loops"
    error_message = "The service would look for its datasets elsewhere."
  }

  assert {
    condition     = output.environment.EVERLOOP_BIGQUERY == "example-project.everloop"
    error_message = "Rewards would be aggregated elsewhere."
  }

  assert {
    condition     = output.environment.EVERLOOP_VERTEX == "0"
    error_message = "Nobody asked for Vertex AI."
  }

  assert {
    condition     = strcontains(output.platform_env, "IMAGE=europe-west4-docker.pkg.dev/example-project/everloop/everloop-python:0.1.0\n")
    error_message = "The manifests would run another image."
  }

  assert {
    condition     = strcontains(output.platform_env, "BACKUP_URL=gs://example-project-everloop-backups/everloop\n")
    error_message = "Backups would go elsewhere."
  }

  assert {
    condition     = google_storage_bucket.ledger.retention_policy[0].retention_period == 400 * 86400
    error_message = "The journal's entries may go before their budget's year is over."
  }

  assert {
    condition     = !google_storage_bucket.ledger.retention_policy[0].is_locked
    error_message = "A retention period was locked without being asked for."
  }

  assert {
    condition     = length(google_container_node_pool.gpu) == 0
    error_message = "Nobody asked for GPUs."
  }

  assert {
    condition     = google_container_cluster.main.private_cluster_config[0].enable_private_endpoint
    error_message = "The control plane is reachable from outside although no network may reach it."
  }

  assert {
    condition     = length(google_service_account_iam_member.workload_identity) == 7
    error_message = "A Kubernetes service account is nobody to Google."
  }

  assert {
    condition     = length(google_dns_record_set.google_apis.rrdatas) == 4 && contains(google_dns_record_set.google_apis.rrdatas, "199.36.153.11")
    error_message = "Google's APIs are not where the network policies allow them."
  }
}

run "everything_optional" {
  command = plan

  variables {
    vertex             = true
    cloud_run_training = true
    ray_operator       = true
    internet_egress    = false
    lock_retention     = true
    operator_ranges    = { office = "203.0.113.0/24" }
    image_publishers   = ["serviceAccount:ci@example-project.iam.gserviceaccount.com"]
    gpu_pool = {
      machine_type = "g2-standard-8"
      accelerator  = "nvidia-l4"
      count        = 1
      max_nodes    = 2
      zones        = ["europe-west4-a"]
    }
  }

  assert {
    condition     = google_storage_bucket.ledger.retention_policy[0].is_locked
    error_message = "The journal's retention period was left unlocked."
  }

  assert {
    condition     = contains(keys(google_project_iam_member.main), "pipelines start trainings") && length(google_service_account_iam_member.cloud_run_training) == 1 && length(google_secret_manager_secret_iam_member.training) == 5
    error_message = "Steps cannot start trainings on Cloud Run."
  }

  assert {
    condition     = length(google_compute_router_nat.main) == 0
    error_message = "The nodes reach the internet although they must not."
  }

  assert {
    condition     = one(google_container_node_pool.gpu[0].node_config[0].taint).key == "nvidia.com/gpu"
    error_message = "Anything may run on the GPUs' nodes."
  }
}

run "budget_is_not_given_back" {
  command = plan

  variables {
    ledger_days = 300
  }

  expect_failures = [var.ledger_days]
}

run "not_the_whole_internet" {
  command = plan

  variables {
    operator_ranges = { everybody = "0.0.0.0/0" }
  }

  expect_failures = [var.operator_ranges]
}

run "nobody_and_everybody_publish" {
  command = plan

  variables {
    image_publishers = ["allUsers"]
  }

  expect_failures = [var.image_publishers]
}

run "a_fixed_image" {
  command = plan

  variables {
    image_tag = "latest"
  }

  expect_failures = [var.image_tag]
}
