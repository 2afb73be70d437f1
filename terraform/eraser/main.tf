# One account that may hold and erase recordings: it deletes everywhere but under audit/ and proofs/, and adds to the audit.

resource "google_service_account" "this" {
  project      = var.project_id
  account_id   = var.account_id
  display_name = var.display_name
  description  = var.description
}

resource "google_storage_bucket_iam_member" "reads" {
  bucket = var.bucket
  role   = "roles/storage.objectViewer"
  member = google_service_account.this.member

  condition {
    title      = "archive-and-listing"
    expression = "resource.name == \"${var.bucket_resource}\" || resource.name.startsWith(\"${var.object_resource}\")"
  }
}

# Deletes, and sets the flags by which Cloud Storage itself keeps what is held (storage.objects.update).
resource "google_storage_bucket_iam_member" "removes" {
  bucket = var.bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.this.member

  condition {
    title      = "all-but-audit-and-proofs"
    expression = "resource.name.startsWith(\"${var.object_resource}\") && !resource.name.startsWith(\"${var.object_resource}audit/\") && !resource.name.startsWith(\"${var.object_resource}proofs/\")"
  }
}

# On record before the act: a record can be added, never changed.
resource "google_storage_bucket_iam_member" "records" {
  bucket = var.bucket
  role   = "roles/storage.objectCreator"
  member = google_service_account.this.member

  condition {
    title      = "audit"
    expression = "resource.name.startsWith(\"${var.object_resource}audit/\")"
  }
}
