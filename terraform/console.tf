# The console: pages for people, behind Identity-Aware Proxy. Made once console_roles says who may do what.
# Its account reads the archive, sends back to the queue what failed, and adds to the audit; it can hold, change and erase
# nothing, and signs no links: what people hear comes through the console.

locals {
  # Whoever comes through Identity-Aware Proxy comes as its agent; nobody else may call the service.
  iap_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-iap.iam.gserviceaccount.com"
}

resource "google_service_account" "console" {
  project      = var.project_id
  account_id   = "${var.name}-console"
  display_name = "Recording archiver: console"
  description  = "Reads the archive, replays, and adds to the audit."

  depends_on = [google_project_service.needed]
}

resource "google_pubsub_topic_iam_member" "console_publishes" {
  project = var.project_id
  topic   = google_pubsub_topic.messages.name
  role    = "roles/pubsub.publisher"
  member  = google_service_account.console.member

  # What is published to a topic that has no subscription yet is gone.
  depends_on = [google_pubsub_subscription.worker]
}

resource "google_storage_bucket_iam_member" "console_reads" {
  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.console.member

  condition {
    title      = "archive-and-listing"
    expression = "resource.name == \"${local.bucket_resource}\" || resource.name.startsWith(\"${local.object_resource}\")"
  }
}

# On record before the act: a record can be added, never changed.
resource "google_storage_bucket_iam_member" "console_records" {
  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectCreator"
  member = google_service_account.console.member

  condition {
    title      = "audit"
    expression = "resource.name.startsWith(\"${local.object_resource}audit/\")"
  }
}

module "console" {
  count  = var.console_roles == "" ? 0 : 1
  source = "./service"

  project_id      = var.project_id
  name            = "${var.name}-console"
  region          = var.region
  labels          = var.labels
  ingress         = "INGRESS_TRAFFIC_ALL"
  service_account = google_service_account.console.email
  timeout         = "3600s" # as long as somebody listens
  concurrency     = 80
  max_instances   = var.console_max_instances
  image           = var.image
  command         = "console"
  limits          = { cpu = "1", memory = "1Gi" }
  cpu_idle        = true

  environment = merge(local.environment, {
    CONSOLE_AUTH         = "iap"
    CONSOLE_IAP_AUDIENCE = coalesce(var.console_iap_audience, "/projects/${data.google_project.this.number}/locations/${var.region}/services/${var.name}-console")
    CONSOLE_ROLES        = var.console_roles
    QUEUE_URL            = local.queue_url
  })

  secret_files = local.secret_files.console

  depends_on = [
    google_secret_manager_secret_iam_member.reader,
    google_secret_manager_secret_version.generated,
    google_storage_bucket_iam_member.console_reads,
    google_storage_bucket_iam_member.console_records,
    google_pubsub_topic_iam_member.console_publishes,
  ]
}

resource "google_cloud_run_v2_service_iam_member" "console_invoker" {
  count = var.console_roles == "" ? 0 : 1

  project  = var.project_id
  location = var.region
  name     = module.console[0].service.name
  role     = "roles/run.invoker"
  member   = local.iap_agent
}
