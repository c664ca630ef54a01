import type { Command } from 'commander';
import { UsageError } from '../failures/usageError.ts';
import type { Finding } from '../machine/check.ts';
import { cpuBackend, pictures, webgpu } from '../machine/computing.ts';
import { node } from '../machine/node.ts';
import { processor } from '../machine/processor.ts';
import { disk, memory, temporaryFiles } from '../machine/room.ts';
import { complete, type CommonOptions, defineCommand } from '../program/defineCommand.ts';
import { Output } from '../terminal/output.ts';

const marks: Readonly<Record<Finding['state'], string>> = {
  ok: 'ok',
  poor: 'poor',
  broken: 'BROKEN',
  absent: '-',
};

/** `sdft doctor`: exit status 0 where the cpu backend and pictures work. */
export function doctorCommand(summary: string): Command {
  const command = defineCommand('doctor', summary).action(run);
  return complete(command, 'doctor');
}

async function run(options: CommonOptions): Promise<void> {
  const output = new Output(options.json ?? false);
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
