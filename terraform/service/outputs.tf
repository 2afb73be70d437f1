output "service" {
  description = "The service as Cloud Run has it."
  value       = google_cloud_run_v2_service.this
}

output "uri" {
  description = "Where it is reached."
  value       = google_cloud_run_v2_service.this.uri
}
