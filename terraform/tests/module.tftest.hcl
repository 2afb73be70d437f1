# What the module makes of its variables. Nothing is created: Google Cloud is a mock.
#   terraform init && terraform test

mock_provider "google" {
  override_during = plan

  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
  mock_data "google_storage_project_service_account" {
    defaults = { member = "serviceAccount:service-123456789012@gs-project-accounts.iam.gserviceaccount.com" }
  }
  mock_resource "google_service_account" {
    defaults = {
      email  = "account@example-project.iam.gserviceaccount.com"
      member = "serviceAccount:account@example-project.iam.gserviceaccount.com"
      name   = "projects/example-project/serviceAccounts/account@example-project.iam.gserviceaccount.com"
    }
  }
  mock_resource "google_cloud_run_v2_service" {
    defaults = { uri = "https://service.example.run.app" }
  }
}

variables {
  project_id            = "example-project"
  region                = "europe-west3"
  image                 = "europe-west3-docker.pkg.dev/example-project/archiver/archiver:1.0.0"
  genesys_region        = "mypurecloud.de"
  genesys_client_id     = "00000000-0000-0000-0000-000000000000"
  genesys_client_secret = "not-a-real-secret"
}

run "six_variables_are_enough_and_the_worker_pulls" {
  command = plan

  assert {
    condition     = length(google_cloud_run_v2_worker_pool.worker) == 1 && length(module.worker) == 0
    error_message = "One worker pool, no worker service."
  }
  assert {
    condition     = google_cloud_run_v2_worker_pool.worker["worker"].name == "archiver-worker" && google_cloud_run_v2_worker_pool.worker["worker"].scaling[0].manual_instance_count == 2
    error_message = "As many workers as were asked for."
  }
  assert {
    condition     = [for env in google_cloud_run_v2_worker_pool.worker["worker"].template[0].containers[0].env : env.value if env.name == "QUEUE_URL"] == ["pubsub://example-project/archiver-messages?subscription=archiver-worker"]
    error_message = "The worker pulls from its subscription."
  }
  assert {
    condition     = [google_pubsub_topic.long.name, google_pubsub_topic.long_later.name, google_pubsub_subscription.long.name, google_pubsub_subscription.long_later.name] == ["archiver-messages-long", "archiver-messages-long-later", "archiver-worker-long", "archiver-worker-long-later"]
    error_message = "What push has left on the long queue stays there."
  }
  assert {
    condition     = keys(google_pubsub_topic_iam_member.worker_publishes) == ["later", "messages"] && keys(google_pubsub_subscription_iam_member.worker_subscribes) == ["later", "long", "long_later", "worker"]
    error_message = "The worker takes from both queues, and publishes on the topics of its own alone."
  }
  assert {
    condition     = [for condition in google_monitoring_alert_policy.oldest_message.conditions : regex("subscription_id=\"([^\"]*)\"", condition.condition_threshold[0].filter)[0]] == ["archiver-worker", "archiver-worker-long", "archiver-worker-long-later"]
    error_message = "Messages that nobody takes raise an alert; those that wait for their time do not."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.oldest_message.documentation[0].content, " QUEUE_URL=pubsub://example-project/archiver-messages?subscription=archiver-worker-long.\n")
    error_message = "The alert says which worker takes what push has left, with the rights that there are: nothing is published on the long queue."
  }
  assert {
    condition     = google_pubsub_topic.later.name == "archiver-messages-later" && google_pubsub_subscription.later.name == "archiver-worker-later"
    error_message = "What has to wait has its topic and subscription under the names the worker makes of its own."
  }
  assert {
    condition     = length(google_pubsub_subscription.worker.push_config) == 0 && length(google_pubsub_subscription.later.push_config) == 0
    error_message = "Nothing is pushed."
  }
  assert {
    condition     = local.archive_url == "gs://example-project-recordings" && google_storage_bucket.archive.location == "europe-west3"
    error_message = "The bucket is named after the project and lies in the region."
  }
  assert {
    condition     = length(google_cloud_run_v2_service_iam_member.playback_invoker) == 0
    error_message = "Nobody reaches playback unless named."
  }
  assert {
    condition     = length(google_pubsub_topic_iam_member.playback_publishes) == 0
    error_message = "Playback cannot publish unless it archives what is listened to."
  }
  assert {
    condition = alltrue(flatten([
      for container in concat([module.receiver.service, module.playback.service], [google_cloud_run_v2_worker_pool.worker["worker"]])[*].template[0] : [
        [for env in container.containers[0].env : !can(regex("^(API_KEYS|GENESYS_CLIENT_SECRET|WEBHOOK_SECRETS|WEBHOOK_TOKENS)$", env.name)) && length(env.value_source) == 0],
        [for mount in container.containers[0].volume_mounts : contains(container.containers[0].env[*].value, "${mount.mount_path}/value")],
        length(container.volumes) == length(container.containers[0].volume_mounts) && length(container.volumes) > 0,
      ]
    ]))
    error_message = "No secret stands in an environment; each is a file that a variable names."
  }
  assert {
    condition     = length(google_storage_bucket.archive.cors) == 0
    error_message = "No page of another origin reads recordings unless named."
  }
  assert {
    condition     = output.webhook_url == "https://service.example.run.app/webhooks/genesys"
    error_message = "The webhook's URL is the receiver's."
  }
  assert {
    condition     = strcontains(output.test_command, "--secret=archiver-webhook-tokens")
    error_message = "The test command reads the token it sends."
  }
}

