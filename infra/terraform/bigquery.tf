# The mirrored log and the reward tables.
resource "google_bigquery_dataset" "main" {
  dataset_id                 = replace(var.name, "-", "_")
  friendly_name              = "everloop"
  description                = "The mirrored event log and the reward tables; people are pseudonyms."
  location                   = var.region
  delete_contents_on_destroy = false
  labels                     = local.labels
  # The least there is: erased rows can be read back for two days.
  max_time_travel_hours = "48"

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.api]
}
