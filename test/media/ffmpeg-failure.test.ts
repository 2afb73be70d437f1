/** What the last words of an encoder mean: whether the media, the machine or the installation is to blame. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FailureCode } from '../../src/failure.ts';
import { failureOf } from '../../src/media/ffmpeg-failure.ts';

const WORDS: readonly (readonly [string, FailureCode])[] = [
  ['Cannot determine format of input stream 0:0 after EOF\nError marking filters as finished', 'unreadable-media'],
  ['pipe:0: Invalid data found when processing input', 'unreadable-media'],
  ['Decoder (codec svq3) not found for input stream #0:0', 'unsupported-media'],
  ["Unknown encoder 'libopus'", 'misconfigured'],
  ['Cannot allocate memory\nCannot determine format of input stream 0:0 after EOF', 'encoder-failed'],
  ['Nobody has ever said this', 'encoder-failed'],
];

for (const [stderr, code] of WORDS) {
  test(`"${stderr.split('\n', 1).join('')}": ${code}`, () => {
    assert.equal(failureOf({ code: 1, signal: null, stderr }).code, code);
  });
}

test('whatever it said, one that was killed is a failure of the encoder (FF-07)', () => {
  const stderr = 'Cannot determine format of input stream 0:0 after EOF';
  assert.equal(failureOf({ code: null, signal: 'SIGKILL', stderr }).code, 'encoder-failed');
});
