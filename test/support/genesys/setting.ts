/** A simulated Genesys Cloud and a client of it, both gone after the test. */
import type { TestContext } from 'node:test';
import type { GenesysConfig } from '../../../src/config/genesys.ts';
import { createGenesys, type OpenGenesys } from '../../../src/genesys/open-genesys.ts';
import { type GenesysServer, type GenesysServerOptions, startGenesysServer } from './server.ts';

export interface Setting {
  readonly server: GenesysServer;
  readonly genesys: OpenGenesys;
  readonly signal: AbortSignal;
}

export async function setUp(
  t: TestContext,
  options: GenesysServerOptions & { readonly config?: Partial<GenesysConfig> } = {},
): Promise<Setting> {
  const server = await startGenesysServer(options);
  const genesys = createGenesys(server.config(options.config), {
    patienceMs: 2_000,
    baseDelayMs: 5,
    mediaBaseDelayMs: 5,
  });
  t.after(async () => {
    await genesys.close();
    await server.close();
  });
  return { server, genesys, signal: AbortSignal.any([t.signal, AbortSignal.timeout(200_000)]) };
}
