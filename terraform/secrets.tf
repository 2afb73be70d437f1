# Secrets: each is a file for the deployables that need it, named by X_FILE. None is ever in the state, in a plan or in
# an environment.

locals {
  secret_readers = {
    receiver = ["WEBHOOK_SECRETS", "WEBHOOK_TOKENS"]
    worker   = ["GENESYS_CLIENT_SECRET"]
    playback = ["API_KEYS", "GENESYS_CLIENT_SECRET"]
    operator = ["GENESYS_CLIENT_SECRET"]
    console  = ["CONSOLE_SESSION_KEYS"]
  }

  # Made once, read with gcloud (outputs.tf). To rotate one without an interruption, add "NEW,OLD" and later "NEW" with
  # `gcloud secrets versions add`: a file is read again when it changes, and always holds the latest version.
  generated_secrets = toset(["API_KEYS", "CONSOLE_SESSION_KEYS", "WEBHOOK_SECRETS", "WEBHOOK_TOKENS"])

  # A folder each: Cloud Run mounts one secret per folder.
  secret_files = {
    for reader, names in local.secret_readers : reader => {
      for name in names : name => {
        secret = google_secret_manager_secret.env[name].secret_id
        volume = lower(replace(name, "_", "-"))
        folder = "/secrets/${lower(replace(name, "_", "-"))}"
        name   = "value"
      }
    }
  }

  secret_grants = merge([
    for reader, names in local.secret_readers : {
      for name in names : "${reader}-${name}" => { reader = reader, name = name }
    }
  ]...)

  secret_members = {
    receiver = google_service_account.receiver.member
    worker   = google_service_account.worker.member
    playback = google_service_account.playback.member
    operator = google_service_account.operator.member
    console  = google_service_account.console.member
  }
}

resource "google_secret_manager_secret" "env" {
  for_each = toset(concat(["GENESYS_CLIENT_SECRET"], tolist(local.generated_secrets)))

  project   = var.project_id
  secret_id = "${var.name}-${lower(replace(each.value, "_", "-"))}"
  labels    = var.labels

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }

  depends_on = [google_project_service.needed]
}

resource "google_secret_manager_secret_version" "genesys" {
  secret                 = google_secret_manager_secret.env["GENESYS_CLIENT_SECRET"].id
  secret_data_wo         = var.genesys_client_secret
  secret_data_wo_version = var.genesys_client_secret_version
}

# A new one each time Terraform runs; only the one of the first run is written.
ephemeral "random_password" "generated" {
  for_each = local.generated_secrets

  length  = 43 # 256 bits of letters and digits
  special = false
}

resource "google_secret_manager_secret_version" "generated" {
  for_each = local.generated_secrets

  secret                 = google_secret_manager_secret.env[each.value].id
  secret_data_wo         = ephemeral.random_password.generated[each.value].result
  secret_data_wo_version = 1
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = local.secret_grants

  project   = var.project_id
  secret_id = google_secret_manager_secret.env[each.value.name].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = local.secret_members[each.value.reader]
}
