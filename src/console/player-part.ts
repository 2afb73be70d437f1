/** An archived recording → what plays it: sound or picture with the browser's own controls, and all that scripts need to do better. */
import type { Entry } from '../archive/archive.ts';
import { recordingOf, type Manifest } from '../archive/manifest.ts';
import type { LevelFacts } from '../levels.ts';
import { pathOf } from '../recording.ts';
import type { Call } from './call.ts';
import { html, type Html } from './html.ts';
import type { ConsoleNeeds, Visit } from './visit.ts';
import { lengthWords } from './words-for.ts';

export function playerPart(
  { conversation }: Call,
  manifest: Manifest,
  { visit, needs }: { readonly visit: Visit; readonly needs: ConsoleNeeds },
): Html {
  const { channelNames } = needs.hearing;
  const { webm, medium } = manifest;
  const path = pathOf(recordingOf(manifest));
  const lanes = lanesOf(webm.channels, channelNames);
  const screens = medium === 'video' ? [] : conversation.flatMap((entry) => screenBeside(entry, manifest));
  return html`<call-player
    data-levels="/console/levels/${path}"
    data-played="/console/played/${path}"
    data-here="/console/recordings/${path}"
    data-token="${visit.token}"
    data-duration="${webm.durationMs / 1000}"
    data-lanes="${lanes.join('\n')}"
  >
    ${medium === 'video' ? mainVideo(path) : mainAudio(path)}
    ${manifest.levels !== undefined && statsPart(manifest.levels, lanes)} ${screens.length > 0 && screensPart(screens)}
  </call-player>`;
}

/** What is known of its sound while it cannot be played. */
export function heardPart({ webm, levels, medium }: Manifest, { hearing }: ConsoleNeeds): Html {
  return html`<p>It cannot be played meanwhile.</p>
    ${medium !== 'video' && levels !== undefined && statsPart(levels, lanesOf(webm.channels, hearing.channelNames))}`;
}

function mainAudio(path: string): Html {
  return html`<audio
    class="main"
    controls
    preload="none"
    src="/console/media/${path}"
    aria-label="The recording"
  ></audio>`;
}

function mainVideo(path: string): Html {
  return html`<video
    class="main"
    controls
    playsinline
    preload="none"
    src="/console/media/${path}"
    aria-label="The recording"
  ></video>`;
}

function lanesOf(channels: number, names: readonly [string, string]): readonly string[] {
  if (channels >= 2) return names.map(capital);
  return channels === 1 ? ['Voice'] : [];
}

function capital(name: string): string {
  return name.slice(0, 1).toUpperCase() + name.slice(1);
}

/** The picture in words: who speaks for how long. */
function statsPart({ speakingS, bothS, silentS, longestSilenceS }: LevelFacts, lanes: readonly string[]): Html {
  return html`<p class="stats">
    ${speakingS.map(
      (seconds, index) =>
        html`<span
          ><span class="key k${index}" aria-hidden="true"></span>${lanes[index] ?? 'Voice'}
          <b>${seconds === 0 ? 'not heard' : lengthWords(seconds * 1000)}</b></span
        > `,
    )}
    ${speakingS.length > 1 && html`<span><span class="key kb" aria-hidden="true"></span>Both at once <b>${lengthWords(bothS * 1000)}</b></span>`}
    <span>Silence <b>${lengthWords(silentS * 1000)}</b> · longest ${lengthWords(longestSilenceS * 1000)}</span>
  </p>`;
}

interface CallScreen {
  readonly path: string;
  /** Seconds that it starts after the voice. */
  readonly offsetS: number;
}

function screenBeside(entry: Entry, voice: Manifest): readonly CallScreen[] {
  if (entry.status !== 'archived' || entry.manifest.medium !== 'video') return [];
  const [at, voiceAt] = [entry.manifest.recordedAt, voice.recordedAt];
  const offsetS = at === null || voiceAt === null ? 0 : (Date.parse(at) - Date.parse(voiceAt)) / 1000;
  return [{ path: pathOf(recordingOf(entry.manifest)), offsetS }];
}

function screensPart(screens: readonly CallScreen[]): Html {
  return html`<section class="screens" aria-labelledby="screens">
    <h3 id="screens">Screen</h3>
    ${screens.map(
      ({ path, offsetS }, index) =>
        html`<figure class="scr" data-screen="${index}">
          <video
            muted
            controls
            playsinline
            preload="none"
            src="/console/media/${path}"
            data-offset="${offsetS}"
            aria-label="Screen ${index + 1} of ${screens.length}"
          ></video>
          <figcaption class="small muted">Screen, ${index + 1} of ${screens.length}${offsetWords(offsetS)}</figcaption>
        </figure>`,
    )}
  </section>`;
}

function offsetWords(offsetS: number): string {
  if (Math.abs(offsetS) < 0.05) return '';
  return ` · starts ${Math.abs(offsetS).toFixed(1)} s ${offsetS > 0 ? 'after' : 'before'} the voice`;
}
