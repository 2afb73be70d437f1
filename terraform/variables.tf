# Six have no default. The rest says what it does and what it costs.

variable "project_id" {
  description = "Id of the Google Cloud project everything is made in."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "Give the project's id (my-project-123), neither its name nor its number."
  }
}

variable "region" {
  description = "Region of Cloud Run, of the messages and of the secrets, such as europe-west3."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "Give a region such as europe-west3, not a zone."
  }
}

variable "image" {
  description = "Container image of the archiver, with a tag or (better) a digest: REGION-docker.pkg.dev/PROJECT/REPOSITORY/archiver@sha256:…"
  type        = string

  validation {
    condition     = can(regex("^[^\\s@]+(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9._-]*)$", var.image)) && !endswith(var.image, ":latest")
    error_message = "Name the image with a digest (@sha256:…) or a tag other than latest: what runs has to be known."
  }
}

variable "genesys_region" {
  description = "Domain of your Genesys Cloud region: mypurecloud.com, mypurecloud.de, usw2.pure.cloud …"
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]+(\\.[a-z0-9-]+)+$", var.genesys_region))
    error_message = "Give a domain such as mypurecloud.de, without https:// and without a path."
  }
}

variable "genesys_client_id" {
  description = "Id of the Genesys OAuth client (grant type Client Credentials). Several, comma-separated, share the load: Genesys counts requests per client."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-Za-z-]{8,}(,[0-9A-Za-z-]{8,})*$", var.genesys_client_id))
    error_message = "Give one client id, or several separated by commas without spaces."
  }
}

variable "genesys_client_secret" {
  description = "Secret of that client; as many as there are ids, comma-separated, in the same order. Goes to Secret Manager only, never into the state: set TF_VAR_genesys_client_secret."
  type        = string
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = length(var.genesys_client_secret) >= 8
    error_message = "The secret is empty or too short: set TF_VAR_genesys_client_secret."
  }
}

variable "genesys_client_secret_version" {
  description = "Raise it by one whenever genesys_client_secret changes: Terraform cannot see that it did."
  type        = number
  default     = 1

  validation {
    condition     = var.genesys_client_secret_version >= 1 && floor(var.genesys_client_secret_version) == var.genesys_client_secret_version
    error_message = "Give a whole number from 1."
  }
}

variable "name" {
  description = "Beginning of every resource's name; another one makes a second installation in the same project."
  type        = string
  default     = "archiver"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,17}[a-z0-9]$", var.name))
    error_message = "Use 3 to 19 lower-case letters, digits and hyphens, beginning with a letter: service account ids are made of it."
  }
}

variable "labels" {
  description = "Labels of every resource that can have them."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key, value in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value))])
    error_message = "Keys and values have lower-case letters, digits, _ and -; keys begin with a letter."
  }
}

variable "extra_environment" {
  description = "More environment variables for all deployables (README: Configuration), such as GENESYS_MEDIA_HOSTS or OTEL_EXPORTER_OTLP_ENDPOINT, or TRUSTED_PROXIES where a load balancer stands before Cloud Run (2). No secrets."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.extra_environment) : can(regex("^[A-Z][A-Z0-9_]*$", key))])
    error_message = "Names of environment variables are upper case."
  }
  validation {
    # A key in Cloud KMS is none, but has a variable of its own.
    condition     = alltrue([for key in keys(var.extra_environment) : !can(regex("SECRET|TOKEN|KEY|PASSWORD|HEADERS", key))])
    error_message = "This variable holds a secret, which belongs in Secret Manager, or names its file: neither stands in a state."
  }
  validation {
    # Either would go first in silence: that one, or the module's own.
    condition = length(setintersection(keys(var.extra_environment), [
      "ARCHIVE_ON_LISTEN", "ARCHIVE_ORIGINAL", "ARCHIVE_URL", "CONSOLE_AUTH", "CONSOLE_IAP_AUDIENCE", "CONSOLE_ROLES", "ENCODER_CAGE",
      "GENESYS_CLIENT_ID", "GENESYS_REGION", "GOOGLE_CLOUD_PROJECT", "HOST", "KEEP_DETAILS", "LINK_LIFETIME_S", "LOCK_DAYS", "LOCK_MODE",
      "LOG_LEVEL", "PORT", "PUSH_AUDIENCE", "PUSH_SERVICE_ACCOUNT", "QUEUE_URL", "TRANSCODE_SLOTS",
    ])) == 0
    error_message = "This variable is set by the module itself, most of them by a variable of the same meaning."
  }
}

