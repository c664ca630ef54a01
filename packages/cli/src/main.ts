import { readFileSync } from 'node:fs';

const HELP = `sdft: fine-tuning of Stable Diffusion

  sdft --help      this text
  sdft --version   the version
`;

function version(): string {
  const file = new URL('../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/**
 * Runs the command line.
 * @param args what stands after `sdft`
 * @returns the exit status: 0 done, 2 the input is wrong
 */
export async function main(args: readonly string[]): Promise<number> {
  const [first] = args;
  if (first === '--version' || first === '-V') {
    process.stdout.write(`${version()}\n`);
    return 0;
  }
  if (first === undefined || first === '--help' || first === '-h') {
    process.stdout.write(HELP);
    return 0;
  }
  process.stderr.write(
    `sdft: unknown command or option ${first}; sdft --help lists what there is\n`,
  );
  return 2;
}
