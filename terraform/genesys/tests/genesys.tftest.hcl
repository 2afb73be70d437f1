# With Genesys Cloud as a mock: what is planned, and what is refused.

mock_provider "genesyscloud" {
  override_during = plan

  mock_resource "genesyscloud_auth_role" {
    defaults = { id = "33333333-3333-3333-3333-333333333333" }
  }
}

variables {
  webhook_url   = "https://archiver.example/webhooks/genesys"
  webhook_token = "not-a-real-token-0123456789"
}

run "a_workflow_sends_events_with_a_client_that_only_reads" {
  command = plan

  assert {
    condition     = keys(genesyscloud_oauth_client.this) == ["archiver"]
    error_message = "One client, unless operators want one."
  }

  assert {
    condition     = genesyscloud_processautomation_trigger.call_ended["this"].name == "archive-recording" && genesyscloud_processautomation_trigger.call_ended["this"].delay_by_seconds == 300
    error_message = "The trigger is the one that archiver doctor looks for."
  }

  assert {
    condition     = toset(flatten([for policy in genesyscloud_auth_role.this["archiver"].permission_policies : policy.action_set])) == toset(["view"])
    error_message = "It only reads."
  }

  assert {
    condition     = length(genesyscloud_integration.event_bridge) == 0
    error_message = "No EventBridge, unless it is asked for."
  }
}

run "operators_have_a_client_of_their_own" {
  command = plan

  variables {
    operator_rights = ["why", "restore", "retire", "hold"]
    division_ids    = ["11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"]
  }

  assert {
    condition     = contains(output.permissions.operator, "recording:recording:editRetention") && !contains(output.permissions.archiver, "recording:recording:editRetention")
    error_message = "Only the operators' client can have Genesys delete."
  }

  assert {
    condition     = length(genesyscloud_oauth_client.this["archiver"].roles) == 2
    error_message = "The role is granted in each division."
  }
}

run "event_bridge_instead_of_a_workflow" {
  command = plan

  variables {
    webhook_url   = null
    webhook_token = null
    event_bridge  = { aws_account_id = "123456789012", aws_region = "eu-central-1", suffix = "archiver" }
  }

  assert {
    condition     = length(genesyscloud_flow.send) == 0 && length(genesyscloud_processautomation_trigger.call_ended) == 0
    error_message = "No workflow where EventBridge sends the events."
  }

  assert {
    condition     = length(jsondecode(genesyscloud_integration.event_bridge["this"].config[0].properties).eventFilter) == 4
    error_message = "All four topics are sent."
  }
}

run "values_that_cannot_be_right_are_refused" {
  command = plan

  variables {
    webhook_url     = "http://archiver.example/events"
    delay_s         = 10
    division_ids    = ["Sales"]
    operator_rights = ["delete"]
    home_division   = " "
    name            = "x"
    event_bridge    = { aws_account_id = "1", aws_region = "Frankfurt", suffix = "" }
  }

  expect_failures = [
    var.webhook_url,
    var.delay_s,
    var.division_ids,
    var.operator_rights,
    var.home_division,
    var.name,
    var.event_bridge,
  ]
}

run "a_webhook_needs_a_token_that_is_long_enough" {
  command = plan

  variables {
    webhook_token = "short"
  }

  expect_failures = [var.webhook_token]
}
