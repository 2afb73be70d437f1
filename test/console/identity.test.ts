import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Identity, mayHear, shownNumber } from '../../src/console/who/identity.ts';

const LIMITED: Identity = {
  id: 'x',
  way: 'oidc',
  roles: new Set(['listen']),
  divisions: new Set(['Claims', 'b0c5b9e0-5b5c-4a52-8a3e-0d8c2f5c1f11']),
};

test('whoever listens to divisions hears those alone, and nothing whose division is not known', () => {
  assert.equal(mayHear(LIMITED, 'Claims'), true);
  assert.equal(mayHear(LIMITED, 'b0c5b9e0-5b5c-4a52-8a3e-0d8c2f5c1f11'), true);
  for (const other of ['Renewals', 'claims', 'Claims ', '', undefined]) assert.equal(mayHear(LIMITED, other), false);
  assert.equal(mayHear({ ...LIMITED, divisions: 'all' }, undefined), true);
  assert.equal(mayHear({ ...LIMITED, roles: new Set(['audit', 'erase']) }, 'Claims'), false);
});

test('without the role "numbers" three digits of a number are left, whatever it holds besides', () => {
  const who = { roles: new Set(['listen'] as const) };
  assert.equal(shownNumber('+44 20 7946 0183', who), '…183');
  assert.equal(shownNumber('tel:+442079460183', who), '…183');
  assert.equal(shownNumber('12', who), '…12');
  assert.equal(shownNumber('anonymous', who), '…');
  assert.equal(shownNumber('9'.repeat(300), who), '…999');
  assert.equal(shownNumber('+44 20 7946 0183', { roles: new Set(['numbers'] as const) }), '+44 20 7946 0183');
});
