# Playback: plays and lists recordings and signs links. Its account reads the archive, signs as itself, and adds to the audit.

resource "google_service_account" "playback" {
  project      = var.project_id
  account_id   = "${var.name}-playback"
  display_name = "Recording archiver: playback"
  description  = "Reads the archive, signs links, and adds to the audit."

  depends_on = [google_project_service.needed]
}

# Links are signed by the IAM Credentials API: there is no key that could leak.
resource "google_service_account_iam_member" "playback_signs" {
  service_account_id = google_service_account.playback.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_service_account.playback.member
}

resource "google_pubsub_topic_iam_member" "playback_publishes" {
  count = var.archive_on_listen ? 1 : 0

  project = var.project_id
  topic   = google_pubsub_topic.messages.name
  role    = "roles/pubsub.publisher"
  member  = google_service_account.playback.member

  # What is published to a topic that has no subscription yet is gone.
  depends_on = [google_pubsub_subscription.worker]
}

module "playback" {
  source = "./service"

  project_id            = var.project_id
  name                  = "${var.name}-playback"
  region                = var.region
  labels                = var.labels
  ingress               = "INGRESS_TRAFFIC_ALL"
  service_account       = google_service_account.playback.email
  execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
  timeout               = "3600s" # as long as somebody listens
  concurrency           = 40
  max_instances         = var.playback_max_instances
  image                 = var.image
  command               = "playback"
  limits                = local.studio_limits
  cpu_idle              = true

  environment = merge(local.environment, local.genesys_environment, {
    ARCHIVE_ON_LISTEN = var.archive_on_listen ? "yes" : "no"
    LINK_LIFETIME_S   = tostring(var.link_lifetime_s)
    QUEUE_URL         = local.queue_url
  })

  secret_files = local.secret_files.playback

  depends_on = [
    google_secret_manager_secret_iam_member.reader,
    google_secret_manager_secret_version.generated,
    google_secret_manager_secret_version.genesys,
    google_storage_bucket_iam_member.playback_reads,
    google_storage_bucket_iam_member.playback_records,
    google_pubsub_topic_iam_member.playback_publishes,
  ]
}

moved {
  from = google_cloud_run_v2_service.playback
  to   = module.playback.google_cloud_run_v2_service.this
}

resource "google_cloud_run_v2_service_iam_member" "playback_invoker" {
  for_each = toset(var.playback_invokers)

  project  = var.project_id
  location = var.region
  name     = module.playback.service.name
  role     = "roles/run.invoker"
  member   = each.value
}
