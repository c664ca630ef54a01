/** @file Modules of every kind, against A1111's own (`tools/hypernetwork/make_fixtures.py`). */
import { readFloat32 } from '@sdft/models';
import { openSafetensors } from '@sdft/models/node';
import { hostArray, type Tensor, trace } from '@sdft/tensor';
import { describe, expect, test } from 'vitest';
import { type Backend, cpu, type Draws, grad, type HostArray, reference } from '../../src/index.ts';
import { activationNames } from '../../src/hypernetwork/activations.ts';
import { addedBy } from '../../src/hypernetwork/hypernetworkModule.ts';
import { moduleShapes, partsOf, type Structure } from '../../src/hypernetwork/structure.ts';
import { json, pathOf } from '../support/fixtures.ts';

interface Case {
  readonly layer_structure: readonly number[];
  readonly activation_func: string;
  readonly activate_output?: boolean;
  readonly add_layer_norm?: boolean;
  readonly dropout_structure?: readonly number[];
}

const folder = pathOf('fixtures/hypernetwork');
const cases = json<Case[]>(`${folder}/modules.json`);
const { tensors } = openSafetensors(`${folder}/modules.safetensors`);
const value = (name: string): HostArray => {
  const weight = tensors.get(name)!;
  return hostArray(readFloat32(weight).slice(), weight.shape) as HostArray;
};

const structureOf = (one: Case): Structure => ({
  layerStructure: one.layer_structure,
  activation: one.activation_func,
  layerNorm: one.add_layer_norm ?? false,
  weightInit: 'Normal',
  activateOutput: one.activate_output ?? false,
  dropoutStructure: one.dropout_structure ?? one.layer_structure.map(() => 0),
});

/** Results of all cases by `CASE.NAME`, as the fixture calls them. */
async function computed(backend: Backend): Promise<ReadonlyMap<string, HostArray>> {
  const given = new Map<string, HostArray>();
  const graph = trace((t) => {
    const outputs: Record<string, Tensor> = {};
    const input = (name: string): Tensor => {
      const array = value(name);
      given.set(name, array);
      return t.input(name, array.shape);
    };
    cases.forEach((one, i) => {
      const parts = partsOf(structureOf(one), 4);
      const x = input(`${i}.x`);
      const parameters = Object.fromEntries(
        Object.keys(moduleShapes(parts)).map((name) => [name, input(`${i}.${name}`)]),
      );
      const refuse = () => {
        throw new Error('a module draws uniform numbers alone');
      };
      const draw: Draws = {
        normal: refuse,
        integers: refuse,
        uniform: (name) => input(`${i}.draw.${name}`),
      };
      const path = 'layer.to_k';
      outputs[`${i}.out`] = x.add(
        addedBy(parts, parameters, { path, draw: undefined })(x).mul(0.7),
      );
      const trained = x.add(addedBy(parts, parameters, { path, draw })(x));
      outputs[`${i}.trained_out`] = trained;
      const wrt = { x, ...parameters };
      const loss = trained.mul(input(`${i}.weight`)).sum();
      grad(loss, Object.values(wrt)).forEach((gradient, at) => {
        outputs[`${i}.grad.${Object.keys(wrt)[at]}`] = gradient;
      });
    });
    return { outputs };
  });
  const executable = await backend.compile(graph);
  const results = await executable.run(Object.fromEntries(given));
  await executable.dispose();
  return new Map(Object.entries(results));
}

test('the fixture has every activation, with and without one on the output', () => {
  for (const output of [undefined, true])
    expect(
      new Set(
        cases
          .filter(({ activate_output: activate }) => activate === output)
          .map(({ activation_func: name }) => name),
      ),
    ).toEqual(new Set(activationNames));
  expect(new Set(cases.map((one) => String(one.layer_structure))).size).toBeGreaterThan(5);
});

describe.for([cpu(), reference])("modules give what A1111's give, on $name", (backend) => {
  const results = computed(backend);
  test.for(cases.map((one, i) => [i, one] as const))('%i: %o', async ([i]) => {
    const own = [...(await results)].filter(([name]) => name.startsWith(`${i}.`));
    // Every parameter that A1111 has is one here.
    const theirs = [...tensors.keys()].filter((name) => name.startsWith(`${i}.grad.`));
    expect(
      own
        .map(([name]) => name)
        .filter((name) => name.includes('.grad.'))
        .sort(),
    ).toEqual(theirs.sort());
    for (const [name, { data, shape }] of own) {
      const expected = value(name);
      expect(shape, name).toEqual(expected.shape);
      const scale = Math.max(1, ...expected.data.map(Math.abs));
      // The fixture is computed in double precision, and so is the reference backend; the cpu computes in single precision.
      const most = backend.name === 'reference' ? 2e-7 : 5e-6;
      data.forEach((x, at) =>
        expect(Math.abs(x - expected.data[at]!) / scale, `${name} ${at}`).toBeLessThan(most),
      );
    }
  });
});
