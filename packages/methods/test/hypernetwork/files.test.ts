/** @file Files, both ways; what A1111 and kohya wrote gives what their own code makes of it (`tools/hypernetwork/make_fixtures.py`). */
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isWeight, type PythonValue, readFloat32, Tuple } from '@sdft/models';
import { openSafetensors, openTorch, writeSafetensors, writeTorch } from '@sdft/models/node';
import { hostArray, type HostArray, trace } from '@sdft/tensor';
import { describe, expect, test } from 'vitest';
import {
  adamw,
  hypernetwork,
  type HypernetworkOptions,
  images,
  openBase,
  pipeline,
  readHypernetwork,
  reference,
} from '../../src/index.ts';
import { addedBy } from '../../src/hypernetwork/hypernetworkModule.ts';
import { hypernetworkKind } from '../../src/hypernetwork/hypernetworkKind.ts';
import { partsOf } from '../../src/hypernetwork/structure.ts';
import { goldens, json, pathOf, reports, temporaryFolder, using } from '../support/fixtures.ts';
import { flat } from './runs.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const fixtures = pathOf('fixtures/hypernetwork');
const sample = (name: string): string => `${fixtures}/files/${name}.pt`;
const record = goldens('train/hn_linear/replay.safetensors');

const described = (options: HypernetworkOptions = {}) =>
  pipeline()
    .model(goldens('tiny-sd'))
    .method(hypernetwork(options))
    .optimizer(adamw({ lr: 1e-3 }))
    .steps(2)
    .seed(1);

const onPictures = (options: HypernetworkOptions) =>
  described(options).data(images(goldens('train/images'), { resolution: 64 }));

/** x + 0.6 h(x) for keys and values of contexts of a width, outside training. */
async function applied(path: string, width: number, x: HostArray): Promise<HostArray[]> {
  const { structure, parameters } = await readHypernetwork(path);
  const given: Record<string, HostArray> = { x };
  const graph = trace((t) => {
    const input = t.input('x', x.shape);
    const outputs = [0, 1].map((i) => {
      const own = Object.entries(parameters.get(`${width}.${i}`)!).map(([name, weight]) => {
        given[`${i}.${name}`] = hostArray(readFloat32(weight).slice(), weight.shape) as HostArray;
        return [name, t.input(`${i}.${name}`, weight.shape)] as const;
      });
      const module = addedBy(partsOf(structure, width), Object.fromEntries(own), {
        path: '',
        draw: undefined,
      });
      return [String(i), input.add(module(input).mul(0.6))] as const;
    });
    return { outputs: Object.fromEntries(outputs) };
  });
  const executable = await reference.compile(graph);
  const results = await executable.run(given);
  return [results['0']!, results['1']!];
}

describe('files of other tools', () => {
  const { tensors } = openSafetensors(`${fixtures}/files.safetensors`);
  const value = (name: string): HostArray => {
    const weight = tensors.get(name)!;
    return hostArray(readFloat32(weight).slice(), weight.shape) as HostArray;
  };
  test.for(['strong', 'other', 'old', 'legacy', 'kohya'])('%s', async (name) => {
    const results = await applied(sample(name), 12, value('x'));
    ['k', 'v'].forEach((which, i) => {
      const expected = value(`${name}.${which}`);
      results[i]!.data.forEach((x, place) => expect(x).toBeCloseTo(expected.data[place]!, 5));
    });
  });

  test('are described as A1111 takes them', async () => {
    const legacy = json<Record<string, { dropout_structure: number[]; activate_output: boolean }>>(
      `${fixtures}/files.json`,
    )['legacy']!;
    const { structure } = await readHypernetwork(sample('legacy'));
    expect(structure.dropoutStructure).toEqual(legacy.dropout_structure);
    expect(structure.activateOutput).toBe(legacy.activate_output);
    expect(await readHypernetwork(sample('strong'))).toMatchObject({ name: 'strong', step: 1234 });
    expect((await readHypernetwork(sample('old'))).structure).toMatchObject({
      layerStructure: [1, 2, 1],
      activation: 'linear',
      layerNorm: false,
    });
  });
});

/** Names, types and shapes of everything in a file. */
async function skeleton(path: string): Promise<unknown> {
  const describe = (value: PythonValue): unknown => {
    if (isWeight(value)) return [value.dtype, [...value.shape]];
    if (value instanceof Map) return [...value].map(([key, item]) => [key, describe(item)]);
    if (Array.isArray(value))
      return [value instanceof Tuple ? 'tuple' : 'list', ...value.map(describe)];
    return value;
  };
  return describe((await openTorch(path)).value);
}

describe('a .pt', () => {
  test("has A1111's layout, entry by entry", async () => {
    const path = at('hn_linear.pt');
    await using(described({ layerStructure: '1, 2, 1' }).build({ replay: record }), async (run) => {
      await reports(run);
      await run.save(path);
    });
    const theirs = (await skeleton(goldens('train/hn_linear/result.a1111-era.pt'))) as unknown[];
    const said = (entries: unknown[]) =>
      entries.filter((entry) => !/^(step|sd_checkpoint)$/.test(String((entry as unknown[])[0])));
    expect(said((await skeleton(path)) as unknown[])).toEqual(said(theirs));
    expect(await readHypernetwork(path)).toMatchObject({ step: 2, name: 'hn_linear' });
  });

  test.for([
    { activation: 'relu', layerNorm: true, layerStructure: '1, 1.5, 2, 1' },
    { activation: 'prelu', activateOutput: true, dropoutStructure: [0, 0.25, 0] },
    { sizes: '12', activation: 'swish' },
  ] satisfies HypernetworkOptions[])(
    'and a .safetensors read back the same: %o',
    async (options) => {
      await using(onPictures(options).build(), async (run) => {
        const values = flat((await run.trainables())[0]!);
        for (const ending of ['pt', 'safetensors']) {
          const path = at(`round.${ending}`);
          await run.save(path, { force: true });
          await using(onPictures(options).initFrom(path).seed(9).build(), async (again) =>
            expect(flat((await again.trainables())[0]!)).toEqual(values),
          );
        }
      });
    },
  );
});

