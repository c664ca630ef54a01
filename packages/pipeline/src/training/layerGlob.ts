import picomatch from 'picomatch';

/** Whether a layer path is meant: `*` stands for one part of a path, `**` for any number, `{a,b}` for either; a glob that begins with `!` takes paths out again. */
export function layerGlob(globs: string | readonly string[]): (path: string) => boolean {
  const patterns = (typeof globs === 'string' ? [globs] : globs).map(slashed);
  // picomatch takes paths of files, whose parts are joined by slashes.
  const matcher = (some: readonly string[]) => picomatch([...some], { dot: true, posix: true });
  const meant = matcher(patterns.filter((pattern) => !pattern.startsWith('!')));
  const excluded = patterns.filter((pattern) => pattern.startsWith('!'));
  const out = matcher(excluded.map((pattern) => pattern.slice(1)));
  return (path) => meant(slashed(path)) && !(excluded.length > 0 && out(slashed(path)));
}

const slashed = (path: string): string => path.replaceAll('.', '/');
