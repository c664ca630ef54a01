import { existsSync } from 'node:fs';

/** Whether there is a file or folder. */
export const fileExists = (path: string): boolean => existsSync(path);
