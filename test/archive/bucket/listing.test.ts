import { openBucketHarness, PREFIX } from '../../support/archive/bucket.ts';
import { listingSuite } from '../listing-suite.ts';

listingSuite('the bucket archive', async () => {
  const harness = await openBucketHarness({ audits: [] });
  const { server } = harness;
  let seen = 0;
  return Object.assign(harness, {
    asked() {
      const since = server.seen.slice(seen);
      seen = server.seen.length;
      const count = (...operations: readonly string[]): number =>
        since.filter(({ operation }) => operations.includes(operation)).length;
      return { opened: count('media', 'get'), listed: count('list') };
    },
    async lose(folder: string) {
      for (const name of server.names()) if (name.startsWith(`${PREFIX}/${folder}`)) server.store.remove(name);
    },
    async place(name: string, text: string) {
      const earlier = new Date(Date.now() - 3_600_000);
      server.put(`${PREFIX}/${name}`, Buffer.from(text), name.startsWith('listing/') ? { at: earlier } : {});
    },
  });
});
