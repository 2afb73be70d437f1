/** A voicemail left in a queue is a recording of its conversation, from the event to the archive (C14). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEY, openFaultScene, patience } from '../support/fault-scene.ts';
import { FIXTURES, pathOfFixture } from '../support/media/fixtures.ts';
import { startService } from '../support/service/service.ts';

const C = 'b0c5b9e0-5b5c-4a52-8a3e-0d8c2f5c1f11';
const V = '1f0d7f0a-2a52-4c9f-9f7d-6f5c3b2a1e0d';
const W = '2e1d7f0a-2a52-4c9f-9f7d-6f5c3b2a1e0d';
const LEFT = {
  'detail-type': 'v2.detail.events.conversation.{id}.voicemail.end',
  source: 'aws.partner/genesys.com/cloud/32aa07aa-db1b-4987-abd0-9483601ec29d/bus',
  detail: {
    topicName: `v2.detail.events.conversation.${C.toUpperCase()}.voicemail.end`,
    eventBody: { eventTime: 1649237504949, conversationId: C.toUpperCase(), mediaType: 'VOICE', queueId: 'q' },
  },
};

test(
  'an event that a voicemail ended archives it, another one beside it, and the call before it',
  { timeout: 400_000 },
  async () => {
    await using scene = await openFaultScene();
    const { path, contentType } = { path: pathOfFixture('stereo.opus'), contentType: 'audio/ogg' };
    const { recordingId } = scene.add(FIXTURES.opus, { conversationId: C });
    for (const messageId of [V, W])
      scene.genesys.addVoicemail({ messageId, conversationId: C, file: { channel: 'S', contentType, path } });
    await using service = await startService('serve', scene.env);
    await scene.accept(service, LEFT);
    await scene.accept(service, LEFT);
    const call = await scene.archived(service, { recordingId, conversationId: C });
    assert.equal(call.api, 'recordings');
    for (const id of [V, W]) {
      const voicemail = { recordingId: `voicemail-${id}`, conversationId: C };
      const manifest = await scene.archived(service, voicemail);
      assert.deepEqual([manifest.api, manifest.recordedAt], ['voicemail', '2026-08-05T09:20:00.000Z']);
      assert.equal(scene.genesys.requests(`media:${voicemail.recordingId}:S`).length, 1, 'fetched once');
    }
    const answer = await fetch(`${service.url}/transcode?id=voicemail-${V}&conversationId=${C}`, {
      headers: { 'x-api-key': KEY },
      signal: patience(),
    });
    assert.deepEqual([answer.status, answer.headers.get('content-type')], [200, 'audio/webm']);
    assert.ok((await answer.bytes()).length > 1_000);
  },
);
