# What the rest stands on: the project and the APIs it needs.

data "google_project" "this" {
  project_id = var.project_id
}

resource "google_project_service" "needed" {
  for_each = toset([
    "cloudscheduler.googleapis.com", # starts the nightly commands
    "iam.googleapis.com",
    "iamcredentials.googleapis.com", # signs links without a key
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
  ])

  project            = var.project_id
  service            = each.value
  disable_on_destroy = false
}

# Who listened to what: signed links are downloads, too. Applies to Cloud Storage in the whole project.
resource "google_project_iam_audit_config" "storage" {
  count = var.data_access_logs ? 1 : 0

  project = var.project_id
  service = "storage.googleapis.com"

  audit_log_config {
    log_type = "DATA_READ"
  }
  audit_log_config {
    log_type = "DATA_WRITE"
  }
}

locals {
  # The same for every deployable.
  environment = merge(
    {
      ARCHIVE_URL          = local.archive_url
      GOOGLE_CLOUD_PROJECT = var.project_id
      HOST                 = "0.0.0.0"
      LOG_LEVEL            = var.log_level
      TRUSTED_PROXIES      = "1" # Cloud Run itself: the audit says who listened from where
    },
    var.extra_environment,
  )

  # For those that speak to Genesys Cloud.
  genesys_environment = {
    ENCODER_CAGE      = var.encoder_cage
    GENESYS_CLIENT_ID = var.genesys_client_id
    GENESYS_REGION    = var.genesys_region
    TRANSCODE_SLOTS   = tostring(var.transcode_slots)
  }

  # A media encoder per slot: never more slots than CPUs.
  studio_limits = {
    cpu    = tostring(local.studio_cpus)
    memory = "${local.studio_cpus}Gi"
  }
  studio_cpus = var.transcode_slots <= 2 ? var.transcode_slots : var.transcode_slots <= 4 ? 4 : 8
}
