locals {
  # Made once by a person, never by Terraform: another key would make everyone a new person with an unspent
  # privacy budget. The output next_steps says how.
  key_secrets = toset(["pseudonym-key", "ledger-key", "health-key"])

  database_secrets = toset(["database-url", "database-certificate"])

  # Where deployments and steps mount the Secret everloop-database.
  database_certificate_path = "/etc/everloop/database/server-ca.pem"
}

resource "google_secret_manager_secret" "main" {
  for_each = setunion(local.key_secrets, local.database_secrets)

  secret_id = "${var.name}-${each.value}"
  labels    = local.labels

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_secret_manager_secret_version" "database_url" {
  secret                 = google_secret_manager_secret.main["database-url"].id
  secret_data_wo_version = var.database_password_version
  secret_data_wo = format(
    "postgresql://%s:%s@%s:5432/%s?sslmode=verify-ca&sslrootcert=%s",
    google_sql_user.main.name,
    ephemeral.random_password.database.result,
    google_sql_database_instance.main.private_ip_address,
    google_sql_database.main.name,
    local.database_certificate_path,
  )
}

resource "google_secret_manager_secret_version" "database_certificate" {
  secret                 = google_secret_manager_secret.main["database-certificate"].id
  secret_data_wo_version = var.database_certificate_version
  secret_data_wo         = google_sql_database_instance.main.server_ca_cert[0].cert
}