variable "log_level" {
  description = "Least important log lines that are written: error, warn, info or debug."
  type        = string
  default     = "info"

  validation {
    condition     = contains(["error", "warn", "info", "debug"], var.log_level)
    error_message = "Use error, warn, info or debug."
  }
}

# The receiver

variable "receiver_invokers" {
  description = "Who may reach the webhook at all. Genesys Cloud and EventBridge cannot send Google tokens, so it is everybody; the webhook's own token or signature decides."
  type        = list(string)
  default     = ["allUsers"]

  validation {
    condition     = length(var.receiver_invokers) > 0
    error_message = "Nobody could deliver an event: name at least one principal."
  }
}

variable "receiver_min_instances" {
  description = "Receivers that are always warm. 0 costs nothing and lets the first event wait for a cold start, which some senders do not."
  type        = number
  default     = 1

  validation {
    condition     = var.receiver_min_instances >= 0 && var.receiver_min_instances <= 10
    error_message = "Use 0 to 10."
  }
}

variable "receiver_max_instances" {
  description = "Most receivers at once. One takes hundreds of events per second."
  type        = number
  default     = 4

  validation {
    condition     = var.receiver_max_instances >= 1 && var.receiver_max_instances <= 50 && var.receiver_max_instances >= var.receiver_min_instances
    error_message = "Use 1 to 50, and at least receiver_min_instances."
  }
}

# The worker

variable "worker_mode" {
  description = "pull: a worker pool that always runs and takes recordings of any length. push: a service that scales to zero and takes what is done within ten minutes; the rest goes to long_worker_instances. What push has left for them is kept after a change to pull, and the alert on the oldest message says how to take it."
  type        = string
  default     = "pull"

  validation {
    condition     = contains(["pull", "push"], var.worker_mode)
    error_message = "Use pull or push."
  }
}

variable "worker_instances" {
  description = "Workers: so many at any time with pull, at most so many with push."
  type        = number
  default     = 2

  validation {
    condition     = var.worker_instances >= 1 && var.worker_instances <= 50
    error_message = "Use 1 to 50."
  }
  validation {
    # Genesys allows 300 requests per minute and client. A slot that is never idle makes about 15: a recording every
    # 12 seconds, three requests each. One of long_worker_instances has minutes for each of its own, and is not counted.
    # https://developer.genesys.cloud/organization/organization/limits
    condition     = var.worker_instances * var.transcode_slots <= 20 * length(split(",", var.genesys_client_id))
    error_message = "More than 20 slots (worker_instances x transcode_slots) per Genesys client only run into its rate limit: lower them, or name more clients in genesys_client_id."
  }
}

variable "long_worker_instances" {
  description = "With push: workers that always run and take what takes longer than a push may, such as long screen recordings. 0 costs nothing and lets them wait, up to 31 days, until there is one; the alert on the oldest message tells."
  type        = number
  default     = 1

  validation {
    condition     = var.long_worker_instances >= 0 && var.long_worker_instances <= 50
    error_message = "Use 0 to 50."
  }
}

variable "transcode_slots" {
  description = "Recordings one worker, or one playback instance, works on at once. CPUs and memory (1 GiB each) follow it."
  type        = number
  default     = 2

  validation {
    condition     = contains([1, 2, 3, 4, 5, 6, 7, 8], var.transcode_slots)
    error_message = "Use 1 to 8: Cloud Run has at most 8 CPUs."
  }
}

variable "encoder_cage" {
  description = "best: encoders are shut off as far as Cloud Run's kernel allows, and the log says how far (cage). required: nothing starts unless they are shut off from network, files and the service; set it once the log has said level full."
  type        = string
  default     = "best"

  validation {
    condition     = contains(["best", "required"], var.encoder_cage)
    error_message = "Use best or required."
  }
}

# Playback

variable "playback_invokers" {
  description = "Who may reach /transcode, /recordings and links: principals such as group:agents@example.com or serviceAccount:…; besides, each request needs an API key. Empty: nobody."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.playback_invokers : !contains(["allUsers", "allAuthenticatedUsers"], member)])
    error_message = "Recordings are not for everybody: name groups or service accounts, or put a load balancer with IAP in front."
  }
}

