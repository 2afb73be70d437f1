# The keeper: whoever holds and erases. Nothing runs as this account; the people who are named may act as it, for as long as their
# command runs. No account of the services has its rights, and it has none of theirs.

resource "google_service_account" "keeper" {
  project      = var.project_id
  account_id   = "${var.name}-keeper"
  display_name = "Recording archiver: keeper"
  description  = "Holds, releases and erases recordings; never changes the audit or a proof. Acted as by those named in keepers."

  depends_on = [google_project_service.needed]
}

resource "google_storage_bucket_iam_member" "keeper_reads" {
  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.keeper.member

  condition {
    title      = "archive-and-listing"
    expression = "resource.name == \"${local.bucket_resource}\" || resource.name.startsWith(\"${local.object_resource}\")"
  }
}

# Deletes, and sets the flags by which Cloud Storage itself keeps what is held (storage.objects.update).
resource "google_storage_bucket_iam_member" "keeper_removes" {
  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectUser"
  member = google_service_account.keeper.member

  condition {
    title      = "all-but-audit-and-proofs"
    expression = "resource.name.startsWith(\"${local.object_resource}\") && !resource.name.startsWith(\"${local.object_resource}audit/\") && !resource.name.startsWith(\"${local.object_resource}proofs/\")"
  }
}

# On record before the act: a record can be added, never changed.
resource "google_storage_bucket_iam_member" "keeper_records" {
  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectCreator"
  member = google_service_account.keeper.member

  condition {
    title      = "audit"
    expression = "resource.name.startsWith(\"${local.object_resource}audit/\")"
  }
}

resource "google_service_account_iam_member" "keepers_act" {
  for_each = toset(var.keepers)

  service_account_id = google_service_account.keeper.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = each.value
}
