// Writes what the service is made of beside it, as CycloneDX, and lets the system start it: dist/sbom.cdx.json.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const read = (name) => JSON.parse(readFileSync(join(ROOT, name), 'utf8'));

// `npm sbom --omit=dev` also leaves out what both the service and its tests depend on. So npm is shown a project without tests.
const { devDependencies: _tests, ...manifest } = read('package.json');
const lock = read('package-lock.json');
delete lock.packages[''].devDependencies;
for (const [path, { dev }] of Object.entries(lock.packages)) if (dev) delete lock.packages[path];

const folder = mkdtempSync(join(tmpdir(), 'sbom-'));
try {
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify(lock));
  const bom = JSON.parse(npm(['sbom', '--sbom-format=cyclonedx', '--sbom-type=application', '--package-lock-only']));
  // npm names the project after its folder.
  if (bom.metadata.component.name === basename(folder)) bom.metadata.component.name = manifest.name;
  writeFileSync(join(ROOT, 'dist', 'sbom.cdx.json'), `${JSON.stringify(bom, undefined, 2)}\n`);
} finally {
  rmSync(folder, { recursive: true });
}
chmodSync(join(ROOT, 'dist', 'cli.js'), 0o755);

function npm(words) {
  const path = process.env.npm_execpath;
  const [program, ...args] = path === undefined ? ['npm'] : [process.execPath, path];
  const { status, stdout } = spawnSync(program, [...args, ...words], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) process.exit(1);
  return stdout;
}
