let jars = 0;

/**
 * One browser's cookies, as far as these tests need them: sent back with each request, until they are ended. Each browser has an
 * address of its own, where a proxy is believed.
 */
export class Jar {
  readonly #address = `192.0.2.${String((jars += 1))}`;
  readonly #cookies = new Map<string, string>();
  /** As they were set last, with their attributes. */
  readonly seen = new Map<string, string>();

  take(response: Response): Response {
    for (const line of response.headers.getSetCookie()) {
      const [pair = ''] = line.split(';');
      const name = pair.slice(0, pair.indexOf('='));
      this.seen.set(name, line);
      if (/Max-Age=0\b/.test(line)) this.#cookies.delete(name);
      else this.#cookies.set(name, pair.slice(pair.indexOf('=') + 1));
    }
    return response;
  }

  get(name: string): string | undefined {
    return this.#cookies.get(name);
  }

  set(name: string, value: string): void {
    this.#cookies.set(name, value);
  }

  get headers(): Readonly<Record<string, string>> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    return { cookie, 'x-forwarded-for': this.#address };
  }
}
