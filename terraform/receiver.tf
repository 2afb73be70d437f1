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

resource "google_cloud_run_v2_service" "receiver" {
  project             = var.project_id
  name                = "${var.name}-receiver"
  location            = var.region
  labels              = var.labels
  ingress             = "INGRESS_TRAFFIC_ALL"
  deletion_protection = false # holds no data

  template {
    service_account                  = google_service_account.receiver.email
    timeout                          = "30s"
    max_instance_request_concurrency = 80

    scaling {
      min_instance_count = var.receiver_min_instances
      max_instance_count = var.receiver_max_instances
    }

    containers {
      image = var.image
      args  = ["receiver"]

      ports {
        container_port = 8080
      }

      resources {
        limits            = { cpu = "1", memory = "512Mi" }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = merge(local.environment, { QUEUE_URL = local.queue_url })

        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = toset(local.secret_readers.receiver)

        content {
          name = env.value

          value_source {
            secret_key_ref {
              secret  = google_secret_manager_secret.env[env.value].secret_id
              version = "latest"
            }
          }
        }
      }

      startup_probe {
        period_seconds    = 2
        failure_threshold = 30

        http_get {
          path = "/healthz"
        }
      }

      liveness_probe {
        period_seconds    = 30
        failure_threshold = 3

        http_get {
          path = "/healthz"
        }
      }
    }
  }

  depends_on = [
    google_secret_manager_secret_iam_member.reader,
    google_secret_manager_secret_version.generated,
    google_pubsub_topic_iam_member.receiver_publishes,
  ]
}

resource "google_cloud_run_v2_service_iam_member" "receiver_invoker" {
  for_each = toset(var.receiver_invokers)

  project  = var.project_id
  location = google_cloud_run_v2_service.receiver.location
  name     = google_cloud_run_v2_service.receiver.name
  role     = "roles/run.invoker"
  member   = each.value
}
