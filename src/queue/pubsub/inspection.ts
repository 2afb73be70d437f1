/** A subscription of Pub/Sub → how it is set: for whoever checks a set-up, never for live work. */
import { PubsubLibrary, type SubscriptionFacts } from './library.ts';

/** undefined where the account may not see it. @throws Failure `misconfigured` where there is none, `queue-unavailable` */
export async function inspectSubscription({
  project,
  subscription,
}: {
  readonly project: string;
  readonly subscription: string;
}): Promise<SubscriptionFacts | undefined> {
  const library = new PubsubLibrary(project);
  try {
    return await library.settingsOf(subscription);
  } finally {
    await library.close();
  }
}
