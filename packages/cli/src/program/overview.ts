import { version } from '../version.ts';
import { commands } from './commands.ts';

/** What `sdft` alone says. */
export function overview(): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const list = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return `sdft ${version()}: fine-tunes Stable Diffusion on your pictures

Commands:
${list.join('\n')}

Teach the small model that comes along a new word, then draw with it:
  sdft train textual-inversion --base nano --images photos/boy --token "<boy>" --init boy --steps 500 --out boy.safetensors
  sdft generate --base nano --embedding boy.safetensors --prompt "a drawing of <boy>" --out pictures

sdft COMMAND --help explains a command, sdft doctor tells whether this machine is ready.
`;
}
