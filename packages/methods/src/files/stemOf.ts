/** The name of a file or folder without what is before it and its extension. */
export const stemOf = (path: string): string =>
  path
    .replace(/[/\\]+$/, '')
    .replace(/^.*[/\\]/, '')
    .replace(/\.[^.]+$/, '');
