/** MP4 that shows its pictures later than it decodes them, whose index tells of a beginning alone, or that stores its pictures first. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ffmpeg } from '../../support/media/ffmpeg.ts';
import { withFile } from '../../support/media/files.ts';
import { hear, HEARD_RATE, stretchesOf } from '../../support/media/hear.ts';
import { type Archived, archived } from '../../support/media/made.ts';
import { checkWebm } from '../../support/media/webm-check.ts';

const HANG = { timeout: 400_000 };

const BEEPS = "aevalsrc='0.4*sin(2*PI*440*t)*lt(mod(t,1),0.1)':s=48000:d=8";
const soundOf = (withSound: boolean): readonly string[] =>
  withSound ? ['-f', 'lavfi', '-i', BEEPS, '-c:a', 'aac'] : [];

interface Asked {
  readonly rate: number;
  readonly bFrames: number;
  readonly withSound: boolean;
  readonly layout: readonly string[];
}

/** Eight seconds of a screen, with as many pictures between two key frames as are a few seconds. */
function screen({ rate, bFrames, withSound, layout }: Asked): Promise<Buffer> {
  const pictures = ['-f', 'lavfi', '-i', `testsrc2=size=160x120:rate=${String(rate)}:d=8`];
  const coded = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-b_strategy', '0'];
  const inGroups = ['-bf', String(bFrames), '-g', String(3 * rate)];
  return withFile('a.mp4', (path) =>
    ffmpeg(...pictures, ...soundOf(withSound), ...coded, ...inGroups, ...layout, '-y', path),
  );
}

const LAYOUTS: Readonly<Record<string, readonly string[]>> = {
  'without an edit list': ['-use_editlist', '0'],
  'in fragments': ['-movflags', 'empty_moov+frag_keyframe'],
  'in fragments with an edit list': ['-movflags', 'frag_keyframe+delay_moov+empty_moov'],
  'in fragments of a picture': ['-movflags', 'empty_moov+frag_every_frame'],
  'in fragments behind a beginning in the index': ['-movflags', 'frag_keyframe'],
};

const secondsOf = ({ result }: Archived): number => result.durationMs / 1000;

/** Where B-frames delay the pictures and no edit list takes it back, they begin so much later. */
const MOST_LATE_S = 2;

for (const [name, layout] of Object.entries(LAYOUTS)) {
  test(`a screen of few pictures a second ${name} is whole`, HANG, async () => {
    for (const [rate, bFrames, withSound] of [
      [1, 2, true],
      [1, 2, false],
      [3, 2, true],
      [1, 0, true],
    ] as const) {
      const made = await archived([await screen({ rate, bFrames, withSound, layout })], { seconds: 8 });
      const { blocks } = checkWebm(made.file);
      const pictures = blocks.filter(({ track }) => track === 1);
      assert.equal(pictures.length, 8 * rate);
      const late = withSound ? MOST_LATE_S / rate : 0;
      assert.ok(secondsOf(made) > 7.95 && secondsOf(made) < 8.1 + late, String(secondsOf(made)));
    }
  });

  test(`a screen of few pictures a second ${name}, cut wherever, is refused`, HANG, async () => {
    const file = await screen({ rate: 2, bFrames: 2, withSound: true, layout });
    const marked = file.lastIndexOf('mfra');
    const length = marked < 0 ? file.length : marked - 4;
    for (let tenths = 1; tenths < 10; tenths += 1) {
      const cut = file.subarray(0, Math.floor((length * tenths) / 10));
      await assert.rejects(
        archived([cut], { seconds: 8 }),
        { code: /^(incomplete|unreadable-media)$/ },
        String(tenths),
      );
    }
  });
}

test('sound that begins before pictures that are stored in front of it is heard from its beginning', HANG, async () => {
  for (const lateS of [0.3, 1]) {
    const pictures = ['-itsoffset', String(lateS), '-f', 'lavfi', '-i', 'testsrc2=size=160x120:rate=10:d=7'];
    const coded = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-fps_mode', 'passthrough'];
    const inFragments = ['-g', '250', '-movflags', 'frag_keyframe+delay_moov+empty_moov'];
    const file = await withFile('a.mp4', (path) =>
      ffmpeg(...pictures, ...soundOf(true), ...coded, ...inFragments, '-y', path),
    );
    const made = await archived([file], { seconds: 8 });
    const [sound = new Float32Array()] = await hear(made.file, made.result.channels);
    assert.ok(Math.abs(sound.length / HEARD_RATE - 8) < 0.05, String(sound.length / HEARD_RATE));
    const beeps = stretchesOf(sound).map(([from]) => from);
    assert.equal(beeps.length, 8);
    for (const [second, from] of beeps.entries()) assert.ok(Math.abs(from - second) < 0.02, beeps.join(' '));
    const [first] = checkWebm(made.file).blocks.filter(({ track }) => track === 1);
    assert.ok(Math.abs((first?.timeMs ?? 0) / 1000 - lateS) < 0.02, String(first?.timeMs));
  }
});
