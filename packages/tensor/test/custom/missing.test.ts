/** @file Without gpu.js everything works that needs none, and what needs it says how to get it. */
import { expect, it, vi } from 'vitest';
import { hostArray, type HostArray, reference, trace, UserError } from '../../src/index.ts';
import { cpu } from '../../src/node/index.ts';
import { testedWebgpu } from '../support/webgpu.ts';
import { doubled } from './operations.ts';

vi.mock('gpu.js', () => {
  throw new Error("Cannot find package 'gpu.js'");
});

it('a backend that needs gpu.js names the command that installs it', async () => {
  const graph = trace((t) => ({ outputs: { y: doubled(t.input('x', [2])) } }));
  for (const backend of [cpu({ threads: 1 }), testedWebgpu()]) {
    const failing = backend.compile(graph);
    await expect(failing).rejects.toThrow(UserError);
    await expect(failing).rejects.toThrow(
      /^custom operations need the package gpu\.js, .*npm install gpu\.js@2\.24\.1/,
    );
  }
  const x = hostArray(Float32Array.of(1, -2), [2]) as HostArray;
  const { y } = await (await reference.compile(graph)).run({ x });
  expect(y!.data).toEqual(Float32Array.of(2, -4));
});