run "a_pushed_worker_scales_to_zero_and_knows_its_audience" {
  command = plan

  variables {
    worker_mode = "push"
  }

  assert {
    condition     = keys(google_cloud_run_v2_worker_pool.worker) == ["long"] && length(module.worker) == 1
    error_message = "One worker service, and a worker pool for what takes longer than a push may."
  }
  assert {
    condition     = module.worker[0].service.template[0].scaling[0].min_instance_count == 0 && module.worker[0].service.template[0].scaling[0].max_instance_count == 2
    error_message = "From none to as many as were asked for."
  }
  assert {
    condition = alltrue([
      for subscription in [google_pubsub_subscription.worker, google_pubsub_subscription.later] :
      subscription.push_config[0].push_endpoint == "https://archiver-worker-123456789012.europe-west3.run.app/pubsub/push" &&
      contains(module.worker[0].service.template[0].containers[0].env[*].value, subscription.push_config[0].oidc_token[0].audience) &&
      contains(module.worker[0].service.template[0].containers[0].env[*].value, subscription.push_config[0].oidc_token[0].service_account_email)
    ])
    error_message = "Both subscriptions push with the account and for the audience that the worker accepts."
  }
  assert {
    condition     = [for env in module.worker[0].service.template[0].containers[0].env : env.value if env.name == "QUEUE_URL"] == ["pubsub://example-project/archiver-messages"]
    error_message = "Who is pushed to does not pull."
  }
  assert {
    condition     = google_pubsub_subscription.worker.ack_deadline_seconds == 600 && module.worker[0].service.template[0].timeout == "600s"
    error_message = "A push may take the longest there is."
  }
}

