terraform {
  # 1.11 brought write-only arguments: the database's password reaches Google and no state file.
  required_version = ">= 1.11, < 2.0"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
    # The sandbox's node pool alone: GKE Sandbox is not in the other one.
    google-beta = {
      source  = "hashicorp/google-beta"
      version = "~> 6.50"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.7"
    }
  }

  # Bucket and prefix are given once: terraform init -backend-config=bucket=… -backend-config=prefix=everloop
  backend "gcs" {}
}

provider "google" {
  project = var.project
  region  = var.region
}

provider "google-beta" {
  project = var.project
  region  = var.region
}
