/** What a prompt asks for by `<NAME:ARGUMENT:...>`, such as `<lora:boy:0.8>`. */
export interface NetworkTag {
  /** As it stands in the prompt. */
  readonly tag: string;
  readonly name: string;
  /** Arguments without and with a key (`unet=0.5`). At least one. */
  readonly positional: readonly string[];
  readonly named: Readonly<Record<string, string>>;
}

/** A prompt without its tags, and the tags in order. Source: A1111 `modules/extra_networks.py`, `parse_prompt`. */
export function promptNetworks(prompt: string): {
  readonly text: string;
  readonly networks: readonly NetworkTag[];
} {
  const networks: NetworkTag[] = [];
  const text = prompt.replace(
    /<([\p{L}\p{N}_]+):([^>]+)>/gu,
    (tag: string, name: string, list: string) => {
      const positional: string[] = [];
      const named: Record<string, string> = {};
      for (const argument of list.split(':')) {
        const [key, value, more] = argument.split('=');
        if (value !== undefined && more === undefined) named[key!] = value;
        else positional.push(argument);
      }
      networks.push({ tag, name, positional, named });
      return '';
    },
  );
  return { text, networks };
}