run "what_takes_longer_than_a_push_may_is_pulled_from_a_queue_of_its_own" {
  command = plan

  variables {
    worker_mode           = "push"
    long_worker_instances = 3
  }

  assert {
    condition     = google_pubsub_topic.long.name == "archiver-messages-long" && google_pubsub_topic.long_later.name == "archiver-messages-long-later"
    error_message = "The topics have the names that the worker makes of its own."
  }
  assert {
    condition     = google_pubsub_subscription.long.name == "archiver-worker-long" && google_pubsub_subscription.long_later.name == "archiver-worker-long-later"
    error_message = "So have the subscriptions."
  }
  assert {
    condition     = length(google_pubsub_subscription.long.push_config) == 0 && length(google_pubsub_subscription.long_later.push_config) == 0
    error_message = "Neither of them pushes."
  }
  assert {
    condition     = google_cloud_run_v2_worker_pool.worker["long"].name == "archiver-worker-long" && google_cloud_run_v2_worker_pool.worker["long"].scaling[0].manual_instance_count == 3
    error_message = "As many of these workers as were asked for."
  }
  assert {
    condition     = [for env in google_cloud_run_v2_worker_pool.worker["long"].template[0].containers[0].env : env.value if env.name == "QUEUE_URL"] == ["pubsub://example-project/archiver-messages-long?subscription=archiver-worker-long"]
    error_message = "They pull from that queue."
  }
  assert {
    condition     = !anytrue([for env in google_cloud_run_v2_worker_pool.worker["long"].template[0].containers[0].env : startswith(env.name, "PUSH_")])
    error_message = "Nobody pushes to them."
  }
  assert {
    condition     = keys(google_pubsub_topic_iam_member.worker_publishes) == ["later", "long", "long_later", "messages"] && keys(google_pubsub_subscription_iam_member.worker_subscribes) == ["long", "long_later"]
    error_message = "The worker publishes on every topic of its own, and pulls only what is not pushed."
  }
  assert {
    condition     = google_pubsub_subscription_iam_member.agent_takes_dead_long.subscription == "archiver-worker-long"
    error_message = "Pub/Sub may take dead letters from there."
  }
  assert {
    condition     = [for condition in google_monitoring_alert_policy.oldest_message.conditions : regex("subscription_id=\"([^\"]*)\"", condition.condition_threshold[0].filter)[0]] == ["archiver-worker", "archiver-worker-long"]
    error_message = "Messages that nobody takes raise an alert in either queue; those that wait for their time do not."
  }
  assert {
    condition     = length(regexall("service_name=\"archiver-worker\"|worker_pool_name=\"archiver-worker-long\"", google_logging_metric.failures.filter)) == 2
    error_message = "What either kind of worker gives up is counted."
  }
}

run "without_workers_for_them_such_messages_are_kept" {
  command = plan

  variables {
    worker_mode           = "push"
    long_worker_instances = 0
  }

  assert {
    condition     = length(google_cloud_run_v2_worker_pool.worker) == 0 && google_pubsub_subscription.long.message_retention_duration == "2678400s"
    error_message = "No worker pool, but a subscription that keeps the messages."
  }
  assert {
    condition     = [for condition in google_monitoring_alert_policy.oldest_message.conditions : regex("subscription_id=\"([^\"]*)\"", condition.condition_threshold[0].filter)[0]] == ["archiver-worker", "archiver-worker-long", "archiver-worker-long-later"]
    error_message = "Somebody is told, also of those that wait: nobody looks whether their time has come."
  }
}

