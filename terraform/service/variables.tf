# What each service has of its own.

variable "project_id" {
  description = "Project that the service is made in."
  type        = string
}

variable "name" {
  description = "Name of the service."
  type        = string
}

variable "region" {
  description = "Region of the service."
  type        = string
}

variable "labels" {
  description = "Labels of the service."
  type        = map(string)
}

variable "ingress" {
  description = "From where it can be reached."
  type        = string
}

variable "service_account" {
  description = "Email of the account that it runs as."
  type        = string
}

variable "execution_environment" {
  description = "Generation of Cloud Run; Google's choice where null."
  type        = string
  default     = null
}

variable "timeout" {
  description = "Longest that a request may take, such as 30s."
  type        = string
}

variable "concurrency" {
  description = "Requests that one instance works on at once."
  type        = number
}

variable "min_instances" {
  description = "Instances that are always warm."
  type        = number
  default     = 0
}

variable "max_instances" {
  description = "Most instances at once."
  type        = number
}

variable "image" {
  description = "Container image."
  type        = string
}

variable "command" {
  description = "What the image is to run."
  type        = string
}

variable "limits" {
  description = "CPUs and memory of one instance."
  type        = map(string)
}

variable "cpu_idle" {
  description = "Whether it has CPU only while it answers."
  type        = bool
}

variable "environment" {
  description = "Its environment, without secrets."
  type        = map(string)
}

variable "secret_files" {
  description = "Secrets by environment variable: each is a file of its own folder, which X_FILE names."
  type = map(object({
    secret = string
    volume = string
    folder = string
    name   = string
  }))
}
