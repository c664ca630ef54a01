/** @file The part of docs/benchmarks.md that `results/learning.json` says. */
import { median } from '../measure/statistics.ts';
import {
  asGood,
  deviation,
  type Evaluation,
  mean,
  type MethodResult,
  type Results,
  type Trained,
} from './results.ts';

const start = '<!-- learning -->';
const end = '<!-- /learning -->';

/** The page with its generated part made anew. Throws where it has no place for it. */
export function withLearning(page: string, results: Results): string {
  const [before, rest] = page.split(start);
  const [, after] = rest?.split(end) ?? [];
  if (before === undefined || after === undefined)
    throw new Error(`internal: the page needs ${start} and ${end}`);
  return `${before}${start}\n\n${learningText(results)}\n\n${end}${after}`;
}

export const learningText = (results: Results): string =>
  [
    about(results),
    lossTable(results.methods),
    scoreTable(results.methods),
    costTable(results.methods),
    settingsTable(results.methods),
  ].join('\n\n');

function about({ date, machine, threads, versions, methods }: Results): string {
  const busy = methods.flatMap(({ pairs }) => pairs.flatMap(({ busyCores }) => busyCores));
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `Measured on ${date.slice(0, 10)}: ${machine.cpu}, ${machine.physicalCores} cores, each side on ${threads === 1 ? 'one thread' : `${threads} threads`}, ${programs.join(', ')}.`,
    `Other programs kept ${median(busy).toFixed(1)} cores busy (median; at most ${Math.max(...busy).toFixed(1)}).`,
  ].join(' ');
}

const side = ({ pairs }: MethodResult, name: 'ours' | 'theirs', key: keyof Trained): number[] =>
  pairs.map((pair) => pair[name][key]);

function lossTable(methods: readonly MethodResult[]): string {
  const words = { true: 'yes', false: 'NO', undefined: 'one seed cannot tell' };
  return table(
    ['method', 'seeds', 'validation loss: before', 'theirs', 'ours', 'ours no worse'],
    methods.map((method) => [
      method.title,
      method.pairs.map(({ seed }) => seed).join(', '),
      ...threeOf(method, 'validationLoss', 4),
      words[`${asGood(method)}`],
    ]),
  );
}

/** Shares in percent. */
const scoreTable = (methods: readonly MethodResult[]): string =>
  table(
    [
      'method',
      ...['style, %', 'concept, %', 'diversity'].flatMap((head) => [
        `${head}: before`,
        'theirs',
        'ours',
      ]),
    ],
    methods.map((method) => [
      method.title,
      ...threeOf(method, 'style', 0, 100),
      ...threeOf(method, 'concept', 0, 100),
      ...threeOf(method, 'diversity', 3),
    ]),
  );

/** A figure before, and of both sides; the latter with their deviations over the seeds. */
function threeOf(
  method: MethodResult,
  key: keyof Evaluation,
  digits: number,
  scale = 1,
): [before: string, theirs: string, ours: string] {
  const shown = (values: readonly number[]): string =>
    (scale * mean(values)).toFixed(digits) +
    (values.length > 1 ? ` ± ${(scale * deviation(values)).toFixed(digits)}` : '');
  return [
    shown([method.before[key]]),
    shown(side(method, 'theirs', key)),
    shown(side(method, 'ours', key)),
  ];
}

function costTable(methods: readonly MethodResult[]): string {
  const row = (method: MethodResult): string[] => {
    const both = (key: keyof Trained, digits: number, scale = 1): string[] => {
      const [theirs, ours] = (['theirs', 'ours'] as const).map((name) =>
        median(side(method, name, key)),
      ) as [number, number];
      return [
        (theirs / scale).toFixed(digits),
        (ours / scale).toFixed(digits),
        `${(theirs / ours).toFixed(1)}x`,
      ];
    };
    return [
      method.title,
      ...both('processorPerStep', 2),
      ...both('secondsPerStep', 2),
      ...both('whole', 0),
      ...both('peakAnonymous', 2, 1e9),
    ];
  };
  const heads = [
    'processor seconds a step',
    'seconds a step',
    'seconds, whole command',
    'peak memory, GB',
  ];
  return table(
    ['method', ...heads.flatMap((head) => [`${head}: theirs`, 'ours', 'ratio'])],
    methods.map(row),
  );
}

const settingsTable = (methods: readonly MethodResult[]): string =>
  table(
    ['method', 'their program', 'settings', 'captions'],
    methods.map(({ title, theirProgram, settings, also, captions }) => {
      const { steps, batch, lr, schedule, weightDecay, clip } = settings;
      const all = [
        `${steps} steps of ${batch}`,
        `rate ${lr}, ${schedule}`,
        `weight decay ${weightDecay}`,
        ...(clip > 0 ? [`clip ${clip}`] : []),
        ...(also === '' ? [] : [also]),
      ];
      return [title, `\`${theirProgram}\``, all.join('; '), captions];
    }),
  );

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