run "the_archive_can_be_a_folder_that_is_locked_encrypted_and_versioned" {
  command = plan

  variables {
    bucket_name       = "calls"
    bucket_location   = "EU"
    archive_prefix    = "genesys/berlin"
    archive_on_listen = true
    versioning        = true
    soft_delete_days  = 0
    retention_days    = 365
    retention_lock    = true
    kms_key_name      = "projects/example-project/locations/eu/keyRings/archiver/cryptoKeys/recordings"
    playback_invokers = ["group:quality@example.com"]
    link_origins      = ["https://crm.example.com"]
    encoder_cage      = "required"
    alert_emails      = ["oncall@example.com"]
    labels            = { team = "contact-centre" }
  }

  assert {
    condition     = local.worker_environment.ARCHIVE_URL == "gs://calls/genesys/berlin"
    error_message = "The archive's folder is part of its URL."
  }
  assert {
    condition     = google_storage_bucket_iam_member.worker_creates.condition[0].expression == "resource.name.startsWith(\"projects/_/buckets/calls/objects/genesys/berlin/\")"
    error_message = "The worker creates only in its folder."
  }
  assert {
    condition     = google_storage_bucket_iam_member.worker_deletes.condition[0].expression == "resource.name.startsWith(\"projects/_/buckets/calls/objects/genesys/berlin/staging/\") || resource.name.startsWith(\"projects/_/buckets/calls/objects/genesys/berlin/failures/\") || resource.name.startsWith(\"projects/_/buckets/calls/objects/genesys/berlin/waiting/\") || resource.name.startsWith(\"projects/_/buckets/calls/objects/genesys/berlin/listing/\") || resource.name.startsWith(\"projects/_/buckets/calls/objects/genesys/berlin/conversations/\") || resource.name.startsWith(\"projects/_/buckets/calls/objects/genesys/berlin/index/\") || resource.name.startsWith(\"projects/_/buckets/calls/objects/genesys/berlin/status/\")"
    error_message = "The worker replaces and deletes where things change alone."
  }
  assert {
    condition     = google_storage_bucket.archive.retention_policy[0].retention_period == 365 * 86400 && google_storage_bucket.archive.retention_policy[0].is_locked
    error_message = "The retention is locked."
  }
  assert {
    condition     = google_storage_bucket.archive.encryption[0].default_kms_key_name == var.kms_key_name && length(google_kms_crypto_key_iam_member.storage_encrypts) == 1
    error_message = "Cloud Storage may use the key."
  }
  assert {
    condition     = google_storage_bucket.archive.soft_delete_policy[0].retention_duration_seconds == 0 && google_storage_bucket.archive.versioning[0].enabled
    error_message = "No soft delete, but versions."
  }
  assert {
    condition     = length(google_pubsub_topic_iam_member.playback_publishes) == 1 && length(google_cloud_run_v2_service_iam_member.playback_invoker) == 1
    error_message = "Playback may publish, and the group may reach it."
  }
  assert {
    condition     = google_storage_bucket.archive.cors[0].origin == tolist(["https://crm.example.com"]) && contains(google_storage_bucket.archive.cors[0].response_header, "Content-Range")
    error_message = "The page may read parts of a recording."
  }
  assert {
    condition     = [for env in module.playback.service.template[0].containers[0].env : env.value if env.name == "ENCODER_CAGE"] == ["required"] && local.worker_environment.ENCODER_CAGE == "required"
    error_message = "Nothing starts whose encoders could reach something."
  }
  assert {
    condition     = length(google_monitoring_alert_policy.dead_letters.notification_channels) == 1
    error_message = "Somebody is told."
  }
}

run "values_that_cannot_be_right_are_refused" {
  command = plan

  variables {
    project_id                    = "Example Project"
    region                        = "europe-west3-a"
    image                         = "archiver:latest"
    genesys_region                = "https://login.mypurecloud.de"
    genesys_client_id             = "one two"
    genesys_client_secret         = ""
    genesys_client_secret_version = 1.5
    name                          = "Archiver"
    labels                        = { "Team" = "x" }
    extra_environment             = { QUEUE_URL = "sqlite:var/queue.db" }
    log_level                     = "verbose"
    encoder_cage                  = "open"
    link_origins                  = ["https://crm.example.com/player"]
    receiver_invokers             = []
    receiver_min_instances        = 11
    worker_mode                   = "poll"
    long_worker_instances         = -1
    transcode_slots               = 9
    playback_invokers             = ["allUsers"]
    playback_max_instances        = 0
    link_lifetime_s               = 604801
    bucket_name                   = "Recordings"
    bucket_location               = "?"
    archive_prefix                = "/genesys/"
    soft_delete_days              = 3
    lock_mode                     = "Locked"
    retention_days                = 0
    kms_key_name                  = "recordings"
    alert_emails                  = ["oncall"]
    notification_channels         = ["oncall"]
    oldest_message_alert_s        = 10
  }

  expect_failures = [
    var.project_id,
    var.region,
    var.image,
    var.genesys_region,
    var.genesys_client_id,
    var.genesys_client_secret,
    var.genesys_client_secret_version,
    var.name,
    var.labels,
    var.extra_environment,
    var.log_level,
    var.encoder_cage,
    var.link_origins,
    var.receiver_invokers,
    var.receiver_min_instances,
    var.worker_mode,
    var.long_worker_instances,
    var.transcode_slots,
    var.playback_invokers,
    var.playback_max_instances,
    var.link_lifetime_s,
    var.bucket_name,
    var.bucket_location,
    var.archive_prefix,
    var.soft_delete_days,
    var.lock_mode,
    var.retention_days,
    var.kms_key_name,
    var.alert_emails,
    var.notification_channels,
    var.oldest_message_alert_s,
  ]
}

