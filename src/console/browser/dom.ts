/** Elements of a page from their names, attributes and contents: text stays text. */

type ElementFacts = Readonly<Record<string, string | number | boolean>>;

/** `true` is an attribute without a value, `false` none. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: ElementFacts = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (value !== false) element.setAttribute(name, value === true ? '' : String(value));
  element.append(...children);
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

/** One path, 20 units wide. */
export function icon(path: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 20 20');
  svg.setAttribute('aria-hidden', 'true');
  const drawn = document.createElementNS(SVG, 'path');
  drawn.setAttribute('d', path);
  svg.append(drawn);
  return svg;
}

/** `1:58`, `1:02:03`. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = String(whole % 60).padStart(2, '0');
  return hours === 0 ? `${String(minutes)}:${rest}` : `${String(hours)}:${String(minutes).padStart(2, '0')}:${rest}`;
}

/** `1 minute 58 seconds`. */
export function spoken(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const units = [
    [Math.floor(whole / 3600), 'hour'],
    [Math.floor(whole / 60) % 60, 'minute'],
    [whole % 60, 'second'],
  ] as const;
  const parts = units.flatMap(([count, unit]) =>
    count === 0 ? [] : [`${String(count)} ${unit}${count === 1 ? '' : 's'}`],
  );
  return parts.length === 0 ? '0 seconds' : parts.join(' ');
}

/** The parser of the browser itself makes the document: no text becomes markup here, and no script of it runs. Ends however that ends. */
export function askForPage(href: string, request = new XMLHttpRequest()): Promise<XMLHttpRequest> {
  request.open('GET', href);
  request.responseType = 'document';
  return new Promise((resolve) => {
    request.addEventListener('loadend', () => resolve(request));
    request.send();
  });
}
