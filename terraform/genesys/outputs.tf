output "client_ids" {
  description = "GENESYS_CLIENT_ID of each client; their secrets are read once in Admin, Integrations, OAuth."
  value       = { for name, client in genesyscloud_oauth_client.this : name => client.client_id }
}

output "permissions" {
  description = "What each client may do, as archiver doctor checks it."
  value       = local.roles
}
