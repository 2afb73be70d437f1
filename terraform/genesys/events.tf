# What tells the archiver that a conversation has ended: a trigger, a workflow and a data action, or Amazon EventBridge.

locals {
  by_workflow = var.webhook_url == null ? toset([]) : toset(["this"])

  topics = [
    "v2.detail.events.conversation.{id}.customer.end",
    "v2.detail.events.conversation.{id}.user.end",
    "v2.detail.events.conversation.{id}.acw",
    "v2.detail.events.conversation.{id}.voicemail.end",
  ]
}

resource "genesyscloud_integration_credential" "webhook" {
  for_each = local.by_workflow

  name                 = "${var.name}: webhook"
  credential_type_name = "userDefined"
  fields               = { token = var.webhook_token }
}

resource "genesyscloud_integration" "webhook" {
  for_each = local.by_workflow

  integration_type = "custom-rest-actions"
  intended_state   = "ENABLED"

  config {
    name        = var.name
    credentials = { basicAuth = genesyscloud_integration_credential.webhook[each.key].id }
    properties  = jsonencode({})
    advanced    = jsonencode({})
    notes       = "Sends ids of conversations that have ended to the recording archiver."
  }
}

resource "genesyscloud_integration_action" "send" {
  for_each = local.by_workflow

  name                   = "${var.name}: send event"
  category               = var.name
  integration_id         = genesyscloud_integration.webhook[each.key].id
  secure                 = false
  config_timeout_seconds = 20

  contract_input = jsonencode({
    type     = "object"
    required = ["conversationId"]
    properties = {
      conversationId = { type = "string" }
      mediaType      = { type = "string" }
    }
  })

  contract_output = jsonencode({
    type       = "object"
    properties = { accepted = { type = "integer" } }
  })

  config_request {
    request_type         = "POST"
    request_url_template = var.webhook_url
    request_template     = "{\"conversationId\":\"$${input.conversationId}\",\"mediaType\":\"$${input.mediaType}\"}"
    headers = {
      Content-Type    = "application/json"
      X-Webhook-Token = "$${credentials.token}"
    }
  }

  config_response {
    translation_map          = { accepted = "$.accepted" }
    translation_map_defaults = { accepted = "0" }
    success_template         = "{\"accepted\": $${accepted}}"
  }
}

resource "genesyscloud_flow" "send" {
  for_each = local.by_workflow

  filepath = "${path.module}/workflow.yaml"

  substitutions = {
    flow_name   = "${var.name}: send event"
    division    = var.home_division
    integration = var.name
    action      = genesyscloud_integration_action.send[each.key].name
  }
}

# The name by which archiver doctor finds it.
resource "genesyscloud_processautomation_trigger" "call_ended" {
  for_each = local.by_workflow

  name             = "archive-recording"
  description      = "Tells the recording archiver of calls that have ended."
  topic_name       = local.topics[0]
  enabled          = true
  delay_by_seconds = var.delay_s
  match_criteria   = jsonencode([{ jsonPath = "mediaType", operator = "Equal", value = "VOICE" }])

  target {
    type = "Workflow"
    id   = genesyscloud_flow.send[each.key].id

    workflow_target_settings {
      data_format = "TopLevelPrimitives"
    }
  }
}

# The rule on the bus and its API destination are made in AWS: src/http/README.md.
resource "genesyscloud_integration" "event_bridge" {
  for_each = var.event_bridge == null ? toset([]) : toset(["this"])

  integration_type = "amazon-eventbridge-source"
  intended_state   = "ENABLED"

  config {
    name = "${var.name}: EventBridge"
    properties = jsonencode({
      awsAccountId      = var.event_bridge.aws_account_id
      awsAccountRegion  = var.event_bridge.aws_region
      eventSourceSuffix = var.event_bridge.suffix
      eventFilter       = local.topics
    })
    advanced = jsonencode({})
    notes    = "Events of conversations for the recording archiver."
  }
}
