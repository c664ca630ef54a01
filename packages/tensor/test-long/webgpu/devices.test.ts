/** @file Devices that are opened and closed again and again leave nothing behind. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { found, repetitions } from '../../../../vitest.long.ts';
import { growth } from '../../test/support/growth.ts';
import '../../test/support/webgpu.ts';
import type { Cycles } from './children/devices.ts';

const script = fileURLToPath(new URL('./children/devices.ts', import.meta.url));

function cycles(count: number, driver: 'null' | 'driver'): Cycles {
  const printed = execFileSync(
    process.execPath,
    ['--conditions=@sdft/source', script, String(count), driver],
    // With an arena of the allocator for each thread, what lies between its allocations hangs on which thread was the first to free; this levels off after some 1500 devices.
    { encoding: 'utf8', env: { ...process.env, MALLOC_ARENA_MAX: '1' } },
  );
  return JSON.parse(printed.trim().split('\n').at(-1)!) as Cycles;
}

// Without a driver all of the memory is ours and Dawn's.
for (const driver of ['null', 'driver'] as const)
  test(`a device that is opened and closed leaves no memory behind: ${driver}`, ({ task }) => {
    const count = repetitions(200, 20);
    const { device, kilobytes, alive } = cycles(count, driver);
    const { mean, half } = growth(kilobytes);
    const whole = (kilobytes.at(-1)! - kilobytes[count / 2]!) / 1024;
    found(
      task,
      0,
      `${count} devices on ${device}; each of the last half adds ${mean.toFixed(1)} ± ${half.toFixed(1)} KB, ${whole.toFixed(1)} MB together; ${alive} of them are still there`,
    );
    expect(alive).toBe(0);
    expect(mean).toBeLessThanOrEqual(half);
  });
