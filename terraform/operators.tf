# The operators' commands: each night Genesys is compared with the archive and a part of the archive is read, and where days are named
# what is older is erased; fetching what is missing is a job that somebody starts. Accounts of their own may do it.

locals {
  # What each may run. Their exit code is 3 where they found something: that is no reason to run them again.
  operator_commands = {
    reconcile = {
      args     = ["reconcile", "--json"]
      schedule = var.reconcile_schedule
      tasks    = 1
      retries  = 0
    }
    verify = {
      args     = ["verify", "--read", "today/${var.verify_parts}", "--json"]
      schedule = var.verify_schedule
      tasks    = 1
      retries  = 0
    }
    # Started by hand, with its days: gcloud run jobs execute NAME --args=backfill,--from,2026-11-01
    backfill = {
      args     = ["backfill", "--help"]
      schedule = null
      tasks    = var.backfill_tasks
      retries  = 3
    }
  }

  # Refused above 5 % of the archive, and run again the next night where it was stopped.
  retention_commands = {
    erase = {
      args     = ["erase", "--older-than", "${coalesce(var.erase_after_days, 0)}d", "--reason", "retention", "--confirm", "any", "--json"]
      schedule = var.erase_schedule
      tasks    = 1
      retries  = 0
    }
  }

  # Each with the account that it runs as, its environment and its secrets: retention knows nothing of Genesys.
  jobs = merge(
    { for name, command in local.operator_commands : name => merge(command, {
      account      = google_service_account.operator.email
      environment  = local.operator_environment
      secret_files = local.secret_files.operator
    }) },
    { for name, command in local.retention_commands : name => merge(command, {
      account      = module.retention[0].account.email
      environment  = local.environment
      secret_files = {}
    }) if var.erase_after_days != null },
  )

  operator_environment = merge(
    local.worker_environment,
    var.certificate_key_version == null ? {} : { CERTIFICATE_KEY = var.certificate_key_version },
  )

  # What Cloud Logging calls the places where they run.
  job_logs = { for name in concat(keys(local.operator_commands), keys(local.retention_commands)) : name => "resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"${var.name}-${name}\"" }

  # Rights are those on the key; a version of it signs.
  certificate_key = var.certificate_key_version == null ? null : replace(var.certificate_key_version, "//cryptoKeyVersions/[0-9]+$/", "")
}

resource "google_service_account" "operator" {
  project      = var.project_id
  account_id   = "${var.name}-operator"
  display_name = "Recording archiver: operators' commands"
  description  = "Compares Genesys with the archive, fetches what is missing, verifies; removes no recording."

  depends_on = [google_project_service.needed]
}

# Seals and certificates are signed where the private key lies: in Cloud KMS, which never gives it out.
resource "google_kms_crypto_key_iam_member" "operator_signs" {
  count = var.certificate_key_version == null ? 0 : 1

  crypto_key_id = local.certificate_key
  role          = "roles/cloudkms.signerVerifier"
  member        = google_service_account.operator.member
}

# As the worker: what lies under recordings/ stays as it is. So proofs are written once.
resource "google_storage_bucket_iam_member" "operator_creates" {
  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectCreator"
  member = google_service_account.operator.member

  condition {
    title      = "archive"
    expression = "resource.name.startsWith(\"${local.object_resource}\")"
  }
}

resource "google_storage_bucket_iam_member" "operator_reads" {
  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.operator.member

  condition {
    title      = "archive-and-listing"
    expression = "resource.name == \"${local.bucket_resource}\" || resource.name.startsWith(\"${local.object_resource}\")"
  }
}

# What may be replaced or removed without a recording being touched.
resource "google_storage_bucket_iam_member" "operator_deletes" {
  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectUser"
  member = google_service_account.operator.member

  condition {
    title      = "staging-and-what-changes"
    expression = join(" || ", [for folder in local.changing_folders : "resource.name.startsWith(\"${local.object_resource}${folder}\")"])
  }
}

# What is fetched later is locked as well.
resource "google_storage_bucket_iam_member" "operator_locks" {
  count = var.lock_days == null ? 0 : 1

  bucket = google_storage_bucket.archive.name
  role   = google_project_iam_custom_role.locks[0].name
  member = google_service_account.operator.member

  condition {
    title      = "recordings"
    expression = "resource.name == \"${local.bucket_resource}\" || resource.name.startsWith(\"${local.object_resource}recordings/\")"
  }
}

resource "google_cloud_run_v2_job" "operator" {
  for_each = local.jobs

  project             = var.project_id
  name                = "${var.name}-${each.key}"
  location            = var.region
  labels              = var.labels
  deletion_protection = false # holds no data

  template {
    task_count  = each.value.tasks
    parallelism = each.value.tasks

    template {
      service_account = each.value.account
      timeout         = "${var.operator_timeout_h * 3600}s"
      max_retries     = each.value.retries

      containers {
        image = var.image
        args  = each.value.args

        resources {
          limits = local.studio_limits
        }

        dynamic "env" {
          for_each = merge(each.value.environment, { for name, file in each.value.secret_files : "${name}_FILE" => "${file.folder}/${file.name}" })

          content {
            name  = env.key
            value = env.value
          }
        }

        dynamic "volume_mounts" {
          for_each = each.value.secret_files

          content {
            name       = volume_mounts.value.volume
            mount_path = volume_mounts.value.folder
          }
        }
      }

      dynamic "volumes" {
        for_each = each.value.secret_files

        content {
          name = volumes.value.volume

          secret {
            secret = volumes.value.secret

            items {
              version = "latest"
              path    = volumes.value.name
            }
          }
        }
      }
    }
  }

  # Without its secret a job does not start.
  depends_on = [
    google_secret_manager_secret_iam_member.reader,
    google_secret_manager_secret_version.genesys,
  ]
}

# Cloud Scheduler starts the jobs as an account that can do nothing else.
resource "google_service_account" "scheduler" {
  project      = var.project_id
  account_id   = "${var.name}-scheduler"
  display_name = "Recording archiver: scheduler"
  description  = "Starts the operators' jobs."

  depends_on = [google_project_service.needed]
}

resource "google_cloud_run_v2_job_iam_member" "scheduler_starts" {
  for_each = { for name, command in local.jobs : name => command if command.schedule != null }

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_job.operator[each.key].name
  role     = "roles/run.invoker"
  member   = google_service_account.scheduler.member
}

# https://cloud.google.com/run/docs/execute/jobs-on-schedule
resource "google_cloud_scheduler_job" "nightly" {
  for_each = { for name, command in local.jobs : name => command if command.schedule != null }

  project     = var.project_id
  region      = var.region
  name        = "${var.name}-${each.key}"
  description = "Starts the job ${google_cloud_run_v2_job.operator[each.key].name}."
  schedule    = each.value.schedule
  time_zone   = var.schedule_time_zone

  retry_config {
    retry_count          = 3
    min_backoff_duration = "60s"
  }

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/projects/${var.project_id}/locations/${var.region}/jobs/${google_cloud_run_v2_job.operator[each.key].name}:run"

    oauth_token {
      service_account_email = google_service_account.scheduler.email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  depends_on = [google_cloud_run_v2_job_iam_member.scheduler_starts]
}