run "values_that_are_refused_together_with_others" {
  command = plan

  variables {
    receiver_min_instances = 3
    receiver_max_instances = 2
    worker_instances       = 51
    transcode_slots        = 1
  }

  expect_failures = [var.receiver_max_instances, var.worker_instances]
}

run "recordings_are_locked_as_they_are_stored" {
  command = plan

  variables {
    name             = "calls-eu"
    archive_prefix   = "calls"
    lock_days        = 365
    lock_mode        = "locked"
    erase_after_days = 2555
  }

  assert {
    condition     = google_storage_bucket.archive.enable_object_retention && length(google_storage_bucket.archive.retention_policy) == 0
    error_message = "The bucket can lock each of its objects, and keeps none of them by itself."
  }
  assert {
    condition     = [local.worker_environment.LOCK_DAYS, local.worker_environment.LOCK_MODE] == ["365", "locked"] && [local.operator_environment.LOCK_DAYS, local.operator_environment.LOCK_MODE] == ["365", "locked"]
    error_message = "Whoever stores recordings locks them."
  }
  assert {
    condition     = !anytrue([for env in setunion(module.playback.service.template[0].containers[0].env, google_cloud_run_v2_job.operator["erase"].template[0].template[0].containers[0].env) : startswith(env.name, "LOCK_")])
    error_message = "Whoever stores none does not."
  }
  assert {
    condition     = google_project_iam_custom_role.locks[0].role_id == "calls_eu_lock" && join(",", google_project_iam_custom_role.locks[0].permissions) == "storage.objects.setRetention"
    error_message = "A role that locks, and does nothing else."
  }
  assert {
    condition     = alltrue([for one in [google_storage_bucket_iam_member.worker_locks[0], google_storage_bucket_iam_member.operator_locks[0]] : one.condition[0].expression == "resource.name == \"projects/_/buckets/example-project-recordings\" || resource.name.startsWith(\"projects/_/buckets/example-project-recordings/objects/calls/recordings/\")"])
    error_message = "Under recordings/ alone."
  }
}

run "nothing_is_locked_unless_days_are_named" {
  command = plan

  assert {
    condition     = length(google_project_iam_custom_role.locks) == 0 && length(google_storage_bucket_iam_member.worker_locks) == 0 && length(google_storage_bucket_iam_member.operator_locks) == 0
    error_message = "Nobody may lock."
  }
  assert {
    condition     = !anytrue([for name in keys(local.operator_environment) : startswith(name, "LOCK_")])
    error_message = "Nothing is asked to."
  }
}

run "a_lock_is_of_whole_days" {
  command = plan

  variables {
    lock_days = 0.5
  }

  expect_failures = [var.lock_days]
}

run "a_mode_alone_has_nothing_to_lock" {
  command = plan

  variables {
    lock_mode = "locked"
  }

  expect_failures = [var.lock_mode]
}

run "nothing_can_be_erased_while_it_is_locked" {
  command = plan

  variables {
    erase_after_days = 365
    lock_days        = 365
  }

  expect_failures = [var.erase_after_days]
}

run "a_lock_needs_a_retention" {
  command = plan

  variables {
    retention_lock = true
  }

  expect_failures = [var.retention_lock]
}

run "workers_stay_below_the_rate_limit_of_genesys" {
  command = plan

  variables {
    worker_instances = 6
    transcode_slots  = 4
  }

  expect_failures = [var.worker_instances]
}

run "more_clients_allow_more_workers" {
  command = plan

  variables {
    worker_instances  = 6
    transcode_slots   = 4
    genesys_client_id = "00000000-0000-0000-0000-000000000000,11111111-1111-1111-1111-111111111111"
  }
}

