# One Cloud Run service: a command of the image, its environment, and its secrets as files.

resource "google_cloud_run_v2_service" "this" {
  project             = var.project_id
  name                = var.name
  location            = var.region
  labels              = var.labels
  ingress             = var.ingress
  deletion_protection = false # holds no data

  template {
    service_account                  = var.service_account
    execution_environment            = var.execution_environment
    timeout                          = var.timeout
    max_instance_request_concurrency = var.concurrency

    scaling {
      min_instance_count = var.min_instances
      max_instance_count = var.max_instances
    }

    containers {
      image = var.image
      args  = [var.command]

      ports {
        container_port = 8080
      }

      resources {
        limits            = var.limits
        cpu_idle          = var.cpu_idle
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = merge(var.environment, { for name, file in var.secret_files : "${name}_FILE" => "${file.folder}/${file.name}" })

        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "volume_mounts" {
        for_each = var.secret_files

        content {
          name       = volume_mounts.value.volume
          mount_path = volume_mounts.value.folder
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
        timeout_seconds   = 5 # one second is less than a busy machine may take
        failure_threshold = 3

        http_get {
          path = "/healthz"
        }
      }
    }

    dynamic "volumes" {
      for_each = var.secret_files

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
}
