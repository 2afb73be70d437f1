/** Every page of the console, one line each: its address, who may see it, and what answers. */
import { exportAudit, showAudit } from './audit-page.ts';
import { tellAway } from './away.ts';
import { askErase, eraseFromPage } from './erase-page.ts';
import { showFound } from './find.ts';
import { holdFromPage, releaseFromPage } from './hold-page.ts';
import { notePlayed, sendLevels, sendMedia, sendOriginal } from './media.ts';
import { showRecording } from './recording.ts';
import { replayFailures, showFailures, tellReplayed } from './failures.ts';
import { showHealth, tellHealth } from './health.ts';
import { verifyFromPage } from './verify-page.ts';
import { data, redirect, type AnswerVisit } from './visit.ts';
import type { Role } from '../config/console.ts';
import type { SessionEnd } from './who/identity.ts';

export interface PageRoute {
  readonly method: 'GET' | 'POST';
  /** Below /console, as Express writes paths. */
  readonly path: string;
  /** undefined: whoever is signed in. */
  readonly role: Role | undefined;
  /** What a refusal looks like: a page for people, or the error of all other routes for programs and players. */
  readonly gives: 'page' | 'data';
  /** Somebody does something, though no page is asked for: it puts off the end of a session. */
  readonly isUse?: true;
  readonly answer: AnswerVisit;
}

/** Whether somebody is signed in, as whom, and until when: for a page that was left open. */
const tellWho: AnswerVisit = async ({ who: { id, ends } }) =>
  data(
    'application/json; charset=utf-8',
    JSON.stringify({
      id,
      ends: ends?.at ?? null,
      isFinal: ends !== undefined && ends.why !== 'idle',
      because: ends === undefined ? null : ENDS_BECAUSE[ends.why],
    }),
  );

/** As the warning goes on after "In 5 minutes: ". */
const ENDS_BECAUSE: Readonly<Record<SessionEnd['why'], string>> = {
  idle: 'nothing was done here for nearly an hour.',
  hours: 'a session ends after eight hours, whatever is done. Sign in again in another tab; this page stays.',
  key: 'the key that you signed in with is good until then, and nothing puts that off. Sign in with another key in another tab; this page stays until you come back.',
};

const RECORDING = ':conversationId/:recordingId';

export const PAGES: readonly PageRoute[] = [
  { method: 'GET', path: '/', role: undefined, gives: 'page', answer: async () => redirect('/console/find') },
  { method: 'GET', path: '/who.json', role: undefined, gives: 'data', answer: tellWho },
  // A deed and nothing else: it puts off the end of a session.
  { method: 'POST', path: '/stay', role: undefined, gives: 'data', isUse: true, answer: tellWho },
  { method: 'GET', path: '/away.json', role: undefined, gives: 'data', answer: tellAway },
  { method: 'GET', path: '/find', role: 'listen', gives: 'page', answer: showFound },
  { method: 'GET', path: '/recordings/:conversationId', role: 'listen', gives: 'page', answer: showRecording },
  { method: 'GET', path: `/recordings/${RECORDING}`, role: 'listen', gives: 'page', answer: showRecording },
  { method: 'GET', path: `/media/${RECORDING}`, role: 'listen', gives: 'data', answer: sendMedia },
  { method: 'GET', path: `/media/${RECORDING}/original/:index`, role: 'listen', gives: 'data', answer: sendOriginal },
  { method: 'GET', path: `/levels/${RECORDING}`, role: 'listen', gives: 'data', answer: sendLevels },
  { method: 'POST', path: `/played/${RECORDING}`, role: 'listen', gives: 'data', isUse: true, answer: notePlayed },
  { method: 'GET', path: '/health', role: 'listen', gives: 'page', answer: showHealth },
  { method: 'GET', path: '/health.json', role: 'listen', gives: 'data', answer: tellHealth },
  { method: 'GET', path: '/failures', role: 'listen', gives: 'page', answer: showFailures },
  { method: 'GET', path: '/failures.json', role: 'listen', gives: 'data', answer: tellReplayed },
  { method: 'POST', path: '/failures/replay', role: 'operate', gives: 'page', answer: replayFailures },
  { method: 'POST', path: '/hold', role: 'hold', gives: 'page', answer: holdFromPage },
  { method: 'POST', path: '/release', role: 'hold', gives: 'page', answer: releaseFromPage },
  { method: 'GET', path: '/erase', role: 'erase', gives: 'page', answer: askErase },
  { method: 'POST', path: '/erase', role: 'erase', gives: 'page', answer: eraseFromPage },
  { method: 'POST', path: '/verify', role: 'audit', gives: 'page', answer: verifyFromPage },
  { method: 'GET', path: '/audit', role: 'audit', gives: 'page', answer: showAudit },
  { method: 'GET', path: '/audit.ndjson', role: 'audit', gives: 'data', answer: exportAudit },
];
