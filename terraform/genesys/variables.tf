# Two have no default where a workflow sends the events; with EventBridge none has.

variable "name" {
  description = "What everything made here is called; the trigger is found by archiver doctor as archive-recording."
  type        = string
  default     = "Recording Archiver"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9 _-]{2,60}$", var.name))
    error_message = "Use 3 to 61 letters, digits, blanks, - or _."
  }
}

variable "division_ids" {
  description = "Divisions whose recordings are archived, by id; [\"*\"] is all of them. Of others nothing is archived, and no day is called complete for them."
  type        = set(string)
  default     = ["*"]

  validation {
    condition     = length(var.division_ids) > 0 && alltrue([for id in var.division_ids : can(regex("^(\\*|[0-9a-f-]{36})$", id))])
    error_message = "Give ids of divisions, or [\"*\"]."
  }
}

variable "webhook_url" {
  description = "Where events go: https://YOUR-HOST/webhooks/genesys. Null where EventBridge sends them."
  type        = string
  default     = null

  validation {
    condition     = var.webhook_url == null ? true : can(regex("^https://[^/?#\\s]+/webhooks/genesys$", var.webhook_url))
    error_message = "Give https://YOUR-HOST/webhooks/genesys."
  }
}

variable "webhook_token" {
  description = "One of WEBHOOK_TOKENS. Genesys keeps it as a credential; it also lies in this state, which has to be kept like a secret."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.webhook_url == null ? true : try(length(var.webhook_token) >= 16, false)
    error_message = "Give a token of 16 characters or more, one of WEBHOOK_TOKENS."
  }
}

variable "delay_s" {
  description = "Seconds after the call until its recordings are looked for; what is not there yet is looked for again."
  type        = number
  default     = 300

  validation {
    condition     = var.delay_s >= 60 && var.delay_s <= 900
    error_message = "Use 60 to 900: Genesys delays a trigger by no less and no more."
  }
}

variable "home_division" {
  description = "Name of the division that the workflow belongs to."
  type        = string
  default     = "Home"

  validation {
    condition     = length(trimspace(var.home_division)) > 0
    error_message = "Give the name of a division."
  }
}

variable "operator_rights" {
  description = "What a client of its own for the operators' commands may do beyond reading: why (audits, orphans, upload reports), restore, retire, hold. Empty: no such client. The one that archives never can delete."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.operator_rights, ["why", "restore", "retire", "hold"])) == 0
    error_message = "Use why, restore, retire and hold."
  }
}

variable "event_bridge" {
  description = "Amazon EventBridge as the sender instead of the workflow: the AWS account and region of the bus, and how the event source ends. Null: none."
  type = object({
    aws_account_id = string
    aws_region     = string
    suffix         = string
  })
  default = null

  validation {
    condition     = var.event_bridge == null ? true : can(regex("^[0-9]{12}$", var.event_bridge.aws_account_id)) && can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.event_bridge.aws_region)) && can(regex("^[A-Za-z0-9._-]{1,64}$", var.event_bridge.suffix))
    error_message = "Give an account of 12 digits, a region such as eu-central-1, and a suffix of letters, digits, ., - and _."
  }
}
