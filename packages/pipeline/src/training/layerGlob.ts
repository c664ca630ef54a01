import picomatch from 'picomatch';

/** Whether a layer path is meant: `*` stands for one part of a path, `**` for any number, `{a,b}` for either. */
export function layerGlob(globs: string | readonly string[]): (path: string) => boolean {
  const patterns = typeof globs === 'string' ? [globs] : globs;
  // picomatch takes paths of files, whose parts are joined by slashes.
  const matches = picomatch(patterns.map(slashed), { dot: true, posix: true });
  return (path) => matches(slashed(path));
}

const slashed = (path: string): string => path.replaceAll('.', '/');
