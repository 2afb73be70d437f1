# What the accounts that erase have of their own, and the archive that they erase in.

variable "project_id" {
  description = "Project that the account is made in."
  type        = string
}

variable "account_id" {
  description = "Name of the account."
  type        = string
}

variable "display_name" {
  description = "What people see it called."
  type        = string
}

variable "description" {
  description = "Who acts as it, and what for."
  type        = string
}

variable "bucket" {
  description = "Name of the archive's bucket."
  type        = string
}

variable "bucket_resource" {
  description = "The bucket, as IAM conditions call it."
  type        = string
}

variable "object_resource" {
  description = "What the names of all of the archive's objects begin with in IAM conditions."
  type        = string
}