variable "playback_max_instances" {
  description = "Most playback instances at once; each makes up to transcode_slots recordings on the fly."
  type        = number
  default     = 2

  validation {
    condition     = var.playback_max_instances >= 1 && var.playback_max_instances <= 20
    error_message = "Use 1 to 20."
  }
}

# Console

variable "console_roles" {
  description = "Who may do what in the console, as CONSOLE_ROLES: listen=@example.com; operate=maya@example.com; audit=dpo@example.com. Empty: there is no console."
  type        = string
  default     = ""

  validation {
    condition     = var.console_roles == "" || can(regex("=", var.console_roles))
    error_message = "Say who has which role, such as listen=@example.com."
  }
}

variable "console_iap_audience" {
  description = "Audience of the assertions of Identity-Aware Proxy; that of the service itself unless given. The log of a refusal names the one that arrives."
  type        = string
  default     = null

  validation {
    condition     = var.console_iap_audience == null || can(regex("^/projects/", var.console_iap_audience))
    error_message = "Use /projects/NUMBER/..., as IAP states it."
  }
}

variable "console_max_instances" {
  description = "Most instances of the console at once."
  type        = number
  default     = 2

  validation {
    condition     = var.console_max_instances >= 1 && var.console_max_instances <= 20
    error_message = "Use 1 to 20."
  }
}

# More of playback

variable "archive_on_listen" {
  description = "Whether what somebody listens to is archived, if it is not yet. Lets playback publish messages, which it otherwise cannot."
  type        = bool
  default     = false
}

variable "link_lifetime_s" {
  description = "Life of a signed link in seconds, at least; longer recordings get longer links."
  type        = number
  default     = 900

  validation {
    condition     = var.link_lifetime_s >= 60 && var.link_lifetime_s <= 604800 && floor(var.link_lifetime_s) == var.link_lifetime_s
    error_message = "Use a whole number from 60 to 604800 (a week, the most Cloud Storage allows)."
  }
}

variable "link_origins" {
  description = "Pages that may play signed links by script, such as https://crm.example.com: the bucket then answers their origins (CORS). A plain audio or video element needs none."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for origin in var.link_origins : can(regex("^https://[a-z0-9.-]+(:[0-9]+)?$", origin))])
    error_message = "Give origins such as https://crm.example.com, without a path."
  }
}

# The archive

variable "bucket_name" {
  description = "Name of the bucket that is made for the archive; PROJECT_ID-recordings unless given."
  type        = string
  default     = null

  validation {
    condition     = var.bucket_name == null || can(regex("^[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "Use 3 to 63 lower-case letters, digits, - and _."
  }
}

variable "bucket_location" {
  description = "Where recordings are stored: a region or multi-region; the region unless given. It cannot be changed later."
  type        = string
  default     = null

  validation {
    condition     = var.bucket_location == null || can(regex("^[A-Za-z0-9-]{2,}$", var.bucket_location))
    error_message = "Use a location such as EU or europe-west3."
  }
}

variable "archive_prefix" {
  description = "Folder inside the bucket, without slashes at its ends; the whole bucket unless given. Names (never contents) elsewhere in the bucket can be listed by worker and playback."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*)?$", var.archive_prefix))
    error_message = "Use letters, digits, - and _, separated by single slashes, no slash at either end."
  }
}

variable "archive_original" {
  description = "Whether the media is kept bit-exact beside the WebM. Costs its size again."
  type        = bool
  default     = false
}

variable "keep_details" {
  description = "What is kept of a conversation beside its recordings: details (who, queue, numbers), transcript (what was said, too), or no. Personal: it lies under conversations/ and in the index."
  type        = string
  default     = "details"

  validation {
    condition     = contains(["no", "details", "transcript"], var.keep_details)
    error_message = "Use no, details or transcript."
  }
}

variable "bigquery_dataset" {
  description = "Dataset that is made for the index, with a table over its files and a view of recordings; none unless given. Costs what questions read."
  type        = string
  default     = null

  validation {
    condition     = var.bigquery_dataset == null || can(regex("^[A-Za-z0-9_]+$", var.bigquery_dataset))
    error_message = "Use letters, digits and _."
  }
}

