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

# What is told of by lines of the log: it reads the log itself, since a metric that was just made is not known to alert policies for
# some minutes. Each field in `labels` tells one incident from another.
locals {
  log_alerts = {
    failures = {
      name          = "recordings failed"
      severity      = "ERROR"
      condition     = "A recording was given up"
      filter        = google_logging_metric.failures.filter
      labels        = ["code"]
      documentation = "A recording was not archived, and is not tried again. GET /recordings?status=failed lists them with the reason; so does gs://${local.bucket_name}/${local.root}failures/."
    }

    # Nothing is lost yet: it waits for up to a week, rarer and rarer, and comes in by itself once the reason is gone.
    operator = {
      name          = "recordings wait for an operator"
      severity      = "WARNING"
      condition     = "A recording waits for something that only an operator can mend"
      filter        = "(${local.worker_log}) AND jsonPayload.message=\"Recording was not archived.\" AND jsonPayload.sort=\"operator\" AND jsonPayload.outcome!=\"dead\""
      labels        = ["code"]
      documentation = "A permission, a host list, a region, a certificate, a setting or a full disk keeps recordings out of the archive; \"code\" and \"reason\" of the log line say which and what to do. GET /recordings?status=waiting lists them. They are tried for a week, ever less often, and come in by themselves once it is mended; after that they are under gs://${local.bucket_name}/${local.root}failures/ and have to be replayed."
    }

    # By the schedule nothing is delivered half as often: something is wrong with the service itself.
    stuck = {
      name          = "a message gets nowhere"
      severity      = "ERROR"
      condition     = "A message was delivered 50 times within an hour"
      filter        = "(${local.worker_log}) AND jsonPayload.message=\"A message was delivered 50 times within an hour without progress.\""
      labels        = []
      documentation = "One recording is worked on again and again without an end. The log line names it; the lines before it say why. It costs calls to Genesys and encoders: report it, with these lines."
    }

    # The line that `archiver reconcile --json` writes for each day that has lacked something for two days or more.
    overdue = {
      name          = "a day stays incomplete"
      severity      = "ERROR"
      condition     = "Something of a day is missing for 48 h"
      filter        = "${local.job_logs["reconcile"]} AND jsonPayload.type=\"overdue\""
      labels        = ["day"]
      documentation = "Genesys has recordings of this day that the archive lacks, and has had them for two days. The lines with type \"finding\" of the same execution name each of them and why. What can be fetched comes with `gcloud run jobs execute ${var.name}-backfill --region=${var.region} --args=backfill,--from,DAY,--to,DAY`; Genesys' own retention deletes the oldest first."
    }

    # A proof that nobody writes is no proof: a command that could not run says why on its last line.
    operator_failed = {
      name          = "a nightly command could not run"
      severity      = "WARNING"
      condition     = "A command of the schedule ended before it was through"
      filter        = "(${join(" OR ", coalescelist([for name, job in local.jobs : local.job_logs[name] if job.schedule != null], [local.job_logs["reconcile"]]))}) AND jsonPayload.type=\"summary\" AND (jsonPayload.exit=1 OR jsonPayload.exit>=130)"
      labels        = ["code"]
      documentation = "A permission, the configuration, Genesys or Cloud Storage kept it from running; \"reason\" of the line says which. One that ended with 143 was stopped before its end, by operator_timeout_h if by nobody: raise it, or run the job again, which goes on where it was. `archiver doctor` asks all of them: `gcloud run jobs execute ${var.name}-reconcile --region=${var.region} --args=doctor`."
    }
  }

  # Exit code 4 of `archiver erase`. Without a retention there is nothing that could be refused.
  retention_alerts = {
    retention_refused = {
      name          = "retention was refused"
      severity      = "ERROR"
      condition     = "Older recordings were to be erased, and are not"
      filter        = "${local.job_logs["erase"]} AND jsonPayload.type=\"summary\" AND jsonPayload.exit=4"
      labels        = []
      documentation = "More than 5 % of the archive were due at once, which no schedule erases: so it is in the first night of an archive that is older, and when somebody has made erase_after_days shorter. Look at the list as a keeper, `archiver erase --older-than DAYSd`, and confirm its number. Or a hold came while it ran: then the lines with \"state\":\"held\" name it, and nothing is to be done."
    }
  }
}

resource "google_monitoring_alert_policy" "log" {
  for_each = merge(local.log_alerts, { for name, alert in local.retention_alerts : name => alert if var.erase_after_days != null })

  project               = var.project_id
  display_name          = "${var.name}: ${each.value.name}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels

  conditions {
    display_name = each.value.condition

    condition_matched_log {
      filter           = each.value.filter
      label_extractors = { for field in each.value.labels : field => "EXTRACT(jsonPayload.${field})" }
    }
  }

  alert_strategy {
    auto_close = "86400s"

    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content = each.value.documentation
  }

  # A filter may name jobs that are not made yet.
  depends_on = [google_cloud_run_v2_job.operator]
}

moved {
  from = google_monitoring_alert_policy.failures
  to   = google_monitoring_alert_policy.log["failures"]
}

moved {
  from = google_monitoring_alert_policy.operator
  to   = google_monitoring_alert_policy.log["operator"]
}

moved {
  from = google_monitoring_alert_policy.stuck
  to   = google_monitoring_alert_policy.log["stuck"]
}
