# The keeper: whoever holds and erases. Nothing runs as this account; the people who are named may act as it, for as long as their
# command runs. No account of the services has its rights, and it has none of theirs.

module "keeper" {
  source = "./eraser"

  project_id      = var.project_id
  account_id      = "${var.name}-keeper"
  display_name    = "Recording archiver: keeper"
  description     = "Holds, releases and erases recordings; never changes the audit or a proof. Acted as by those named in keepers."
  bucket          = google_storage_bucket.archive.name
  bucket_resource = local.bucket_resource
  object_resource = local.object_resource

  depends_on = [google_project_service.needed]
}

resource "google_service_account_iam_member" "keepers_act" {
  for_each = toset(var.keepers)

  service_account_id = module.keeper.account.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = each.value
}

# Retention: where days are named, what is older than that is erased each night, in the same way as by the keeper and past the same
# holds. As an account of its own, which exists for as long as that is wanted and which no person acts as.
module "retention" {
  source = "./eraser"
  count  = var.erase_after_days == null ? 0 : 1

  project_id      = var.project_id
  account_id      = "${var.name}-retention"
  display_name    = "Recording archiver: retention"
  description     = "Erases recordings that are older than erase_after_days; never changes the audit or a proof."
  bucket          = google_storage_bucket.archive.name
  bucket_resource = local.bucket_resource
  object_resource = local.object_resource

  depends_on = [google_project_service.needed]
}
