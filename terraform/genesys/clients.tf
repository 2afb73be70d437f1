# Who asks: a client with exactly the rights to read recordings, and, where they are wanted, one for operators.

locals {
  # domain:entity:action, as the README and archiver doctor name them.
  reading = [
    "recording:recording:view",
    "recording:screenRecording:view",
    "analytics:conversationDetail:view",
    "conversation:communication:view",
    "voicemail:acdVoicemail:view",
    "processautomation:trigger:view",
  ]

  operating = {
    why = [
      "audits:interactionDetails:view",
      "recording:orphan:view",
      "recording:uploadReport:add",
      "recording:uploadReport:view",
    ]
    restore = [
      "recording:recording:restore",
      "recording:screenRecording:restore",
    ]
    retire = [
      "recording:recording:editRetention",
      "recording:screenRecording:editRetention",
    ]
    hold = [
      "recording:deletionProtection:apply",
      "recording:deletionProtection:revoke",
    ]
  }

  roles = merge(
    { archiver = local.reading },
    length(var.operator_rights) == 0 ? {} : {
      operator = concat(local.reading, flatten([for right in sort(tolist(var.operator_rights)) : local.operating[right]]))
    },
  )

  # A policy names an entity once, with all its actions.
  policies = {
    for role, permissions in local.roles : role => {
      for entity in distinct([for permission in permissions : join(":", slice(split(":", permission), 0, 2))]) :
      entity => [for permission in permissions : split(":", permission)[2] if startswith(permission, "${entity}:")]
    }
  }
}

resource "genesyscloud_auth_role" "this" {
  for_each = local.policies

  name        = "${var.name}: ${each.key}"
  description = each.key == "archiver" ? "Reads recordings and their details; changes nothing." : "What operators of the recording archiver do at Genesys."

  dynamic "permission_policies" {
    for_each = each.value

    content {
      domain      = split(":", permission_policies.key)[0]
      entity_name = split(":", permission_policies.key)[1]
      action_set  = permission_policies.value
    }
  }
}

# Its secret stays at Genesys: it is in no output and no state. Read it once in Admin, Integrations, OAuth.
resource "genesyscloud_oauth_client" "this" {
  for_each = local.policies

  name                          = "${var.name}: ${each.key}"
  description                   = "Client of the recording archiver."
  authorized_grant_type         = "CLIENT-CREDENTIALS"
  access_token_validity_seconds = 86400
  expose_client_secret          = false

  dynamic "roles" {
    for_each = var.division_ids

    content {
      role_id     = genesyscloud_auth_role.this[each.key].id
      division_id = roles.value
    }
  }
}
