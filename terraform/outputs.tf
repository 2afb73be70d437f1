output "webhook_url" {
  description = "Where Genesys Cloud (a trigger's data action, or EventBridge) sends events."
  value       = "${module.receiver.uri}/webhooks/genesys"
}

output "playback_url" {
  description = "Where /transcode, /recordings and links are."
  value       = module.playback.uri
}

output "console_url" {
  description = "Where people open the console, once Identity-Aware Proxy stands in front of it; null without console_roles."
  value       = one(module.console[*].uri)
}

output "archive_url" {
  description = "The archive, as ARCHIVE_URL names it."
  value       = local.archive_url
}

output "dead_letter_subscription" {
  description = "Holds what could not be delivered."
  value       = google_pubsub_subscription.dead.id
}

output "service_accounts" {
  description = "Who the deployables run as."
  value       = { for name, member in local.secret_members : name => trimprefix(member, "serviceAccount:") }
}

output "keeper_account" {
  description = "Acted as by whoever holds and erases: gcloud auth application-default login --impersonate-service-account=…"
  value       = module.keeper.account.email
}

output "secret_ids" {
  description = "Names in Secret Manager, by environment variable."
  value       = { for name, secret in google_secret_manager_secret.env : name => secret.secret_id }
}

output "test_command" {
  description = "Sends an event as Genesys would; put a real conversation id in. 202 means that the queue has it."
  value       = <<-EOT
    curl -sS -i ${module.receiver.uri}/webhooks/genesys \
      -H 'content-type: application/json' \
      -H "x-webhook-token: $(gcloud secrets versions access latest --project=${var.project_id} --secret=${google_secret_manager_secret.env["WEBHOOK_TOKENS"].secret_id} | cut -d, -f1)" \
      -d '{"conversationId": "00000000-0000-0000-0000-000000000000"}'
  EOT
}

output "recordings_view" {
  description = "The view of recordings in BigQuery, as SQL names it; null where there is none."
  value       = local.has_bigquery ? "${var.project_id}.${google_bigquery_dataset.index[0].dataset_id}.${google_bigquery_table.recordings[0].table_id}" : null
}