describe("A1111's optimizer state", () => {
  const from = `${fixtures}/resumed`;
  const settings = {
    layerStructure: '1, 1, 1',
    activation: 'elu',
    layerNorm: true,
    sizes: [12, 16],
    optimizerState: true,
  };
  const resumed = (initial: string, options: HypernetworkOptions = settings) =>
    described(options)
      .optimizer(adamw({ lr: '0.01:2, 5e-3:4, 2e-3' }))
      .initFrom(initial)
      .steps(6);
  const replay = `${from}/replay.safetensors`;

  test('is written so that a run goes on from it bit for bit', async () => {
    const whole = await using(resumed(`${from}/initial.pt`).build({ replay }), async (run) => {
      for await (const { step } of run.steps()) if (step === 5) await run.save(at('five.pt'));
      return flat((await run.trainables())[0]!);
    });
    expect(existsSync(at('five.pt.optim'))).toBe(true);
    await using(resumed(at('five.pt')).build({ replay }), async (run) => {
      expect(run.step).toBe(5);
      await reports(run);
      expect(flat((await run.trainables())[0]!)).toEqual(whole);
    });
    const { value } = await openTorch(at('five.pt.optim'));
    const hash = createHash('sha256')
      .update(readFileSync(at('five.pt')))
      .digest('hex');
    expect((value as Map<string, unknown>).get('hash')).toBe(hash.slice(0, 10));
    // As PyTorch writes it, entry by entry; settings that only newer versions have aside.
    const group = (file: string) =>
      openTorch(file).then(({ value: saved }) => {
        const state = (saved as Map<string, Map<string, Map<string, unknown>[]>>).get(
          'optimizer_state_dict',
        )!;
        return Object.fromEntries(state.get('param_groups')![0]!);
      });
    const { decoupled_weight_decay: _, ...theirs } = await group(`${from}/initial.pt.optim`);
    expect(await group(at('five.pt.optim'))).toEqual({ ...theirs, lr: 2e-3 });
  });

  test('of another file, or beyond the steps, is refused; without it a run begins anew', async () => {
    copyFileSync(`${from}/initial.pt.optim`, at('five.pt.optim'));
    await expect(resumed(at('five.pt')).build({ replay })).rejects.toThrow(
      /five.pt.optim: belongs to a file with the hash [0-9a-f]{10}, .*say optimizerState: false/,
    );
    await expect(resumed(`${from}/initial.pt`).steps(3).build({ replay })).rejects.toThrow(
      /was trained for 3 steps already, and steps: 3 counts those/,
    );
    const { optimizerState: _, ...plain } = settings;
    await using(resumed(at('five.pt'), plain).build({ replay }), async (run) =>
      expect(run.step).toBe(0),
    );
  });
});

describe('what is no hypernetwork of this base is refused', () => {
  const refused = async (path: string, message: RegExp) => {
    const base = await openBase(goldens('tiny-sd'));
    const opened = hypernetworkKind.open(path, base).then(({ adapter }) => {
      if (typeof adapter.at === 'function')
        adapter.at([
          { path: 'unet.mid_block.attn1.to_k', kind: 'linear', in: 99, out: 99, parameters: {} },
        ]);
    });
    await expect(opened).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringMatching(message),
    });
  };

  test('by its widths', async () => {
    await using(described({ sizes: [16] }).build({ replay: record }), (run) =>
      run.save(at('narrow.pt')),
    );
    await refused(at('narrow.pt'), /modules for contexts of width 16, which .* has not: it has 99/);
    await expect(described().initFrom(at('narrow.pt')).build({ replay: record })).rejects.toThrow(
      /has modules for contexts of width 16, this run for contexts of width 12, 16, 32/,
    );
  });

  test('by what is in it', async () => {
    const bytes = readFileSync(sample('strong'));
    writeFileSync(at('cut.pt'), bytes.subarray(0, bytes.length / 2));
    await refused(at('cut.pt'), /cut.pt/);
    await refused(goldens('train/ti_a1111/result.pt'), /is no hypernetwork: it has no modules/);
    await refused(goldens('files/malicious-sample.ckpt'), /malicious/);
    const { value } = await openTorch(sample('strong'));
    const changed = async (name: string, change: (copy: Map<PythonValue, PythonValue>) => void) => {
      const copy = new Map(value as Map<PythonValue, PythonValue>);
      change(copy);
      await writeTorch(at(name), copy);
      return at(name);
    };
    await refused(
      await changed('activation.pt', (copy) => copy.set('activation_func', 'reluu')),
      /activation "reluu" is unknown; did you mean relu/,
    );
    await refused(
      await changed('norm.pt', (copy) => copy.set('is_layer_norm', true)),
      /norm.pt: 12.0: linear.2.weight is \[12, 24\]; by what the file says .*layer norm\) it is \[24\]/,
    );
    await refused(
      await changed('pair.pt', (copy) => copy.set(12, 'nothing')),
      /entry 12 is not a pair of modules/,
    );
    await writeSafetensors(at('plain.safetensors'), openSafetensors(record).tensors);
    await refused(at('plain.safetensors'), /is no hypernetwork: it holds a tensor/);
  });

  test('by how its modules are built', async () => {
    await expect(described().initFrom(sample('strong')).build({ replay: record })).rejects.toThrow(
      /its modules are built in another way; to go on with it say activation: relu/,
    );
  });
});
