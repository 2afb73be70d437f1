# Whoever runs as the account, or acts as it, has all of its rights by then.

output "account" {
  description = "The account."
  value       = google_service_account.this

  depends_on = [
    google_storage_bucket_iam_member.reads,
    google_storage_bucket_iam_member.removes,
    google_storage_bucket_iam_member.records,
  ]
}
