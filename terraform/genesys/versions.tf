# The Genesys side: the client that the archiver asks with, and what sends it events. Arguments as documented for
# mypurecloud/genesyscloud 1.84.1.

terraform {
  required_version = ">= 1.11"

  required_providers {
    genesyscloud = {
      source  = "mypurecloud/genesyscloud"
      version = ">= 1.84, < 2.0"
    }
  }
}