variable "bigquery_readers" {
  description = "Members (group:…, user:…, serviceAccount:…) that may ask BigQuery for recordings: they see names and numbers of conversations."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.bigquery_readers : can(regex("^(user|group|serviceAccount|domain):[^:\\s]+$", member))])
    error_message = "Give members such as group:quality@example.com."
  }
}

variable "notification_topic" {
  description = "Topic (projects/P/topics/T) that hears of each object under recordings/ and failures/: whose name ends in /manifest.json is a recording that is stored. None unless given."
  type        = string
  default     = null

  validation {
    condition     = var.notification_topic == null || can(regex("^projects/[^/]+/topics/[^/]+$", var.notification_topic))
    error_message = "Give the whole name: projects/P/topics/T."
  }
}

variable "versioning" {
  description = "Whether Cloud Storage keeps what is deleted or replaced by other hands. The archiver itself never replaces a recording."
  type        = bool
  default     = false
}

variable "soft_delete_days" {
  description = "Days for which deleted objects can be restored, and are paid for; 0 turns it off. Counts for erasure requests."
  type        = number
  default     = 7

  validation {
    condition     = var.soft_delete_days == 0 || (var.soft_delete_days >= 7 && var.soft_delete_days <= 90)
    error_message = "Use 0, or 7 to 90."
  }
}

variable "lock_days" {
  description = "Days for which nobody can remove or replace a recording, each from when it was archived; what else lies in the archive is not locked. None unless given. A new bucket is made so that it can lock. In one that is there, first enable object retention in the Cloud console (Protection), which cannot be undone: until then nothing is archived, and waits. Another number counts for what is archived from then on."
  type        = number
  default     = null

  validation {
    condition     = var.lock_days == null ? true : var.lock_days >= 1 && var.lock_days <= 36500 && floor(var.lock_days) == var.lock_days
    error_message = "Use a whole number from 1 to 36500."
  }
}

variable "lock_mode" {
  description = "unlocked: whoever has storage.objects.overrideUnlockedRetention, which the module grants to nobody, can end a lock before its time. locked: nobody ever can. There is no way back for what is archived under it."
  type        = string
  default     = "unlocked"

  validation {
    condition     = contains(["unlocked", "locked"], var.lock_mode)
    error_message = "Use unlocked or locked."
  }
  validation {
    condition     = var.lock_mode == "unlocked" || var.lock_days != null
    error_message = "There is nothing to lock: set lock_days."
  }
}

variable "retention_days" {
  description = "Days for which nobody can delete or replace any object of the bucket; lock_days is the better lock. Holds for staging/ as well: recordings above 8 MiB are stored twice until it has passed, and no failure, wait or hold can be removed. None unless given."
  type        = number
  default     = null

  validation {
    condition     = var.retention_days == null ? true : var.retention_days >= 1 && var.retention_days <= 36500
    error_message = "Use 1 to 36500."
  }
}

variable "retention_lock" {
  description = "Whether retention_days is locked: it can then never be shortened or removed, nor can the bucket while it holds a younger object. There is no way back."
  type        = bool
  default     = false

  validation {
    condition     = !var.retention_lock || var.retention_days != null
    error_message = "There is nothing to lock: set retention_days."
  }
}

variable "keepers" {
  description = "Who may act as the keeper's account, to hold, release and erase recordings: principals such as user:dpo@example.com or group:legal@example.com. Empty: nobody."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.keepers : !contains(["allUsers", "allAuthenticatedUsers"], member)])
    error_message = "Erasing is not for everybody: name people or groups."
  }
}

variable "kms_key_name" {
  description = "Key that encrypts the archive (projects/P/locations/L/keyRings/R/cryptoKeys/K), in the bucket's location; Google's own unless given."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_name == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key_name))
    error_message = "Give the whole name: projects/P/locations/L/keyRings/R/cryptoKeys/K."
  }
}

variable "certificate_key_version" {
  description = "Key that signs seals and certificates (projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N), of purpose asymmetric signing and algorithm EC_SIGN_ED25519; seals are unsigned where it is null."
  type        = string
  default     = null

  validation {
    condition     = var.certificate_key_version == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+/cryptoKeyVersions/[0-9]+$", var.certificate_key_version))
    error_message = "Give the whole name: projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N."
  }
}

variable "data_access_logs" {
  description = "Whether Cloud Audit Logs keep who read or wrote objects. Decides for Cloud Storage in the whole project; false where the project has its own rules."
  type        = bool
  default     = true
}

# The operators' commands

