/** The picture of a recording, 28 columns of each lane → an SVG for a row: customer up, agent down, one lane mirrored. */
import { html, type Html } from './html.ts';

const STEP = 3;
const FIRST = 1.5;
const MIDDLE = 10;
const GAP = 1;
/** Of the highest column, from the gap on. */
const HEIGHT = 8;
const HIGHEST = 15;

/** undefined where nothing can be drawn. */
export function sparkOf(picture: readonly string[]): Html | undefined {
  const [up, down] = picture;
  if (up === undefined) return undefined;
  const lanes =
    down === undefined
      ? html`<path class="cus" d="${columns(up, bothWays)}" />`
      : html`<path class="cus" d="${columns(up, upwards)}" /><path class="agt" d="${columns(down, downwards)}" />`;
  return html`<svg class="spark" viewBox="0 0 84 20" aria-hidden="true">${lanes}</svg>`;
}

type Column = (x: number, height: number) => string;

const upwards: Column = (x, height) => `M${String(x)} ${tenths(MIDDLE - GAP - height)}V${tenths(MIDDLE - GAP)}`;
const downwards: Column = (x, height) => `M${String(x)} ${tenths(MIDDLE + GAP)}V${tenths(MIDDLE + GAP + height)}`;
const bothWays: Column = (x, height) => `M${String(x)} ${tenths(MIDDLE - height)}V${tenths(MIDDLE + height)}`;

function columns(lane: string, draw: Column): string {
  return Array.from(lane, (digit, index) => {
    const height = (Number.parseInt(digit, 16) / HIGHEST) * HEIGHT;
    return height > 0 ? draw(FIRST + index * STEP, height) : '';
  }).join('');
}

function tenths(value: number): string {
  return String(Math.round(value * 10) / 10);
}
