import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import express from 'express';
import { Failure } from '../../src/failure.ts';
import { createErrorAnswers } from '../../src/http/errors.ts';
import { listen } from '../../src/http/server.ts';
import { createLog } from '../../src/telemetry/log.ts';

test('an error after the head breaks the connection instead of ending it', async () => {
  const app = express();
  app.get('/', (_req, res) => {
    res.write('a part');
    throw new Failure('internal', 'Too late for words.');
  });
  app.use(createErrorAnswers(createLog({ level: 'error', secrets: [], stream: new PassThrough().resume() })));
  const listener = await listen(app, { host: '127.0.0.1', port: 0 });
  await assert.rejects(
    fetch(listener.url).then((response) => response.text()),
    TypeError,
  );
  await listener.close(0);
});