variable "reconcile_schedule" {
  description = "When Genesys is compared with the archive, as Cloud Scheduler writes it; null: only by hand. Costs a call to Genesys per recorded conversation."
  type        = string
  default     = "17 3 * * *"

  validation {
    condition     = var.reconcile_schedule == null ? true : can(regex("^(\\S+ ){4}\\S+$", var.reconcile_schedule))
    error_message = "Give five fields such as 17 3 * * *, or null."
  }
}

variable "verify_schedule" {
  description = "When a part of the archive is read and compared with its manifests; null: only by hand. Costs a read of that part."
  type        = string
  default     = "41 4 * * *"

  validation {
    condition     = var.verify_schedule == null ? true : can(regex("^(\\S+ ){4}\\S+$", var.verify_schedule))
    error_message = "Give five fields such as 41 4 * * *, or null."
  }
}

variable "verify_parts" {
  description = "In how many nights all of the archive is read once."
  type        = number
  default     = 30

  validation {
    condition     = var.verify_parts >= 1 && var.verify_parts <= 10000 && floor(var.verify_parts) == var.verify_parts
    error_message = "Use a whole number from 1 to 10000."
  }
}

variable "erase_after_days" {
  description = "Retention: after so many days a recording, and all that is kept of it, is erased for good, unless a case holds it; run each night as an account of its own. None unless given: nothing is ever erased by age. More than 5 % of the archive at once is refused, and somebody is told."
  type        = number
  default     = null

  validation {
    condition     = var.erase_after_days == null ? true : var.erase_after_days >= 1 && var.erase_after_days <= 36500 && floor(var.erase_after_days) == var.erase_after_days
    error_message = "Use a whole number from 1 to 36500."
  }
  validation {
    condition     = var.erase_after_days == null || var.retention_days == null ? true : var.erase_after_days > var.retention_days
    error_message = "Nothing can be erased before retention_days have passed: use more days than that."
  }
  validation {
    condition     = var.erase_after_days == null || var.lock_days == null ? true : var.erase_after_days > var.lock_days
    error_message = "Nothing can be erased before lock_days have passed: use more days than that."
  }
}

variable "erase_schedule" {
  description = "When what is older than erase_after_days is erased, as Cloud Scheduler writes it; null: only by hand."
  type        = string
  default     = "23 5 * * *"

  validation {
    condition     = var.erase_schedule == null ? true : can(regex("^(\\S+ ){4}\\S+$", var.erase_schedule))
    error_message = "Give five fields such as 23 5 * * *, or null."
  }
}

variable "schedule_time_zone" {
  description = "Time zone of the schedules, by its name in the tz database."
  type        = string
  default     = "Etc/UTC"

  validation {
    condition     = can(regex("^[A-Za-z_]+(/[A-Za-z0-9_+-]+)*$", var.schedule_time_zone))
    error_message = "Give a name such as Europe/Berlin."
  }
}

variable "backfill_tasks" {
  description = "Tasks of the job that fetches what is missing: each takes every so many-th day, with a token of its own."
  type        = number
  default     = 1

  validation {
    condition     = var.backfill_tasks >= 1 && var.backfill_tasks <= 100 && floor(var.backfill_tasks) == var.backfill_tasks
    error_message = "Use a whole number from 1 to 100."
  }
}

variable "operator_timeout_h" {
  description = "Hours after which a command is stopped; run again, it goes on."
  type        = number
  default     = 24

  validation {
    condition     = var.operator_timeout_h >= 1 && var.operator_timeout_h <= 168
    error_message = "Use 1 to 168: Cloud Run ends a task after seven days."
  }
}

# Alerts

variable "alert_emails" {
  description = "Addresses that are told when recordings fail, messages die or work piles up."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alert_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])
    error_message = "Give e-mail addresses."
  }
}

variable "notification_channels" {
  description = "Names of existing notification channels (projects/P/notificationChannels/N) that are told as well."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for channel in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[^/]+$", channel))])
    error_message = "Give whole names: projects/P/notificationChannels/N."
  }
}

variable "oldest_message_alert_s" {
  description = "Seconds the oldest message may wait for a worker before somebody is told."
  type        = number
  default     = 3600

  validation {
    condition     = var.oldest_message_alert_s >= 300 && var.oldest_message_alert_s <= 604800
    error_message = "Use 300 to 604800."
  }
}
