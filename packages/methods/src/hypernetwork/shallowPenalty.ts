/** @file A penalty on what the shallow layers' modules add. */

/**
 * How deep a layer's block lies in the U-Net, from 0 at both ends, where the picture is large, to 1 in the middle: block i of D on the way down has i / D, block j of U on
 * the way up (U - 1 - j) / U, counting transformer blocks.
 *
 * @param paths of all attention layers, in the order in which the U-Net runs them
 */
export function depthsOf(paths: readonly string[]): ReadonlyMap<string, number> {
  const blockOf = (path: string): string => path.replace(/\.attn\d\..*$/, '');
  const blocks = [...new Set(paths.map(blockOf))];
  const [down, up] = ['unet.down_blocks.', 'unet.up_blocks.'].map((arm) =>
    blocks.filter((block) => block.startsWith(arm)),
  ) as [string[], string[]];
  const depthOf = (block: string): number => {
    if (down.includes(block)) return down.indexOf(block) / down.length;
    if (up.includes(block)) return (up.length - 1 - up.indexOf(block)) / up.length;
    return 1;
  };
  return new Map(paths.map((path) => [path, depthOf(blockOf(path))]));
}
