/**
 * @file node --conditions=@sdft/source benchmarks/engines/run.ts [--only CASES] [--engines NAMES] [--rounds 7] [--seconds 0.25] [--out FILE]
 * The same operations through sdft, jax-js, TensorFlow.js and ONNX Runtime on one WebGPU adapter, in turns. Results have to be equal before a time counts.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { busyCores, commit, machine } from '../report/machine.ts';
import { caseNames, caseOf, type Case } from './cases.ts';
import {
  type CaseResult,
  difference,
  markdown,
  merged,
  refusal,
  type Side,
  timedSide,
} from './compare.ts';
import { type EngineName, engineNames } from './engine.ts';
import { install, versions } from './packages.ts';
import { Player } from './player.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const { values } = parseArgs({
  options: {
    /** Names of cases with commas between; those that the file holds already are kept. */
    only: { type: 'string', default: caseNames.join() },
    engines: { type: 'string', default: engineNames.join() },
    rounds: { type: 'string', default: '7' },
    /** About how long a round of one engine takes. */
    seconds: { type: 'string', default: '0.25' },
    out: { type: 'string', default: here('../results/engines.json') },
  },
});
const cases = values.only.split(',').map(caseOf);
const names = engineNames.filter((name) => values.engines.split(',').includes(name));
const folder = here('../.cache/engines');

interface Running {
  readonly player: Player;
  readonly result: string;
  error: number;
  runs: number;
  readonly seconds: number[];
  failed?: string | undefined;
}

/** One case: results first, then rounds in which each engine has its turn at going first. */
async function measured(one: Case, players: readonly Player[]): Promise<CaseResult> {
  const sides: Running[] = [];
  for (const player of players) {
    const result = join(folder, `${player.name}.f32`);
    const side: Running = { player, result, error: 0, runs: 1, seconds: [] };
    sides.push(side);
    const answer = await player.obey({ kind: 'prepare', case: one.name, result });
    if (!('seconds' in answer)) {
      side.failed = 'failed' in answer ? answer.failed : 'it gives no time';
      continue;
    }
    side.runs = Math.max(1, Math.min(50, Math.round(Number(values.seconds) / answer.seconds)));
    side.error = difference(numbersIn(result), numbersIn(sides[0]!.result));
    side.failed = refusal(side.error);
    console.log(
      `${one.name}, ${player.name}: ${side.failed ?? `differs by ${side.error.toExponential(1)}`}`,
    );
  }
  const able = sides.filter(({ failed }) => failed === undefined);
  for (let round = 0; round < Number(values.rounds); round++)
    for (const i of able.keys()) {
      const side = able[(i + round) % able.length]!;
      const answer = await side.player.obey({ kind: 'time', runs: side.runs });
      if ('seconds' in answer) side.seconds.push(answer.seconds);
      else side.failed ??= 'failed' in answer ? answer.failed : 'it gives no time';
    }
  const ours = sides.find(({ player }) => player.name === 'sdft');
  const done = sides.map((side): [EngineName, Side] => [
    side.player.name,
    side.failed === undefined
      ? timedSide(side, one.flops, side === ours ? undefined : ours?.seconds)
      : { failed: side.failed },
  ]);
  return { case: one.name, what: one.what, sides: Object.fromEntries(done) };
}

const numbersIn = (path: string): Float32Array => {
  const bytes = readFileSync(path);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
};

install(console.log);
mkdirSync(folder, { recursive: true });
const busy = await busyCores();
const players: Player[] = [];
const absent: Partial<Record<EngineName, Side>> = {};
let adapter = '';
for (const name of names) {
  const player = new Player(name, [
    ...[process.execPath, '--conditions=@sdft/source'],
    ...[here('process.ts'), name],
  ] as unknown as [string, ...string[]]);
  const answer = await player.answer();
  if ('adapter' in answer) {
    adapter ||= answer.adapter;
    if (answer.adapter !== adapter) throw new Error(`${name} runs on ${answer.adapter}`);
    players.push(player);
  } else {
    absent[name] = { failed: 'failed' in answer ? answer.failed : 'it gives no adapter' };
    await player.stop();
  }
}
console.log(`${adapter}; other programs keep ${busy.toFixed(1)} cores busy`);

interface File {
  readonly adapter: string;
  readonly cases: readonly CaseResult[];
}
const earlier = existsSync(values.out)
  ? (JSON.parse(readFileSync(values.out, 'utf8')) as File)
  : undefined;
let results = earlier?.adapter === adapter ? earlier.cases : [];
try {
  for (const one of cases) {
    const { sides, ...rest } = await measured(one, players);
    results = merged(results, [{ ...rest, sides: { ...sides, ...absent } }]);
    const file = {
      ...{ adapter, date: new Date().toISOString().slice(0, 10), commit: commit() },
      ...{ machine: machine(), versions: { node: process.version, ...versions() } },
      cases: results,
    };
    writeFileSync(values.out, `${JSON.stringify(file, null, 1)}\n`);
  }
} finally {
  await Promise.all(players.map((player) => player.stop()));
}
console.log(markdown(results, engineNames));
process.exit(0);
