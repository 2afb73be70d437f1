# Whoever wants to know what was stored and what failed hears it from the bucket itself: an object recordings/C/R/manifest.json
# that is finalized is a recording that is stored, one under failures/ a recording that is not.
# https://cloud.google.com/storage/docs/pubsub-notifications

resource "google_pubsub_topic_iam_member" "storage_notifies" {
  count = var.notification_topic == null ? 0 : 1

  topic  = var.notification_topic
  role   = "roles/pubsub.publisher"
  member = data.google_storage_project_service_account.this.member
}

# A prefix is all that can be asked for: of what comes from recordings/, /manifest.json at the end of objectId counts.
resource "google_storage_notification" "archive" {
  for_each = toset(var.notification_topic == null ? [] : ["recordings/", "failures/"])

  bucket             = google_storage_bucket.archive.name
  topic              = var.notification_topic
  event_types        = ["OBJECT_FINALIZE"]
  object_name_prefix = "${local.root}${each.value}"
  payload_format     = "NONE" # ids alone; the manifest stays where it is

  depends_on = [google_pubsub_topic_iam_member.storage_notifies]
}
