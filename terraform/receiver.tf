# The receiver: takes events from the internet and publishes them. Its account can do nothing else.

resource "google_service_account" "receiver" {
  project      = var.project_id
  account_id   = "${var.name}-receiver"
  display_name = "Recording archiver: receiver"
  description  = "Publishes messages and reads the webhook's secrets."

  depends_on = [google_project_service.needed]
}

resource "google_pubsub_topic_iam_member" "receiver_publishes" {
  project = var.project_id
  topic   = google_pubsub_topic.messages.name
  role    = "roles/pubsub.publisher"
  member  = google_service_account.receiver.member

  # What is published to a topic that has no subscription yet is gone, though the webhook has answered 202.
  depends_on = [google_pubsub_subscription.worker]
}

module "receiver" {
  source = "./service"

  project_id      = var.project_id
  name            = "${var.name}-receiver"
  region          = var.region
  labels          = var.labels
  ingress         = "INGRESS_TRAFFIC_ALL"
  service_account = google_service_account.receiver.email
  timeout         = "30s"
  concurrency     = 80
  min_instances   = var.receiver_min_instances
  max_instances   = var.receiver_max_instances
  image           = var.image
  command         = "receiver"
  limits          = { cpu = "1", memory = "512Mi" }
  cpu_idle        = true
  environment     = merge(local.environment, { QUEUE_URL = local.queue_url })
  secret_files    = local.secret_files.receiver

  depends_on = [
    google_secret_manager_secret_iam_member.reader,
    google_secret_manager_secret_version.generated,
    google_pubsub_topic_iam_member.receiver_publishes,
  ]
}

moved {
  from = google_cloud_run_v2_service.receiver
  to   = module.receiver.google_cloud_run_v2_service.this
}

resource "google_cloud_run_v2_service_iam_member" "receiver_invoker" {
  for_each = toset(var.receiver_invokers)

  project  = var.project_id
  location = var.region
  name     = module.receiver.service.name
  role     = "roles/run.invoker"
  member   = each.value
}
