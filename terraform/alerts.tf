# Alerts: somebody is told before a recording is lost to Genesys' own retention.

resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.alert_emails)

  project      = var.project_id
  display_name = "Recording archiver: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }

  depends_on = [google_project_service.needed]
}

locals {
  channels = concat(var.notification_channels, [for channel in google_monitoring_notification_channel.email : channel.name])

  # What Cloud Logging calls the places where workers run, in either mode.
  worker_log = join(" OR ", concat(
    ["(resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${local.worker_name}\")"],
    [for pool in local.pools : "(resource.type=\"cloud_run_worker_pool\" AND resource.labels.worker_pool_name=\"${pool.name}\")"],
  ))
}

resource "google_monitoring_alert_policy" "dead_letters" {
  project               = var.project_id
  display_name          = "${var.name}: dead letters"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels

  conditions {
    display_name = "Messages lie in ${google_pubsub_subscription.dead.name}"

    condition_threshold {
      filter          = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.dead.name}\" AND metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    content = "A message could not be delivered: it is unreadable, or the worker died over it again and again. Look at it with `gcloud pubsub subscriptions pull ${google_pubsub_subscription.dead.name} --project=${var.project_id}`; what is not acknowledged is kept for 31 days."
  }
}

resource "google_monitoring_alert_policy" "oldest_message" {
  project               = var.project_id
  display_name          = "${var.name}: work piles up"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels

  dynamic "conditions" {
    for_each = local.worked_off

    content {
      display_name = "The oldest message of ${conditions.value} waits for a worker"

      condition_threshold {
        filter          = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${conditions.value}\" AND metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
        comparison      = "COMPARISON_GT"
        threshold_value = var.oldest_message_alert_s
        duration        = "300s"

        aggregations {
          alignment_period   = "60s"
          per_series_aligner = "ALIGN_MAX"
        }
      }
    }
  }

  documentation {
    content = <<-EOT
      The workers do not keep up, or do not run. Their log says which; raise worker_instances where it is the first. What is being worked on counts as well, and a long recording may take hours. Nothing is lost so far: messages are kept for 31 days.

      ${google_pubsub_subscription.long.name} and ${google_pubsub_subscription.long_later.name} are worked off by long_worker_instances, and only with worker_mode = "push": raise them; while they are 0, nobody takes from there. With worker_mode = "pull" both hold what push has left. Set worker_mode back to "push" until they are empty, or let one more worker run so long: `archiver worker` as ${google_service_account.worker.email}, with the environment of ${local.worker_name} but for QUEUE_URL=${local.drain_url}.
    EOT
  }
}

# The line that src/delivery.ts writes when a recording is given up. A silent call has no media: that is no failure.
resource "google_logging_metric" "failures" {
  project     = var.project_id
  name        = "${var.name}-failures"
  description = "Recordings that were given up and recorded under failures/, by code."
  filter      = "(${local.worker_log}) AND jsonPayload.message=\"Recording was not archived.\" AND jsonPayload.outcome=\"dead\" AND jsonPayload.code!=\"no-media\""

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"

    labels {
      key        = "code"
      value_type = "STRING"
    }
  }

  label_extractors = { code = "EXTRACT(jsonPayload.code)" }

  depends_on = [google_project_service.needed]
}

# Reads the log itself: a metric that was just made is not known to alert policies for some minutes.
resource "google_monitoring_alert_policy" "failures" {
  project               = var.project_id
  display_name          = "${var.name}: recordings failed"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels

  conditions {
    display_name = "A recording was given up"

    condition_matched_log {
      filter           = google_logging_metric.failures.filter
      label_extractors = { code = "EXTRACT(jsonPayload.code)" }
    }
  }

  alert_strategy {
    auto_close = "86400s"

    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content = "A recording was not archived, and is not tried again. GET /recordings?status=failed lists them with the reason; so does gs://${local.bucket_name}/${local.root}failures/."
  }
}

# Nothing is lost yet: it waits for up to a week, rarer and rarer, and comes in by itself once the reason is gone.
resource "google_monitoring_alert_policy" "operator" {
  project               = var.project_id
  display_name          = "${var.name}: recordings wait for an operator"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels

  conditions {
    display_name = "A recording waits for something that only an operator can mend"

    condition_matched_log {
      filter           = "(${local.worker_log}) AND jsonPayload.message=\"Recording was not archived.\" AND jsonPayload.sort=\"operator\" AND jsonPayload.outcome!=\"dead\""
      label_extractors = { code = "EXTRACT(jsonPayload.code)" }
    }
  }

  alert_strategy {
    auto_close = "86400s"

    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content = "A permission, a host list, a region, a certificate, a setting or a full disk keeps recordings out of the archive; \"code\" and \"reason\" of the log line say which and what to do. GET /recordings?status=waiting lists them. They are tried for a week, ever less often, and come in by themselves once it is mended; after that they are under gs://${local.bucket_name}/${local.root}failures/ and have to be replayed."
  }
}

# By the schedule nothing is delivered half as often: something is wrong with the service itself.
resource "google_monitoring_alert_policy" "stuck" {
  project               = var.project_id
  display_name          = "${var.name}: a message gets nowhere"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels

  conditions {
    display_name = "A message was delivered 50 times within an hour"

    condition_matched_log {
      filter = "(${local.worker_log}) AND jsonPayload.message=\"A message was delivered 50 times within an hour without progress.\""
    }
  }

  alert_strategy {
    auto_close = "86400s"

    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content = "One recording is worked on again and again without an end. The log line names it; the lines before it say why. It costs calls to Genesys and encoders: report it, with these lines."
  }
}
