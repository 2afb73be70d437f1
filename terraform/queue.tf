# The queue: what is to be done, what has to wait, what takes too long for a push, and what could not be delivered at all.

locals {
  topic        = "${var.name}-messages"
  subscription = "${var.name}-worker"

  # Where the worker finds both. It adds "-later" to either name for what has to wait.
  queue_url = "pubsub://${var.project_id}/${local.topic}"

  # Takes what lies on the long queue; what has to wait or to be tried again comes back on the one of the workers that
  # pull. So it needs no right to publish on the long one, which only workers with push have.
  drain_url = "${local.queue_url}?subscription=${google_pubsub_subscription.long.name}"

  # Where messages must not grow old. Not where names end in "-later": what waits there is not late. But where no worker
  # takes from the long queue, what waits there waits in vain.
  worked_off = concat(
    [google_pubsub_subscription.worker.name, google_pubsub_subscription.long.name],
    local.pushes && var.long_worker_instances > 0 ? [] : [google_pubsub_subscription.long_later.name],
  )

  pushes       = var.worker_mode == "push"
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic" "messages" {
  project = var.project_id
  name    = local.topic
  labels  = var.labels

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.needed]
}

# Pub/Sub cannot deliver later: what has to wait moves here and comes back when it is due.
resource "google_pubsub_topic" "later" {
  project = var.project_id
  name    = "${local.topic}-later"
  labels  = var.labels

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.needed]
}

# With push: what takes longer than a push may. A worker that is pushed to adds "-long" to its topic; the workers that
# pull it add "-later" to that. Made in either mode: to take the long queue away would take away what it still holds.
resource "google_pubsub_topic" "long" {
  project = var.project_id
  name    = "${local.topic}-long"
  labels  = var.labels

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.needed]
}

resource "google_pubsub_topic" "long_later" {
  project = var.project_id
  name    = "${local.topic}-long-later"
  labels  = var.labels

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.needed]
}

resource "google_pubsub_topic" "dead" {
  project = var.project_id
  name    = "${var.name}-dead"
  labels  = var.labels

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.needed]
}

resource "google_pubsub_subscription" "worker" {
  project = var.project_id
  name    = local.subscription
  topic   = google_pubsub_topic.messages.id
  labels  = var.labels

  # Pulled messages are kept by extending their lease; a push has to be answered within the deadline.
  ack_deadline_seconds       = local.pushes ? 600 : 60
  message_retention_duration = "2678400s" # 31 days, the longest there is

  # Without this Pub/Sub deletes a subscription that was idle for 31 days, and what is published then is lost.
  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  # Above the attempts after which the worker itself records a failure. Pushes that meet only busy instances count, too.
  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead.id
    max_delivery_attempts = local.pushes ? 100 : 20
  }

  dynamic "push_config" {
    for_each = local.pushes ? [local.worker_url] : []

    content {
      push_endpoint = "${push_config.value}/pubsub/push"

      oidc_token {
        service_account_email = google_service_account.pusher.email
        audience              = push_config.value
      }
    }
  }

  depends_on = [google_pubsub_topic_iam_member.agent_publishes_dead]
}

# No dead letters here: to wait is not to fail.
resource "google_pubsub_subscription" "later" {
  project = var.project_id
  name    = "${local.subscription}-later"
  topic   = google_pubsub_topic.later.id
  labels  = var.labels

  ack_deadline_seconds       = 120
  message_retention_duration = "2678400s"

  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dynamic "push_config" {
    for_each = local.pushes ? [local.worker_url] : []

    content {
      push_endpoint = "${push_config.value}/pubsub/push"

      oidc_token {
        service_account_email = google_service_account.pusher.email
        audience              = push_config.value
      }
    }
  }
}

# Pulled in any case, so under the rules of a worker that pulls.
resource "google_pubsub_subscription" "long" {
  project = var.project_id
  name    = "${local.subscription}-long"
  topic   = google_pubsub_topic.long.id
  labels  = var.labels

  ack_deadline_seconds       = 60
  message_retention_duration = "2678400s"

  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead.id
    max_delivery_attempts = 20
  }

  depends_on = [google_pubsub_topic_iam_member.agent_publishes_dead]
}

resource "google_pubsub_subscription" "long_later" {
  project = var.project_id
  name    = "${local.subscription}-long-later"
  topic   = google_pubsub_topic.long_later.id
  labels  = var.labels

  ack_deadline_seconds       = 120
  message_retention_duration = "2678400s"

  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }
}

# Messages published to a topic without a subscription are gone: this one holds the dead letters until somebody looks.
resource "google_pubsub_subscription" "dead" {
  project = var.project_id
  name    = "${var.name}-dead"
  topic   = google_pubsub_topic.dead.id
  labels  = var.labels

  ack_deadline_seconds       = 60
  message_retention_duration = "2678400s"

  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub's own agent moves dead letters: it takes them from the subscription and publishes them to the topic.

resource "google_pubsub_topic_iam_member" "agent_publishes_dead" {
  project = var.project_id
  topic   = google_pubsub_topic.dead.name
  role    = "roles/pubsub.publisher"
  member  = local.pubsub_agent

  depends_on = [google_pubsub_subscription.dead]
}

resource "google_pubsub_subscription_iam_member" "agent_takes_dead" {
  project      = var.project_id
  subscription = google_pubsub_subscription.worker.name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "agent_takes_dead_long" {
  project      = var.project_id
  subscription = google_pubsub_subscription.long.name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}
