/** What was exported → one page that lists and plays it from the folder alone: no script, nothing from anywhere else. */
import { html, named, type Html } from '../console/html.ts';
import { pathOf } from '../recording.ts';
import type { ExportedRecording, ExportFinding } from './export-recordings.ts';

const STYLE =
  'body{font:11pt/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#111;background:#fff}h1{font-size:1.4em}article{border-top:1px solid #bbb;padding:1em 0}h2{font-size:1em;margin:0 0 .3em;overflow-wrap:anywhere}video,audio{width:100%;max-height:24em}dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em 1em;margin:.5em 0}dt{font-weight:600}dd{margin:0;overflow-wrap:anywhere}@media print{video,audio{display:none}}';

export interface CasePage {
  readonly title: string;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly recordings: readonly ExportedRecording[];
  readonly findings: readonly ExportFinding[];
}

export function casePage({ title, at, recordings, findings }: CasePage): string {
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'; media-src 'self' file:"
        />
        <title>${title}</title>
        <style>
          ${STYLE}
        </style>
      </head>
      <body>
        <h1>${named(title)}</h1>
        <p>
          ${recordings.length} recordings, exported ${at}. Each file is in SHA256SUMS (<code
            >sha256sum -c SHA256SUMS</code
          >); each certificate is checked by <code>archiver verify --certificate FILE</code>.
        </p>
        ${recordings.map(articleOf)}
        ${
          findings.length > 0 &&
          html`<h2>Not here</h2>
            <ul>
              ${findings.map(itemOf)}
            </ul>`
        }
      </body>
    </html> `;
  return page.toString();
}

function articleOf({ recording, manifest, details, certificate }: ExportedRecording): Html {
  const place = `recordings/${pathOf(recording)}`;
  const source = `${place}/recording.webm`;
  const player =
    manifest.medium === 'video'
      ? html`<video controls preload="metadata" src="${source}"></video>`
      : html`<audio controls preload="metadata" src="${source}"></audio>`;
  const people = (details?.agents ?? []).flatMap(({ name }) => name ?? []);
  const queues = (details?.queues ?? []).flatMap(({ name }) => name ?? []);
  return html`<article>
    <h2>${pathOf(recording)}</h2>
    ${player}
    <dl>
      ${rowOf('Recorded', manifest.recordedAt ?? undefined)} ${rowOf('Length', lengthText(manifest.webm.durationMs))}
      ${rowOf('Direction', details?.direction ?? undefined)} ${rowOf('Agents', people.join(', '))}
      ${rowOf('Queues', queues.join(', '))} ${rowOf('Customer', details?.customerNumber ?? undefined)}
      ${rowOf('SHA-256', manifest.webm.sha256)}
    </dl>
    <p>
      <a href="${source}">recording.webm</a>
      ${manifest.sources.map(({ original }) => original !== undefined && html` · <a href="${`${place}/${original}`}">${original}</a>`)}
      ·
      <a href="${`${place}/manifest.json`}">manifest.json</a>
      ${certificate !== undefined && html` · <a href="${certificate}">certificate</a>`}
    </p>
  </article>`;
}

function rowOf(name: string, value: string | undefined): Html | undefined {
  return value === undefined || value === ''
    ? undefined
    : html`<dt>${name}</dt>
        <dd>${named(value)}</dd>`;
}

function lengthText(durationMs: number): string {
  const seconds = Math.round(durationMs / 1000);
  return `${String(Math.floor(seconds / 60))} min ${String(seconds % 60)} s`;
}

function itemOf({ recording, state, reason }: ExportFinding): Html {
  return html`<li>${pathOf(recording)}: ${state}, ${named(reason)}</li>`;
}
