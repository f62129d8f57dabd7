variable "project" {
  description = "Id of the Google Cloud project that holds everything; it exists already and has billing."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "Give the project's id (6 to 30 lower-case letters, digits and hyphens), not its name or number."
  }
}

variable "region" {
  description = "Region of the cluster, the database, the buckets and BigQuery; people's data stays in it."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "Give a region such as europe-west4, not a zone and not a multi-region."
  }
}

variable "name" {
  description = "Prefix of every name, so that two installations fit into one project."
  type        = string
  default     = "everloop"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}[a-z0-9]$", var.name))
    error_message = "3 to 17 lower-case letters, digits and hyphens: service accounts' ids end at 30 characters."
  }
}

variable "labels" {
  description = "Labels of everything that has labels, such as the team that pays."
  type        = map(string)
  default     = {}
}

# ---- network -------------------------------------------------------------------------------------

variable "node_range" {
  description = "Addresses of the cluster's nodes."
  type        = string
  default     = "10.20.0.0/20"

  validation {
    condition     = can(cidrhost(var.node_range, 0))
    error_message = "Give a range such as 10.20.0.0/20."
  }
}

variable "pod_range" {
  description = "Addresses of the cluster's pods; a /24 of it for each node."
  type        = string
  default     = "10.24.0.0/14"

  validation {
    condition     = can(cidrhost(var.pod_range, 0))
    error_message = "Give a range such as 10.24.0.0/14."
  }
}

variable "service_range" {
  description = "Addresses of the cluster's Services."
  type        = string
  default     = "10.28.0.0/20"

  validation {
    condition     = can(cidrhost(var.service_range, 0))
    error_message = "Give a range such as 10.28.0.0/20."
  }
}

variable "control_plane_range" {
  description = "Addresses of the cluster's control plane: a /28 that nothing else uses."
  type        = string
  default     = "10.29.0.0/28"

  validation {
    condition     = can(cidrhost(var.control_plane_range, 0)) && endswith(var.control_plane_range, "/28")
    error_message = "Give a /28 such as 10.29.0.0/28."
  }
}

variable "database_range" {
  description = "Addresses for Cloud SQL, which Google peers with the network: a /20 or larger."
  type        = string
  default     = "10.32.0.0/20"

  validation {
    condition     = can(cidrhost(var.database_range, 0)) && tonumber(split("/", var.database_range)[1]) <= 20
    error_message = "Give a /20 or larger, such as 10.32.0.0/20."
  }
}

variable "operator_ranges" {
  description = "Who may speak to the cluster's control plane: name of the network to its range. Empty: nobody from outside the VPC."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for range in values(var.operator_ranges) : can(cidrhost(range, 0)) && !endswith(range, "/0")])
    error_message = "Give ranges such as 203.0.113.0/24; the whole internet is not one of them."
  }
}

variable "internet_egress" {
  description = "Whether nodes reach the internet through Cloud NAT: Kubeflow's public images, an OpenID provider, webhooks. Google's APIs and Artifact Registry need no NAT."
  type        = bool
  default     = true
}

# ---- what is kept --------------------------------------------------------------------------------

variable "ledger_days" {
  description = "Days that nobody, owners included, can delete or replace an entry of the privacy ledger's journal: at least the budget's rolling 365 days."
  type        = number
  default     = 400

  validation {
    condition     = var.ledger_days >= 366
    error_message = "A spend counts for 365 days: an entry that may go earlier would give budget back."
  }
}

variable "backup_undelete_days" {
  description = "Days in which a deleted backup can be brought back, whoever deleted it, and after which it is gone: 7 to 90."
  type        = number
  default     = 30

  validation {
    condition     = var.backup_undelete_days >= 7 && var.backup_undelete_days <= 90
    error_message = "7 to 90 days: Cloud Storage knows no more."
  }
}

variable "lock_retention" {
  description = "Lock the retention period of the ledger's journal for good. It cannot be undone, by anybody: set it once the installation is there to stay."
  type        = bool
  default     = false
}

variable "undelete_days" {
  description = "Days in which what was deleted from the data bucket can be brought back: how long an erasure can still be undone. 0, or 7 to 90."
  type        = number
  default     = 7

  validation {
    condition     = var.undelete_days == 0 || (var.undelete_days >= 7 && var.undelete_days <= 90)
    error_message = "0, or 7 to 90 days: Cloud Storage knows nothing between."
  }
}

variable "pipeline_artifact_days" {
  description = "Days that Kubeflow's own copies of the steps' artefacts are kept (below kubeflow/ in the data bucket)."
  type        = number
  default     = 90

  validation {
    condition     = var.pipeline_artifact_days >= 1
    error_message = "At least a day: a run that is tried again reads them."
  }
}

variable "monitoring_days" {
  description = "Days that histograms for Vertex AI are kept (below monitoring/ of what everloop stores in the data bucket). A model that serves longer is compared with nothing after."
  type        = number
  default     = 400

  validation {
    condition     = var.monitoring_days >= 30
    error_message = "At least 30 days: a model is compared with what it learned from."
  }
}

