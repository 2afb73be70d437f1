/** Every page of the console, one line each: its address, who may see it, and what answers. */
import { redirect, type AnswerVisit } from './visit.ts';
import type { Role } from '../config/console.ts';

export interface PageRoute {
  readonly method: 'GET' | 'POST';
  /** Below /console, as Express writes paths. */
  readonly path: string;
  /** undefined: whoever is signed in. */
  readonly role: Role | undefined;
  /** What a refusal looks like: a page for people, or the error of all other routes for programs and players. */
  readonly gives: 'page' | 'data';
  readonly answer: AnswerVisit;
}

export const PAGES: readonly PageRoute[] = [
  { method: 'GET', path: '/', role: undefined, gives: 'page', answer: async () => redirect('/console/find') },
];
