# The archive: the bucket, and who may do what under which of its folders.

locals {
  bucket_name = coalesce(var.bucket_name, "${var.project_id}-recordings")
  root        = var.archive_prefix == "" ? "" : "${var.archive_prefix}/"
  archive_url = "gs://${local.bucket_name}${var.archive_prefix == "" ? "" : "/"}${var.archive_prefix}"

  # Where the latest counts, or what is over is removed: the worker may replace and delete there, and nowhere else.
  changing_folders = ["staging/", "failures/", "waiting/", "listing/", "conversations/", "index/", "status/"]

  # How IAM conditions call the bucket and the objects of the archive.
  # https://cloud.google.com/iam/docs/conditions-resource-attributes#resource-name
  bucket_resource = "projects/_/buckets/${local.bucket_name}"
  object_resource = "${local.bucket_resource}/objects/${local.root}"
}

resource "google_storage_bucket" "archive" {
  project                     = var.project_id
  name                        = local.bucket_name
  location                    = coalesce(var.bucket_location, var.region)
  labels                      = var.labels
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  enable_object_retention     = var.lock_days == null ? null : true

  versioning {
    enabled = var.versioning
  }

  soft_delete_policy {
    retention_duration_seconds = var.soft_delete_days * 86400
  }

  dynamic "retention_policy" {
    for_each = var.retention_days == null ? [] : [var.retention_days]

    content {
      retention_period = retention_policy.value * 86400
      is_locked        = var.retention_lock
    }
  }

  dynamic "cors" {
    for_each = length(var.link_origins) > 0 ? [var.link_origins] : []

    content {
      origin          = cors.value
      method          = ["GET", "HEAD"]
      response_header = ["Accept-Ranges", "Content-Length", "Content-Range", "Content-Type", "ETag", "Range"]
      max_age_seconds = 3600
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key_name == null ? [] : [var.kms_key_name]

    content {
      default_kms_key_name = encryption.value
    }
  }

  # The worker sweeps what crashes leave behind after a day; this is for the case that no worker runs.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = 2
      matches_prefix = ["${local.root}staging/"]
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  # With versioning, what is deleted or replaced under these folders would be kept for ever: also what was erased.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 1
      with_state                 = "ARCHIVED"
      matches_prefix             = [for folder in local.changing_folders : "${local.root}${folder}"]
    }
  }

  lifecycle {
    prevent_destroy = true

    # To the provider another value means another bucket. Cloud Storage enables it in one that is there, and never disables it.
    # https://cloud.google.com/storage/docs/using-object-lock
    ignore_changes = [enable_object_retention]
  }

  depends_on = [
    google_project_service.needed,
    google_kms_crypto_key_iam_member.storage_encrypts,
  ]
}

# Cloud Storage encrypts with the key on its own account.

data "google_storage_project_service_account" "this" {
  project = var.project_id

  depends_on = [google_project_service.needed]
}

resource "google_kms_crypto_key_iam_member" "storage_encrypts" {
  count = var.kms_key_name == null ? 0 : 1

  crypto_key_id = var.kms_key_name
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = data.google_storage_project_service_account.this.member
}

# objectCreator cannot delete, and so cannot replace: what lies under recordings/ stays as it is.
resource "google_storage_bucket_iam_member" "worker_creates" {
  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectCreator"
  member = google_service_account.worker.member

  condition {
    title      = "archive"
    expression = "resource.name.startsWith(\"${local.object_resource}\")"
  }
}

# A listing concerns the bucket, never an object: its right cannot be limited to a folder. Without it Cloud Storage
# answers 403 instead of 404 for what is not there. https://cloud.google.com/storage/docs/access-control/iam#conditions
resource "google_storage_bucket_iam_member" "worker_reads" {
  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.worker.member

  condition {
    title      = "archive-and-listing"
    expression = "resource.name == \"${local.bucket_resource}\" || resource.name.startsWith(\"${local.object_resource}\")"
  }
}

resource "google_storage_bucket_iam_member" "worker_deletes" {
  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectUser"
  member = google_service_account.worker.member

  condition {
    title      = "staging-and-what-changes"
    expression = join(" || ", [for folder in local.changing_folders : "resource.name.startsWith(\"${local.object_resource}${folder}\")"])
  }
}

# No role of Google's locks without more: this one neither ends a lock nor changes what is there. By the bucket's own name doctor
# sees that it is granted: testIamPermissions asks of that.
resource "google_project_iam_custom_role" "locks" {
  count = var.lock_days == null ? 0 : 1

  project     = var.project_id
  role_id     = "${replace(var.name, "-", "_")}_lock"
  title       = "Recording archiver: lock"
  description = "Locks recordings as they are stored."
  permissions = ["storage.objects.setRetention"]

  depends_on = [google_project_service.needed]
}

resource "google_storage_bucket_iam_member" "worker_locks" {
  count = var.lock_days == null ? 0 : 1

  bucket = google_storage_bucket.archive.name
  role   = google_project_iam_custom_role.locks[0].name
  member = google_service_account.worker.member

  condition {
    title      = "recordings"
    expression = "resource.name == \"${local.bucket_resource}\" || resource.name.startsWith(\"${local.object_resource}recordings/\")"
  }
}

resource "google_storage_bucket_iam_member" "playback_reads" {
  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.playback.member

  condition {
    title      = "archive-and-listing"
    expression = "resource.name == \"${local.bucket_resource}\" || resource.name.startsWith(\"${local.object_resource}\")"
  }
}

# Each listen is on record before its first byte: without this right nothing is played.
resource "google_storage_bucket_iam_member" "playback_records" {
  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectCreator"
  member = google_service_account.playback.member

  condition {
    title      = "audit"
    expression = "resource.name.startsWith(\"${local.object_resource}audit/\")"
  }
}
