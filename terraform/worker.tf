# The worker: takes messages, archives recordings. A worker pool that pulls, or a service that is pushed to beside a
# small pool that pulls what takes longer than a push may.

resource "google_service_account" "worker" {
  project      = var.project_id
  account_id   = "${var.name}-worker"
  display_name = "Recording archiver: worker"
  description  = "Takes messages, creates and reads objects of the archive; replaces and deletes only what changes (staging/, failures/, waiting/, listing/, conversations/, index/, status/)."

  depends_on = [google_project_service.needed]
}

# From what is pushed nobody pulls. What push has left on the long queue can be taken from there in either mode.
resource "google_pubsub_subscription_iam_member" "worker_subscribes" {
  for_each = merge(
    {
      long       = google_pubsub_subscription.long.name
      long_later = google_pubsub_subscription.long_later.name
    },
    local.pushes ? {} : {
      worker = google_pubsub_subscription.worker.name
      later  = google_pubsub_subscription.later.name
    },
  )

  project      = var.project_id
  subscription = each.value
  role         = "roles/pubsub.subscriber"
  member       = google_service_account.worker.member
}

# A conversation becomes a message per recording; what has to wait, or is too long for a push, moves between the topics.
resource "google_pubsub_topic_iam_member" "worker_publishes" {
  for_each = merge(
    {
      messages = google_pubsub_topic.messages.name
      later    = google_pubsub_topic.later.name
    },
    local.pushes ? {
      long       = google_pubsub_topic.long.name
      long_later = google_pubsub_topic.long_later.name
    } : {},
  )

  project = var.project_id
  topic   = each.value
  role    = "roles/pubsub.publisher"
  member  = google_service_account.worker.member

  # What is published to a topic that has no subscription yet is gone.
  depends_on = [
    google_pubsub_subscription.worker,
    google_pubsub_subscription.later,
    google_pubsub_subscription.long,
    google_pubsub_subscription.long_later,
  ]
}

locals {
  worker_name = "${var.name}-worker"

  # Known before the service exists, which needs it as the audience of the tokens it accepts.
  # https://cloud.google.com/run/docs/triggering/https-request#deterministic
  worker_url = "https://${local.worker_name}-${data.google_project.this.number}.${var.region}.run.app"

  worker_environment = merge(
    local.environment,
    local.genesys_environment,
    {
      ARCHIVE_ORIGINAL = var.archive_original ? "yes" : "no"
      KEEP_DETAILS     = var.keep_details
    },
    var.lock_days == null ? {} : {
      LOCK_DAYS = tostring(var.lock_days)
      LOCK_MODE = var.lock_mode
    },
  )

  # Who pulls in which mode: everything, or what takes longer than a push may.
  pools = {
    worker = {
      mode      = "pull"
      name      = local.worker_name
      queue_url = "${local.queue_url}?subscription=${local.subscription}"
      instances = var.worker_instances
    }
    long = {
      mode      = "push"
      name      = "${local.worker_name}-long"
      queue_url = "${local.queue_url}-long?subscription=${local.subscription}-long"
      instances = var.long_worker_instances
    }
  }
}

resource "google_cloud_run_v2_worker_pool" "worker" {
  for_each = { for key, pool in local.pools : key => pool if pool.mode == var.worker_mode && pool.instances > 0 }

  project             = var.project_id
  name                = each.value.name
  location            = var.region
  labels              = var.labels
  deletion_protection = false # holds no data

  scaling {
    manual_instance_count = each.value.instances
  }

  template {
    service_account = google_service_account.worker.email

    containers {
      image = var.image
      args  = ["worker"]

      resources {
        limits = local.studio_limits
      }

      dynamic "env" {
        for_each = merge(
          local.worker_environment,
          { QUEUE_URL = each.value.queue_url },
          { for name, file in local.secret_files.worker : "${name}_FILE" => "${file.folder}/${file.name}" },
        )

        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "volume_mounts" {
        for_each = local.secret_files.worker

        content {
          name       = volume_mounts.value.volume
          mount_path = volume_mounts.value.folder
        }
      }
    }

    dynamic "volumes" {
      for_each = local.secret_files.worker

      content {
        name = volumes.value.volume

        secret {
          secret = volumes.value.secret

          items {
            version = "latest"
            path    = volumes.value.name
          }
        }
      }
    }
  }

  depends_on = [
    google_secret_manager_secret_iam_member.reader,
    google_secret_manager_secret_version.genesys,
    google_pubsub_subscription_iam_member.worker_subscribes,
    google_pubsub_topic_iam_member.worker_publishes,
    google_storage_bucket_iam_member.worker_creates,
    google_storage_bucket_iam_member.worker_reads,
    google_storage_bucket_iam_member.worker_deletes,
    google_storage_bucket_iam_member.worker_locks,
  ]
}

module "worker" {
  source = "./service"
  count  = local.pushes ? 1 : 0

  project_id            = var.project_id
  name                  = local.worker_name
  region                = var.region
  labels                = var.labels
  ingress               = "INGRESS_TRAFFIC_INTERNAL_ONLY" # Pub/Sub of the same project counts as internal
  service_account       = google_service_account.worker.email
  execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
  timeout               = "600s" # the longest a push may take
  concurrency           = var.transcode_slots
  max_instances         = var.worker_instances
  image                 = var.image
  command               = "worker"
  limits                = local.studio_limits
  cpu_idle              = false # what is throttled between requests stops in the middle of an upload

  environment = merge(local.worker_environment, {
    QUEUE_URL            = local.queue_url
    PUSH_AUDIENCE        = local.worker_url
    PUSH_SERVICE_ACCOUNT = google_service_account.pusher.email
  })

  secret_files = local.secret_files.worker

  depends_on = [
    google_secret_manager_secret_iam_member.reader,
    google_secret_manager_secret_version.genesys,
    google_pubsub_topic_iam_member.worker_publishes,
    google_storage_bucket_iam_member.worker_creates,
    google_storage_bucket_iam_member.worker_reads,
    google_storage_bucket_iam_member.worker_deletes,
    google_storage_bucket_iam_member.worker_locks,
  ]
}

moved {
  from = google_cloud_run_v2_service.worker[0]
  to   = module.worker[0].google_cloud_run_v2_service.this
}

# Who pushes: may call the worker and nothing else. Exists in both modes, so that a change of mode needs no second apply.
resource "google_service_account" "pusher" {
  project      = var.project_id
  account_id   = "${var.name}-pusher"
  display_name = "Recording archiver: Pub/Sub push"
  description  = "Calls the worker for Pub/Sub."

  depends_on = [google_project_service.needed]
}

resource "google_cloud_run_v2_service_iam_member" "pusher_invokes" {
  count = local.pushes ? 1 : 0

  project  = var.project_id
  location = var.region
  name     = module.worker[0].service.name
  role     = "roles/run.invoker"
  member   = google_service_account.pusher.member
}

# Projects from before April 2021 need this for Pub/Sub to make the pusher's tokens.
resource "google_service_account_iam_member" "agent_makes_tokens" {
  count = local.pushes ? 1 : 0

  service_account_id = google_service_account.pusher.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.pubsub_agent
}
