/**
 * Names, types and nesting of the resources that terraform/genesys/ uses, as documented for mypurecloud/genesyscloud 1.84.1
 * (docs/resources/*.md of its repository), for Terraform itself to check arguments against without a download.
 */
import type { Block } from './schema.ts';

const ID = { id: 'computed string' } as const;

export const GENESYS: Readonly<Record<string, Block>> = {
  genesyscloud_auth_role: {
    attributes: {
      ...ID,
      name: 'required string',
      default_role_id: 'optional string',
      description: 'optional string',
      permissions: 'optional stringSet',
    },
    blocks: {
      permission_policies: {
        use: 'optional',
        nesting: 'set',
        attributes: { domain: 'required string', entity_name: 'required string', action_set: 'required stringSet' },
        blocks: {},
      },
    },
  },
  genesyscloud_oauth_client: {
    attributes: {
      ...ID,
      name: 'required string',
      authorized_grant_type: 'required string',
      access_token_validity_seconds: 'optional number',
      client_secret: 'optional string',
      description: 'optional string',
      directory_client_secret: 'optional string',
      expose_client_secret: 'optional boolean',
      integration_credential_name: 'optional string',
      registered_redirect_uris: 'optional stringSet',
      scopes: 'optional stringSet',
      state: 'optional string',
      client_id: 'computed string',
      integration_credential_id: 'computed string',
    },
    blocks: {
      roles: {
        use: 'optional',
        nesting: 'set',
        attributes: { role_id: 'required string', division_id: 'optional string' },
        blocks: {},
      },
    },
  },
  genesyscloud_integration_credential: {
    attributes: {
      ...ID,
      credential_type_name: 'required string',
      fields: 'optional stringMap',
      name: 'optional string',
    },
    blocks: {},
  },
  genesyscloud_integration: {
    attributes: { ...ID, integration_type: 'required string', intended_state: 'optional string' },
    blocks: {
      config: {
        use: 'optional',
        nesting: 'list',
        attributes: {
          advanced: 'optional string',
          credentials: 'optional stringMap',
          name: 'optional string',
          notes: 'optional string',
          properties: 'optional string',
        },
        blocks: {},
      },
    },
  },
  genesyscloud_integration_action: {
    attributes: {
      ...ID,
      category: 'required string',
      contract_input: 'required string',
      contract_output: 'required string',
      integration_id: 'required string',
      name: 'required string',
      config_timeout_seconds: 'optional number',
      secure: 'optional boolean',
    },
    blocks: {
      config_request: {
        use: 'optional',
        nesting: 'list',
        attributes: {
          request_type: 'required string',
          headers: 'optional stringMap',
          request_template: 'optional string',
          request_url_template: 'optional string',
        },
        blocks: {},
      },
      config_response: {
        use: 'optional',
        nesting: 'list',
        attributes: {
          success_template: 'optional string',
          translation_map: 'optional stringMap',
          translation_map_defaults: 'optional stringMap',
        },
        blocks: {},
      },
    },
  },
  genesyscloud_flow: {
    attributes: {
      ...ID,
      filepath: 'required string',
      force_unlock: 'optional boolean',
      name: 'optional string',
      substitutions: 'optional stringMap',
      type: 'optional string',
      update_trigger_hash: 'optional string',
      file_content_hash: 'computed string',
    },
    blocks: {},
  },
  genesyscloud_processautomation_trigger: {
    attributes: {
      ...ID,
      enabled: 'required boolean',
      name: 'required string',
      topic_name: 'required string',
      delay_by_seconds: 'optional number',
      description: 'optional string',
      event_ttl_seconds: 'optional number',
      match_criteria: 'optional string',
    },
    blocks: {
      target: {
        use: 'required',
        nesting: 'set',
        attributes: { ...ID, id: 'required string', type: 'required string' },
        blocks: {
          workflow_target_settings: {
            use: 'optional',
            nesting: 'set',
            attributes: { data_format: 'optional string' },
            blocks: {},
          },
        },
      },
    },
  },
};
