# The index: what workers and reconcile write under index/, as a table that BigQuery reads where it lies, and a view that
# shows each recording once. It holds what is kept of conversations: whoever may read it sees names and numbers.

locals {
  has_bigquery = var.bigquery_dataset != null
  index_uri    = "gs://${local.bucket_name}/${local.root}index"
}

resource "google_project_service" "bigquery" {
  count = local.has_bigquery ? 1 : 0

  project            = var.project_id
  service            = "bigquery.googleapis.com"
  disable_on_destroy = false
}

# In the bucket's location: BigQuery reads no other.
resource "google_bigquery_dataset" "index" {
  count = local.has_bigquery ? 1 : 0

  project       = var.project_id
  dataset_id    = var.bigquery_dataset
  location      = coalesce(var.bucket_location, var.region)
  friendly_name = "Recording archiver"
  description   = "Index of the archive ${local.archive_url}. Holds no data of its own."
  labels        = var.labels

  depends_on = [google_project_service.bigquery]
}

# https://cloud.google.com/bigquery/docs/hive-partitioned-queries
resource "google_bigquery_table" "lines" {
  count = local.has_bigquery ? 1 : 0

  project             = var.project_id
  dataset_id          = google_bigquery_dataset.index[0].dataset_id
  table_id            = "lines"
  description         = "Lines as they were written. Of several with the same key the newest counts: the view recordings shows that one."
  labels              = var.labels
  deletion_protection = false # holds no data

  external_data_configuration {
    source_format         = "NEWLINE_DELIMITED_JSON"
    autodetect            = false
    ignore_unknown_values = true # of a newer version
    source_uris           = ["${local.index_uri}/*"]
    schema                = file("${path.module}/index-schema.json")

    hive_partitioning_options {
      mode              = "CUSTOM"
      source_uri_prefix = "${local.index_uri}/{day:DATE}"
    }
  }
}

resource "google_bigquery_table" "recordings" {
  count = local.has_bigquery ? 1 : 0

  project             = var.project_id
  dataset_id          = google_bigquery_dataset.index[0].dataset_id
  table_id            = "recordings"
  description         = "Each recording once, as it was last known. Ask for days: WHERE day BETWEEN '2026-11-01' AND '2026-11-30'."
  labels              = var.labels
  deletion_protection = false # holds no data

  view {
    use_legacy_sql = false
    query          = <<-SQL
      SELECT * EXCEPT (age)
      FROM (
        SELECT *, ROW_NUMBER() OVER (PARTITION BY day, key ORDER BY at DESC) AS age
        FROM `${var.project_id}.${google_bigquery_dataset.index[0].dataset_id}.${google_bigquery_table.lines[0].table_id}`
      )
      WHERE age = 1 AND status != 'moved'
    SQL
  }
}

# Who asks such a table needs its files as well, and roles/bigquery.jobUser in the project that pays for what is read.
resource "google_bigquery_dataset_iam_member" "readers" {
  for_each = toset(local.has_bigquery ? var.bigquery_readers : [])

  project    = var.project_id
  dataset_id = google_bigquery_dataset.index[0].dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = each.value
}

resource "google_storage_bucket_iam_member" "readers_read" {
  for_each = toset(local.has_bigquery ? var.bigquery_readers : [])

  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectViewer"
  member = each.value

  condition {
    title      = "index-and-listing"
    expression = "resource.name == \"${local.bucket_resource}\" || resource.name.startsWith(\"${local.object_resource}index/\")"
  }
}
