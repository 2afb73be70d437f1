/** What the last words of an encoder mean: whether the media, the machine or the installation is to blame. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FailureCode } from '../../../src/failure.ts';
import { endedWell, endingFailure, LEFT_OUT } from '../../../src/media/encoder/failure.ts';

const WORDS: readonly (readonly [string, FailureCode])[] = [
  ['Cannot determine format of input stream 0:0 after EOF\nError marking filters as finished', 'unreadable-media'],
  ['pipe:0: Invalid data found when processing input', 'unreadable-media'],
  ['Decoder (codec svq3) not found for input stream #0:0', 'unsupported-media'],
  ["Unknown encoder 'libopus'", 'misconfigured'],
  ['Cannot allocate memory\nCannot determine format of input stream 0:0 after EOF', 'encoder-failed'],
  ['Nobody has ever said this', 'encoder-failed'],
  [
    '[dec:mp3float @ 0x1] Decode error rate 1 exceeds maximum 0\nTask finished with error code: -1145393733',
    'unreadable-media',
  ],
];

for (const [stderr, code] of WORDS) {
  test(`"${stderr.split('\n', 1).join('')}": ${code}`, () => {
    assert.equal(endingFailure({ code: 1, signal: null, stderr, leftOut: false }).code, code);
  });
}

test('whatever it said, one that was killed is a failure of the encoder (FF-07)', () => {
  const stderr = 'Cannot determine format of input stream 0:0 after EOF';
  assert.equal(endingFailure({ code: null, signal: 'SIGKILL', stderr, leftOut: false }).code, 'encoder-failed');
});

test('what says that it left something out did not end well, whatever its code', () => {
  for (const said of [
    'Error while decoding stream #0:0: Invalid data found when processing input',
    '[aist#0:0/mp3 @ 0x1] [dec:mp3float @ 0x2] Error submitting packet to decoder: Invalid data found',
    '[vist#0:0/h264 @ 0x1] [dec:h264 @ 0x2] Decoding error: Invalid data found when processing input',
  ]) {
    assert.match(said, LEFT_OUT);
    assert.equal(endingFailure({ code: 0, signal: null, stderr: said, leftOut: true }).code, 'unreadable-media');
  }
  assert.equal(endedWell({ code: 0, signal: null, stderr: '', leftOut: true }), false);
  assert.equal(
    endedWell({ code: 0, signal: null, stderr: '[h264 @ 0x1] mmco: unref short failure', leftOut: false }),
    true,
  );
});
