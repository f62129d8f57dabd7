resource "google_container_cluster" "main" {
  name                = var.name
  location            = var.region
  network             = google_compute_network.main.id
  subnetwork          = google_compute_subnetwork.nodes.id
  networking_mode     = "VPC_NATIVE"
  datapath_provider   = "ADVANCED_DATAPATH" # Dataplane V2: it is what enforces network policies
  deletion_protection = var.deletion_protection
  resource_labels     = local.labels

  enable_shielded_nodes    = true
  enable_legacy_abac       = false
  remove_default_node_pool = true
  initial_node_count       = 1

  # The pool that is removed at once must not run as the project's default account either.
  node_config {
    service_account = google_service_account.nodes.email
    oauth_scopes    = local.node_scopes
  }

  release_channel {
    channel = var.release_channel
  }

  ip_allocation_policy {
    cluster_secondary_range_name  = "pods"
    services_secondary_range_name = "services"
  }

  private_cluster_config {
    enable_private_nodes    = true
    enable_private_endpoint = length(var.operator_ranges) == 0
    master_ipv4_cidr_block  = var.control_plane_range
  }

  master_authorized_networks_config {
    dynamic "cidr_blocks" {
      for_each = var.operator_ranges

      content {
        display_name = cidr_blocks.key
        cidr_block   = cidr_blocks.value
      }
    }
  }

  workload_identity_config {
    workload_pool = "${var.project}.svc.id.goog"
  }

  master_auth {
    client_certificate_config {
      issue_client_certificate = false
    }
  }

  security_posture_config {
    mode = "BASIC"
  }

  # Signing in does not make anybody a user of the cluster.
  rbac_binding_config {
    enable_insecure_binding_system_authenticated   = false
    enable_insecure_binding_system_unauthenticated = false
  }

  addons_config {
    dns_cache_config {
      enabled = true
    }

    gce_persistent_disk_csi_driver_config {
      enabled = true
    }

    ray_operator_config {
      enabled = var.ray_operator
    }
  }

  logging_config {
    enable_components = ["SYSTEM_COMPONENTS", "WORKLOADS"]
  }

  monitoring_config {
    enable_components = ["SYSTEM_COMPONENTS"]

    managed_prometheus {
      enabled = true
    }
  }

  maintenance_policy {
    recurring_window {
      start_time = "2026-01-03T05:00:00Z"
      end_time   = "2026-01-03T11:00:00Z"
      recurrence = "FREQ=WEEKLY;BYDAY=SA,SU"
    }
  }

  lifecycle {
    ignore_changes = [node_config, initial_node_count]
  }

  depends_on = [
    google_project_iam_member.main,
    google_project_service.api,
  ]
}

resource "google_container_node_pool" "cpu" {
  name     = "cpu"
  cluster  = google_container_cluster.main.id
  location = var.region

  autoscaling {
    min_node_count = var.cpu_pool.min_nodes
    max_node_count = var.cpu_pool.max_nodes
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  node_config {
    machine_type    = var.cpu_pool.machine_type
    image_type      = "COS_CONTAINERD"
    service_account = google_service_account.nodes.email
    oauth_scopes    = local.node_scopes
    labels          = { "everloop.dev/pool" = "cpu" }
    resource_labels = local.labels

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }

  lifecycle {
    ignore_changes = [initial_node_count]
  }
}

resource "google_container_node_pool" "gpu" {
  count = var.gpu_pool == null ? 0 : 1

  name               = "gpu"
  cluster            = google_container_cluster.main.id
  location           = var.region
  node_locations     = var.gpu_pool.zones
  initial_node_count = 0

  autoscaling {
    total_min_node_count = 0
    total_max_node_count = var.gpu_pool.max_nodes
    location_policy      = "ANY"
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  node_config {
    machine_type    = var.gpu_pool.machine_type
    image_type      = "COS_CONTAINERD"
    service_account = google_service_account.nodes.email
    oauth_scopes    = local.node_scopes
    labels          = { "everloop.dev/pool" = "gpu" }
    resource_labels = local.labels

    guest_accelerator {
      type  = var.gpu_pool.accelerator
      count = var.gpu_pool.count

      gpu_driver_installation_config {
        gpu_driver_version = "DEFAULT"
      }
    }

    taint {
      key    = "nvidia.com/gpu"
      value  = "present"
      effect = "NO_SCHEDULE"
    }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }

  lifecycle {
    ignore_changes = [initial_node_count]
  }
}

# GKE makes the RuntimeClass gvisor and taints these nodes sandbox.gke.io/runtime=gvisor by itself.
resource "google_container_node_pool" "sandbox" {
  provider = google-beta

  name               = "sandbox"
  cluster            = google_container_cluster.main.id
  location           = var.region
  initial_node_count = 0

  autoscaling {
    min_node_count = 0
    max_node_count = var.sandbox_pool.max_nodes
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  node_config {
    machine_type    = var.sandbox_pool.machine_type
    image_type      = "COS_CONTAINERD"
    service_account = google_service_account.nodes.email
    oauth_scopes    = local.node_scopes
    labels          = { "everloop.dev/pool" = "sandbox" }
    resource_labels = local.labels

    sandbox_config {
      sandbox_type = "gvisor"
    }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }

  lifecycle {
    ignore_changes = [initial_node_count]
  }
}

locals {
  # What an account may do is its roles; scopes would only hide that.
  node_scopes = ["https://www.googleapis.com/auth/cloud-platform"]
}