run "secrets_do_not_belong_in_the_extra_environment" {
  command = plan

  variables {
    extra_environment = { OTEL_EXPORTER_OTLP_HEADERS = "authorization=open" }
  }

  expect_failures = [var.extra_environment]
}

run "proxies_before_cloud_run_are_counted_with_it" {
  command = plan

  variables {
    extra_environment = { TRUSTED_PROXIES = "2" }
  }

  assert {
    condition     = local.environment.TRUSTED_PROXIES == "2"
    error_message = "What the audit says of where a listener is goes by all of them."
  }
}

run "the_commands_run_each_night" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_job.operator["verify"].template[0].template[0].containers[0].args == tolist(["verify", "--read", "today/30", "--json"])
    error_message = "A thirtieth of the archive is read each night."
  }

  assert {
    condition     = toset(keys(google_cloud_scheduler_job.nightly)) == toset(["reconcile", "verify"])
    error_message = "Only reconcile and verify are scheduled."
  }

  assert {
    condition     = length(module.retention) == 0 && !contains(keys(google_cloud_run_v2_job.operator), "erase") && !contains(keys(google_monitoring_alert_policy.log), "retention_refused")
    error_message = "Nothing is erased by age, and no account could."
  }
}

run "what_is_older_than_the_days_that_are_named_is_erased_each_night" {
  command = plan

  variables {
    erase_after_days = 2555
    retention_days   = 365
  }

  assert {
    condition     = google_cloud_run_v2_job.operator["erase"].template[0].template[0].containers[0].args == tolist(["erase", "--older-than", "2555d", "--reason", "retention", "--confirm", "any", "--json"])
    error_message = "By the line that is refused above 5 % of the archive."
  }
  assert {
    condition     = toset(keys(google_cloud_scheduler_job.nightly)) == toset(["erase", "reconcile", "verify"]) && google_cloud_scheduler_job.nightly["erase"].schedule == "23 5 * * *"
    error_message = "Each night."
  }
  assert {
    condition     = length(module.retention) == 1 && length(google_cloud_run_v2_job.operator["erase"].template[0].template[0].volumes) == 0 && !anytrue([for env in google_cloud_run_v2_job.operator["erase"].template[0].template[0].containers[0].env : startswith(env.name, "GENESYS_")])
    error_message = "As an account of its own, which has no secret and knows nothing of Genesys."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.log["retention_refused"].conditions[0].condition_matched_log[0].filter, "resource.labels.job_name=\"archiver-erase\"") && strcontains(google_monitoring_alert_policy.log["operator_failed"].conditions[0].condition_matched_log[0].filter, "resource.labels.job_name=\"archiver-erase\"")
    error_message = "Somebody is told where it is refused, and where it could not run."
  }
}

run "retention_can_be_left_to_people" {
  command = plan

  variables {
    erase_after_days = 30
    erase_schedule   = null
  }

  assert {
    condition     = contains(keys(google_cloud_run_v2_job.operator), "erase") && !contains(keys(google_cloud_scheduler_job.nightly), "erase")
    error_message = "The job is there, and starts by hand."
  }
}

run "nothing_can_be_erased_while_the_bucket_keeps_it" {
  command = plan

  variables {
    erase_after_days = 365
    retention_days   = 365
  }

  expect_failures = [var.erase_after_days]
}

run "days_of_retention_are_whole" {
  command = plan

  variables {
    erase_after_days = 0.5
    erase_schedule   = "nightly"
  }

  expect_failures = [var.erase_after_days, var.erase_schedule]
}

run "the_commands_can_be_left_to_people" {
  command = plan

  variables {
    reconcile_schedule = null
    verify_schedule    = null
    backfill_tasks     = 4
  }

  assert {
    condition     = length(google_cloud_scheduler_job.nightly) == 0
    error_message = "Nothing is scheduled."
  }
  assert {
    condition     = !strcontains(google_monitoring_alert_policy.log["operator_failed"].conditions[0].condition_matched_log[0].filter, "()")
    error_message = "The alert still looks for something: Cloud Logging refuses empty brackets."
  }

  assert {
    condition     = google_cloud_run_v2_job.operator["backfill"].template[0].task_count == 4
    error_message = "Four tasks share the days."
  }
}

