import { describe, expect, it } from 'vitest';
import { parseRecipe, recipeFlags, recipeJsonSchema, recipeYaml } from '../../src/index.ts';
import { preset, registry } from './registry.ts';

const yaml = `
base: nano
method: low-rank
rank: 4
data: { images: photos/boy, template: a drawing of {} , resolution: 64, flip: 0.5 }
optimizer: { name: adamw, lr: 5e-3, weightDecay: 0.01 }
schedule: { name: cosine, warmup: 50 }
steps: 2000
batch: 4
seed: 42
save: { out: boy.safetensors, every: 500 }
preview: { every: 500, prompts: ["a drawing of <boy>"] }
`;
const parse = (input: unknown) => parseRecipe(input, registry, 'boy.yaml');
const problemsOf = (input: unknown): string[] => {
  try {
    parse(input);
    return [];
  } catch (error) {
    expect(error).toMatchObject({ name: 'UserError' });
    const [first, ...others] = (error as Error).message.split('\n- ');
    return others.length === 0 ? [first!.replace('boy.yaml: ', '')] : others;
  }
};

describe('a recipe', () => {
  it('is read from YAML, and written so that it reads back the same', () => {
    const recipe = parse(yaml);
    expect(recipe).toMatchObject({
      base: 'nano',
      rank: 4,
      data: { template: 'a drawing of {}', resolution: 64 },
      optimizer: { lr: 0.005 },
    });
    expect(parse(recipeYaml(recipe))).toEqual(recipe);
    expect(parse({ ...recipe, data: { images: 'a', resolution: '512x768' } }).data).toEqual({
      images: 'a',
      resolution: '512x768',
    });
  });

  it('says everything that is wrong at once, unknown settings with the nearest known one', () => {
    expect(
      problemsOf({
        method: 'low-rank',
        ranks: 4,
        batch: 0,
        seed: 1.5,
        optimiser: {},
        optimizer: { lr: 0, beta: 1 },
        data: { images: 'a', resolution: '64by64', flip: 2 },
        schedule: { name: 'cosin' },
        preview: { prompts: [] },
      }).sort(),
    ).toEqual(
      [
        'base is missing: text',
        'rank is missing: a number',
        'there is no setting ranks; did you mean rank?',
        'there is no setting optimiser; did you mean optimizer?',
        'there is no setting optimizer.beta; did you mean optimizer.beta1?',
        'batch must be at least 1, not 0',
        'seed must be a whole number, not 1.5',
        'optimizer.lr must be more than 0, not 0',
        'data.resolution must be a number or WIDTHxHEIGHT, not "64by64"',
        'data.flip must be at most 1, not 2',
        'schedule.name must be one of constant, linear, cosine, cosine-restarts, polynomial, not "cosin"',
        'preview.prompts must be not empty, not []',
      ].sort(),
    );
  });

  it.each([
    ['a: { b: a drawing of {} , c: [ }', /is not YAML/],
    ['base: [', /boy.yaml, line 1: is not YAML/],
    ['base: a\nbase: b', /boy.yaml, line 2: is not YAML: Map keys must be unique/],
    ['base: *elsewhere', /boy.yaml: cannot be read as YAML: Unresolved alias/],
    [
      `a: &a [${'x,'.repeat(20)}]\nb: &b [${'*a,'.repeat(20)}]\nc: [${'*b,'.repeat(20)}]`,
      /boy.yaml: cannot be read as YAML: Excessive alias count/,
    ],
    ['['.repeat(100_000), /boy.yaml.*(cannot be read as YAML|is not YAML)/],
    ['base: a\n---\nbase: b', /boy.yaml, line 2: is not YAML: Source contains multiple documents$/],
    ['base: nano\nlr: 1\nseed: 1e400', /seed must be a .*number, not Infinity/],
    [
      'base: nano\nlr: 1\ndata: { images: a, batch: 2 }',
      /no setting lr; did you mean optimizer.lr\?\n?.*/,
    ],
    ['base: nano\ndata: { images: a, batch: 2 }', /no setting data.batch; did you mean batch\?/],
    ['just text', /boy.yaml: a recipe holds settings by name/],
    [null, /a recipe holds settings by name/],
    [
      'base: nano\nmethod: low-rang\nrank: 4',
      /boy.yaml: there is no method called "low-rang"; did you mean low-rank\?/,
    ],
    [
      'base: nano\nmethod: low-rank\nrank: 4\nflavour: kohya',
      /flavour kohya: low-rank has the flavours diffusers, a1111/,
    ],
    ['base: nano\nmethod: low-rank\nrank: 9\nbatch: 9', /rank and batch are both large/],
    [
      'base: nano\nmethod: low-rank\nrank: 4\noptimizer: { lr: "5e-3, 1e-3:x" }\nclip: soon',
      /optimizer.lr "5e-3, 1e-3:x": "x" is no step; write a number.*\n- clip "soon": "soon" is no positive number/,
    ],
    [
      'base: nano\nmethod: low-rank\nrank: 4\noptimizer: { lr: "0", beta2: 1 }',
      /optimizer.lr "0": "0" is no positive number.*\n- optimizer.beta2 must be less than 1, not 1/,
    ],
    [
      'base: nano\nmethod: low-rank\nrank: 4\ndata: { images: a, template: "{x}" }',
      /data.template has a place \{x\} that nothing fills/,
    ],
    [
      'base: nano\nadapters: [{ name: low-rank, rank: 0 }]\nobjective: { name: denoise, gamma: 1 }',
      /adapters.0.rank must be at least 1, not 0\n- there is no setting objective.gamma; did you mean objective.snrGamma\?/,
    ],
    [
      'base: nano\nadapters: [{ name: lora }]',
      /no adapter called "lora"; did you mean low-rank\?\n- there is no objective: say objective: \{ name: denoise \}/,
    ],
    [
      'base: nano\nmethod: low-rank\nrank: 1\nadapters: [{ name: low-rank, rank: 1 }]',
      /a method, or adapters with an objective, not both/,
    ],
  ])('%j is refused', (input, message) => {
    expect(() => parse(input)).toThrow(message);
  });

  it('may have adapters with an objective instead of a method', () => {
    const text =
      'base: nano\nadapters: [{ name: low-rank, rank: 2 }]\nobjective: { name: denoise, snrGamma: 5 }';
    expect(parse(text).adapters).toEqual([{ name: 'low-rank', rank: 2 }]);
  });

  it('has a JSON Schema', () => {
    const schema = recipeJsonSchema(registry) as {
      anyOf: {
        properties: Record<string, unknown>;
        required: string[];
        additionalProperties: boolean;
      }[];
    };
    expect(schema.anyOf).toHaveLength(2);
    expect(schema.anyOf[0]!.properties['method']).toMatchObject({ const: 'low-rank' });
    expect(schema.anyOf[0]!.required).toEqual(expect.arrayContaining(['base', 'method', 'rank']));
    expect(schema.anyOf[0]!.additionalProperties).toBe(false);
    expect(JSON.parse(JSON.stringify(schema))).toEqual(schema);
  });
});