# ---- database ------------------------------------------------------------------------------------

variable "database_version" {
  description = "Version of PostgreSQL, 15 or newer."
  type        = string
  default     = "POSTGRES_15"

  validation {
    condition     = can(regex("^POSTGRES_1[5-9]$", var.database_version))
    error_message = "POSTGRES_15 or newer."
  }
}

variable "database_tier" {
  description = "Machine of the database."
  type        = string
  default     = "db-custom-2-7680"
}

variable "database_highly_available" {
  description = "Whether a second zone takes over when the first is lost; twice the price."
  type        = bool
  default     = true
}

variable "database_connections" {
  description = "Connections that the database takes. A service's process opens up to 20, every running step a few."
  type        = number
  default     = 400

  validation {
    condition     = var.database_connections >= 100 && var.database_connections <= 4000
    error_message = "100 to 4,000."
  }
}

variable "database_iam" {
  description = "Whether people may sign in to the database with their Google identity (everloop itself signs in with the password in Secret Manager)."
  type        = bool
  default     = false
}

variable "database_password_version" {
  description = "Raise it by one to give everloop's database user a new password, in the database and in Secret Manager."
  type        = number
  default     = 1
}

variable "database_certificate_version" {
  description = "Raise it by one after the database's server certificate was rotated: the new one goes to Secret Manager."
  type        = number
  default     = 1
}

variable "deletion_protection" {
  description = "Whether the database and the cluster refuse to be destroyed."
  type        = bool
  default     = true
}

# ---- cluster -------------------------------------------------------------------------------------

variable "release_channel" {
  description = "How fast GKE brings new versions of Kubernetes: RAPID, REGULAR or STABLE."
  type        = string
  default     = "REGULAR"

  validation {
    condition     = contains(["RAPID", "REGULAR", "STABLE"], var.release_channel)
    error_message = "RAPID, REGULAR or STABLE."
  }
}

variable "cpu_pool" {
  description = "Nodes of the service and of the pipelines' steps: machine type, and how few and how many in each zone."
  type = object({
    machine_type = string
    min_nodes    = number
    max_nodes    = number
  })
  default = {
    machine_type = "e2-standard-4"
    min_nodes    = 1
    max_nodes    = 5
  }

  validation {
    condition     = var.cpu_pool.min_nodes >= 0 && var.cpu_pool.max_nodes >= max(1, var.cpu_pool.min_nodes)
    error_message = "0 <= min_nodes <= max_nodes, and max_nodes at least 1."
  }
}

variable "gpu_pool" {
  description = "Nodes with GPUs for training; null for none. They start at zero and are tainted nvidia.com/gpu, so that nothing else runs there. Zones are where the accelerator is."
  type = object({
    machine_type = string
    accelerator  = string
    count        = number
    max_nodes    = number
    zones        = list(string)
  })
  default = null

  validation {
    condition     = var.gpu_pool == null ? true : var.gpu_pool.count >= 1 && var.gpu_pool.max_nodes >= 1 && length(var.gpu_pool.zones) >= 1
    error_message = "At least one accelerator a node, one node and one zone."
  }
}

variable "sandbox_pool" {
  description = "Nodes under gVisor, where models' outputs are run: machine type and how many in each zone at most. They start at zero."
  type = object({
    machine_type = string
    max_nodes    = number
  })
  default = {
    machine_type = "e2-standard-2"
    max_nodes    = 3
  }

  validation {
    condition     = var.sandbox_pool.max_nodes >= 1 && !startswith(var.sandbox_pool.machine_type, "e2-micro")
    error_message = "At least one node, of e2-standard-2 or larger."
  }
}

variable "ray_operator" {
  description = "Whether GKE installs KubeRay, for trainings that are submitted as a RayJob."
  type        = bool
  default     = false
}

# ---- who may do what -----------------------------------------------------------------------------

variable "cloud_run_training" {
  description = "Whether steps may start trainings as Cloud Run jobs, which run as the trainer."
  type        = bool
  default     = false
}

variable "vertex" {
  description = "Whether runs and drift go to Vertex AI, too."
  type        = bool
  default     = false
}

variable "image_publishers" {
  description = "Who may push images: members such as serviceAccount:ci@project.iam.gserviceaccount.com."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.image_publishers : can(regex("^(user|group|serviceAccount|principal|principalSet):", member))])
    error_message = "Give members with their kind, such as serviceAccount:…; never allUsers."
  }
}

variable "image_tag" {
  description = "Tag of the images everloop-python and everloop-backup that are to run; tags are immutable."
  type        = string
  default     = "0.1.0"

  validation {
    condition     = var.image_tag != "latest" && can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image_tag))
    error_message = "A fixed tag: the code under a schedule must not change by itself."
  }
}