run "schedules_and_parts_that_cannot_be_right_are_refused" {
  command = plan

  variables {
    reconcile_schedule = "every night"
    verify_schedule    = "daily"
    verify_parts       = 0
    schedule_time_zone = "3 o'clock"
    backfill_tasks     = 0
    operator_timeout_h = 200
  }

  expect_failures = [
    var.reconcile_schedule,
    var.verify_schedule,
    var.verify_parts,
    var.schedule_time_zone,
    var.backfill_tasks,
    var.operator_timeout_h,
  ]
}

run "the_index_is_a_table_in_bigquery_where_a_dataset_is_named" {
  command = plan

  variables {
    archive_prefix   = "calls"
    bigquery_dataset = "archiver"
    bigquery_readers = ["group:quality@example.com"]
    keep_details     = "transcript"
  }

  assert {
    condition     = google_bigquery_table.lines[0].external_data_configuration[0].source_uris == tolist(["gs://example-project-recordings/calls/index/*"]) && google_bigquery_table.lines[0].external_data_configuration[0].hive_partitioning_options[0].source_uri_prefix == "gs://example-project-recordings/calls/index/{day:DATE}"
    error_message = "The table reads the index of this archive, day by day."
  }
  assert {
    condition     = google_bigquery_dataset.index[0].location == google_storage_bucket.archive.location
    error_message = "The dataset lies where the bucket lies: BigQuery reads no other."
  }
  assert {
    condition     = strcontains(google_bigquery_table.recordings[0].view[0].query, "`example-project.archiver.lines`") && output.recordings_view == "example-project.archiver.recordings"
    error_message = "The view is made of the table, and is named."
  }
  assert {
    condition     = keys(google_storage_bucket_iam_member.readers_read) == ["group:quality@example.com"] && keys(google_bigquery_dataset_iam_member.readers) == ["group:quality@example.com"]
    error_message = "Whoever asks may read the table and its files."
  }
  assert {
    condition     = [for env in google_cloud_run_v2_worker_pool.worker["worker"].template[0].containers[0].env : env.value if env.name == "KEEP_DETAILS"] == ["transcript"]
    error_message = "The worker keeps what it is told to."
  }
}

run "there_is_no_dataset_unless_named_and_nobody_is_notified" {
  command = plan

  variables {
    bigquery_readers = ["group:quality@example.com"]
  }

  assert {
    condition     = length(google_bigquery_dataset.index) == 0 && length(google_bigquery_table.lines) == 0 && length(google_storage_bucket_iam_member.readers_read) == 0 && output.recordings_view == null
    error_message = "Nothing of BigQuery."
  }
  assert {
    condition     = length(google_storage_notification.archive) == 0 && length(google_pubsub_topic_iam_member.storage_notifies) == 0
    error_message = "No notifications."
  }
}

run "a_topic_hears_of_what_is_stored_and_what_failed" {
  command = plan

  variables {
    archive_prefix     = "calls"
    notification_topic = "projects/another-project/topics/stored"
  }

  assert {
    condition     = sort([for one in google_storage_notification.archive : one.object_name_prefix]) == tolist(["calls/failures/", "calls/recordings/"])
    error_message = "Recordings and failures of this archive alone."
  }
  assert {
    condition     = alltrue([for one in google_storage_notification.archive : one.payload_format == "NONE" && join(",", one.event_types) == "OBJECT_FINALIZE" && one.topic == "projects/another-project/topics/stored"])
    error_message = "Names alone."
  }
}

run "wrong_values_of_the_index_are_refused" {
  command = plan

  variables {
    keep_details       = "yes"
    bigquery_dataset   = "with-hyphen"
    bigquery_readers   = ["everybody"]
    notification_topic = "stored"
  }

  expect_failures = [var.keep_details, var.bigquery_dataset, var.bigquery_readers, var.notification_topic]
}
