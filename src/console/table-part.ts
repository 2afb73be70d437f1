/** Rows about recordings → a table that scrolls in its own box on a phone; and the cells that several pages write alike. */
import type { Subject } from '../archive/names.ts';
import { html, type Html } from './html.ts';

interface WideTable {
  /** What a screen reader says of the box. */
  readonly label: string;
  /** Of its columns; {@link ACTIONS} where they are buttons. */
  readonly heads: readonly (string | Html)[];
  readonly rows: readonly Html[];
}

export const ACTIONS = html`<span class="vh">Actions</span>`;

export function wideTable({ label, heads, rows }: WideTable): Html {
  return html`<div class="wide" tabindex="0" role="region" aria-label="${label}">
    <table class="fail">
      <thead>
        <tr>
          ${heads.map((head) => html`<th scope="col">${head}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div>`;
}

/** Conversation above, recording below, each a link; `whole` where it is about all of the conversation. */
export function idsCell({ conversationId, recordingId }: Partial<Subject>, whole?: string): Html {
  return html`<td>
    ${conversationId !== undefined && html`<a href="/console/recordings/${conversationId}"><code>${conversationId}</code></a>`}
    ${
      recordingId !== undefined
        ? html`<div class="small">
            <a href="/console/recordings/${conversationId ?? '_'}/${recordingId}"><code>${recordingId}</code></a>
          </div>`
        : whole !== undefined && html`<div class="small muted">${whole}</div>`
    }
  </td>`;
}
