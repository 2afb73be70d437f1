/** When pictures are shown, beside their sound: at the times of their source, whatever rate an encoder takes them for. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { ffmpeg } from '../support/media/ffmpeg.ts';
import { withFile } from '../support/media/files.ts';
import { archived } from '../support/media/made.ts';
import { checkWebm } from '../support/media/webm-check.ts';

const HANG = { timeout: 400_000 };
const X264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-bf', '0'];
const VOICE = ['-f', 'lavfi', '-i', 'sine=440:d=8'];

/** No two pictures are the same. */
const pictures = (filters: string): Promise<Buffer> => {
  const source = ['-f', 'lavfi', '-i', `testsrc2=size=160x120:rate=10:d=2,settb=1/1000,${filters}`];
  const exact = ['-enc_time_base', '1:1000', '-video_track_timescale', '1000', '-fps_mode', 'passthrough'];
  return withFile('a.mp4', (path) => ffmpeg(...source, ...X264, ...exact, '-y', path));
};

/** Beside sound that begins so much earlier. */
const withVoice = (film: Buffer, lateS: number, name: string): Promise<Buffer> =>
  withFile('film.mp4', async (path) => {
    await writeFile(path, film);
    const late = ['-itsoffset', String(lateS), '-i', path];
    const whole = await withFile(name, (both) =>
      ffmpeg(
        ...VOICE,
        ...late,
        '-map',
        '1:v',
        '-map',
        '0:a',
        '-c:v',
        'copy',
        '-c:a',
        name.endsWith('mp4') ? 'aac' : 'flac',
        '-y',
        both,
      ),
    );
    await writeFile(path, whole);
  });

async function assertShownAt(file: Buffer, seconds: readonly number[]): Promise<void> {
  const made = await archived([file]);
  assert.equal(made.way, 'encode-video');
  const shown = checkWebm(made.file).blocks.filter(({ track }) => track === 1);
  assert.equal(shown.length, seconds.length);
  const off = shown.map(({ timeMs }, index) => Math.abs(timeMs / 1000 - (seconds[index] ?? NaN)));
  // What Opus puts in front is 7 ms.
  assert.ok(Math.max(...off) < 0.015, off.map((each) => each.toFixed(3)).join(' '));
}

for (const name of ['a.mp4', 'a.mkv']) {
  for (const [rate, lateS] of [
    [1, 0.45],
    [3, 0.2],
    [10, 0.25],
  ] as const) {
    test(
      `${String(rate)} pictures a second that begin ${String(lateS)} s behind the sound stay there: ${name}`,
      HANG,
      async () => {
        const film = await pictures(`trim=end_frame=6,setpts=N/${String(rate)}/TB`);
        const times = Array.from({ length: 6 }, (_, index) => lateS + index / rate);
        await assertShownAt(await withVoice(film, lateS, name), times);
      },
    );
  }

  test(`pictures that come at irregular times come at these: ${name}`, HANG, async () => {
    const film = await pictures("setpts='(0.31*N+0.2*mod(N*N,7)/7)/TB'");
    const times = Array.from({ length: 20 }, (_, index) => 0.31 * index + (0.2 * ((index * index) % 7)) / 7);
    await assertShownAt(await withVoice(film, 0, name), times);
  });
}
