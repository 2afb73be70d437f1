# Playback: plays and lists recordings and signs links. Its account reads the archive and signs as itself.

resource "google_service_account" "playback" {
  project      = var.project_id
  account_id   = "${var.name}-playback"
  display_name = "Recording archiver: playback"
  description  = "Reads the archive and signs links."

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

resource "google_cloud_run_v2_service" "playback" {
  project             = var.project_id
  name                = "${var.name}-playback"
  location            = var.region
  labels              = var.labels
  ingress             = "INGRESS_TRAFFIC_ALL"
  deletion_protection = false # holds no data

  template {
    service_account                  = google_service_account.playback.email
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    timeout                          = "3600s" # as long as somebody listens
    max_instance_request_concurrency = 40

    scaling {
      min_instance_count = 0
      max_instance_count = var.playback_max_instances
    }

    containers {
      image = var.image
      args  = ["playback"]

      ports {
        container_port = 8080
      }

      resources {
        limits            = local.studio_limits
        cpu_idle          = true
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = merge(local.environment, local.genesys_environment, {
          ARCHIVE_ON_LISTEN = var.archive_on_listen ? "yes" : "no"
          LINK_LIFETIME_S   = tostring(var.link_lifetime_s)
          QUEUE_URL         = local.queue_url
        })

        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = toset(local.secret_readers.playback)

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
    google_secret_manager_secret_version.genesys,
    google_storage_bucket_iam_member.playback_reads,
    google_pubsub_topic_iam_member.playback_publishes,
  ]
}

resource "google_cloud_run_v2_service_iam_member" "playback_invoker" {
  for_each = toset(var.playback_invokers)

  project  = var.project_id
  location = google_cloud_run_v2_service.playback.location
  name     = google_cloud_run_v2_service.playback.name
  role     = "roles/run.invoker"
  member   = each.value
}
