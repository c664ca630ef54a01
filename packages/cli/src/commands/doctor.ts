import { type Command, Option } from 'commander';
import { UsageError } from '../failures/usageError.ts';
import type { Finding } from '../machine/check.ts';
import { cpuBackend, pictures, webgpu } from '../machine/computing.ts';
import { node } from '../machine/node.ts';
import { processor } from '../machine/processor.ts';
import { disk, memory, temporaryFiles } from '../machine/room.ts';
import { printStepPlan } from '../machine/stepPlan.ts';
import { wholeNumber } from '../options/values.ts';
import { complete, type CommonOptions, defineCommand } from '../program/defineCommand.ts';
import { Output } from '../terminal/output.ts';

const marks: Readonly<Record<Finding['state'], string>> = {
  ok: 'ok',
  poor: 'poor',
  broken: 'BROKEN',
  absent: '-',
};

interface DoctorOptions extends CommonOptions {
  readonly plan?: string;
  readonly method: string;
  readonly size: number;
  readonly batch: number;
  readonly precision: 'f32' | 'f16';
  readonly recompute?: boolean;
}

/** `sdft doctor`: exit status 0 where the cpu backend and pictures work. */
export function doctorCommand(summary: string): Command {
  const command = defineCommand('doctor', summary)
    .addOption(
      new Option(
        '--plan <architecture>',
        'instead: what a training step of it takes on graphics cards, kernel by kernel, from the plan alone',
      ).choices(['sd15', 'sd21', 'tiny']),
    )
    .addOption(
      new Option('--method <name>', 'of the planned step')
        .choices(['full', 'lora', 'hypernetwork'])
        .default('lora'),
    )
    .option('--size <pixels>', 'of the planned step', wholeNumber('--size', 64, 4096), 512)
    .option('--batch <n>', 'of the planned step', wholeNumber('--batch', 1, 1024), 1)
    .addOption(
      new Option('--precision <type>', 'of the planned step')
        .choices(['f32', 'f16'])
        .default('f32'),
    )
    .option('--recompute', 'plan to compute blocks again instead of keeping what is inside')
    .action(run);
  return complete(command, 'doctor', 'doctor --plan sd15 --method full --batch 8 --precision f16');
}

async function run({ plan, json = false, ...options }: DoctorOptions): Promise<void> {
  const output = new Output(json);
  if (plan !== undefined) {
    const { method, size, batch, precision, recompute = false } = options;
    await printStepPlan({ architecture: plan, method, size, batch, precision, recompute }, output);
    return;
  }
  const findings: Finding[] = [];
  const checks = [node, processor, memory, disk, temporaryFiles, cpuBackend, pictures, webgpu];
  for (const check of checks) {
    const finding = await check();
    findings.push(finding);
    output.print(`${marks[finding.state].padEnd(6)}  ${finding.name.padEnd(15)}  ${finding.found}`);
    if (finding.mend !== undefined) output.print(`${' '.repeat(25)}${finding.mend}`);
  }
  const broken = findings.filter(({ state }) => state === 'broken');
  output.record({ works: broken.length === 0, checks: findings });
  if (broken.length > 0)
    throw new UsageError(
      `this machine is not ready: ${broken.map(({ name }) => name).join(', ')}; what to do stands above`,
    );
  output.print('This machine is ready.');
}
