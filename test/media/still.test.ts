/** Screens that do not change: an encoder leaves out pictures that repeat, and the last one is shown to the recording's end all the same. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { requireWhole } from '../../src/media/proof.ts';
import { UNKNOWN_LENGTHS } from '../../src/media/source/tally.ts';
import { ffmpeg } from '../support/media/ffmpeg.ts';
import { withFile } from '../support/media/files.ts';
import { archived } from '../support/media/made.ts';
import { checkWebm } from '../support/media/webm-check.ts';

const HANG = { timeout: 400_000 };
const X264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p'];

/** Moves for 4 s, then stays for 8. */
const screen = (rate: string): readonly string[] => {
  const moves = `testsrc2=size=160x120:rate=${rate}:d=4`;
  return ['-f', 'lavfi', '-i', `${moves},tpad=stop_mode=clone:stop_duration=8`];
};
const VOICE = ['-f', 'lavfi', '-i', 'sine=440:d=12', '-c:a', 'aac'];

const inFile = (name: string, ...args: readonly string[]): Promise<Buffer> =>
  withFile(name, (path) => ffmpeg('-y', ...args, path));

async function assertShown(file: Buffer, seconds: number, genesysS: number | undefined): Promise<void> {
  const made = await archived([file], { seconds: genesysS });
  assert.equal(made.way, 'encode-video');
  const { durationMs = 0 } = checkWebm(made.file);
  assert.ok(Math.abs(durationMs / 1000 - seconds) < 0.1, `${String(durationMs)} ms of ${String(seconds)} s`);
}

for (const rate of ['1', '1/2', '1/4']) {
  test(
    `(D11) a screen of ${rate} pictures a second that ends with the same picture for 8 s is whole`,
    HANG,
    async () => {
      const fragments = ['-movflags', 'empty_moov+frag_keyframe', '-f', 'mp4', 'pipe:1'];
      const files = [
        await inFile('a.mp4', ...screen(rate), ...X264),
        await inFile('a.mp4', ...screen(rate), ...VOICE, ...X264),
        await inFile('a.mkv', ...screen(rate), ...X264),
        await ffmpeg(...screen(rate), ...X264, ...fragments),
        await ffmpeg(...screen(rate), ...X264, '-f', 'matroska', 'pipe:1'),
      ];
      for (const file of files) await assertShown(file, 12, 12);
      // Where it has no end mark either, what it shows longer than Genesys says is no sign that it was cut.
      await assertShown(files.at(-1) ?? assert.fail(), 12, 10);
    },
  );
}

test(
  '(D11) pictures that come only where something changes are whole, however long the last one stays',
  HANG,
  async () => {
    const pictures = 'testsrc2=size=160x120:rate=10:d=3.1,tpad=stop_mode=clone:stop_duration=11';
    const few = "select='eq(n,0)+eq(n,15)+eq(n,30)+eq(n,139)'";
    const args = ['-f', 'lavfi', '-i', pictures, '-vf', few, '-fps_mode', 'vfr', ...X264];
    await assertShown(await inFile('a.mp4', ...args), 14, 14);
  },
);

test(
  '(D11) the last of few pictures stays as long as its source says, and not as long as they do on average',
  HANG,
  async () => {
    const times = "settb=1/1000,select='lt(n,4)',setpts='(9.7*eq(N,1)+21.1*eq(N,2)+21.213*eq(N,3))/TB'";
    const pictures = ['-f', 'lavfi', '-i', `testsrc2=size=160x120:rate=10:d=1,${times}`, ...X264, '-bf', '0'];
    const exact = ['-enc_time_base', '1:1000', '-video_track_timescale', '1000', '-fps_mode', 'passthrough'];
    const film = await inFile('a.mp4', ...pictures, ...exact);
    await assertShown(film, 21.313, 21.313);
    await assertShown(await copied(film, []), 21.313, 21.313);
    await assertShown(await copied(film, ['-f', 'lavfi', '-i', 'sine=440:d=22', '-c:a', 'flac']), 22, 22);
  },
);

test('(D11) of few pictures that are re-wrapped the last stays no longer than a second by guess', HANG, async () => {
  const times = "settb=1/1000,select='lt(n,4)',setpts='(9.7*eq(N,1)+21.1*eq(N,2)+21.213*eq(N,3))/TB'";
  const pictures = ['-f', 'lavfi', '-i', `testsrc2=size=160x120:rate=10:d=1,${times}`, '-fps_mode', 'passthrough'];
  const vp9 = ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-enc_time_base', '1:1000'];
  const film = await inFile('a.mp4', ...pictures, ...vp9, '-video_track_timescale', '1000');
  const { way, file } = await archived([await copied(film, [])], { seconds: 21.3 });
  assert.equal(way, 'rewrap');
  const { durationMs = 0 } = checkWebm(file);
  assert.ok(durationMs > 21_200 && durationMs < 22_300, String(durationMs));
});

/** In Matroska, which calls their average the time of a picture. */
const copied = (film: Buffer, sound: readonly string[]): Promise<Buffer> =>
  withFile('a.mkv', async (path) => {
    await writeFile(`${path}.mp4`, film);
    await ffmpeg('-i', `${path}.mp4`, ...sound, '-c:v', 'copy', '-y', path);
  });

test(
  '(D11) where sizes account for its every byte, the last picture of a Matroska stays as long as its header says',
  HANG,
  async () => {
    const moves = ['-f', 'lavfi', '-i', 'testsrc2=size=160x120:rate=10:d=2'];
    for (const [stillS, shifted] of [
      [4.5, []],
      [9, []],
      [9, ['-output_ts_offset', '3600']],
    ] as const) {
      const file = await inFile('a.mkv', ...moves, ...X264, ...shifted);
      const at = file.indexOf(Buffer.from([0x44, 0x89, 0x88]));
      file.writeDoubleBE(file.readDoubleBE(at + 3) + stillS * 1000, at + 3);
      await assertShown(file, 2 + stillS, 2 + stillS);
      // What a header exaggerates is settled by Genesys.
      await assertShown(file, 2, 2);
    }
  },
);

test('(D11) what an encoder may leave out is no more than its repeats: pictures that end before them are missed', () => {
  const endsAt = (picturesMs: number): unknown =>
    requireWhole({
      soundMs: undefined,
      picturesMs,
      packets: 1,
      sourceMs: 20_000,
      isStated: false,
      genesysMs: 20_000,
      lacksEndMark: false,
      isSized: true,
      countedMs: { ...UNKNOWN_LENGTHS, picturesMs: 20_000, repeatsFromMs: 11_000 },
      soundSlackMs: undefined,
      hasKnownSize: true,
    });
  assert.deepEqual(endsAt(11_000), { note: undefined, picturesUntilMs: 20_000 });
  assert.throws(() => endsAt(10_980), { code: 'incomplete' });
});