describe('flags', () => {
  const flags = recipeFlags(preset);
  const flag = (name: string) => flags.find(({ flag: full }) => full.split(' ')[0] === name)!;

  it("are a preset's own first, then the common ones", () => {
    expect(flags.slice(0, 2).map(({ flag: full, path }) => [full, path])).toEqual([
      ['--rank <n>', ['rank']],
      ['--targets <glob>', ['targets']],
    ]);
    expect(flag('--lr')).toMatchObject({ path: ['optimizer', 'lr'], list: false });
    expect(flag('--targets').list).toBe(true);
    expect(flag('--clip-mode').choices).toEqual(['norm', 'value']);
    expect(flag('--images').path).toEqual(['data', 'images']);
    expect(flag('--class-prompt').path).toEqual(['data', 'classImages', 'caption']);
    const names = flags.map(({ flag: full }) => full.split(' ')[0]);
    expect(new Set(names).size).toBe(names.length);
    for (const { description } of flags) expect(description).not.toBe('');
    expect(flag('--beta1')).toMatchObject({ path: ['optimizer', 'beta1'] });
    expect(flag('--d-coef')).toMatchObject({ path: ['optimizer', 'dCoef'] });
    expect(flag('--nesterov').flag).toBe('--nesterov');
    expect(flag('--no-decouple').path).toEqual(['optimizer', 'decouple']);
    expect(flag('--weight-decay').description).toBe('weight decay');
    expect(flag('--beta2').description).toMatch(
      /adamw, adamw8bit, prodigy: decay of the mean squared gradient; lion: decay of the mean gradient/,
    );
  });

  it('give values as the recipe holds them', () => {
    const value = (name: string, text: string) => flag(name).value(text);
    expect(value('--lr', '5e-3')).toBe(0.005);
    expect(value('--lr', '5e-3:100, 1e-3')).toBe('5e-3:100, 1e-3');
    expect(value('--steps', '20')).toBe(20);
    expect(value('--steps', '-3')).toBe(-3);
    expect(value('--steps', 'many')).toBe('many');
    expect(value('--resolution', '512x768')).toBe('512x768');
    expect(value('--resolution', '512')).toBe(512);
    expect(value('--images', '007')).toBe('007');
    expect(value('--schedule', 'cosine')).toBe('cosine');
  });
});
