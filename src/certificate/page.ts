/** A certificate → a page that a person can print: what it states, who signed it, and how to check it. */
import { html } from '../console/html.ts';
import type { Signed } from '../statement.ts';
import { checkCertificate } from './check.ts';

const STYLE =
  'body{font:11pt/1.5 system-ui,sans-serif;max-width:46em;margin:2em auto;padding:0 1em;color:#111;background:#fff}h1{font-size:1.4em}table{border-collapse:collapse;width:100%}th{text-align:left;vertical-align:top;padding:.2em 1em .2em 0;white-space:nowrap;font-weight:600}td{padding:.2em 0;overflow-wrap:anywhere;font-family:ui-monospace,monospace;font-size:.9em}footer{margin-top:2em;font-size:.85em}';

export interface PageNeeds {
  /** Name of the JSON file beside it. */
  readonly file: string;
  /** The certificate as it lies in that file. */
  readonly text: string;
}

/** Stands alone: no script, nothing loaded from anywhere. */
export function certificatePage({ file, text }: PageNeeds, { signature }: Signed): string {
  const { stated, fingerprint } = checkCertificate(text);
  const rows = stated.map(
    ([name, value]) =>
      html`<tr>
        <th scope="row">${name}</th>
        <td>${value}</td>
      </tr>`,
  );
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
        <title>Certificate</title>
        <style>
          ${STYLE}
        </style>
      </head>
      <body>
        <h1>Certificate</h1>
        <table>
          ${rows}
        </table>
        <h2>Signature</h2>
        <table>
          <tr>
            <th scope="row">key (SHA-256)</th>
            <td>${fingerprint}</td>
          </tr>
          <tr>
            <th scope="row">Ed25519</th>
            <td>${signature?.value}</td>
          </tr>
        </table>
        <footer>
          <p>
            This page is for reading. What is signed is ${file}; whoever has the public key checks it without us:
            <code>archiver verify --certificate ${file} --key public.pem</code>
          </p>
        </footer>
      </body>
    </html> `;
  return page.toString();
}
