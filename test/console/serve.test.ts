/** The whole of it: an event comes in, and its recording is found in the console at once, with its picture, and heard; also after a restart. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFaultScene, patience } from '../support/fault-scene.ts';
import { FIXTURES } from '../support/media/fixtures.ts';
import { startService } from '../support/service/service.ts';

test(
  'what serve archives is in the list of its console at once, with a picture, and is heard there; a restart changes nothing',
  { timeout: 400_000 },
  async () => {
    await using scene = await openFaultScene();
    const env = { ...scene.env, CONSOLE_AUTH: 'none', API_AUTH: 'none', API_KEYS: '' };
    const recording = scene.add(FIXTURES.dual);
    const { conversationId, recordingId } = recording;
    const path = `${conversationId}/${recordingId}`;
    let day = '';
    const sizes: number[] = [];
    for (const isFirst of [true, false]) {
      await using service = await startService('serve', env);
      const get = (address: string): Promise<Response> => fetch(service.url + address, { signal: patience() });
      if (isFirst) {
        assert.match(await (await get('/console/find')).text(), /Nothing is archived yet/);
        await scene.accept(service, recording);
        const { recordedAt } = await scene.archived(service, recording);
        day = recordedAt?.slice(0, 10) ?? '';
      }
      const found = await (await get(`/console/find?q=${recordingId}&from=${day}&to=${day}`)).text();
      assert.match(found, /1 found/);
      assert.match(found, new RegExp(`open=${conversationId}\\.${recordingId}`));
      assert.match(found, /<svg class="spark"/);
      assert.match(await (await get(`/console/recordings/${path}`)).text(), /Customer[^]*Agent[^]*Both at once/);
      const levels = Buffer.from(await (await get(`/console/levels/${path}`)).arrayBuffer());
      assert.equal(levels.subarray(0, 4).toString(), 'LVLS');
      const sound = await get(`/console/media/${path}`);
      assert.equal(sound.headers.get('content-type'), 'audio/webm');
      sizes.push((await sound.arrayBuffer()).byteLength);
      await service.stop();
    }
    assert.equal(sizes[0], sizes[1]);
  },
);
