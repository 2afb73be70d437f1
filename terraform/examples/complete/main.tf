# Everything set once, with its reason. Copy it, keep what you need.
#
#   export TF_VAR_genesys_client_secret=…
#   terraform init && terraform apply

terraform {
  required_version = ">= 1.11"

  # The state holds no secret, but names everything: keep it in a bucket of your own.
  # backend "gcs" {
  #   bucket = "example-terraform-state"
  #   prefix = "archiver"
  # }

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
  }
}

provider "google" {
  project = var.project_id
  region  = var.region
}

variable "project_id" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "region" {
  description = "Region of everything."
  type        = string
  default     = "europe-west3"
}

variable "image" {
  description = "Image with its digest: gcloud builds submit prints it."
  type        = string
}

variable "genesys_region" {
  description = "Domain of your Genesys Cloud region, such as mypurecloud.de."
  type        = string
}

variable "genesys_client_id" {
  description = "Id of the Genesys OAuth client."
  type        = string
}

variable "genesys_client_secret" {
  description = "Secret of that client: TF_VAR_genesys_client_secret."
  type        = string
  ephemeral   = true
  sensitive   = true
}

module "archiver" {
  source = "../.."

  project_id = var.project_id
  region     = var.region
  image      = var.image
  labels     = { team = "contact-centre" }

  genesys_region                = var.genesys_region
  genesys_client_id             = var.genesys_client_id
  genesys_client_secret         = var.genesys_client_secret
  genesys_client_secret_version = 1

  # Long screen recordings: pull; push would leave most of them to long_worker_instances. With two workers of four slots
  # each, well below Genesys' rate limit.
  worker_mode      = "pull"
  worker_instances = 2
  transcode_slots  = 4

  bucket_name      = "${var.project_id}-recordings"
  bucket_location  = "EU"
  archive_prefix   = "genesys"
  archive_original = true
  soft_delete_days = 30
  lock_days        = 90         # of each recording, from when it was archived
  lock_mode        = "unlocked" # "locked" cannot be taken back: first see it go well

  playback_invokers = ["group:quality-management@example.com"]
  archive_on_listen = true
  link_lifetime_s   = 1800

  alert_emails           = ["contact-centre-oncall@example.com"]
  oldest_message_alert_s = 1800
}

output "webhook_url" {
  description = "Enter it in Genesys Cloud."
  value       = module.archiver.webhook_url
}

output "playback_url" {
  description = "Where recordings are played."
  value       = module.archiver.playback_url
}

output "console_url" {
  description = "Where people find and hear recordings, once console_roles says who."
  value       = module.archiver.console_url
}

output "archive_url" {
  description = "ARCHIVE_URL of whoever runs a command as the keeper."
  value       = module.archiver.archive_url
}

output "keeper_account" {
  description = "Acted as by whoever holds and erases, once keepers says who."
  value       = module.archiver.keeper_account
}

output "test_command" {
  description = "Sends an event as Genesys would."
  value       = module.archiver.test_command
}
