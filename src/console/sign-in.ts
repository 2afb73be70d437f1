/** The page one signs in on with a key, and the one after signing out. */
import { html } from './html.ts';
import type { ShownPage } from './visit.ts';

export interface SignInState {
  /** Where it goes on afterwards. */
  readonly to: string;
  /** Why the last attempt did not work. */
  readonly problem?: string;
  /** Why a session has ended before its time. */
  readonly ended?: string | undefined;
  readonly status?: number;
}

/** A key never reaches a script, nor is it kept: browsers are asked to store it like a password. */
export function signInPage({ to, problem, ended, status = 200 }: SignInState): ShownPage {
  return {
    kind: 'page',
    title: 'Sign in',
    status,
    main: html`<section class="card sec notice">
      <h1>Sign in</h1>
      ${ended !== undefined && html`<p class="said" role="status"><b>You are signed out.</b> ${ended}</p>`}
      ${
        problem !== undefined &&
        html`<p class="said bad" role="alert" id="problem"><b>That did not work.</b> ${problem}</p>`
      }
      <form method="post" action="/console/sign-in" class="stack">
        <input type="hidden" name="to" value="${to}" />
        <label class="lab1"
          >API key
          <input
            class="inp"
            type="password"
            name="key"
            autocomplete="current-password"
            required
            autofocus
            ${problem !== undefined && html`aria-describedby="problem" aria-invalid="true"`}
          />
        </label>
        <p class="muted small">
          One of API_KEYS. It stays here for eight hours at most, for one without use, and never longer than the key is
          good.
        </p>
        <p class="acts"><button class="btn pri" type="submit">Sign in</button></p>
      </form>
    </section>`,
  };
}

/** On the way to the identity provider, which would lose the moment that a link leads to: a script keeps it in the browser. */
export function departurePage(to: string, leave: string): ShownPage {
  const onward = `${leave}?to=${encodeURIComponent(to)}`;
  return {
    kind: 'page',
    title: 'Sign in',
    goesOnTo: onward,
    main: html`<section class="card sec notice">
      <h1>Sign in</h1>
      <p>Your identity provider asks who you are, and sends you back here.</p>
      <p class="acts"><a class="btn pri" href="${onward}" data-leave="${to}">Go on</a></p>
    </section>`,
  };
}

export function signedOutPage(): ShownPage {
  return {
    kind: 'page',
    title: 'Signed out',
    main: html`<section class="card sec notice">
      <h1>You are signed out</h1>
      <p>Of the console; your identity provider may still know you.</p>
      <p class="acts"><a class="btn pri" href="/console/sign-in">Sign in again</a></p>
    </section>`,
  };
}
